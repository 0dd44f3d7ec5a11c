"""Small splits, without and with faults, for tests."""

EMOTIONS = ("angry", "sad")


def make_split(train="abcd", valid="ef", test="gh"):
    """Clips of speakers by split; each speaker has a clip of each class."""
    speakers = {"train": train, "valid": valid, "test": test}
    return {
        split: {
            f"{speaker}_{emotion}": {
                "spk_id": speaker,
                "gender": "female" if speaker in "aceg" else "male",
                "emotion": emotion,
                "duration": 30.0,
                "wav": f"{{data_root}}/{speaker}_{emotion}.wav",
                "video": None,
            }
            for speaker in names
            for emotion in EMOTIONS
        }
        for split, names in speakers.items()
    }


def found_in(audit):
    """Kind -> level, of what an audit found."""
    return {found.kind: found.level for found in audit.findings}
