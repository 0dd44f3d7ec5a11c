"""What is fuzzed: small whole files, and what reads them."""

import json
from itertools import islice
from pathlib import Path
from typing import Callable, NamedTuple

import crema_d_labels
import h5py
import msp_improv_ratings
import numpy as np
import torch

from auxformer_lobes.dataio.dataset import load_manifests
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.dataio.manifests import read_manifest
from auxformer_lobes.dataio.media_check import MediaFiles, check_clip
from auxformer_lobes.dataio.run import Run
from auxformer_lobes.dataio.split_files import read_split_file
from auxformer_lobes.features.base import Extractor
from auxformer_lobes.features.checkpoints import read_weights
from auxformer_lobes.features.precomputed import HDF5Features, NumpyFeatures
from auxformer_lobes.inference.audiovisual import AudioVisualEmotionRecognizer
from auxformer_lobes.processing.video import read_frames
from auxformer_lobes.reporting.missing_file import read_sweep
from auxformer_lobes.reporting.predictions_csv import (
    read_predictions,
    write_predictions,
)
from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import load
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.utils.errors import MediaError
from tests.unit.media_files import astronaut, tone, write_media
from tests.unit.msp_improv_files import block, random_turns
from tests.unit.small_runs import make_run
from tests.unit.small_sweeps import make_sweep, write_sweep
from tests.unit.small_tasks import random_predictions

DATA = Path(__file__).parents[1] / "data"
CLIPS = ("a", "b/c")
CLASSES = crema_d_labels.EMOTIONS
TASK = CategoricalEmotion(CLASSES)


class Target(NamedTuple):
    """Files, and a reader that reads or refuses them.

    Arguments
    ---------
    name : str
        In the counts.
    files : list of Path
        Whole files; each in turn is damaged.
    check : callable
        Reads a file by its path; fails by anything but a `UserError`.
    folder : Path
        Where the files are, if the reader takes others with it.
    examples : int
        Mutations in `make test`.
    """

    name: str
    files: list
    check: Callable
    folder: Path = None
    examples: int = 12

    @property
    def is_folder(self):
        """Whether the whole folder is copied with a file."""
        return self.folder is not None


def media(folder, files=None):
    """Audio and video files, read to their end."""
    return Target("media", files or _media_files(folder), _read_media)


def recognizer(folder, files=None):
    """Audio and video files, in which a model recognises emotion."""
    make_run(folder / "run")
    export(folder / "run", folder / "model")
    model = AudioVisualEmotionRecognizer.from_hparams(folder / "model")

    def _recognise(path):
        ((_, emotion),) = model.try_files([path])
        if isinstance(emotion, MediaError):
            raise emotion
        assert np.isclose(sum(emotion.outputs.values()), 1)

    files = files or _media_files(folder)
    return Target("recognizer", files, _recognise, examples=3)


def tables(folder):
    """Tables of labels, splits and results, of both corpora."""
    crema_d = DATA / "crema-d"
    files = {
        crema_d / "VideoDemographics.csv": crema_d_labels.read_actors,
        crema_d / "processedResults/tabulatedVotes.csv": _read_votes,
        crema_d / "labels_consensus_6class_M/label_consensus_1.csv": (
            lambda path: crema_d_labels.read_released(path, CLASSES, "M")
        ),
        DATA / "splits" / "ogm_ge_crema_d.csv": read_split_file,
        folder / "predictions.csv": lambda path: read_predictions(path, TASK),
        folder / "missing.json": read_sweep,
        folder / "Evaluation.txt": msp_improv_ratings.read_ratings,
    }
    write_predictions(
        folder / "predictions.csv", random_predictions(TASK), TASK
    )
    write_sweep(folder / "missing.json", make_sweep())
    blocks = [block(*turn) for turn in random_turns().items()]
    (folder / "Evaluation.txt").write_text("\n".join(blocks), "utf-8")
    readers = {path.name: reader for path, reader in files.items()}
    return Target(
        "tables", [*files], lambda path: readers[path.name](path), examples=30
    )


def arrays(folder):
    """Features of others: NumPy and HDF5 files, and a manifest."""
    features = np.random.default_rng(0).normal(size=(9, 3)).astype("float32")
    np.save(folder / "a.npy", features)
    np.savez(folder / "b.npz", features=features)
    with h5py.File(folder / "all.h5", "w") as file:
        file["a"] = features
    entry = {"wav": "{data_root}/a.wav", "video": "a.mp4", "duration": 1.0}
    entry.update(spk_id="1001", emotion="angry", gender="female")
    (folder / "manifest.json").write_text(json.dumps({"a": entry}))

    def _read(path):
        if path.suffix == ".json":
            read_manifest(path)
            return load_manifests({"test": path}, "corpus")["test"]
        if path.suffix == ".h5":
            extractor = HDF5Features(path, 3, "audio")
        else:
            extractor = NumpyFeatures(path.parent, 3, "audio")
        return extractor.read(path.stem if path.suffix != ".h5" else "a")

    files = [folder / name for name in ("a.npy", "b.npz", "all.h5")]
    return Target("arrays", [*files, folder / "manifest.json"], _read)


