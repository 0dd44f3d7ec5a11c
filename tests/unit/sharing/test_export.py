"""What becomes of a run when it is exported."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from safetensors import safe_open

from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.sharing import export as export_module
from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import info, load, push
from auxformer_lobes.sharing.layout import FILES
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_runs import (
    FBANK,
    LOSSES,
    TASKS,
    batch_of,
    logits_of,
    make_run,
    speech_features,
)
from tests.unit.speech_models import save_model, tiny_model

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run, what it was made with, and its export."""
    work = tmp_path_factory.mktemp("finished")
    hparams = make_run(work / "run")
    return work / "run", hparams, export(work / "run", work / "model")


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the run, to be changed."""
    shutil.copytree(finished[0], tmp_path / "run")
    return tmp_path / "run"


def files_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_export_is_four_files(finished):
    assert {*files_in(finished[2])} == {*FILES}


def test_nothing_in_it_is_of_the_machine_or_of_a_person(finished):
    run, _, model = finished
    for name, content in files_in(model).items():
        for private in ("jane", "/home", str(run.parent), str(ROOT)):
            assert private.encode() not in content, name


def test_its_yaml_makes_objects_and_refers_to_them_only(finished):
    text = (finished[2] / "hyperparams.yaml").read_text()
    assert {*re.findall(r"!\w+", text)} == {"!new", "!ref"}
    assert "num_classes: 3\n" in text  # as computed from the task
    made = load_hyperpyyaml(text)
    assert made["modules"]["auxformer"] is made["auxformer"]


@pytest.mark.parametrize("task", TASKS)
def test_the_network_and_the_task_are_those_of_the_best_epoch(tmp_path, task):
    hparams = make_run(tmp_path / "run", task)
    model = load(export(tmp_path / "run", tmp_path / "model"))
    batch = batch_of(hparams)
    before = logits_of(hparams["modules"], batch)
    after = logits_of(model["modules"], batch)
    assert all(map(torch.equal, before, after))
    assert model["config"]["epoch"] == 1 + LOSSES.index(min(LOSSES))
    assert type(model["task"]) is type(hparams["task"])
    assert model["task"].names == hparams["task"].names
    assert model["task"].settings == hparams["task"].settings
    assert all(not module.training for module in model["modules"].values())


def test_other_norms_are_exported_too(tmp_path):
    norm = "!new:auxformer_lobes.nnet.normalization.FeatureNorm\n"
    changes = [
        (norm + "    dim: !ref <audio_features.dim>", "!new:torch.nn.Identity"),
        (
            norm + "    dim: !ref <visual_features.dim>\n    limit: null",
            "!new:torch.nn.LayerNorm\n"
            "    normalized_shape: !ref <visual_features.dim>",
        ),
    ]
    hparams = make_run(tmp_path / "run", changes=changes)
    model = load(export(tmp_path / "run", tmp_path / "model"))
    batch = batch_of(hparams)
    before = logits_of(hparams["modules"], batch)
    after = logits_of(model["modules"], batch)
    assert all(map(torch.equal, before, after))


def test_modules_that_inference_does_not_know_are_told(tmp_path, caplog):
    more = ("modules:\n", "modules:\n    gate: !new:torch.nn.Identity\n")
    make_run(tmp_path / "run", changes=[more])
    export(tmp_path / "run", tmp_path / "model")
    assert "not exported, as inference does not know them: modules gate" in (
        caplog.text
    )


def test_the_best_may_be_the_largest(tmp_path):
    change = ("select_by: loss", "select_by: uar")
    make_run(tmp_path / "run", changes=[change])
    for path in tmp_path.glob("run/save/*/CKPT.yaml"):
        path.write_text(path.read_text().replace("loss:", "uar:"))
    export(tmp_path / "run", tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["epoch"] == 1 + LOSSES.index(max(LOSSES))


IN_A_FRESH_PROCESS = """
import sys, torch
from auxformer_lobes.sharing.hub import load
from tests.unit.small_runs import batch_of, logits_of
model = load(sys.argv[1])
torch.save([*logits_of(model["modules"], batch_of(model))], sys.argv[2])
"""


def test_a_fresh_process_gives_the_same_bits(finished, tmp_path):
    _, hparams, model = finished
    subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS, model, tmp_path / "logits"],
        cwd=ROOT,
        check=True,
    )
    for before, after in zip(
        logits_of(hparams["modules"], batch_of(hparams)),
        torch.load(tmp_path / "logits"),
    ):
        assert torch.equal(before, after)


def test_weights_hold_the_statistics_too(finished):
    _, hparams, model = finished
    with safe_open(model / "model.safetensors", "pt") as file:
        assert torch.equal(
            file.get_tensor("audio_norm.mean"), hparams["audio_norm"].mean
        )
        names = {name.split(".")[0] for name in file.keys()}
    assert names == {"audio_norm", "visual_norm", "auxformer"}


def test_it_says_how_features_were_stored_and_used(finished):
    model = load(finished[2])
    assert model["feature_dtype"] == {"audio": "float32", "visual": "float16"}
    assert model["min_face_quality"] == 1
    assert model["missing"] == "mask"
    assert model["visual_features"].faces.size == 16


def test_an_older_export_is_replaced(finished, tmp_path):
    for _ in range(2):
        export(finished[0], tmp_path / "model")
        assert {*files_in(tmp_path / "model")} == {*FILES}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("other", ["notes.txt", ".git/HEAD", "config.json"])
def test_a_folder_of_something_else_is_left_as_it_is(finished, tmp_path, other):
    if other != "config.json":
        export(finished[0], tmp_path / "model")
    path = tmp_path / "model" / other
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    before = files_in(tmp_path)
    with pytest.raises(UserError, match="name a new folder"):
        export(finished[0], tmp_path / "model")
    assert files_in(tmp_path) == before


def test_an_export_that_fails_leaves_what_was_there(
    finished, tmp_path, monkeypatch
):
    export(finished[0], tmp_path / "model")
    before = files_in(tmp_path)

    def _interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(export_module, "model_card", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(finished[0], tmp_path / "model")
    assert files_in(tmp_path) == before


def remove(name):
    return lambda run: (run / name).unlink()


def cut_key(key):
    def _cut(run):
        path = run / "hyperparams.yaml"
        path.write_text(re.sub(f"(?m)^{key}:", f"my_{key}:", path.read_text()))

    return _cut


def is_being_written(run):
    (run / "save" / "saving.txt").write_text("")


UNFINISHED = {
    "no run": (shutil.rmtree, "hyperparams.yaml: missing"),
    "not trained": (
        lambda run: shutil.rmtree(run / "save"),
        "save: has no checkpoint: train first",
    ),
    "being written": (is_being_written, "save: is being written"),
    "not evaluated": (remove("metrics.json"), "metrics.json: missing: train"),
    "no manifest": (remove("test.json"), "test.json: missing: prepare"),
    "another recipe": (cut_key("auxformer"), "has no auxformer: only runs"),
}


@pytest.mark.parametrize("case", UNFINISHED)
def test_an_unfinished_run_is_told_in_one_line(run, tmp_path, case):
    spoil, reason = UNFINISHED[case]
    spoil(run)
    with pytest.raises(UserError, match=f"^[^\n]*{reason}[^\n]*$"):
        export(run, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_released_features_are_told_and_left_out(tmp_path):
    folder = tmp_path / "EMOCA"
    folder.mkdir()
    np.save(folder / "clip.npy", np.zeros((3, 50), np.float32))
    hog = (
        "visual.HogFeatures\n    faces: !new:auxformer_lobes.processing.faces.tracker."
        "FaceTracker\n        size: 16\n    frames_per_second: 10\n"
    )
    released = f"released.NumpyFeatures\n    folder: {folder}\n    dim: 50\n"
    hparams = make_run(tmp_path / "run", changes=[(hog, released)])
    model = export(tmp_path / "run", tmp_path / "model")
    loaded = load(model)
    assert loaded["visual_features"] is None
    assert (
        len(loaded["modules"]["visual_norm"].mean)
        == hparams["visual_features"].dim
    )
    card = (model / "README.md").read_text()
    assert "the model takes no visual features from other files" in card
    assert all(b"EMOCA" not in x for x in files_in(model).values())


def test_an_encoder_of_this_machine_has_to_be_copied(tmp_path):
    source = save_model(tmp_path / "speech")
    features = speech_features(source=source, save_path=tmp_path)
    make_run(tmp_path / "run", changes=[features])
    with pytest.raises(UserError) as refused:
        export(tmp_path / "run", tmp_path / "model")
    assert f"audio_features: {source} is on this machine only" in str(
        refused.value
    )
    assert not (tmp_path / "model").exists()


def test_a_copied_encoder_needs_no_other(tmp_path):
    source = save_model(tmp_path / "speech")
    features = speech_features(
        source=source, save_path=tmp_path, keep_layers=2, device="cpu"
    )
    hparams = make_run(tmp_path / "run", changes=[features])
    sound = [torch.randn(4000)]
    (before,) = hparams["audio_features"].encode(sound)
    model = export(tmp_path / "run", tmp_path / "model", include_encoders=True)
    assert {*files_in(model)} == {
        *FILES,
        "encoders/audio/config.json",
        "encoders/audio/model.safetensors",
        "encoders/audio/preprocessor_config.json",
    }
    shutil.rmtree(source)
    model.rename(tmp_path / "moved")
    loaded = load(tmp_path / "moved")
    (after,) = loaded["audio_features"].encode(sound)
    assert torch.equal(before, after)
    text = (tmp_path / "moved" / "hyperparams.yaml").read_text()
    assert "save_path" not in text and "device" not in text


def test_weights_of_an_encoder_are_copied_as_they_are(tmp_path):
    source = save_model(tmp_path / "speech")
    path = tmp_path / "final_wav2vec.pt"
    torch.save(tiny_model(layers=2, seed=1).state_dict(), path)
    features = speech_features(
        source=source, save_path=tmp_path, keep_layers=2, weights=path
    )
    make_run(tmp_path / "run", changes=[features])
    with pytest.raises(UserError, match=f"{path} is on this machine only"):
        export(tmp_path / "run", tmp_path / "model")
    model = export(tmp_path / "run", tmp_path / "model", include_encoders=True)
    names = {*files_in(model)} - {*FILES}
    assert names == {
        "encoders/audio.pt",
        "encoders/audio/config.json",
        "encoders/audio/preprocessor_config.json",
    }
    path.unlink()
    encoded = load(model)["audio_features"].encode([torch.randn(4000)])
    assert encoded[0].shape[1] == 32


def test_an_encoder_that_was_trained_is_in_the_weights(tmp_path):
    source = save_model(tmp_path / "speech")
    trained = (
        "modules:\n    audio_norm",
        "audio_encoder: !new:auxformer_lobes.features.finetuned."
        "FineTunedEncoder\n    features: !ref <audio_features>\n"
        "modules:\n    audio_encoder: !ref <audio_encoder>\n    audio_norm",
    )
    changes = [
        speech_features(source=source, save_path=tmp_path),
        trained,
        (
            "!ref <visual_norm>, !ref <auxformer>]",
            "!ref <visual_norm>, !ref <auxformer>, !ref <audio_encoder>]",
        ),
    ]
    hparams = make_run(tmp_path / "run", changes=changes)
    model = export(tmp_path / "run", tmp_path / "model", include_encoders=True)
    loaded = load(model)
    sound, lens = torch.randn(2, 4000, 1), torch.tensor([1.0, 0.5])
    with torch.no_grad():
        before, _ = hparams["audio_encoder"](sound, lens)
        after, _ = loaded["modules"]["audio_encoder"](sound, lens)
    assert torch.equal(before, after)
    assert loaded["audio_encoder"].features is loaded["audio_features"]


class Silence(Extractor):
    """Somebody's own features."""

    modality = "audio"

    def __init__(self):
        super().__init__(dim=4)

    def read(self, clip, path):
        """Hears nothing."""
        return ClipInput(torch.zeros(1, 4))


