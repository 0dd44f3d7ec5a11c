#!/usr/bin/env python3
"""Measures the speed of an extraction, and how well its steps overlap.

Reading (decoding, faces), encoding and writing are timed one after the other in
one process; then the pipeline extracts the same clips, with worker processes.
The speed of an encoder is also given in FLOP/s, and as a share of what a large
matrix product reaches on the same device, in the same precision.
By default, the clips are videos of the synthetic corpus, enlarged to 480 × 360
pixels at 30 frames/s.

Example
-------
> python benchmarks/extraction.py \
>     --encoder recipes/CREMA-D/hparams/encoders/hog.yaml --num_workers 2
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from machine import matrix_rate
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from auxformer_lobes.dataio.extraction import extract
from auxformer_lobes.dataio.extraction_inputs import load_extractor
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.processing.audio import read_audio
from auxformer_lobes.processing.video import read_frames, video_seconds
from auxformer_lobes.testing.videos import write_video
from auxformer_lobes.utils.errors import UserError, one_line_errors
from auxformer_lobes.utils.precision import without_tf32

RECIPE = Path(__file__).parents[1] / "recipes" / "CREMA-D"


def make_videos(folder, number):
    """Makes synthetic videos of 1.4 s.

    Arguments
    ---------
    folder : str
        Folder of the corpus.
    number : int
        Number of videos.
    """
    sys.path.append(str(RECIPE))
    from crema_d_synthetic import make_synthetic_crema_d

    make_synthetic_crema_d(folder, -(-number // 12), num_sentences=2)
    videos = sorted(Path(folder, "VideoFlash").iterdir())
    for video in videos[number:]:
        video.unlink()
    for video in videos[:number]:
        images = np.stack(
            [cv2.resize(x, (480, 360)) for _, x in read_frames(video, 30)]
        )
        waveform = read_audio(video, 22050).numpy()
        codecs = ("flv", "mp3")
        write_video(
            video, images, 30, waveform, 22050, codecs, 22050, "synthetic"
        )


def time_steps(features, paths, folder, batch_clips):
    """Times the steps of an extraction one after the other.

    Arguments
    ---------
    features : Extractor
        The extractor to measure.
    paths : dict
        Clip -> file.
    folder : str
        Folder for the features.
    batch_clips : int
        Clips encoded together.

    Returns
    -------
    dict
        Step -> s.
    """
    store = FeatureStore(folder, features)
    spent = dict.fromkeys(("read, one process", "encode", "write"), 0.0)
    clips = list(paths)
    for first in range(0, len(clips), batch_clips):
        batch = clips[first : first + batch_clips]
        started = time.perf_counter()
        inputs = [features.read(clip, paths[clip]) for clip in batch]
        read = time.perf_counter()
        encoded = features.encode([each.data for each in inputs])
        done = time.perf_counter()
        for clip, clip_features, (_, validity) in zip(batch, encoded, inputs):
            store.add(clip, paths[clip], clip_features, validity)
        spent["read, one process"] += read - started
        spent["encode"] += done - read
        spent["write"] += time.perf_counter() - done
    started = time.perf_counter()
    store.merge()
    spent["write"] += time.perf_counter() - started
    return spent


def count_flops(features, paths, batch_clips):
    """Counts the operations of an encoder: matrix products, convolutions.

    Arguments
    ---------
    features : EncoderFeatures
        The extractor to measure.
    paths : dict
        Clip -> file.
    batch_clips : int
        Clips encoded together.

    Returns
    -------
    float
        FLOP for all clips; one batch is counted.
    """
    clips = list(paths)[:batch_clips]
    inputs = [features.read(clip, paths[clip]).data for clip in clips]
    with FlopCounterMode(display=False) as counter:
        features.encode(inputs)
    return counter.get_total_flops() * len(paths) / len(clips)


def peak_memory():
    """Peak memory so far.

    Returns
    -------
    main, worker : float
        Of this process and of its largest worker, MB.
    """
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes, or kB on Linux
    return [
        resource.getrusage(who).ru_maxrss / unit
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]


def measure(options, files):
    """Prints the table of an extractor.

    Arguments
    ---------
    options : argparse.Namespace
        Command-line options.
    files : list of pathlib.Path
        Video files.
    """
    # The workers are forked, as in train.py, also in a spawned process.
    multiprocessing.set_start_method("fork", force=True)
    overrides = [options.override]
    for name in ("device", "precision"):
        if getattr(options, name):
            overrides.append(f"{name}: {getattr(options, name)}")
    with one_line_errors():
        features = load_extractor(options.encoder, "\n".join(overrides))
    paths = {file.stem: str(file) for file in files}
    media = sum(video_seconds(file) for file in files)
    # Load the model and cache the files before both measurements.
    features(*next(iter(paths.items())))
    for file in files:
        file.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder) / "pipeline", features)
        wall = extract(
            store, paths, options.num_workers, options.batch_clips
        ).seconds
        main, worker = peak_memory()
        steps = time_steps(
            features, paths, Path(folder) / "steps", options.batch_clips
        )
    total = sum(steps.values())
    table = Table(
        "",
        "s",
        "real-time factor",
        title=f"{features.settings['class']}: {len(files)} videos, {media:.0f} s",
    )
    rows = {
        **steps,
        "sum of the steps": total,
        f"extraction, {options.num_workers} workers": wall,
    }
    for name, seconds in rows.items():
        table.add_row(name, f"{seconds:.2f}", f"{seconds / media:.4f}")
    console = Console(width=None if Console().is_terminal else 110)
    console.print(table)
    print(f"sum of the steps / extraction: {total / wall:.2f}")
    read = steps["read, one process"] / max(1, options.num_workers)
    slower = max(read, steps["encode"])
    print(f"extraction / slower of reading and encoding: {wall / slower:.2f}")
    if hasattr(features, "encoder_dtype"):
        dtype, device = features.encoder_dtype, features.device
        flops = count_flops(features, paths, options.batch_clips)
        speed = flops / steps["encode"]
        with without_tf32():
            rate = matrix_rate(device, dtype)
        print(
            f"encoding on {device} in {dtype}: {speed / 1e12:.3g} TFLOP/s, "
            f"{speed / rate:.0%} of the matrix rate"
        )
    print(f"peak memory: {main:.0f} MB, and {worker:.0f} MB per worker")
    if torch.cuda.is_initialized():
        print(f"on the GPU: {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


def in_a_process(function, *arguments):
    """Calls a function in a process with threads and memory of its own.

    Arguments
    ---------
    function : callable
        If it fails, this process exits.
    *arguments
        Its arguments.
    """
    # CUDA does not work in a process that was forked.
    method = "spawn" if torch.cuda.is_available() else "fork"
    context = multiprocessing.get_context(method)
    process = context.Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--encoder", required=True, help="encoder file")
    add("--override", default="", help="YAML: its arguments")
    add("--device", help="such as cpu or cuda:0")
    add("--precision", help="float32, float16 or bfloat16")
    add("--videos", type=Path, help="folder of video files")
    add("--number", type=int, default=48, help="number of synthetic videos")
    add("--num_workers", type=int, default=2, help="reading processes")
    add("--batch_clips", type=int, default=16, help="clips encoded together")
    options = parser.parse_args()
    with one_line_errors(), tempfile.TemporaryDirectory() as folder:
        if options.videos is None:
            options.videos = Path(folder) / "VideoFlash"
            in_a_process(make_videos, folder, options.number)
        files = sorted(f for f in options.videos.rglob("*") if f.is_file())
        if not files:
            raise UserError(f"{options.videos}: no files")
        in_a_process(measure, options, files)
