"""A run goes on only with what it was started with."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.experiments.resume import check_same_run, prepared_run
from auxformer_lobes.features.finetuned import FineTunedEncoder
from auxformer_lobes.nnet.losses import (
    CrossEntropy,
    GradientBlending,
    SharedLoss,
)
from auxformer_lobes.utils.errors import UserError
from tests.unit.speech_models import features_of, save_model, tiny_model


@pytest.fixture
def start(tmp_path):
    """Starts a run in a folder, with something changed."""

    def _start(manifest="{}", features="Fbank-1", width=2, loss=SharedLoss):
        (tmp_path / "test.json").write_text(manifest)
        check_same_run(
            Run(tmp_path),
            {"test": tmp_path / "test.json"},
            {"audio": SimpleNamespace(path=Path(f"{features}.h5"))},
            torch.nn.Linear(width, 1),
            loss(criterion=CrossEntropy()),
        )

    return _start


@pytest.fixture
def checkpoint(start, tmp_path):
    """Starts a run that has come to its first checkpoint."""
    start()
    (tmp_path / "save" / "CKPT+first").mkdir()


def test_the_same_run_goes_on(start, checkpoint):
    start()


def test_what_is_made_in_a_run_s_folder_is_undone_if_it_is_another_run(
    tmp_path,
):
    run = tmp_path / "run"
    hparams = {
        "output_folder": run,
        "data_folder": tmp_path,
        "allow_leaks": True,  # there are no clips
        "task": None,
        "checkpointer": SimpleNamespace(checkpoints_dir=run / "save"),
        "model": torch.nn.Linear(2, 1),
        "shared_loss": SharedLoss(),
        **{
            f"{split}_annotation": tmp_path / f"my_{split}.json"
            for split in ("train", "valid", "test")
        },
        **{
            f"{modality}_store": SimpleNamespace(path=Path(f"{modality}.h5"))
            for modality in ("audio", "visual")
        },
    }

    def _fill(content):
        content = {content: {"spk_id": "1001"}}
        for split in ("train", "valid", "test"):
            hparams[f"{split}_annotation"].write_text(json.dumps(content))
        (run / "hyperparams.yaml").write_text(json.dumps(content))

    run.mkdir()
    with prepared_run(hparams):
        _fill("first")
    (run / "save" / "CKPT+first").mkdir()
    before = {p: p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
    assert "first" in (run / "train.json").read_text(), "a folder that is whole"
    assert (run / "audit.json").exists()
    with pytest.raises(UserError, match=r"\(changed: train, valid, test\)"):
        with prepared_run(hparams):
            _fill("other")
    after = {p: p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
    assert after == before


def test_an_encoder_of_other_weights_is_another_network(tmp_path):
    for seed in (0, 1):
        save_model(tmp_path / f"speech{seed}", tiny_model(layers=1, seed=seed))
    first, other = (
        FineTunedEncoder(features_of(tmp_path / f"speech{seed}"))
        for seed in (0, 1)
    )
    check_same_run(Run(tmp_path), {}, {}, first, SharedLoss())
    (tmp_path / "save" / "CKPT+first").mkdir()
    check_same_run(Run(tmp_path), {}, {}, first, SharedLoss())
    with pytest.raises(UserError, match=r"\(changed: network\)"):
        check_same_run(Run(tmp_path), {}, {}, other, SharedLoss())


@pytest.mark.parametrize("content", [b"", b'{"test": "', b"\xff", b"[1]"])
def test_a_damaged_note_of_what_a_run_was_trained_on_is_named(
    start, checkpoint, tmp_path, content
):
    (tmp_path / "save" / "trained_on.json").write_bytes(content)
    with pytest.raises(UserError, match="trained_on.json: .* put a copy"):
        start()


def test_a_damaged_history_is_found_before_the_next_epoch(
    start, checkpoint, tmp_path
):
    (tmp_path / "history.json").write_text('[{"epoch"')
    with pytest.raises(UserError, match="history.json: not JSON, or damaged"):
        start()


def test_before_the_first_checkpoint_all_may_change(start):
    start()
    start(width=3)
    start()


@pytest.mark.parametrize(
    "change, name",
    [
        ({"manifest": '{"clip": {}}'}, "test"),
        ({"features": "Fbank-2"}, "audio"),
        ({"width": 3}, "network"),
        ({"loss": GradientBlending}, "shared_loss"),
    ],
    ids=str,
)
def test_another_run_in_the_same_folder_is_refused(
    start, checkpoint, change, name
):
    with pytest.raises(UserError, match=rf"\(changed: {name}\)"):
        start(**change)