def test_features_of_ones_own_load_by_trust_only(tmp_path, caplog):
    own = f"audio_features: !new:{__name__}.Silence\n"
    make_run(tmp_path / "run", changes=[(FBANK, own)])
    model = export(tmp_path / "run", tmp_path / "model")
    assert "loads with trust_source=True only" in caplog.text
    with pytest.raises(UserError, match="Silence"):
        load(model)
    loaded = load(model, trust_source=True)
    assert type(loaded["audio_features"]).__name__ == "Silence"


def test_overrides_change_what_is_made(finished):
    model = finished[2]
    faces = {"faces": {"margin": 0.25}, "frames_per_second": 5}
    loaded = load(model, overrides={"visual_features": faces})
    assert loaded["visual_features"].faces.margin == 0.25
    assert loaded["visual_features"].faces.size == 16
    assert loaded["visual_features"].frames_per_second == 5
    loaded = load(model, overrides={"audio_features": Silence()})
    assert loaded["audio_features"].dim == 4


@pytest.mark.parametrize(
    "overrides, reason",
    [
        ({"visual": {}}, "has no visual: choose among"),
        ({"missing": {"a": 1}}, "nothing to set"),
        ({"audio_features": {"n_mel": 3}}, "FbankFeatures: .*n_mel"),
        ({"audio_features": {"n_mels": 8}}, "audio_features give 8 numbers"),
        ({"task": None}, "overrides: task is not CategoricalEmotion"),
        ({"auxformer": "x"}, "overrides: auxformer is not AuxFormer"),
        ({"modules": []}, "overrides: modules is not names and values"),
    ],
)
def test_overrides_that_make_no_sense_are_refused(finished, overrides, reason):
    with pytest.raises(UserError, match=reason):
        load(finished[2], overrides=overrides)


