"""The modalities, in the order in which every tensor has them."""

MODALITIES = ("audio", "visual")
