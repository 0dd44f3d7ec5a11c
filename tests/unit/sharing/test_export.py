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

import auxformer_lobes
from auxformer_lobes.dataio.run import Run
from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.sharing import export as export_module
from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import info, load, push
from auxformer_lobes.sharing.layout import FILES, write_config
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_runs import (
    FBANK,
    HOG,
    LOSSES,
    TASKS,
    batch_of,
    logits_of,
    make_run,
    speech_features,
)
from tests.unit.small_sweeps import (
    make_curve,
    make_sweep,
    make_twin,
    write_sweep,
)
from tests.unit.speech_models import save_model, tiny_model

ROOT = Path(__file__).parents[3]
NORM = "!new:auxformer_lobes.nnet.normalization.FeatureNorm\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run, its hyperparameters, and its export."""
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


def assert_same_logits(before, after):
    """Two models of one process, on the same batch."""
    batch = batch_of(before)
    torch.testing.assert_close(
        logits_of(after["modules"], batch), logits_of(before["modules"], batch)
    )


def test_an_export_is_four_files_without_anything_private(finished):
    run, _, model = finished
    files = files_in(model)
    assert {*files} == {*FILES}
    for name, content in files.items():
        for private in ("jane", "/home", str(run.parent), str(ROOT)):
            assert private.encode() not in content, name


def test_its_yaml_has_objects_references_and_plain_values_only(finished):
    text = (finished[2] / "hyperparams.yaml").read_text()
    assert {*re.findall(r"!\w+", text)} == {"!new"}
    assert "num_classes: 3\n" in text  # as computed from the task
    assert type(load_hyperpyyaml(text)["network"]) is AuxFormer


@pytest.mark.parametrize("task", TASKS)
def test_the_network_and_the_task_are_those_of_the_best_epoch(tmp_path, task):
    hparams = make_run(tmp_path / "run", task)
    model = load(export(tmp_path / "run", tmp_path / "model"))
    assert_same_logits(hparams, model)
    assert model["config"]["epoch"] == 1 + LOSSES.index(min(LOSSES))
    assert type(model["task"]) is type(hparams["task"])
    assert model["task"].names == hparams["task"].names
    assert model["task"].settings == hparams["task"].settings
    assert all(not module.training for module in model["modules"].values())


@pytest.mark.parametrize(
    "network",
    [
        *("AudioOnly", "EarlyFusion", "LateFusion", "LateTransformer"),
        *("MulT", "VisualOnly"),
    ],
)
def test_any_network_is_exported_and_loads_safely(tmp_path, network):
    changes = [("auxformer.AuxFormer", f"baselines.{network}")]
    hparams = make_run(tmp_path / "run", changes=changes)
    model = load(export(tmp_path / "run", tmp_path / "model"))
    assert type(model["modules"]["network"]).__name__ == network
    assert_same_logits(hparams, model)


def test_other_norms_are_exported_too(tmp_path):
    changes = [
        (NORM + "    dim: !ref <audio_features.dim>", "!new:torch.nn.Identity"),
        (
            NORM + "    dim: !ref <visual_features.dim>\n    clip: null",
            "!new:torch.nn.LayerNorm\n"
            "    normalized_shape: !ref <visual_features.dim>",
        ),
    ]
    hparams = make_run(tmp_path / "run", changes=changes)
    assert_same_logits(
        hparams, load(export(tmp_path / "run", tmp_path / "model"))
    )


def test_an_object_that_does_not_keep_its_arguments_is_refused(tmp_path):
    norm = NORM + "    dim: !ref <audio_features.dim>"
    make_run(tmp_path / "run", changes=[(norm, "!new:torch.nn.Tanh")])
    with pytest.raises(UserError, match="Tanh.*Configurable"):
        export(tmp_path / "run", tmp_path / "model")


def test_modules_that_inference_does_not_know_are_reported(tmp_path, caplog):
    more = ("modules:\n", "modules:\n    gate: !new:torch.nn.Identity\n")
    make_run(tmp_path / "run", changes=[more])
    export(tmp_path / "run", tmp_path / "model")
    assert "modules gate" in caplog.text


