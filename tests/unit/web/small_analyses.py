"""Made-up timelines for the tests of the page."""

from auxformer_lobes.inference.results import Emotion
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)
from auxformer_lobes.web.analysis import Analysis

CLASSES = CategoricalEmotion(["angry", "happy"])
SEVERAL = MultiLabelEmotion(["angry", "happy"])
ATTRIBUTES = DimensionalEmotion(["arousal", "valence"], low=1, high=5)
NEITHER = {"audio": "is silent", "visual": "no face in any frame"}


def window(index, label, outputs, missing=None):
    """A window of 2 s, one a second."""
    missing = missing or {}
    valid_share = {m: 1.0 for m in ("audio", "visual") if m not in missing}
    emotion = Emotion(label, outputs, {}, valid_share, missing, {})
    return float(index), index + 2.0, emotion


def small_analysis(task=CLASSES, seconds=5.0, **changes):
    """Four windows: angry, happy, no prediction, and happy without a face."""
    names = task.names
    low, high = task.limits
    rows = [(high, low), (low, high), None, (low, high)]
    labels = {
        CLASSES: ["angry", "happy", None, "happy"],
        SEVERAL: [["angry"], [], None, ["angry", "happy"]],
    }.get(task, [None] * 4)
    lost = [{}, {}, NEITHER, {"visual": "no face in any frame"}]
    windows = [
        window(i, label, dict(zip(names, row)) if row else {}, missing)
        for i, (label, row, missing) in enumerate(zip(labels, rows, lost))
    ]
    made = Analysis("talk.mp4", task, windows, seconds, has_video=True)
    return made._replace(**changes)
