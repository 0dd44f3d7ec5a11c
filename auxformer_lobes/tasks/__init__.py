"""What is predicted of a clip: classes, several emotions, or attributes."""

from auxformer_lobes.tasks.categorical import Categories
from auxformer_lobes.tasks.dimensional import Attributes
from auxformer_lobes.tasks.multilabel import SecondaryEmotions

__all__ = ["Attributes", "Categories", "SecondaryEmotions"]
