"""Options of the command line take effect, or end in one line."""

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hyperpyyaml import load_hyperpyyaml, resolve_references

from auxformer_lobes.augment.missing import CONDITIONS, Available
from auxformer_lobes.dataio.extraction_inputs import load_extractor
from auxformer_lobes.experiments.hparams import (
    check_values,
    load_hparams,
    parse_arguments,
)
from auxformer_lobes.features.fbank import FbankFeatures
from auxformer_lobes.features.hog import HogFeatures
from auxformer_lobes.models.auxformer import AuxFormer
from auxformer_lobes.nnet.losses import GradientBlending, SharedLoss
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.modalities import MODALITIES

ROOT = Path(__file__).parents[3]
FBANK = "auxformer_lobes.features.fbank.FbankFeatures"
HOG = "auxformer_lobes.features.hog.HogFeatures"
TRACKER = "auxformer_lobes.processing.faces.tracker.FaceTracker"
FILES = {
    "hparams.yaml": """\
data_folder: !PLACEHOLDER
output_folder: results/run
train_annotation: !ref <output_folder>/train.json
released_labels: null
run_name: one
lr: 0.1
loader: {batch_size: 32}
weights: null
audio_features: !include:encoders/fbank.yaml
visual_features: !include:encoders/hog.yaml
bare: !new:collections.OrderedDict
network: !include:networks/small.yaml
    in_features: !ref <audio_features.dim>
optimizer: !name:torch.optim.Adam
    lr: !ref <lr>
""",
    "encoders/fbank.yaml": f"!new:{FBANK}\nn_mels: 40\ndeltas: False\n",
    "encoders/wide.yaml": f"!new:{FBANK}\nn_mels: 60\nhop_length: 20\n",
    "encoders/hog.yaml": f"!new:{HOG}\nfaces: !new:{TRACKER}\n    size: 32\n",
    "encoders/bare.yaml": f"!new:{FBANK}\n",
    "networks/small.yaml": "!new:torch.nn.Linear\nout_features: 2\n",
    "networks/large.yaml": "!new:torch.nn.Linear\nout_features: 9\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(*options):
    """The hyperparameters; those that the run folder keeps are the same."""
    argv = ["hparams.yaml", "--data_folder", "corpus", *options]
    hparams_file, run_opts, overrides = parse_arguments(argv)
    hparams = load_hparams(hparams_file, run_opts, overrides)
    with open(hparams_file, encoding="utf-8") as file:
        kept = load_hyperpyyaml(resolve_references(file, overrides))
    for key in ("audio_features", "visual_features"):
        assert kept[key].settings == hparams[key].settings
    assert str(kept["network"]) == str(hparams["network"])
    return hparams


def error_of(*argv):
    """The one line that the options end in."""
    with pytest.raises(SystemExit) as error:
        hparams_file, run_opts, overrides = parse_arguments(argv)
        load_hparams(hparams_file, run_opts, overrides)
    assert error.value.code.startswith("error: ")
    assert "\n" not in error.value.code
    return error.value.code


@pytest.mark.parametrize(
    "value, expected",
    [
        # Options of the encoder in the file.
        ("{n_mels: 80}", {"n_mels": 80, "deltas": False}),
        # Another encoder.
        ("wide", {"n_mels": 60, "deltas": True}),
        ("!include:encoders/wide.yaml", {"n_mels": 60, "deltas": True}),
        ("!include:encoders/wide.yaml {}", {"n_mels": 60, "deltas": True}),
        # Another encoder, and its options.
        (
            "!include:encoders/wide.yaml {deltas: False}",
            {"n_mels": 60, "deltas": False, "hop_length": 20},
        ),
        (f"!new:{FBANK}", {"n_mels": 40, "deltas": True}),
        (f"!new:{FBANK} {{n_mels: 20}}", {"n_mels": 20, "deltas": True}),
    ],
)
def test_an_encoder_is_chosen_and_set(value, expected):
    settings = load("--audio_features", value)["audio_features"].settings
    assert settings.items() >= expected.items()
    settings = load(f"--audio_features={value}")["audio_features"].settings
    assert settings.items() >= expected.items()


def test_what_refers_to_an_encoder_follows_the_choice():
    hparams = load("--audio_features", "!include:encoders/wide.yaml")
    assert hparams["network"].in_features == 180


def test_a_line_of_the_yaml_file_is_written_as_on_the_command_line(folder):
    line = "audio_features: !include:encoders/fbank.yaml"
    text = FILES["hparams.yaml"].replace(line, f"{line} {{n_mels: 20}}")
    assert text != FILES["hparams.yaml"]
    (folder / "hparams.yaml").write_text(text)
    assert load()["audio_features"].settings["n_mels"] == 20
    settings = load("--audio_features={deltas: True}")["audio_features"]
    assert settings.settings.items() >= {"n_mels": 20, "deltas": True}.items()


@pytest.mark.parametrize(
    "value, out_features",
    [
        ("{out_features: 3}", 3),
        # The file's reference to the encoder stays.
        ("large", 9),
        ("!include:networks/large.yaml", 9),
        ("!include:networks/large.yaml {out_features: 4}", 4),
        (
            "!new:torch.nn.Linear "
            "{in_features: !ref <audio_features.dim>, out_features: 5}",
            5,
        ),
    ],
)
def test_any_object_is_chosen_and_set(value, out_features):
    network = load("--network", value)["network"]
    assert (network.in_features, network.out_features) == (40, out_features)


NETWORKS = ROOT / "recipes" / "CREMA-D" / "hparams" / "networks"


@pytest.mark.parametrize(
    "recipe, names",
    [
        ("CREMA-D", sorted(path.stem for path in NETWORKS.glob("*.yaml"))),
        ("MSP-IMPROV", ["auxformer_published", "visual_only"]),  # a link
    ],
)
def test_each_network_of_a_recipe_is_one_word(recipe, names):
    folder = ROOT / "recipes" / recipe / "hparams"
    assert (folder / "networks").samefile(NETWORKS)
    for name in names:
        hparams = load_hparams(
            *parse_arguments(
                [
                    str(folder / "auxformer_offline.yaml"),
                    "--data_folder=x",
                    f"--network={name}",
                ]
            )
        )
        network, dims = hparams["network"], hparams["network"].dims
        assert hparams["modules"]["network"] is network
        assert network.num_classes == hparams["task"].num_outputs
        assert dims["audio"] == hparams["audio_features"].dim
        assert dims["visual"] == hparams["visual_features"].dim
        assert (network.missing == "zero_fill") == (
            name == "auxformer_published"
        )
        read = name.removesuffix("_only")
        assert network.modalities == (
            (read,) if read in MODALITIES else MODALITIES
        )


def test_a_loss_of_the_command_line_has_the_criterion_of_the_task():
    path = ROOT / "recipes" / "MSP-IMPROV" / "hparams"
    path = str(path / "auxformer_attributes_offline.yaml")
    loss = "!new:auxformer_lobes.nnet.losses.GradientBlending"
    shared = f"--shared_loss={loss} {{criterion: !ref <task.criterion>}}"
    arguments = parse_arguments([path, "--data_folder=x", shared])
    hparams = load_hparams(*arguments)
    assert type(hparams["shared_loss"]) is GradientBlending
    assert hparams["shared_loss"].criterion is hparams["task"].criterion
    assert hparams["modules"]["shared_loss"] is hparams["shared_loss"]
    # Cross-entropy by default would be wrong for some tasks.
    assert "'criterion'" in error_of(
        path, "--data_folder=x", f"--shared_loss={loss}"
    )


def test_an_object_in_an_object_is_set_or_replaced():
    hparams = load("--visual_features", "{faces: {size: 48}}")
    assert hparams["visual_features"].settings["faces"]["size"] == 48
    faces = f"!new:{TRACKER} {{size: 16}}"
    hparams = load("--visual_features", f"!new:{HOG} {{faces: {faces}}}")
    assert hparams["visual_features"].settings["faces"]["size"] == 16


def test_values_that_are_no_objects():
    hparams = load(
        *("--optimizer", "!name:torch.optim.SGD {momentum: 0.5}"),
        *("--bare", "{a: 1}"),
        *("--loader", "{drop_last: True}"),
        *("--weights", "{main: 1.0}"),
        *("--lr", "1e-3"),
    )
    assert hparams["optimizer"].func.__name__ == "SGD"
    assert hparams["optimizer"].keywords == {"momentum": 0.5}
    assert hparams["bare"] == {"a": 1}
    assert hparams["loader"] == {"batch_size": 32, "drop_last": True}
    assert hparams["weights"] == {"main": 1.0}
    assert hparams["lr"] == 0.001


def test_a_list_of_objects_replaces_what_is_there():
    hparams = load("--weights", "[!new:collections.Counter {a: 1}]")
    assert hparams["weights"] == [{"a": 1}]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--audio_features={n_melz: 80}"], "audio_features: FbankFeatures"),
        (["--audio_features={n_melz: 80}"], "no option n_melz: choose among"),
        (
            ["--audio_features=wyde"],
            "wyde.yaml: choose among bare, fbank, hog, wide",
        ),
        (["--bare=wide"], "bare: wide is not an object"),
        (["--audio_features=!include:encoders/no.yaml"], "encoders/no.yaml"),
        (["--audio_features=!include:encoders/bare.yaml {n_mels: 1}"], "bare"),
        (["--audio_features=!new:no.Such {a: 1}"], "no.Such"),
        (["--audio_features={n_mels: many}"], "FbankFeatures"),
        ([f"--visual_features={{faces: !new:{TRACKER} {{}}}}"], "faces"),
        (["--network={no: 1}"], "network: Linear has no option no"),
        (["--lr={a: 1}"], "lr: not an object with options"),
        (["--lrr=1"], "--lrr: not in hparams.yaml: did you mean --lr?"),
        (["--devise=cpu"], "did you mean --device?"),
        (["--lr=["], "--lr ["),
        (["--lr"], "--lr: has no value"),
        (["--lr=1", "--lr=2"], "--lr: given twice"),
        (["one"], "one: not an option"),
    ],
)
def test_an_option_without_effect_ends_in_one_line(options, message):
    assert message in error_of("hparams.yaml", *options, "--data_folder=x")


