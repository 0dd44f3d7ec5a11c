"""Inputs of an extraction: an encoder file and manifests."""

import os
import textwrap

from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml import YAML, YAMLError

from auxformer_lobes.dataio.manifests import read_manifest
from auxformer_lobes.features.base import Extractor
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.overrides import check_options, rewrite_overrides


def load_extractor(path, overrides=""):
    """Builds the extractor of an encoder file.

    Arguments
    ---------
    path : str
        A hyperpyyaml file with one node, `!new:` of an `Extractor`.
    overrides : str
        YAML mapping of arguments that replace those in the file.

    Returns
    -------
    Extractor

    Raises
    ------
    UserError
        If the file is not readable, or not an encoder file.

    Example
    -------
    >>> path = getfixture("tmp_path") / "fbank.yaml"
    >>> class_name = "auxformer_lobes.features.fbank.FbankFeatures"
    >>> _ = path.write_text(f"!new:{class_name}\\n    n_mels: 40\\n")
    >>> load_extractor(path, "n_mels: 20").dim
    60
    """
    try:
        values = YAML().load(overrides) or {}
        if not isinstance(values, dict):
            raise UserError(f"{overrides}: not 'OPTION: VALUE'")
        with open(path, encoding="utf-8") as file:
            node = resolve_references(file, rewrite_overrides(path, values))
        # HyperPyYAML loads mappings only.
        text = f"features:\n{textwrap.indent(node.read(), '  ')}"
        check_options(text)
        extractor = load_hyperpyyaml(text)["features"]
    except (
        *(OSError, LookupError, TypeError, ValueError, AttributeError),
        *(ImportError, YAMLError, UserError),
    ) as error:
        raise UserError(f"{path}: {_reason(error)}")
    if not isinstance(extractor, Extractor):
        raise UserError(
            f"{path}: describes a {type(extractor).__name__}, not an Extractor: "
            "name a file such as recipes/CREMA-D/hparams/encoders/hog.yaml"
        )
    return extractor


def read_manifests(paths, media, data_root=None):
    """Reads the clips of manifests, and their files.

    Arguments
    ---------
    paths : list of str
        JSON manifests; a clip may be in several.
    media : str
        Key of the file of a clip, "wav" or "video"; null if there is none.
    data_root : str
        Replaces `{data_root}` in file names.

    Returns
    -------
    files : dict
        Clip to file.
    seconds : dict
        Clip to `duration`, s, of those that have one.

    Raises
    ------
    UserError
        If a manifest is missing or damaged, or has no such files.
    """
    if data_root is not None and not os.path.isdir(data_root):
        raise UserError(f"--data_root {data_root}: no such folder")
    files, seconds = {}, {}
    for path in paths:
        for clip, entry in read_manifest(path).items():
            if not isinstance(entry, dict) or media not in entry:
                raise UserError(
                    f"{path}: clip {clip} has no {media}, which this encoder "
                    "reads: name a manifest prepared by a recipe"
                )
            if entry[media] is None:
                continue
            file = str(entry[media])
            if "{data_root}" in file:
                if data_root is None:
                    raise UserError(
                        f"{path}: its files are in {{data_root}}: set "
                        "--data_root to the folder of the corpus"
                    )
                file = file.replace("{data_root}", str(data_root))
            if files.setdefault(clip, file) != file:
                raise UserError(
                    f"{path}: clip {clip} is {file}, but {files[clip]} in "
                    "another manifest: extract them separately, with different "
                    "--store folders"
                )
            if isinstance(entry.get("duration"), (int, float)):
                seconds[clip] = entry["duration"]
    if not files:
        raise UserError(f"{', '.join(map(str, paths))}: no clip has a {media}")
    return files, seconds


def _reason(error):
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, (TypeError, ValueError)):
        # HyperPyYAML raises them with two arguments.
        return " ".join(map(str, error.args))
    return error
