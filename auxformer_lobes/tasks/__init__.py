"""What is predicted of a clip: classes, several emotions, or attributes."""

from auxformer_lobes.tasks.categorical import CategoricalEmotion
from auxformer_lobes.tasks.config import describe_task, set_fitted, task_of
from auxformer_lobes.tasks.dimensional import DimensionalEmotion
from auxformer_lobes.tasks.multilabel import MultiLabelEmotion

__all__ = [
    "CategoricalEmotion",
    "DimensionalEmotion",
    "MultiLabelEmotion",
    "describe_task",
    "set_fitted",
    "task_of",
]
