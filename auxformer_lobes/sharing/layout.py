"""The files of an exported model, in a folder or in the cache of the Hub."""

import hashlib
import json
import re
import reprlib
from pathlib import Path

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.hub import check_pointer, snapshot

FORMAT = "auxformer-lobes"
VERSION = 1  # of the format
CONFIG = "config.json"
HYPERPARAMS = "hyperparams.yaml"
WEIGHTS = "model.safetensors"
CARD = "README.md"
# Made on request; of a network above 2 GB, its weights lie in a second file.
ONNX = "network.onnx"
ONNX_FILES = (ONNX, f"{ONNX}.data")
FILES = (CONFIG, HYPERPARAMS, WEIGHTS, CARD)
# A pretrained encoder that was copied: a folder, or a file of weights; and the
# weights of a face detector.
ENCODER_FILE = (
    r"encoders/((audio|visual)(\.pt|/[\w.-]+\.(json|safetensors|bin))"
    r"|faces\.onnx)"
)
MAX_CONFIG = 1 << 20  # characters
DAMAGED = "damaged, or changed since the export: copy or download it again"


def checksum(path):
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_config(folder, config):
    """Writes `config.json`, with checksums of itself and the files beside it.

    The model card has none: people edit it.

    Arguments
    ---------
    folder : Path
        The export, whole but for this file.
    config : dict
        Its content.
    """
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != CARD
    )
    files = {name: checksum(folder / name) for name in names}
    config = {**config, "files": files}
    files[CONFIG] = _checksum_of(config)
    text = json.dumps(config, indent=1)
    (folder / CONFIG).write_text(text, "utf-8")


def _checksum_of(config):
    """SHA-256 of the content of a `config.json`, but for its own."""
    files = {k: v for k, v in config["files"].items() if k != CONFIG}
    text = json.dumps({**config, "files": files}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_exported(folder):
    """Whether a folder looks like an exported model.

    Arguments
    ---------
    folder : str or Path
        Any path.

    Returns
    -------
    bool
    """
    return all((Path(folder) / name).is_file() for name in (CONFIG, WEIGHTS))


class ModelFolder:
    """An exported model; its files are fetched when they are asked for.

    Arguments
    ---------
    source : str or Path
        A folder, or a name on the Hub.
    savedir : str or Path
        Where to keep what is fetched; the Hub's own cache by default.
    revision : str
        Branch, tag or commit on the Hub.

    Raises
    ------
    UserError
        If there is no such model.

    Example
    -------
    >>> ModelFolder(".").find("../secret.json")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: ../secret.json: leads out of the folder...
    """

    def __init__(self, source, savedir=None, revision=None):
        self.source, self.savedir = source, savedir
        self.path = self.root = Path(source)
        self.is_local = self.path.is_dir()
        if not self.is_local:
            self.path = snapshot(source, revision, [CONFIG], savedir)
            # Files in the cache are links to blobs beside the snapshots.
            self.root = self.path.parents[1]

    def find(self, name, *kinds):
        """Finds a file, or a folder with files of some kinds.

        Arguments
        ---------
        name : str
            The file, or folder.
        *kinds : str
            Ends of the names of files in the folder: "json".

        Returns
        -------
        Path

        Raises
        ------
        UserError
            If there is none, it leads out of the model, or is something else:
            reading from a pipe would never end.
        """
        if not self.is_local:
            patterns = [f"{name}/*.{kind}" for kind in kinds] or [name]
            snapshot(self.source, self.path.name, patterns, self.savedir)
        path = self._checked(self.path / name, is_folder=bool(kinds))
        for file in path.iterdir() if kinds else ():
            self._checked(file)
        return path

    def _checked(self, path, is_folder=False):
        try:
            target = path.resolve()
        except (OSError, RuntimeError):  # the latter up to Python 3.12
            raise UserError(f"{path}: a link that leads nowhere: refused")
        if not target.is_relative_to(self.root.resolve()):
            raise UserError(f"{path}: leads out of the folder: refused")
        if not path.exists():
            raise UserError(
                f"{path}: missing, so this is not an exported model: make one "
                "with `auxformer export`"
            )
        if not (path.is_dir() if is_folder else path.is_file()):
            kind = "folder" if is_folder else "file"
            raise UserError(f"{path}: not a {kind}: refused")
        if not is_folder:
            check_pointer(path)
        return path

    def verify(self, config, path):
        """Compares a file, or all of a folder, with what was exported.

        Arguments
        ---------
        config : dict
            What `config` returned; older exports have no checksums, and are
            accepted as they are.
        path : Path
            What `find` returned.

        Raises
        ------
        UserError
            If they differ.
        """
        if "files" not in config:
            return
        for file in path.iterdir() if path.is_dir() else [path]:
            name = file.relative_to(self.path).as_posix()
            if path.is_dir() and not re.fullmatch(ENCODER_FILE, name):
                continue  # transformers does not read it
            if config["files"].get(name) != checksum(file):
                raise UserError(f"{file}: {DAMAGED}")

    def config(self):
        """The content of `config.json`, of this version of the format."""
        path = self.find(CONFIG)
        try:
            with open(path, encoding="utf-8") as file:
                config = json.loads(file.read(MAX_CONFIG))
        except (OSError, ValueError, RecursionError):
            config = None
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise UserError(
                f"{path}: not of an exported model, or damaged: copy or "
                "download it again"
            )
        if config.get("format_version") != VERSION:
            version = reprlib.repr(config.get("format_version"))
            raise UserError(
                f"{path}: of version {version} of the format, not {VERSION}: "
                "pip install --upgrade auxformer-lobes"
            )
        for name in ("fitted", "features"):
            if not isinstance(config.get(name), dict):
                raise UserError(
                    f"{path}: has no {name}: export the model again"
                )
        if "files" in config:
            files = config["files"]
            try:
                whole = files[CONFIG] == _checksum_of(config)
            except (AttributeError, LookupError, RecursionError, TypeError):
                whole = False
            if not whole:
                raise UserError(f"{path}: {DAMAGED}")
        return config

    def files(self):
        """Names of all files that belong to a model in a folder."""
        listed = self.config().get("files", {})
        paths = sorted(self.path.glob("encoders/**/*"))
        copied = (path.relative_to(self.path).as_posix() for path in paths)
        names = [*FILES, *(n for n in copied if re.fullmatch(ENCODER_FILE, n))]
        # Somebody may have removed it: the model does not need it.
        names += [
            name
            for name in ONNX_FILES
            if name in listed and (self.path / name).exists()
        ]
        for name in names:
            self.find(name)
        return names
