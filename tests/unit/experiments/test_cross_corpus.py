"""A run on the clips of another corpus."""

import csv
import json
import shutil

import numpy as np
import pytest

from auxformer_lobes import AudioVisualEmotionRecognizer
from auxformer_lobes.dataio.run import Run
from auxformer_lobes.experiments.cross_corpus import evaluate_run
from auxformer_lobes.sharing.export import export
from auxformer_lobes.utils.errors import UserError
from tests.unit.media_files import astronaut, tone, write_media
from tests.unit.small_runs import make_run
from tests.unit.small_tasks import EMOTIONS

RATE = 22050
# In another order than the model has them, with one that it does not know.
SHOWN = ["sad", "surprised", "angry", "sad", None]
EVALUATION = """
bootstrap_samples: 20
test_dataloader_opts:
    batch_size: 2
train_logger: null
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run whose model knows angry, happy and sad."""
    folder = tmp_path_factory.mktemp("run")
    store = str(folder / "features")
    make_run(
        folder / "run",
        changes=[
            ("/home/jane_doe/features", store),
            ("opt_class:", f"{EVALUATION}\nopt_class:"),
        ],
    )
    for checkpoint in (folder / "run" / "save").iterdir():
        # What a Brain leaves there, too.
        (checkpoint / "brain.ckpt").write_text(
            "{step: 1, avg_train_loss: 0.0, optimizer_step: 1}"
        )
    return folder / "run"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Videos of a face, with a manifest."""
    folder = tmp_path_factory.mktemp("corpus")
    entries = {}
    for index, emotion in enumerate(SHOWN):
        audio = tone(1.0, RATE, hertz=200 + 90 * index)
        images, _ = astronaut(1.0, 180, 240, 10 + index)
        times = np.arange(len(images)) / (10 + index)
        write_media(
            folder / f"{index}.flv", images, audio, rate=RATE, times=times
        )
        media = f"{{data_root}}/{index}.flv"
        entries[f"clip{index}"] = {
            "wav": media,
            "video": media,
            "spk_id": f"speaker{index}",
            "emotion": emotion,
            "votes": [1.0],
            "duration": 1.0,
        }
    del entries["clip4"]["emotion"]
    (folder / "test.json").write_text(json.dumps(entries))
    return folder


def test_the_model_chooses_among_the_classes_that_both_have(
    run, corpus, tmp_path
):
    out = tmp_path / "out"
    metrics = evaluate_run(run, corpus / "test.json", corpus, out, 0)
    assert metrics == json.loads((out / "metrics.json").read_text())
    assert metrics["excluded"] == {"surprised": 1}
    assert metrics["fitted"] == {"temperature": 0.25}
    recognizer = AudioVisualEmotionRecognizer.from_hparams(
        export(run, tmp_path / "model"), run_opts={"device": "cpu"}
    )
    with open(out / "predictions.csv", encoding="utf-8", newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["condition"] == "audio_visual" and row["head"] == "main"
        ]
    assert [row["truth"] for row in rows] == ["sad", "angry", "sad", ""]
    assert metrics["test_clips"] == 4 and metrics["test_clips_unlabelled"] == 1
    hits = []
    for row in rows[:3]:
        index = row["clip"].removeprefix("clip")
        emotion = recognizer.classify_file(corpus / f"{index}.flv")
        shares = emotion.heads["main"]
        both = shares["angry"] + shares["sad"]
        for name in ("angry", "sad"):
            # The table has six digits.
            assert float(row[f"p_{name}"]) == pytest.approx(
                shares[name] / both, abs=2e-6
            )
        likelier = max(("angry", "sad"), key=shares.get)
        assert row["predicted"] == likelier
        hits.append(likelier == row["truth"])
    accuracy = metrics["test"]["audio_visual"]["main"]["accuracy"]["value"]
    assert accuracy == pytest.approx(np.mean(hits))


def test_a_manifest_of_the_same_classes_changes_no_probability(
    run, corpus, tmp_path
):
    entries = json.loads((corpus / "test.json").read_text())
    for entry, emotion in zip(entries.values(), EMOTIONS * 2):
        entry["emotion"] = emotion
    (tmp_path / "test.json").write_text(json.dumps(entries))
    out = tmp_path / "out"
    metrics = evaluate_run(run, tmp_path / "test.json", corpus, out, 0)
    assert metrics["excluded"] == {}
    assert Run(out).is_complete()  # so that `auxformer compare` takes it
    recognizer = AudioVisualEmotionRecognizer.from_hparams(
        export(run, tmp_path / "model"), run_opts={"device": "cpu"}
    )
    with open(out / "predictions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    (row,) = (
        row
        for row in rows
        if row["clip"] == "clip2"
        and row["condition"] == "audio_visual"
        and row["head"] == "visual"
    )
    emotion = recognizer.classify_file(corpus / "2.flv")
    found = {name: float(row[f"p_{name}"]) for name in EMOTIONS}
    assert found == pytest.approx(emotion.heads["visual"], abs=1e-6)


def test_features_are_stored_where_they_are_asked_for(run, corpus, tmp_path):
    stores = tmp_path / "stores"
    evaluate_run(
        run, corpus / "test.json", corpus, tmp_path, 0, feature_folder=stores
    )
    assert len(list(stores.glob("*.h5"))) == 2


def test_a_run_without_a_checkpoint_is_told(run, corpus, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "save")
    with pytest.raises(UserError, match="run/save: has no checkpoint: train"):
        evaluate_run(tmp_path / "run", corpus / "test.json", corpus)


def test_results_on_another_manifest_are_not_overwritten(run, corpus, tmp_path):
    (tmp_path / "metrics.json").write_text('{"manifest": "/a/test.json"}')
    with pytest.raises(UserError, match="results on /a/test.json: name ano"):
        evaluate_run(run, corpus / "test.json", corpus, tmp_path, 0)


@pytest.mark.parametrize(
    "manifest, message",
    [
        ("[]", "has no clips"),
        ("{}", "has no clips"),
        ('{"a": 3}', "has no clips"),
        ('{"a": {"video": null, "spk_id": "x"}}', "its clip a has no wav"),
        ("not JSON", "not a JSON manifest"),
        (
            '{"a": {"wav": "a", "video": "a", "spk_id": "x", "emotion": "sad"}}',
            "they share fewer than two",
        ),
    ],
)
def test_what_is_no_manifest_is_told(run, tmp_path, manifest, message):
    (tmp_path / "test.json").write_text(manifest)
    with pytest.raises(UserError, match=message):
        evaluate_run(run, tmp_path / "test.json", tmp_path)


def test_a_folder_that_is_not_there_is_told(run, corpus, tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        evaluate_run(run, corpus / "test.json", tmp_path / "nowhere")
