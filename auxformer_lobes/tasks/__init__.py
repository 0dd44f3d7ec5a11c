"""What is predicted of a clip: classes, several emotions, or attributes."""

from auxformer_lobes.tasks.attributes import Attributes
from auxformer_lobes.tasks.categories import Categories
from auxformer_lobes.tasks.secondary import SecondaryEmotions

__all__ = ["Attributes", "Categories", "SecondaryEmotions"]
