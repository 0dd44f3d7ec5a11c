"""Corrupted copies of the media of a manifest, and a manifest of them."""

import hashlib
import json
import zlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from auxformer_lobes.augment.corruptions import KINDS, Babble
from auxformer_lobes.dataio.extraction_inputs import read_manifests
from auxformer_lobes.dataio.manifests import read_manifest
from auxformer_lobes.dataio.workers import KILLED, ClipWorkers
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.files import atomic_write, key_of


class CorruptionReport(NamedTuple):
    """Result of `corrupt_media`.

    Arguments
    ---------
    manifest : Path or None
        The new manifest; None if no clip is left.
    measured : dict
        Clip -> what `Corruption.corrupt` measured in its copy.
    present : int
        How many of these copies were there before.
    failed : dict
        Clip -> why it has no copy.
    unchanged : list of str
        Clips that lack the modality, and are in the manifest as they were.
    """

    manifest: object
    measured: dict
    present: int
    failed: dict
    unchanged: list


class CorruptedFolder:
    """The folder of corrupted copies, which knows the names of its files.

    Arguments
    ---------
    folder : str or Path
        The folder.
    suffix : str
        Suffix of the copies.
    """

    def __init__(self, folder, suffix):
        self.folder = Path(folder).resolve()
        self.suffix = suffix
        self.settings_file = self.folder / "corruption.json"

    def copy(self, clip):
        """Path of the copy of a clip.

        Arguments
        ---------
        clip : str
            The clip.

        Returns
        -------
        Path
        """
        return self.folder / "media" / f"{key_of(clip)}{self.suffix}"

    def measured(self, clip):
        """What was measured in the copy of a clip.

        Arguments
        ---------
        clip : str
            The clip.

        Returns
        -------
        dict
            None unless the copy is complete.
        """
        try:
            text = self._note(clip).read_text("utf-8")
            return json.loads(text) if self.copy(clip).is_file() else None
        except (FileNotFoundError, ValueError):  # or cut off by a power failure
            return None

    def write_measured(self, clip, measured):
        """Notes what was measured, which marks the copy as complete.

        Arguments
        ---------
        clip : str
            The clip.
        measured : dict
            What `Corruption.corrupt` returned.
        """
        with atomic_write(self._note(clip)) as file:
            json.dump(measured, file)

    def claim(self, settings):
        """Makes the folder, for copies with these settings only.

        Arguments
        ---------
        settings : dict
            Name -> value.

        Raises
        ------
        UserError
            If it holds anything else.
        """
        try:
            before = json.loads(self.settings_file.read_text("utf-8"))
        except FileNotFoundError:
            if self.folder.is_dir() and any(self.folder.iterdir()):
                raise UserError(
                    f"--output_folder {self.folder}: is not empty: name a new "
                    "folder, so that no file is overwritten"
                )
            (self.folder / "media").mkdir(parents=True, exist_ok=True)
            with atomic_write(self.settings_file) as file:
                json.dump(settings, file, indent=1)
            return
        except ValueError:
            before = {}
        for name, value in settings.items():
            if before.get(name) != value:
                raise UserError(
                    f"--output_folder {self.folder}: its copies were made with "
                    f"{name} {before.get(name)}, not {value}: name another "
                    "folder"
                )

    def _note(self, clip):
        return self.copy(clip).with_suffix(".json")


