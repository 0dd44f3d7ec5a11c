"""A corpus of one modality chooses the network and the test conditions."""

import pytest

from auxformer_lobes.experiments.hparams import load_hparams, parse_arguments
from auxformer_lobes.experiments.one_modality import one_modality_defaults
from tests.integration.recipes import CREMA_D

HPARAMS = str(CREMA_D / "hparams" / "auxformer_offline.yaml")


def load(tmp_path, *options, modalities=("audio",)):
    argv = [HPARAMS, f"--data_folder={tmp_path}", *options]
    return load_hparams(
        *parse_arguments(
            argv,
            lambda hparams: one_modality_defaults(
                tmp_path, [*modalities], hparams
            ),
        )
    )


def network_of(hparams):
    return type(hparams["network"]).__name__


def conditions_of(hparams):
    return [condition.name for condition in hparams["test_conditions"]]


@pytest.mark.parametrize(
    "modality, network", [("audio", "AudioOnly"), ("visual", "VisualOnly")]
)
def test_the_network_and_the_test_are_of_it(
    tmp_path, capsys, modality, network
):
    hparams = load(tmp_path, modalities=[modality])
    assert network_of(hparams) == network
    assert conditions_of(hparams) == [f"{modality}_only"]
    assert capsys.readouterr().err == (
        f"{tmp_path}: {modality} only: tested on that, by the network "
        f"{modality}_only\n"
    )


def test_both_modalities_change_nothing(tmp_path, capsys):
    hparams = load(tmp_path, modalities=["audio", "visual"])
    assert network_of(hparams) == "AuxFormer"
    assert len(conditions_of(hparams)) == 3
    assert capsys.readouterr().err == ""


def test_the_users_choice_goes_before_it(tmp_path):
    condition = "[!new:auxformer_lobes.augment.frame_loss.LostFrames {}]"
    condition = condition.replace("{}", "{severity: 0.5}")
    options = ["--network=late_fusion", f"--test_conditions={condition}"]
    hparams = load(tmp_path, *options)
    assert network_of(hparams) == "LateFusion"
    assert len(conditions_of(hparams)) == 1


@pytest.mark.parametrize("network", ["mult", "visual_only"])
def test_a_network_that_reads_what_is_not_there_is_named(
    tmp_path, capsys, network
):
    load(tmp_path, f"--network={network}")
    assert "audio only, which is not what" in capsys.readouterr().err


def test_options_of_the_network_are_those_of_the_unimodal_one(tmp_path):
    hparams = load(tmp_path, "--network={model_dim: 24}")
    assert network_of(hparams) == "AudioOnly"
    widths = {len(of) for of in hparams["network"].parameters()}
    assert 24 in widths and 64 not in widths


def test_an_unknown_option_of_it_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="AudioOnly has no option auxiliary"):
        load(tmp_path, "--network={auxiliary_passes: 2}")
