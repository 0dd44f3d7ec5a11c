"""The files of an exported model, and no others."""

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
MAX_CONFIG = 1 << 20  # characters


def find(folder, name, root=None, is_folder=False):
    """Finds a file or a folder in an exported model.

    Arguments
    ---------
    folder : str or Path
        The model.
    name : str
        The file, or folder.
    root : str or Path
        The folder that links must not lead out of; by default the model. In
        the cache of the Hub, files are links to others beside the model.
    is_folder : bool
        Whether it must be a folder, not a file.

    Returns
    -------
    Path

    Raises
    ------
    UserError
        If there is none, it leads elsewhere, or is of another kind: reading
        from a pipe would never end.

    Example
    -------
    >>> find(".", "../secret.json")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: ../secret.json: leads out of the folder...
    """
    path = Path(folder) / name
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # the latter up to Python 3.12
        raise UserError(f"{path}: a link that leads nowhere: refused")
    if not target.is_relative_to(Path(root or folder).resolve()):
        raise UserError(f"{path}: leads out of the folder: refused")
    if not path.exists():
        raise UserError(
            f"{folder}: has no {name}, so it is not an exported model: make "
            "one with `auxformer export`"
        )
    if not (path.is_dir() if is_folder else path.is_file()):
        kind = "folder" if is_folder else "file"
        raise UserError(f"{path}: not a {kind}: refused")
    return path


def files_of(folder):
    """Names of the files of an exported model; none may lead out of it."""
    read_config(folder)
    paths = sorted(Path(folder).glob("encoders/**/*"))
    copied = (path.relative_to(folder).as_posix() for path in paths)
    names = [*FILES, *(n for n in copied if re.fullmatch(ENCODER_FILE, n))]
    for name in names:
        find(folder, name)
    return names


def read_config(folder, root=None):
    """Reads `config.json`, of this version of the format; `root` as in `find`."""
    path = find(folder, CONFIG, root)
    try:
        with open(path, encoding="utf-8") as file:
            config = json.loads(file.read(MAX_CONFIG))
    except (OSError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise UserError(f"{path}: not of an exported model, or damaged")
    if config.get("format_version") != VERSION:
        version = reprlib.repr(config.get("format_version"))
        raise UserError(
            f"{path}: of version {version} of the format, not {VERSION}: "
            "pip install --upgrade auxformer-lobes"
        )
    for name in ("fitted", "features"):
        if not isinstance(config.get(name), dict):
            raise UserError(f"{path}: has no {name}: export the model again")
    return config