def corrupt_media(
    manifest,
    kind,
    severity,
    output_folder,
    data_root=None,
    seed=0,
    num_workers=0,
):
    """Writes corrupted copies of one modality, and a manifest of them.

    The copies are 16 kHz WAV files, or MP4 files. In the new manifest, which has
    the name of the old one, they have absolute paths; all else is as it was. A
    copy depends on its clip, the kind, the severity and the seed (babble on the
    manifest too), and not on the order of the clips. Copies that are complete
    are kept.

    Arguments
    ---------
    manifest : str
        JSON manifest, as a recipe's preparation writes it.
    kind : str
        One of `KINDS`.
    severity : float
        In the unit of the kind.
    output_folder : str
        A new folder, or one of an earlier call with the same arguments.
    data_root : str, optional
        What `{data_root}` in the manifest stands for.
    seed : int
        Not negative.
    num_workers : int
        Processes that read and write files.

    Returns
    -------
    CorruptionReport

    Raises
    ------
    UserError
        If an argument is of no use, or the folder cannot be written.

    Example
    -------
    >>> import soundfile
    >>> folder = getfixture("tmp_path")
    >>> speech = np.sin(np.arange(16000) / 5) / 9
    >>> soundfile.write(folder / "one.wav", speech, 16000)
    >>> entry = {"wav": "{data_root}/one.wav", "video": None, "spk_id": "ann"}
    >>> _ = (folder / "test.json").write_text(json.dumps({"one": entry}))
    >>> new = folder.with_name(f"{folder.name} at 5 dB")
    >>> report = corrupt_media(folder / "test.json", "noise", 5, new, folder)
    >>> report.measured["one"]["snr"]
    5.0
    """
    media = KINDS[kind].media
    files, _ = read_manifests([manifest], media, data_root)
    entries = read_manifest(manifest)
    corruption = _corruption(kind, severity, files, entries, manifest)
    folder = CorruptedFolder(output_folder, corruption.suffix)
    _check_place(folder.folder, data_root)
    settings = {
        "kind": kind,
        "severity": severity,
        "seed": seed,
        "manifest": hashlib.sha256(Path(manifest).read_bytes()).hexdigest(),
        "data_root": data_root and str(Path(data_root).resolve()),
    }
    try:
        folder.claim(settings)
        measured = {clip: folder.measured(clip) for clip in files}
        missing = [clip for clip in files if measured[clip] is None]
        work = partial(_corrupt, corruption, files, folder, seed)
        made, failed = _work_on(missing, work, num_workers, kind)
        measured = {c: m for c, m in {**measured, **made}.items() if m}
        path = None
        if measured:
            path = folder.folder / Path(manifest).name
            copies = {c: {media: str(folder.copy(c))} for c in measured}
            with atomic_write(path) as file:
                json.dump(
                    {
                        clip: {**entry, **copies.get(clip, {})}
                        for clip, entry in entries.items()
                        if clip not in failed
                    },
                    file,
                    indent=2,
                )
    except OSError as error:
        raise _not_written(folder.folder, error)
    present = len(files) - len(missing)
    unchanged = [clip for clip in entries if clip not in files]
    return CorruptionReport(path, measured, present, failed, unchanged)


def _corruption(kind, severity, files, entries, manifest):
    if KINDS[kind] is not Babble:
        return KINDS[kind](severity)
    speakers = {}
    for clip, file in files.items():
        if entries[clip].get("spk_id") is None:
            raise UserError(
                f"{manifest}: clip {clip} has no spk_id, so that nobody knows "
                "who the others are: name a manifest prepared by a recipe"
            )
        speakers[file] = entries[clip]["spk_id"]
    return Babble(severity, speakers)


def _check_place(folder, data_root):
    """Originals stay as they are, and paths must survive `str.format`."""
    if data_root is not None:
        corpus = Path(data_root).resolve()
        if corpus == folder or corpus in folder.parents:
            raise UserError(
                f"--output_folder {folder}: is in --data_root: name a folder "
                "outside of the corpus"
            )
    if {*"{}"} & {*str(folder)}:
        raise UserError(
            f"--output_folder {folder}: has braces, which mark {{data_root}} "
            "in manifests: name another folder"
        )


def _work_on(clips, work, num_workers, description):
    """Results by clip, and reasons of those that failed."""
    remaining = dict.fromkeys(clips)
    made, failed = {}, {}
    with tqdm(total=len(clips), desc=description, unit="clip") as bar:
        # One round, and another for each worker that a clip has killed.
        while remaining:
            workers = ClipWorkers(work, remaining, num_workers)
            try:
                for clip, result in workers.loader():
                    if isinstance(result, MediaError):
                        failed[clip] = str(result)
                    elif isinstance(result, Exception):
                        raise result
                    else:
                        made[clip] = result
                    remaining.pop(clip)
                    bar.update()
            except RuntimeError as error:
                clip = workers.clip_of_killed_worker(error)
                if clip is None:
                    raise
                if clip in remaining:
                    remaining.pop(clip)
                    failed[clip] = KILLED
                    bar.update()
    return made, failed


def _corrupt(corruption, files, folder, seed, clip):
    """Writes the copy of a clip, and what was measured in it."""
    # For all severities alike: only the gain of the noise differs then.
    name = f"{type(corruption).__name__} {clip}"
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    try:
        measured = corruption.corrupt(files[clip], folder.copy(clip), rng)
        folder.write_measured(clip, measured)
    except OSError as error:
        raise _not_written(folder.folder, error)
    return measured


def _not_written(folder, error):
    return UserError(
        f"--output_folder {folder}: cannot be written: {error.strerror}: name "
        "another folder, or free some space"
    )