def test_features_unlike_those_of_the_training_are_told(finished, caplog):
    load(finished[2])
    assert "are not those of the training" not in caplog.text
    load(finished[2], overrides={"audio_features": {"hop_length": 20}})
    assert (
        "audio features are not those of the training, as these settings "
        "differ: hop_length"
    ) in caplog.text


def test_info_says_what_a_model_is(finished, capsys):
    info(finished[2])
    told = capsys.readouterr().out
    for part in ("angry, happy, sad", "Made Up", "Fbank", "F1-macro", "137,"):
        assert part in told


def test_a_dry_push_lists_what_would_go(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    model = tmp_path / "model"
    shutil.copytree(finished[2], model)
    (model / "notes.txt").write_text("mine")
    (model / "encoders" / "audio").mkdir(parents=True)
    (model / "encoders" / "audio" / "modeling.py").write_text("1")
    pushed = push(model, "somebody/model", dry_run=True)
    sizes = {name: os.path.getsize(model / name) for name in FILES}
    assert pushed.url is None
    assert dict(pushed.files) == sizes
    with pytest.raises(UserError, match="not logged in: run `hf auth login`"):
        push(model, "somebody/model")


@pytest.mark.parametrize("name", ["", "a/b/c", "../model", "a b", "x" * 200])
def test_a_name_that_the_hub_cannot_have_is_refused(finished, name):
    with pytest.raises(UserError, match="nor a name on the Hub"):
        push(finished[2], name, dry_run=True)


def test_a_name_says_whose_model_it_is(finished):
    with pytest.raises(UserError, match="^model: .* user/model$"):
        push(finished[2], "model", dry_run=True)


def test_what_is_no_export_is_not_pushed(finished, tmp_path):
    with pytest.raises(UserError, match="has no config.json"):
        push(finished[0], "somebody/model", dry_run=True)
    model = tmp_path / "model"
    shutil.copytree(finished[2], model)
    (model / "README.md").unlink()
    with pytest.raises(UserError, match="has no README.md"):
        push(model, "somebody/model", dry_run=True)
    (model / "README.md").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="leads out of the folder"):
        push(model, "somebody/model", dry_run=True)
