"""A small synthetic MSP-IMPROV for the tests."""

import json
import math
import os
from typing import NamedTuple

import msp_improv_prepare
import numpy as np
import pytest
import soundfile
from msp_improv_prepare import prepare_msp_improv

from auxformer_lobes.utils.errors import UserError
from tests.unit.media_files import grey_images, write_media

SPLITS = ["train", "valid", "test"]
PRIMARY = ["Angry", "Happy", "Neutral", "Sad", "Other"]
SECONDARY = [
    *("Angry", "Depressed", "Disgust", "Excited", "Fear"),
    *("Frustrated", "Happy", "Neutral", "Sad", "Surprise"),
]
SPEAKERS = [f"{gender}0{session}" for session in range(1, 7) for gender in "FM"]
# One turn in each split of partition 1, with a consensus.
TRAIN, VALID, TEST = (f"S20N-F0{n}-R-FF01" for n in (1, 4, 5))


class Rater(NamedTuple):
    """A rater's line of the label file."""

    name: str
    primary: str
    secondary: list
    numbers: list
    """Activation, valence, dominance, naturalness."""


def random_turns(seed=0):
    """Five turns per speaker; few raters, so that there are ties."""
    rng = np.random.default_rng(seed)
    turns = {
        name: [Rater(f"W{i}", "Neutral", ["Neutral"], [3, 3, 3, 3])]
        for i, name in enumerate([TRAIN, VALID, TEST])
    }
    for speaker in SPEAKERS:
        for number, recording in enumerate("PRSTS"):
            name = f"S0{number + 1}A-{speaker}-{recording}-FM01"
            raters = rng.integers(1, 6)
            turns[name] = [_random_rater(i, rng) for i in range(raters)]
    return turns


def _random_rater(i, rng):
    numbers = rng.integers(1, 6, size=4).astype(float)
    numbers[rng.random(4) < 0.1] = math.nan
    secondary = rng.choice(SECONDARY, rng.integers(0, 4), replace=False)
    free = ["Concerned"] if rng.random() < 0.2 else []
    primary = rng.choice(PRIMARY, p=[0.3, 0.1, 0.3, 0.1, 0.2])
    return Rater(f"W-{i}", str(primary), [*map(str, secondary), *free], numbers)


def block(name, raters):
    """A regular block of the label file."""
    columns = zip(*(rater.numbers for rater in raters))
    known = [[x for x in column if not math.isnan(x)] for column in columns]
    means = [sum(x) / len(x) if x else math.nan for x in known]
    votes = [rater.primary for rater in raters]
    most = max(map(votes.count, votes))
    top = {vote for vote in votes if votes.count(vote) == most}
    letter = top.pop()[0] if len(top) == 1 else "X"
    lines = [f"UTD-IMPROV-{name}.avi; {letter}; {numbers(means)}"]
    for rater in raters:
        words = f"{rater.name}; {rater.primary}; {','.join(rater.secondary)}"
        lines.append(f"{words}; {numbers(rater.numbers)}")
    return "".join(f"{line}\n" for line in lines)


def numbers(values):
    """The four numbers of a line."""
    texts = ("NaN" if math.isnan(x) else f"{x:.6f}" for x in values)
    a, v, d, n = texts
    return f"A:{a}; V:{v}; D:{d} ; N:{n};"


def make_corpus(
    folder,
    turns,
    wav="Audio/session{session}/{scene}/{recording}/MSP-IMPROV-{name}.wav",
    video="Video/session{session}/{scene}/{recording}/MSP-IMPROV-{name}.avi",
    labels="Evalution.txt",
):
    """Makes the corpus; all turns have the same wav and the same video.

    Arguments
    ---------
    folder : pathlib.Path
        Parent folder.
    turns : dict
        Name -> list of `Rater`.
    wav : str
        Pattern of the wav files' paths.
    video : str
        Pattern of the video files' paths.
    labels : str
        Path of the label file.

    Returns
    -------
    pathlib.Path
        The corpus.
    """
    rng = np.random.default_rng(0)
    soundfile.write(folder / "good.wav", rng.uniform(-0.1, 0.1, 28800), 48000)
    write_media(
        folder / "good.avi", grey_images([90] * 18), video_codec="mpeg4"
    )
    root = folder / "MSP-IMPROV"
    for name in turns:
        scene, speaker, recording, _ = name.split("-")
        where = {"session": speaker[-1], "scene": scene, "recording": recording}
        for good, pattern in (("good.wav", wav), ("good.avi", video)):
            path = root / pattern.format(name=name, **where)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(folder / good, path)
    (root / labels).parent.mkdir(exist_ok=True)
    blocks = [block(name, raters) for name, raters in turns.items()]
    (root / labels).write_text("\n".join(blocks), "utf-8")
    return root


def skip_media_check(monkeypatch):
    """Takes all media for usable, 2.5 s long, without opening them."""
    monkeypatch.setattr(
        msp_improv_prepare,
        "check_media",
        lambda folder, files, *options: (
            dict.fromkeys(files, (2.5, 2.5)),
            [],
            [],
        ),
    )


def prepare(corpus, folder="prepared", **options):
    """Prepares the corpus; returns the three manifests and the report."""
    save_folder = corpus.parent / folder
    prepare_msp_improv(str(corpus), str(save_folder), num_workers=1, **options)
    return [
        json.loads((save_folder / name).read_text("utf-8"))
        for name in [f"{split}.json" for split in SPLITS]
        + ["prepare_report.json"]
    ]


def prepare_clips(corpus, **options):
    """Prepares the corpus; returns all clips by their short names."""
    train, valid, test, _ = prepare(corpus, **options)
    clips = {**train, **valid, **test}
    return {clip.removeprefix("MSP-IMPROV-"): clips[clip] for clip in clips}


def assert_refused(corpus, message, **options):
    """Checks that preparation fails in one line and writes nothing."""
    with pytest.raises(UserError) as error:
        prepare(corpus, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (corpus.parent / "prepared").exists()