def store(folder):
    """A feature store, and what is staged for it: no other features come out."""
    extractor = Extractor(dim=2)
    features = {clip: torch.randn(200, 2) for clip in CLIPS}
    whole = FeatureStore(folder, extractor, "float32")
    whole.add("a", "a.wav", features["a"])
    whole.merge()
    whole.add("b/c", "c.wav", features["b/c"])
    (staged,) = whole.staging.files(".npz")

    def _read(path):
        copy = FeatureStore(
            path.parents[path.parts[::-1].index("copy") - 1],
            extractor,
            "float32",
        )
        copy.merge()
        for clip in CLIPS:
            if clip in copy:
                assert torch.equal(copy[clip], features[clip])
                assert copy.frame_validity(clip) is None

    return Target("store", [whole.path, staged], _read, folder)


def checkpoint(folder):
    """The files of a checkpoint: no other weights come out."""
    hparams = make_run(folder / "run")
    run = Run(folder / "run")
    wanted = hparams["model"].state_dict()

    def _read(path):
        copy = Run(path.parents[2])
        found = copy.evaluated_checkpoint("loss", hparams["task"])
        weights = read_weights(found.paramfiles["model"])
        assert weights.keys() == wanted.keys()
        assert all(torch.equal(weights[name], wanted[name]) for name in wanted)

    best = run.best_checkpoint("loss", hparams["task"]).path
    files = [path for path in sorted(best.iterdir()) if path.is_file()]
    return Target("checkpoint", files, _read, folder / "run")


def run(folder):
    """The tables and settings of a run that is exported."""
    task = make_run(folder / "run")["task"]
    names = ("metrics.json", "prepare_report.json", "train.json")
    Run(folder / "run").write_epoch({"epoch": 1, "valid": {"loss": 0.5}})

    def _read(path):
        copy = Run(path.parent)
        copy.is_complete()
        copy.best_epoch("loss", task)
        export(copy.folder, path.parent.parent / "exported")

    files = [folder / "run" / name for name in (*names, "history.json")]
    return Target("run", files, _read, folder / "run", examples=5)


def model(folder):
    """An exported model: no other weights or settings come out."""
    make_run(folder / "run")
    whole = export(folder / "run", folder / "model")
    wanted = load(whole)["modules"]["network"].state_dict()

    def _read(path):
        weights = load(path.parent)["modules"]["network"].state_dict()
        assert all(torch.equal(weights[name], wanted[name]) for name in wanted)

    names = ("config.json", "hyperparams.yaml", "model.safetensors")
    files = [whole / name for name in names]
    return Target("model", files, _read, whole)


TARGETS = (
    *(media, recognizer, tables, arrays),
    *(store, checkpoint, run, model),
)


def _media_files(folder):
    """Half a second of a face and a tone, in the formats that people have."""
    images, _ = astronaut(0.5, height=120, width=160)
    sound = tone(0.5, rate=16000)
    kinds = {
        "flv": dict(video_codec="flv", audio_codec="mp3", rate=44100),
        "mp4": dict(video_codec="mpeg4", audio_codec="aac"),
        "avi": dict(video_codec="mpeg4", audio_codec="mp3"),
        "mkv": dict(video_codec="libx264", audio_codec="flac"),
    }
    files = [
        write_media(folder / f"clip.{suffix}", images, sound, **kind)
        for suffix, kind in kinds.items()
    ]
    for suffix, codec in (
        ("wav", "pcm_s16le"),
        ("flac", "flac"),
        ("mp3", "mp3"),
    ):
        path = folder / f"voice.{suffix}"
        files.append(write_media(path, None, sound, audio_codec=codec))
    return files


def _read_media(path):
    """Both modalities by all readers; a video may lack one of them."""
    _, problems, _ = check_clip(
        path.parent, MediaFiles(path.name, path.name), 60
    )
    if len(problems) == 2:
        raise MediaError(problems[0]["reason"])
    try:
        for time, image in islice(read_frames(path), 500):
            assert np.isfinite(time) and image.ndim == 3
    except MediaError:
        if not problems:
            raise


def _read_votes(path):
    return crema_d_labels.read_votes(path, "P", CLASSES, "audiovisual")
