"""Draws synthetic faces with OpenCV.

Cartoons, shaded softly enough for detectors of real faces. The unit of
coordinates is half the width of the face; x points to the right of the image, y
down, and the origin is between the eyes. Colours are RGB.
"""

import copy
from typing import NamedTuple

import cv2
import numpy as np

HEIGHT = 144
_DRAWN = (384, 288)  # width and height before reduction, for smooth edges
_SUBPIXEL = 4  # fractional bits of OpenCV's coordinates
_WHITE = (255, 255, 255)


class Face(NamedTuple):
    """Constant properties of a person; lengths are in the unit of the face."""

    size: float
    """The unit, as a fraction of the image height."""
    length: float
    """Height over width."""
    eye_distance: float
    """From an eye to the middle."""
    eye_size: float
    brow_height: float
    brow_weight: float
    mouth_height: float
    mouth_width: float
    nose_width: float
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    wall: np.ndarray
    shirt: np.ndarray
    long_hair: bool
    fringe: float
    """How far the hair hangs over the forehead."""
    light: float
    """-1: from the left, 1: from the right."""
    brightness: float


class Expression(NamedTuple):
    """Facial movements; all zeros is a relaxed face."""

    brows: float
    """1 is raised, -1 lowered."""
    slant: float
    """1: inner ends of the brows up, as in grief; -1: down, as in a frown."""
    eyes: float
    """1 is wide open, -1 nearly closed."""
    corners: float
    """Of the mouth. 1 is up, -1 down."""
    stretch: float
    """1 is a wide mouth, -1 a narrow one."""
    sneer: float
    """1: upper lip raised and nose wrinkled."""
    jaw: float
    """1 is an open mouth, in addition to speech."""


