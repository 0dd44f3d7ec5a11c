"""Defaults for a corpus of one modality: a unimodal network, tested on it."""

import sys
from functools import cache

from ruamel.yaml import YAML

from auxformer_lobes.utils.overrides import tag_of

AVAILABLE = "!new:auxformer_lobes.augment.missing.Available"
UNIMODAL = {"audio": "AudioOnly", "visual": "VisualOnly"}
# What a recipe's YAML file has by default.
NETWORK = "!new:auxformer_lobes.models.auxformer.AuxFormer"


def one_modality_defaults(source, modalities, hparams):
    """Values of a recipe's YAML file for the modalities that a corpus has.

    Arguments
    ---------
    source : str
        The corpus, for the message on standard error.
    modalities : list of str
        "audio", "visual" or both.
    hparams : dict
        The YAML file as data, with its references resolved.

    Returns
    -------
    dict
        For one modality, `network` and `test_conditions`, where the file has
        AuxFormer and whole modalities; else none.

    Example
    -------
    >>> hparams = {"network": None, "test_conditions": []}
    >>> [*one_modality_defaults("CREMA-D", ["audio"], hparams)]
    ['test_conditions']
    >>> one_modality_defaults("CREMA-D", ["audio", "visual"], hparams)
    {}
    """
    if len(modalities) != 1:
        return {}
    (modality,) = modalities
    defaults = {}
    name = tag_of(hparams["network"]).rpartition(".")[2]
    if tag_of(hparams["network"]) == NETWORK:
        defaults["network"] = f"{modality}_only"
    elif name != UNIMODAL[modality]:
        _print_once(
            f"{source}: {modality} only, which is not what {name} reads: leave "
            f"--network out, for {modality}_only"
        )
    if all(tag_of(each) == AVAILABLE for each in hparams["test_conditions"]):
        conditions = f"- {AVAILABLE}\n  modalities: [{modality}]"
        defaults["test_conditions"] = YAML().load(conditions)
    if defaults:
        chosen = f", by the network {modality}_only" * ("network" in defaults)
        _print_once(f"{source}: {modality} only: tested on that{chosen}")
    return defaults


@cache
def _print_once(text):
    """A study asks for each of its cells."""
    print(text, file=sys.stderr)
