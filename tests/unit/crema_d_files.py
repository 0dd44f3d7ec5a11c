"""A small CREMA-D for the tests: excerpts of the real tables, noise as media."""

import csv
import json
import os
import shutil
from pathlib import Path

import av
import crema_d_prepare
import numpy as np
import pytest
import soundfile
from crema_d_prepare import prepare_crema_d

from auxformer_lobes.utils.errors import UserError

EXCERPT = Path(__file__).parents[1] / "data" / "crema-d"
VOTES = "processedResults/tabulatedVotes.csv"
SUMMARY = "processedResults/summaryTable.csv"
ACTORS = "VideoDemographics.csv"
RELEASED = "labels_consensus_6class_M"
SPLITS = ["train", "valid", "test"]

# One clip in each split of partition 1, by all rules.
TRAIN, VALID, TEST = "1001_IEO_NEU_XX", "1006_IEO_NEU_XX", "1004_IEO_NEU_XX"


def make_corpus(folder):
    """Makes the corpus; all clips have the same wav and the same video.

    Arguments
    ---------
    folder : pathlib.Path
        Parent folder.

    Returns
    -------
    pathlib.Path
        The corpus.
    """
    rng = np.random.default_rng(0)
    soundfile.write(folder / "good.wav", rng.uniform(-0.1, 0.1, 9600), 16000)
    with av.open(folder / "good.flv", "w") as container:
        stream = container.add_stream("flv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for _ in range(6):
            image = rng.integers(0, 255, (32, 48, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    root = folder / "CREMA-D"
    shutil.copytree(EXCERPT, root)
    (root / "AudioWAV").mkdir()
    (root / "VideoFlash").mkdir()
    for row in read_csv(EXCERPT / SUMMARY):
        clip = row["FileName"]
        os.link(folder / "good.wav", root / f"AudioWAV/{clip}.wav")
        os.link(folder / "good.flv", root / f"VideoFlash/{clip}.flv")
    return root


def skip_media_check(monkeypatch):
    """Takes all media for usable, 2.5 s long, without opening them."""
    monkeypatch.setattr(
        crema_d_prepare,
        "check_media",
        lambda folder, files, *options: (
            dict.fromkeys(files, (2.5, 2.5)),
            [],
            [],
        ),
    )


def read_csv(path):
    """Rows of a CSV file."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def prepare(corpus, folder="prepared", **options):
    """Prepares the corpus; returns the three manifests and the report."""
    save_folder = corpus.parent / folder
    prepare_crema_d(str(corpus), str(save_folder), num_workers=1, **options)
    return [
        json.loads((save_folder / name).read_text("utf-8"))
        for name in [f"{split}.json" for split in SPLITS]
        + ["prepare_report.json"]
    ]


def prepare_clips(corpus, **options):
    """Prepares the corpus; returns the clips of all three manifests."""
    train, valid, test, _ = prepare(corpus, **options)
    return {**train, **valid, **test}


def assert_refused(corpus, message, **options):
    """Checks that preparation fails in one line and writes nothing."""
    with pytest.raises(UserError) as error:
        prepare(corpus, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (corpus.parent / "prepared").exists()
