"""Detection of faces and their landmarks with YuNet.

Wu, Peng and Yu, "YuNet: A tiny millisecond-level face detector", Machine
Intelligence Research, 2023; run by OpenCV. For boxes, see
`auxformer_lobes.processing.faces.boxes`.
"""

import hashlib
import os
from functools import lru_cache

import cv2
import numpy as np

from auxformer_lobes.processing.faces.boxes import (
    cut_square,
    square_matrix,
    transform,
)
from auxformer_lobes.processing.faces.detection import Detection
from auxformer_lobes.processing.media import check_file
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.hub import snapshot
from auxformer_lobes.utils.schema import (
    COPIED_DETECTOR,
    Configurable,
    integer,
    number,
    optional,
    text,
)

HUB_NAME = "opencv/face_detection_yunet"
WEIGHTS = "face_detection_yunet_2023mar.onnx"
# SHA-256 of these weights.
PUBLISHED = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
MAX_BYTES = 1 << 24  # of a file with weights; the published one has 233 kB
MAX_FACES = 5000  # candidates before those that overlap are removed


class YuNetDetector(Configurable):
    """Detects faces, and five landmarks of each, with a convolutional network.

    The default weights are the published ones: MIT licence, 233 kB, from the
    Hugging Face Hub. Images are searched in windows that are resized so that
    their faces have 30 to 300 pixels, for which the network was trained.

    Arguments
    ---------
    weights : str
        An ONNX file with the outputs of YuNet; by default the published
        weights.
    save_path : str
        Cache of the file from the Hub; the Hub's own by default.
    score_threshold : float
        Least score of a face.
    nms_threshold : float
        Share of overlap with a better face (intersection over union) beyond
        which a face is left out.
    input_size : int
        Side of the square to which windows are resized, pixels.

    Raises
    ------
    UserError
        If there are no weights, or OpenCV cannot load them.

    Example
    -------
    >>> YuNetDetector("yunet.onnx")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.MediaError: yunet.onnx: No such file or directory
    """

    schema = {
        "weights": optional(
            text(COPIED_DETECTOR, "a file in the folder, encoders/faces.onnx")
        ),
        "score_threshold": number(0.01, 1),
        "nms_threshold": number(0, 1),
        "input_size": integer(64, 1280),
    }

    def __init__(
        self,
        weights=None,
        save_path=None,
        score_threshold=0.7,
        nms_threshold=0.3,
        input_size=320,
    ):
        self.weights = str(weights or download(save_path))
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.input_size = input_size
        self.sha256 = sha256(self.weights)
        if weights is None and self.sha256 != PUBLISHED:
            raise UserError(
                f"{self.weights}: not the published weights: damaged: delete "
                "it, and it is downloaded again"
            )

    @property
    def settings(self):
        """What changes the faces, for the settings of a `FaceTracker`."""
        return {
            "detector": {
                "class": type(self).__name__,
                "weights": self.sha256[:16],
                "score_threshold": self.score_threshold,
                "nms_threshold": self.nms_threshold,
                "input_size": self.input_size,
            }
        }

    def find_faces(self, image, grey, window, min_side, max_side=0):
        """Detects faces, see `CascadeDetector.find_faces`.

        They have no eyes where a face is turned away so far that these do not
        tell its angle.
        """
        zoom = image.shape[1] / grey.shape[1]
        box = np.multiply(window, [zoom, zoom, zoom, 1])
        square = cut_square(image, box)
        matrix, _ = square_matrix(box)
        scale = self.input_size / len(square)
        faces = []
        for face in self._detect(square):
            # To pixels of the square.
            left, top, width, height, *points = face[:14] / scale
            # As far as the square of a cascade reaches: from ear to ear, and
            # from the forehead to below the mouth.
            side = np.sqrt(width * height)
            if not min_side <= side / zoom <= (max_side or np.inf):
                continue
            centre = [left + width / 2, top + height / 2]
            x, y = transform(matrix, centre) / zoom
            # The person's right eye comes first: the left one in the image.
            eyes = np.reshape(points[:4], (2, 2))
            across = (eyes[1] - eyes[0]) / side
            # In profile, or upside down, they do not tell the angle.
            is_sure = 0.25 < np.hypot(*across) < 0.6 and across[0] > 0
            faces.append(
                Detection(
                    np.array([x, y, side / zoom, window[3]]),
                    transform(matrix, eyes) / zoom if is_sure else None,
                )
            )
        return faces

    def find_eyes(self, image, grey, detection):
        """Returns None: eyes are found with the face, if at all."""
        return None

    def _detect(self, square):
        """Rows of box, five landmarks and score, in the resized square."""
        size = (self.input_size, self.input_size)
        resized = cv2.resize(square, size, interpolation=cv2.INTER_AREA)
        network = _network(
            self.weights, self.score_threshold, self.nms_threshold, size
        )
        try:
            _, faces = network.detect(cv2.cvtColor(resized, cv2.COLOR_RGB2BGR))
        except cv2.error as error:
            raise _unusable(self.weights, error)
        if faces is None:
            return []
        return [face for face in faces if np.isfinite(face).all()]


def download(save_path=None, offline=False):
    """Makes the published weights available.

    Arguments
    ---------
    save_path : str
        Cache of the file; the Hub's own by default.
    offline : bool
        Whether it must be there already.

    Returns
    -------
    str
        The file.

    Raises
    ------
    UserError
        If it cannot be fetched.
    """
    folder = snapshot(HUB_NAME, None, [WEIGHTS], save_path, offline)
    return str(folder / WEIGHTS)


def sha256(path):
    """Identifies a file of weights.

    Arguments
    ---------
    path : str
        The file.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    UserError
        If it cannot be read, or is too large to be of a detector.
    """
    check_file(path)
    if os.path.getsize(path) > MAX_BYTES:
        raise UserError(
            f"{path}: larger than any face detector: name "
            f"{WEIGHTS}, from {HUB_NAME} on the Hub"
        )
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=4)
def _network(path, score_threshold, nms_threshold, size):
    # One per process, on one thread, as the cascades.
    cv2.setNumThreads(1)
    # By its content: a file that names further ones finds none.
    content = np.fromfile(path, np.uint8)
    try:
        return cv2.FaceDetectorYN.create(
            "onnx",
            content,
            np.zeros(0, np.uint8),
            size,
            score_threshold,
            nms_threshold,
            MAX_FACES,
        )
    except cv2.error as error:
        raise _unusable(path, error)


def _unusable(path, error):
    reason = " ".join(str(error).split())
    return UserError(
        f"{path}: OpenCV {cv2.__version__} cannot run it as YuNet: name "
        f"{WEIGHTS}, from {HUB_NAME} on the Hub ({reason:.200})"
    )