def test_a_file_or_an_option_that_is_missing_ends_in_one_line():
    assert "--data_folder: hparams.yaml needs it" in error_of("hparams.yaml")
    assert "'no.yaml'" in error_of("no.yaml", "--lr=1")


def test_the_traceback_is_shown_where_wanted(monkeypatch, capsys):
    monkeypatch.setenv("AUXFORMER_DEBUG", "1")
    error_of("hparams.yaml", "--data_folder=x", "--audio_features={n_mels: a}")
    assert "fbank.py" in capsys.readouterr().err


def test_options_of_the_file_of_a_run_are_refused(folder):
    """References in it are resolved: a new value would not reach them."""
    resolved = "# Generated 2024-01-01 from:\n# hparams.yaml\nlr: 0.1\n"
    (folder / "hyperparams.yaml").write_text(resolved)
    assert "--lr" in error_of("hyperparams.yaml", "--lr=1")
    assert parse_arguments(["hyperparams.yaml"])[2] == ""


@pytest.mark.parametrize(
    "path",
    ["2024", "run #1", "a: b", "a=b", "it's", "[x]", "../up", "1e3", "no", "é"],
)
def test_paths_are_text(path):
    for option in (["--output_folder", path], [f"--output_folder={path}"]):
        hparams = load(*option, f"--released_labels={path}")
        assert hparams["output_folder"] == path
        assert hparams["released_labels"] == path
        assert hparams["train_annotation"] == f"{path}/train.json"


