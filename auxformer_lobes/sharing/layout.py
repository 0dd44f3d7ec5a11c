"""What an exported model is on disk: which files, and nothing else."""

import json
import re
import reprlib
from pathlib import Path

from auxformer_lobes.utils.errors import UserError

FORMAT = "auxformer-lobes"
VERSION = 1  # of the format
CONFIG = "config.json"
HYPERPARAMS = "hyperparams.yaml"
WEIGHTS = "model.safetensors"
CARD = "README.md"
FILES = (CONFIG, HYPERPARAMS, WEIGHTS, CARD)
# A pretrained encoder that was copied: a folder, or a file of weights.
ENCODER_FILE = r"encoders/(audio|visual)(\.pt|/[\w.-]+\.(json|safetensors|bin))"
LONGEST_CONFIG = 1 << 20  # characters


def file_of(folder, name, root=None):
    """Finds a file of an exported model.

    Arguments
    ---------
    folder : str or Path
        The model.
    name : str
        The file.
    root : str or Path
        What links must not lead out of; the folder by default. In the cache
        of the Hub, files are links to others beside the folder.

    Returns
    -------
    Path

    Raises
    ------
    UserError
        If there is no such file, or it leads elsewhere, or is something else
        that has a name: reading of a pipe would never end.

    Example
    -------
    >>> file_of(".", "../secret.json")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: ../secret.json: leads out of the folder...
    """
    path = _found(folder, name, root)
    if not path.is_file():
        raise UserError(f"{path}: not a file: refused")
    return path


def folder_of(folder, name, root=None):
    """Finds a folder of an exported model.

    Arguments
    ---------
    folder : str or Path
        The model.
    name : str
        The folder in it.
    root : str or Path
        See `file_of`.

    Returns
    -------
    Path

    Raises
    ------
    UserError
        If there is no such folder, or it leads elsewhere.
    """
    path = _found(folder, name, root)
    if not path.is_dir():
        raise UserError(f"{path}: not a folder: refused")
    return path


def _found(folder, name, root):
    path = Path(folder) / name
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # the latter up to Python 3.12
        raise UserError(f"{path}: a link that leads nowhere: refused")
    if not target.is_relative_to(Path(root or folder).resolve()):
        raise UserError(f"{path}: leads out of the folder: refused")
    if not path.exists():
        raise UserError(
            f"{folder}: has no {name}, so it is no exported model: make one "
            "with `auxformer export`"
        )
    return path


def files_of(folder):
    """Names the files of an exported model, and no others.

    Arguments
    ---------
    folder : str or Path
        The model.

    Returns
    -------
    list of str
        Relative to the folder.

    Raises
    ------
    UserError
        If one is missing, or leads elsewhere.
    """
    read_config(folder)
    copied = (
        path.relative_to(folder).as_posix()
        for path in sorted(Path(folder).glob("encoders/**/*"))
    )
    names = [*FILES, *(n for n in copied if re.fullmatch(ENCODER_FILE, n))]
    for name in names:
        file_of(folder, name)
    return names


def read_config(folder, root=None):
    """Reads `config.json`.

    Arguments
    ---------
    folder : str or Path
        The model.
    root : str or Path
        See `file_of`.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        If it is not that of an exported model, or of another version.
    """
    path = file_of(folder, CONFIG, root)
    try:
        with open(path, encoding="utf-8") as file:
            config = json.loads(file.read(LONGEST_CONFIG))
    except (OSError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise UserError(f"{path}: not of an exported model, or damaged")
    if config.get("format_version") != VERSION:
        version = reprlib.repr(config.get("format_version"))
        raise UserError(
            f"{path}: of version {version} of the "
            f"format, not {VERSION}: pip install --upgrade auxformer-lobes"
        )
    for name in ("fitted", "features"):
        if not isinstance(config.get(name), dict):
            raise UserError(f"{path}: has no {name}: export the model again")
    return config