class Portrait:
    """Draws one person with any expression.

    Arguments
    ---------
    face : Face
        The person.
    height : int
        Height of the images, pixels; their width is a third larger.

    Example
    -------
    >>> from auxformer_lobes.testing.faces import invent_face
    >>> face = invent_face(np.random.default_rng(0), "male")
    >>> Portrait(face).draw(Expression(0, 0, 0, 0, 0, 0, 0)).shape
    (144, 192, 3)
    """

    def __init__(self, face, height=HEIGHT):
        self.face = face
        self.size = (height * 4 // 3, height)
        studio = self._draw_studio().reduced(self.size)
        self._studio = studio.astype(np.float32)
        self._head, outline = self._draw_head()
        self._outline = outline.reduced(self.size)

    def draw(self, expression, speech=0.0, lids=1.0, move=(0, 0, 0, 0)):
        """Draws an image.

        Arguments
        ---------
        expression : Expression
            The expression.
        speech : float
            Opening of the mouth by speech, 0 to 1.
        lids : float
            0 in the middle of a blink, else 1.
        move : sequence of float
            Movement of the head to the right, down, its tilt, and towards the
            camera; 1 is a typical amount.

        Returns
        -------
        numpy.ndarray
            `[height, width, 3]`, uint8, RGB.
        """
        canvas = self._head.copy()
        for side in (-1, 1):
            self._draw_eye(canvas, expression, lids, side)
            self._draw_brow(canvas, expression, side)
        self._draw_nose(canvas, expression)
        self._draw_mouth(canvas, expression, speech)
        return self._place(canvas.reduced(self.size), move)

    def _place(self, head, move):
        """Places the moved head in front of the wall."""
        right, down, tilt, zoom = move
        width, height = self.size
        neck = (width / 2, 0.75 * height)
        matrix = cv2.getRotationMatrix2D(neck, 2 * tilt, 1 + 0.02 * zoom)
        matrix[:, 2] += 0.06 * self.face.size * height * np.array([right, down])
        head = cv2.warpAffine(head, matrix, self.size)
        alpha = cv2.warpAffine(self._outline, matrix, self.size) / 255.0
        image = self._studio + alpha * (head - self._studio)
        return np.round(image).astype(np.uint8)

    def _draw_studio(self):
        """The wall and the shoulders."""
        face = self.face
        canvas = _Canvas(face, face.wall)
        falloff = np.linspace(0.85, 1.1, _DRAWN[0])
        if face.light < 0:
            falloff = falloff[::-1]
        canvas.shade(face.brightness * falloff[:, None])
        canvas.fill(_ellipse(0, 2 * face.length + 0.55, 1.8, 1.55), face.shirt)
        canvas.blur(0.02)
        return canvas

    def _draw_head(self):
        """The head without facial features, and its outline in white."""
        face = self.face
        chin = 2 * face.length - 1.3
        middle, half = (chin - 1.25) / 2, (chin + 1.25) / 2
        neck = _ellipse(0, chin, 0.42, 0.9)
        ears = [_ellipse(side * 0.98, 0.1, 0.14, 0.25) for side in (-1, 1)]
        skull = _ellipse(0, middle - 0.15, 1.14, half + 0.12)
        outline = _Canvas(face, (0, 0, 0))
        for shape in (skull, neck, *ears):
            outline.fill(shape, _WHITE)
        if face.long_hair:
            outline.fill(_ellipse(0, 0.35, 1.25, 1.55, 150, 390), _WHITE)

        canvas = _Canvas(face, face.hair)
        for shape in (neck, *ears):
            canvas.fill(shape, 0.8 * face.skin)
        canvas.fill(_ellipse(0, middle, 1, half), face.skin)
        hairline = _ellipse(0, face.fringe - 1.35, 1.05, 0.35, 0, 180)
        canvas.fill([*hairline, (-1.2, -2), (1.2, -2)], face.hair)
        canvas.blur(0.03)
        canvas.shade(self._shade())
        return canvas, outline

    def _shade(self):
        """Shading of eye sockets, cheeks and nose, which detectors rely on."""
        face = self.face
        light = _Canvas(face, _grey(128))
        for side in (-1, 1):
            x = side * face.eye_distance
            light.fill(_ellipse(x, -0.02, 0.3, 0.22), _grey(92))
            light.fill(_ellipse(1.15 * x, 0.45, 0.25, 0.2), _grey(138))
        nose, lip = 1.1 * face.nose_width, face.mouth_height + 0.24
        light.fill(_ellipse(0, 0.05, 0.1, 0.4), _grey(142))
        light.fill(_ellipse(0, -0.6, 0.5, 0.2), _grey(136))
        light.fill(_ellipse(0, 0.46, nose, 0.06), _grey(104))
        light.fill(_ellipse(0, lip, 0.25, 0.06), _grey(110))
        light.blur(0.09)
        slope = 1 + 0.15 * face.light * np.linspace(-1, 1, _DRAWN[0])
        shade = light.pixels / 128 * slope[:, None] * face.brightness
        # Shadows on skin are reddish, not grey.
        return shade ** (0.8, 1.1, 1.1)

    def _draw_eye(self, canvas, pose, lids, side):
        face = self.face
        x, size = side * face.eye_distance, face.eye_size
        across = np.linspace(-1, 1, 15)
        columns, arch = x + size * across, np.sqrt(1 - across**2)
        upper = -0.55 * size * (1 + 0.55 * pose.eyes) * lids * arch
        lower = 0.4 * size * (1 + 0.25 * pose.eyes) * lids * arch
        canvas.fill_between(columns, upper, lower, _grey(238))
        iris = 0.5 * size
        canvas.fill(_ellipse(x, 0, iris, iris), face.iris)
        canvas.fill(_ellipse(x, 0, 0.5 * iris, 0.5 * iris), _grey(15))
        canvas.fill(
            _ellipse(x + 0.2 * iris, -0.4 * iris, 0.2 * iris, 0.2 * iris),
            _WHITE,
        )
        # The lids cover the iris outside the opening.
        skin = face.brightness * face.skin * (0.8, 0.72, 0.7)
        rim = 0.08 + 0.85 * size * arch
        canvas.fill_between(columns, -rim, upper, skin)
        canvas.fill_between(columns, lower, rim, skin)
        canvas.stroke(columns, upper, 0.3 * face.hair, 0.05)
        canvas.stroke(columns, lower, 0.5 * face.skin, 0.02)

    def _draw_brow(self, canvas, pose, side):
        face = self.face
        across = np.linspace(0, 1, 8)  # from the inner to the outer end
        columns = face.eye_distance - 0.22 + 0.48 * across
        height = -face.brow_height - 0.12 * pose.brows
        height = height - 0.15 * pose.slant * (1 - 2 * across)
        height = height - 0.08 * np.sin(np.pi * across)
        canvas.stroke(side * columns, height, 0.4 * face.hair, face.brow_weight)

    def _draw_nose(self, canvas, pose):
        face = self.face
        shadow = 0.62 * face.brightness * face.skin
        lift = 0.05 * max(pose.sneer, 0)
        for side in (-1, 1):
            x = 0.55 * side * face.nose_width
            canvas.fill(_ellipse(x, 0.42 - lift, 0.05, 0.025), 0.6 * shadow)
            x, y = _ellipse(face.nose_width, 0.38 - lift, 0.05, 0.07, -60, 60).T
            canvas.stroke(side * x, y, shadow, 0.03)
        if pose.sneer > 0.3:
            across = np.linspace(-0.11, 0.11, 5)
            for y in (-0.04, 0.04, 0.12):
                canvas.stroke(across, y + 4 * across**2, 1.2 * shadow, 0.03)

    def _draw_mouth(self, canvas, pose, speech):
        face = self.face
        across = np.linspace(-1, 1, 21)
        columns = face.mouth_width * (1 + 0.3 * pose.stretch) * across
        bow = 1 - np.abs(across) ** 2.5
        opening = max(0.03, 0.2 * speech + 0.12 * pose.jaw)
        # Corners up pull the middle of the lips down.
        line = face.mouth_height - 0.14 * pose.corners * (1 - 1.4 * bow)
        sneer = 0.07 * pose.sneer * np.sqrt(np.abs(across)) * bow
        upper = line - 0.35 * opening * bow - sneer
        lower = line + 0.65 * opening * bow
        shown = np.clip(0.3 + 0.3 * pose.corners + 0.3 * pose.sneer, 0, 0.9)
        lips = face.brightness * (0.55 * face.skin + (45, 0, 5))
        canvas.fill_between(columns, upper, lower, (70, 25, 25))
        canvas.fill_between(
            columns, upper, upper + shown * opening * bow, _grey(225)
        )
        canvas.fill_between(columns, upper - 0.07 * bow, upper, lips)
        canvas.fill_between(columns, lower, lower + 0.09 * bow, lips)
        canvas.stroke(columns, upper, 0.6 * lips, 0.025)


class _Canvas:
    """An image to draw on, in the coordinates of a face."""

    def __init__(self, face, colour):
        self.unit = face.size * _DRAWN[1]
        self.pixels = np.empty((*_DRAWN[::-1], 3), np.uint8)
        self.pixels[:] = np.clip(colour, 0, 255)

    def copy(self):
        """A copy to continue drawing on."""
        twin = copy.copy(self)
        twin.pixels = self.pixels.copy()
        return twin

    def fill(self, points, colour):
        """Fills a polygon, `[points, 2]`."""
        cv2.fillPoly(
            self.pixels,
            [self._place(points)],
            _pen(colour),
            cv2.LINE_AA,
            _SUBPIXEL,
        )

    def fill_between(self, columns, upper, lower, colour):
        """Fills the area between two curves over the same columns."""
        x, y = [*columns, *columns[::-1]], [*upper, *lower[::-1]]
        self.fill(np.stack([x, y], axis=1), colour)

    def stroke(self, columns, rows, colour, width):
        """Draws a polyline."""
        cv2.polylines(
            self.pixels,
            [self._place(np.stack([columns, rows], axis=1))],
            False,
            _pen(colour),
            max(1, round(width * self.unit)),
            cv2.LINE_AA,
            _SUBPIXEL,
        )

    def blur(self, width):
        """Applies a Gaussian blur."""
        self.pixels = cv2.GaussianBlur(self.pixels, None, width * self.unit)

    def shade(self, factor):
        """Multiplies the colours, per pixel or per column."""
        self.pixels = np.clip(self.pixels * factor, 0, 255).astype(np.uint8)

    def reduced(self, size):
        """The pixels at the size of the image, uint8."""
        return cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)

    def _place(self, points):
        centre = np.array([0.5, 0.47]) * _DRAWN
        pixels = self.unit * np.asarray(points) + centre
        return np.round(pixels * 2**_SUBPIXEL).astype(np.int32)


def _pen(colour):
    return [min(float(level), 255.0) for level in colour]


def _grey(level):
    return (level, level, level)


def _ellipse(x, y, width, height, start=0, stop=360):
    """Points on an ellipse, `[40, 2]`; degrees clockwise from the right."""
    angle = np.radians(np.linspace(start, stop, 40))
    return np.stack(
        [x + width * np.cos(angle), y + height * np.sin(angle)], axis=1
    )