def test_the_best_may_be_the_largest(tmp_path):
    change = ("select_by: loss", "select_by: uar")
    make_run(tmp_path / "run", changes=[change])
    for path in tmp_path.glob("run/save/*/CKPT.yaml"):
        path.write_text(path.read_text().replace("loss:", "uar:"))
        path.with_name("sha256.json").unlink()
    # The card must not show the metrics of another epoch.
    with pytest.raises(UserError, match="its metrics are of epoch 2"):
        export(tmp_path / "run", tmp_path / "model")
    Run(tmp_path / "run").write_metrics(
        {**Run(tmp_path / "run").metrics(), "epoch": 1}
    )
    export(tmp_path / "run", tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["epoch"] == 1 + LOSSES.index(max(LOSSES))


def test_a_run_that_is_being_trained_stays_as_it_is(run, tmp_path):
    epochs = sorted(path.name for path in run.glob("save/CKPT*"))
    (run / "save" / "saving.txt").write_text("\n".join(epochs[:2]))
    before = files_in(run)
    os.utime(run / "hyperparams.yaml", (0, 0))
    model = load(export(run, tmp_path / "model"))
    assert model["config"]["epoch"] in (1, 2)
    assert files_in(run) == before
    assert (run / "hyperparams.yaml").stat().st_mtime == 0


def test_weights_hold_the_statistics_too(finished):
    _, hparams, model = finished
    with safe_open(model / "model.safetensors", "pt") as file:
        mean = file.get_tensor("audio_norm.mean")
        names = {name.split(".")[0] for name in file.keys()}
    assert torch.equal(mean, hparams["audio_norm"].mean)
    assert names == {"audio_norm", "visual_norm", "network"}


def test_features_are_used_as_they_were_stored(finished):
    model = load(finished[2])
    assert model["feature_dtype"] == {"audio": "float32", "visual": "float16"}
    assert model["min_face_quality"] == 1
    assert model["visual_features"].faces.size == 16


def test_the_audit_and_the_partition_are_those_of_the_run(tmp_path):
    run = tmp_path / "run"
    make_run(run)
    report = json.loads((run / "prepare_report.json").read_text())
    report["options"]["split_file"] = ["/home/jane_doe/theirs.csv", 1, 2]
    (run / "prepare_report.json").write_text(json.dumps(report))
    finding = {"level": "error", "kind": "x", "text": "y", "examples": ["z"]}
    (run / "audit.json").write_text(json.dumps({"findings": [finding]}))
    model = export(run, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    assert config["audit"] == [finding]
    assert config["train_speakers"] == ["F01"]
    assert config["training"]["partition"] == "split file theirs.csv"
    assert "| partition | split file theirs.csv |" in (
        model / "README.md"
    ).read_text("utf-8")


def test_the_sweep_is_there_without_names_of_other_runs(run, tmp_path):
    sweep = make_sweep(twins=[make_twin(twin="run_of_jane_doe")])
    sweep["curves"].append(make_curve("|\n# a title"))
    write_sweep(run / "missing.json", sweep)
    model = export(run, tmp_path / "model")
    found = json.loads((model / "config.json").read_text())["metrics"][
        "missing"
    ]
    assert [*found["retention"]] == ["whole", "bursts"]
    assert [*found["retention"]["bursts"]] == ["audio", "visual", "both"]
    texts = [
        (model / name).read_text() for name in ("config.json", "README.md")
    ]
    assert not any("jane" in text or "# a title" in text for text in texts)
    assert "### Missing modalities" in texts[1]


@pytest.mark.parametrize("epoch, reason", [("x", "of epoch x"), (2, "damaged")])
def test_a_sweep_that_is_not_of_the_model_is_one_line(
    run, tmp_path, epoch, reason
):
    write_sweep(
        run / "missing.json",
        make_sweep(epoch=epoch, seeds=None if epoch == 2 else 3),
    )
    with pytest.raises(UserError, match=f"missing.json: {reason}.*: start `"):
        export(run, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_older_export_is_replaced(finished, tmp_path):
    for _ in range(2):
        export(finished[0], tmp_path / "model")
        assert {*files_in(tmp_path / "model")} == {*FILES}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("other", ["notes.txt", ".git/HEAD", "config.json"])
def test_a_folder_of_something_else_is_left_as_it_is(finished, tmp_path, other):
    model = tmp_path / "model"
    if other != "config.json":
        shutil.copytree(finished[2], model)
    path = model / other
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    before = files_in(tmp_path)
    with pytest.raises(UserError, match="name a new folder"):
        export(finished[0], model)
    assert files_in(tmp_path) == before


def test_an_export_that_fails_leaves_what_was_there(
    finished, tmp_path, monkeypatch
):
    shutil.copytree(finished[2], tmp_path / "model")
    before = files_in(tmp_path)

    def _interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(export_module, "model_card", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(finished[0], tmp_path / "model")
    assert files_in(tmp_path) == before


IN_A_CHECKOUT = """
import sys
from importlib import metadata

def hide(name, find=metadata.Distribution.from_name):
    if name == "auxformer-lobes":
        raise metadata.PackageNotFoundError(name)
    return find(name)

metadata.Distribution.from_name = hide
import torch
from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import load
from tests.unit.small_runs import batch_of, logits_of
model = load(export(sys.argv[1], sys.argv[2]))
torch.save(logits_of(model["modules"], batch_of(model)), sys.argv[3])
"""


def test_a_checkout_that_is_not_installed_exports_in_a_fresh_process(
    finished, tmp_path
):
    run, hparams, _ = finished
    paths = run, tmp_path / "model", tmp_path / "logits"
    subprocess.run(
        [sys.executable, "-c", IN_A_CHECKOUT, *paths], cwd=ROOT, check=True
    )
    torch.testing.assert_close(
        torch.load(tmp_path / "logits"),
        logits_of(hparams["modules"], batch_of(hparams)),
    )
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    version = config["versions"]["auxformer-lobes"]
    assert version == auxformer_lobes.__version__


def remove(name):
    return lambda run: (run / name).unlink()


def cut_network(run):
    path = run / "hyperparams.yaml"
    path.write_text(re.sub("(?m)^network:", "net:", path.read_text()))


UNFINISHED = {
    "no run": (shutil.rmtree, "hyperparams.yaml"),
    "not trained": (lambda run: shutil.rmtree(run / "save"), "save"),
    "not evaluated": (remove("metrics.json"), "metrics.json"),
    "no manifest": (remove("test.json"), "test.json"),
    "another recipe": (cut_network, "has no network"),
}


@pytest.mark.parametrize("case", UNFINISHED)
def test_an_unfinished_run_is_refused_in_one_line(run, tmp_path, case):
    spoil, reason = UNFINISHED[case]
    spoil(run)
    with pytest.raises(UserError, match=f"^[^\n]*{reason}[^\n]*$"):
        export(run, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_precomputed_features_are_left_out(tmp_path):
    folder = tmp_path / "EMOCA"
    folder.mkdir()
    np.save(folder / "clip.npy", np.zeros((3, 50), np.float32))
    own = (
        "visual_features: !new:auxformer_lobes.features.precomputed."
        f"NumpyFeatures\n    folder: {folder}\n    dim: 50\n"
    )
    make_run(tmp_path / "run", changes=[(HOG, own)])
    model = export(tmp_path / "run", tmp_path / "model")
    loaded = load(model)
    assert loaded["visual_features"] is None
    assert loaded["network"].dims["visual"] == 50
    assert "precomputed for the corpus" in (model / "README.md").read_text()
    assert all(b"EMOCA" not in x for x in files_in(model).values())


def test_an_encoder_of_this_machine_has_to_be_copied(tmp_path):
    source = save_model(tmp_path / "speech")
    features = speech_features(source=source, save_path=tmp_path)
    make_run(tmp_path / "run", changes=[features])
    with pytest.raises(UserError, match=f"{source} .*--include_encoders"):
        export(tmp_path / "run", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_copied_encoder_needs_no_other(tmp_path):
    source = save_model(tmp_path / "speech")
    features = speech_features(
        source=source, save_path=tmp_path, keep_layers=2, device="cpu"
    )
    hparams = make_run(tmp_path / "run", changes=[features])
    waveform = [torch.randn(4000)]
    before = hparams["audio_features"].encode(waveform)
    model = export(tmp_path / "run", tmp_path / "model", include_encoders=True)
    assert {*files_in(model)} == {
        *FILES,
        "encoders/audio/config.json",
        "encoders/audio/model.safetensors",
        "encoders/audio/preprocessor_config.json",
    }
    shutil.rmtree(source)
    model.rename(tmp_path / "moved")
    after = load(tmp_path / "moved")["audio_features"].encode(waveform)
    torch.testing.assert_close(after, before)
    text = (tmp_path / "moved" / "hyperparams.yaml").read_text()
    assert "save_path" not in text and "device" not in text
    assert "precision: float32" in text  # null would depend on the machine


def test_a_model_is_given_features_in_the_precision_of_its_training(tmp_path):
    features = speech_features(
        source=save_model(tmp_path / "speech", layers=1),
        save_path=tmp_path,
        precision="float16",
    )
    hparams = make_run(tmp_path / "run", changes=[features])
    model = export(tmp_path / "run", tmp_path / "model", include_encoders=True)
    config = json.loads((model / "config.json").read_text())
    assert config["features"]["audio"]["precision"] == "float16"
    assert "channels, in float16" in (model / "README.md").read_text()
    loaded, waveform = load(model)["audio_features"], [torch.randn(4000)]
    assert loaded.precision == "float16"
    torch.testing.assert_close(
        loaded.encode(waveform), hparams["audio_features"].encode(waveform)
    )
    path = model / "hyperparams.yaml"
    path.write_text(path.read_text().replace("float16", "int8", 1))
    write_config(model, config)
    with pytest.raises(
        UserError,
        match="precision of SpeechModelFeatures is 'int8', not one of "
        '"float32", "float16", "bfloat16" or null',
    ) as error:
        load(model)
    assert "\n" not in str(error.value)


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


def test_an_encoder_that_was_fine_tuned_is_in_the_weights(tmp_path):
    source = save_model(tmp_path / "speech")
    encoder = (
        "modules:\n    audio_norm",
        "audio_encoder: !new:auxformer_lobes.features.finetuned."
        "FineTunedEncoder\n    features: !ref <audio_features>\n"
        "modules:\n    audio_encoder: !ref <audio_encoder>\n    audio_norm",
    )
    changes = [
        speech_features(source=source, save_path=tmp_path),
        encoder,
        ("!ref <network>]", "!ref <network>, !ref <audio_encoder>]"),
    ]
    hparams = make_run(tmp_path / "run", changes=changes)
    model = export(tmp_path / "run", tmp_path / "model", include_encoders=True)
    assert "!ref <audio_features>" in (model / "hyperparams.yaml").read_text()
    loaded = load(model)
    waveforms, lens = torch.randn(2, 4000, 1), torch.tensor([1.0, 0.5])
    mask = torch.ones(2, 4000, dtype=torch.bool)
    with torch.no_grad():
        before, *_ = hparams["audio_encoder"](waveforms, lens, mask)
        after, *_ = loaded["modules"]["audio_encoder"](waveforms, lens, mask)
    torch.testing.assert_close(after, before)
    assert loaded["audio_encoder"].features is loaded["audio_features"]


class OwnFeatures(Extractor):
    """Somebody's own features."""

    modality = "audio"

    def __init__(self, dim=4, **options):
        super().__init__(dim=dim, **options)

    def read(self, clip, path):
        """One frame of zeros."""
        return ClipInput(torch.zeros(1, self.dim))


class OwnNetwork(AuxFormer):
    """Somebody's own network."""

    def __init__(self, *args, **options):
        super().__init__(*args, num_layers=1, **options)


def test_classes_of_ones_own_load_by_trust_only(tmp_path, caplog):
    own = f"audio_features: !new:{__name__}.OwnFeatures\n    hop: 3\n"
    changes = [
        (FBANK, own),
        (
            "auxformer_lobes.models.auxformer.AuxFormer",
            f"{__name__}.OwnNetwork",
        ),
        ("    num_layers: 1\n", ""),
    ]
    hparams = make_run(tmp_path / "run", changes=changes)
    model = export(tmp_path / "run", tmp_path / "model")
    assert "loads with trust_source=True only" in caplog.text
    with pytest.raises(UserError, match="OwnFeatures"):
        load(model)
    loaded = load(model, trust_source=True)
    assert loaded["audio_features"].settings["hop"] == 3
    assert_same_logits(hparams, loaded)


def test_overrides_change_what_is_made(finished):
    model = finished[2]
    changes = {"faces": {"margin": 0.25}, "frames_per_second": 5}
    loaded = load(model, overrides={"visual_features": changes})
    assert loaded["visual_features"].faces.margin == 0.25
    assert loaded["visual_features"].faces.size == 16
    assert loaded["visual_features"].frames_per_second == 5
    loaded = load(model, overrides={"audio_features": OwnFeatures()})
    assert loaded["audio_features"].dim == 4


@pytest.mark.parametrize(
    "overrides, reason",
    [
        ({"visual": {}}, "visual: choose among"),
        ({"min_face_quality": {"a": 1}}, "min_face_quality"),
        ({"audio_features": {"n_mel": 3}}, "FbankFeatures: .*n_mel"),
        ({"audio_features": {"n_mels": 8}}, "audio_features have 8 channels"),
        ({"task": None}, "overrides: task"),
        ({"network": "x"}, "overrides: network is not a network"),
    ],
)
def test_overrides_that_make_no_sense_are_refused(finished, overrides, reason):
    with pytest.raises(UserError, match=reason):
        load(finished[2], overrides=overrides)


def test_features_unlike_those_of_the_training_are_reported(finished, caplog):
    load(finished[2])
    assert "are not those of the training" not in caplog.text
    load(finished[2], overrides={"audio_features": {"hop_length": 20}})
    assert "audio features are not those of the training" in caplog.text
    assert "hop_length" in caplog.text


def test_info_prints_what_a_model_is(finished, capsys):
    info(finished[2])
    printed = capsys.readouterr().out
    for part in ("angry, happy, sad", "Made Up", "Fbank", "F1-macro", "137,"):
        assert part in printed


def test_a_dry_push_lists_the_files_of_the_model(
    finished, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    model = tmp_path / "model"
    shutil.copytree(finished[2], model)
    (model / "notes.txt").write_text("mine")
    (model / "encoders" / "audio").mkdir(parents=True)
    (model / "encoders" / "audio" / "modeling.py").write_text("1")
    url, files = push(model, "somebody/model", dry_run=True)
    assert url is None
    sizes = {n: os.path.getsize(model / n) for n in FILES}
    sizes["README.md"] += len("somebody/")  # the example loads it from there
    assert dict(files) == sizes
    with pytest.raises(UserError, match="hf auth login"):
        push(model, "somebody/model")


@pytest.mark.parametrize("name", ["", "a/b/c", "../model", "a b", "model"])
def test_a_name_that_the_hub_cannot_have_is_refused(finished, name):
    with pytest.raises(UserError, match="user/"):
        push(finished[2], name, dry_run=True)


def link_card(model):
    (model / "README.md").unlink()
    (model / "README.md").symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    "spoil", [remove("config.json"), remove("README.md"), link_card]
)
def test_what_is_no_export_is_not_pushed(finished, tmp_path, spoil):
    model = tmp_path / "model"
    shutil.copytree(finished[2], model)
    spoil(model)
    with pytest.raises(UserError, match=f"{model}"):
        push(model, "somebody/model", dry_run=True)
    with pytest.raises(UserError, match="no such folder"):
        push(tmp_path / "nothing", "somebody/model", dry_run=True)
