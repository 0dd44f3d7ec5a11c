"""What an extraction is given: an encoder file and manifests."""

import json
import os
import textwrap

from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml import YAML, YAMLError

from auxformer_lobes.features.base import Extractor
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.overrides import check_options, rewrite_overrides


def load_encoder(path, overrides=""):
    """Makes the extractor that an encoder file describes.

    Arguments
    ---------
    path : str
        A hyperpyyaml file of one node, `!new:` and a class.
    overrides : str
        YAML: arguments of the class in place of those in the file.

    Returns
    -------
    Extractor
        What the file describes.

    Raises
    ------
    UserError
        If it cannot be made.

    Example
    -------
    >>> path = getfixture("tmp_path") / "fbank.yaml"
    >>> class_name = "auxformer_lobes.features.fbank.FbankFeatures"
    >>> _ = path.write_text(f"!new:{class_name}\\n    n_mels: 40\\n")
    >>> load_encoder(path, "n_mels: 20").dim
    60
    """
    try:
        values = YAML().load(overrides) or {}
        if not isinstance(values, dict):
            raise UserError(f"{overrides}: not 'OPTION: VALUE'")
        with open(path, encoding="utf-8") as file:
            node = resolve_references(file, rewrite_overrides(path, values))
        # HyperPyYAML takes a mapping only.
        text = f"encoder:\n{textwrap.indent(node.read(), '  ')}"
        check_options(text)
        encoder = load_hyperpyyaml(text)["encoder"]
    except (
        *(OSError, LookupError, TypeError, ValueError, AttributeError),
        *(ImportError, YAMLError, UserError),
    ) as error:
        raise UserError(f"{path}: {_reason(error)}")
    if not isinstance(encoder, Extractor):
        raise UserError(
            f"{path}: describes a {type(encoder).__name__}, not an Extractor: "
            "name a file such as recipes/CREMA-D/hparams/encoders/hog.yaml"
        )
    return encoder


def read_manifests(paths, media, data_root=None):
    """Reads which clips there are, and where.

    Arguments
    ---------
    paths : list of str
        JSON manifests; a clip may be in several.
    media : str
        The key of a clip that names the file to read; null where there is
        none.
    data_root : str
        What `{data_root}` in the names of files stands for.

    Returns
    -------
    files : dict
        Clip to file, of those that have one.
    seconds : dict
        Clip to its `duration`, s, of those that have one.

    Raises
    ------
    UserError
        If one is missing, or not a manifest with such files.
    """
    if data_root is not None and not os.path.isdir(data_root):
        raise UserError(f"--data_root {data_root}: no such folder")
    files, seconds = {}, {}
    for path in paths:
        for clip, entry in _load(path).items():
            if not isinstance(entry, dict) or media not in entry:
                raise UserError(
                    f"{path}: its clip {clip} has no {media}, which this "
                    "encoder reads: name a manifest that a recipe prepared"
                )
            if entry[media] is None:
                continue
            file = str(entry[media])
            if "{data_root}" in file:
                if data_root is None:
                    raise UserError(
                        f"{path}: its files are in {{data_root}}: give "
                        "--data_root, the folder of the corpus"
                    )
                file = file.replace("{data_root}", str(data_root))
            if files.setdefault(clip, file) != file:
                raise UserError(
                    f"{path}: its clip {clip} is {file}, but another "
                    f"manifest says {files[clip]}: extract them one by one, "
                    "into folders of their own"
                )
            if isinstance(entry.get("duration"), (int, float)):
                seconds[clip] = entry["duration"]
    if not files:
        raise UserError(f"{', '.join(map(str, paths))}: no clip has a {media}")
    return files, seconds


def _reason(error):
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, (TypeError, ValueError)):  # HyperPyYAML's have two
        return " ".join(map(str, error.args))
    return error


def _load(path):
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}")
    except ValueError as error:
        raise UserError(
            f"{path}: not JSON ({error}): name a manifest that a recipe "
            "prepared, such as train.json"
        )
    if not isinstance(manifest, dict):
        raise UserError(
            f"{path}: not a manifest, which maps clips to what is known of "
            "them: name one that a recipe prepared, such as train.json"
        )
    return manifest
