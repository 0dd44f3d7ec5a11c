"""Images of a real head that moves, rolls and turns, for the tests of faces."""

import cv2
import numpy as np
import skimage.data

HEIGHT, WIDTH = 360, 480
SIDE = 90  # of the face, pixels


def head_images(x=0, y=0, roll=0, width=1, others=()):
    """Returns images of the astronaut's head in front of a cup of coffee.

    The head is x and y pixels away from the middle, rolled by degrees, and
    narrowed as if it was turned away: arrays with one value per frame, or
    numbers. `others` are x, y and size of further heads.
    """
    head = skimage.data.astronaut()
    inside = np.zeros(head.shape[:2], dtype=np.float32)
    cv2.ellipse(inside, (222, 115), (75, 100), 0, 0, 360, 1, cv2.FILLED)
    inside = cv2.GaussianBlur(inside, None, 6)
    cup = cv2.resize(skimage.data.coffee(), (WIDTH, HEIGHT))

    def _paste(image, x, y, roll, width, zoom):
        matrix = cv2.getRotationMatrix2D((222, 115), -roll, zoom)
        matrix[0] *= width
        matrix[:, 2] += [WIDTH / 2 + x - 222 * width, HEIGHT / 2 + y - 115]
        layer = cv2.warpAffine(head, matrix, (WIDTH, HEIGHT))
        share = cv2.warpAffine(inside, matrix, (WIDTH, HEIGHT))
        # Elsewhere the image stays as it is.
        left, top, w, h = cv2.boundingRect((share > 0).astype(np.uint8))
        where = slice(top, top + h), slice(left, left + w)
        image, share = image.copy(), share[where][..., None]
        image[where] = image[where] * (1 - share) + layer[where] * share
        return image

    for x_other, y_other, zoom in others:
        cup = _paste(cup, x_other, y_other, 0, 1, zoom)
    frames = np.broadcast(np.zeros(1), x, y, roll, width)
    return [_paste(cup, *frame[1:], zoom=0.9) for frame in frames]


def head_centres(x, y):
    """Returns the centre of the head in each image, `[time, 2]`."""
    return np.stack([WIDTH / 2 + x + 0 * y, HEIGHT / 2 + y + 0 * x], axis=-1)
