"""Names of splits that are common in the field."""

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val"), "valid"),
    **dict.fromkeys(("dev", "development"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
