"""A run is trained only on a split that does not leak."""

import json

import pytest

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.experiments import audit as module
from auxformer_lobes.experiments.audit import audit_run
from auxformer_lobes.experiments.recipe import choose_partition
from auxformer_lobes.tasks import CategoricalEmotion, DimensionalEmotion
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_splits import EMOTIONS, make_split


@pytest.fixture
def start(tmp_path):
    """Audits a run; returns the content of audit.json."""

    def _start(manifests, allow_leaks=False, task=None):
        run = Run(tmp_path)
        for split, clips in manifests.items():
            run.manifest(split).write_text(json.dumps(clips))
        hparams = {
            "data_folder": tmp_path,
            "allow_leaks": allow_leaks,
            "task": task or CategoricalEmotion(EMOTIONS),
        }
        paths = {split: run.manifest(split) for split in manifests}
        audit_run(run, paths, hparams)
        return json.loads(run.audit_file.read_text())

    return _start


LEAK = make_split(train="abcdg")


def test_the_result_is_in_the_run_folder(start):
    audit = start(make_split())
    assert audit["findings"] == [] and audit["allow_leaks"] is False
    assert [*audit["splits"]] == ["train", "valid", "test"]
    assert audit["class_distance"] == pytest.approx(0)


def test_errors_stop_training_and_name_the_first(start, tmp_path):
    with pytest.raises(UserError) as error:
        start(LEAK)
    text = str(error.value)
    assert "audit of the split: 2 of 4 clips of test are in train" in text
    assert "(and 1 more)" in text and "audit.json" in text
    audit = json.loads((tmp_path / "audit.json").read_text())
    kinds = [found["kind"] for found in audit["findings"]]
    assert kinds == ["clip_overlap", "speaker_overlap"]


def test_errors_may_be_allowed_later(start):
    with pytest.raises(UserError):
        start(LEAK)
    audit = start(LEAK, allow_leaks=True)
    assert audit["allow_leaks"] is True and len(audit["findings"]) == 2
    with pytest.raises(UserError):
        start(LEAK)


def test_warnings_and_notes_stop_nothing(start):
    manifests = make_split()
    del manifests["test"]["g_sad"], manifests["test"]["h_sad"]
    levels = [found["level"] for found in start(manifests)["findings"]]
    assert levels == ["warning", "note"]


def test_the_same_manifests_are_not_audited_again(start, monkeypatch):
    first = start(make_split())
    monkeypatch.setattr(module, "audit_split", None)
    assert start(make_split()) == first
    with pytest.raises(TypeError):
        start(make_split(train="abc"))


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_a_damaged_audit_is_made_again(start, tmp_path, content):
    (tmp_path / "audit.json").write_text(content)
    assert start(make_split())["findings"] == []


def test_classes_are_those_that_the_task_learns(start):
    three = CategoricalEmotion([*EMOTIONS, "happy"])
    with pytest.raises(UserError, match="train has no clip of happy"):
        start(make_split(), task=three)
    assert start(make_split(), task=DimensionalEmotion(["arousal"]))


@pytest.mark.parametrize(
    "others, words",
    [
        ({"released_labels": "labels"}, "or released_labels"),
        ({"valid": [1]}, "or your own valid and test lists"),
        ({"test": [1]}, "or your own valid and test lists"),
    ],
)
def test_a_split_file_is_the_only_partition(others, words):
    lists = [others.pop(split, None) for split in ("valid", "test")]
    hparams = {"partition": 1, "split_file": "split.csv"}
    with pytest.raises(UserError, match=words):
        choose_partition({**hparams, "released_labels": None, **others}, *lists)