def test_paths_may_name_the_home_folder_other_keys_or_none():
    hparams = load(
        "--released_labels=null",
        "--output_folder=~/runs",
        "--train_annotation=!ref <output_folder>/a.json",
    )
    assert hparams["released_labels"] is None
    assert hparams["output_folder"] == os.path.expanduser("~/runs")
    assert hparams["train_annotation"] == hparams["output_folder"] + "/a.json"


def test_extraction_sets_options_of_an_encoder_alike():
    assert load_extractor("encoders/bare.yaml").dim == 120
    assert load_extractor("encoders/fbank.yaml", "n_mels: 20").dim == 20
    faces = f"faces: !new:{TRACKER} {{size: 16}}"
    settings = load_extractor("encoders/hog.yaml", faces).settings
    assert settings["faces"]["size"] == 16
    for overrides in ("no: 1", "no", "[", "n_mels: a"):
        with pytest.raises(UserError, match="fbank.yaml: "):
            load_extractor("encoders/fbank.yaml", overrides)
    with pytest.raises(UserError, match="bare.yaml: takes no options"):
        load_extractor("encoders/bare.yaml", "n_mels: 20")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"seed": -1}, "seed: -1"),
        ({"select_by": "f1"}, "select_by 'f1' is unknown"),
        ({"min_face_quality": "high"}, "min_face_quality: high: choose 0"),
        ({"min_face_quality": 5}, "min_face_quality: 5: choose 0"),
        (
            {"shared_loss": SharedLoss({"main": 1.0, "audoi": 1.0})},
            "shared_loss: weights of main, audoi, but",
        ),
        (
            {"visual_store": SimpleNamespace(features=FbankFeatures())},
            "visual_features: FbankFeatures are audio features",
        ),
        ({"test_conditions": ["audio_only"]}, "audio_only is not a condition"),
        (
            {"test_conditions": [Available(["audio"]), Available(["audio"])]},
            "two have the name audio_only",
        ),
    ],
)
def test_values_that_would_fail_late_are_refused_early(change, message):
    valid = {
        "seed": 1,
        "select_by": "loss_audio",
        "min_face_quality": 1,
        "network": AuxFormer(4, 4, model_dim=4, num_heads=1, num_layers=1),
        "task": CategoricalEmotion(["angry", "happy"]),
        "shared_loss": SharedLoss(),
        "test_conditions": CONDITIONS,
        "audio_store": SimpleNamespace(features=FbankFeatures()),
        "visual_store": SimpleNamespace(features=HogFeatures()),
    }
    check_values(valid)
    with pytest.raises(UserError, match=re.escape(message)):
        check_values({**valid, **change})
