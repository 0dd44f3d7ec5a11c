#!/usr/bin/env python3
"""Measures an extraction, and how well its parts overlap.

ClipInput (decoding, faces), encoding and writing are timed one after the other
in one process; then the same clips are extracted by the pipeline, with worker
processes. Without films of your own, some of the synthetic corpus are made
larger: 480 × 360 pixels, 30 pictures a second.

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
from rich.console import Console
from rich.table import Table

from auxformer_lobes.dataio.extraction import extract
from auxformer_lobes.dataio.extraction_inputs import load_encoder
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.processing.media import (
    picture_seconds,
    read_audio,
    read_frames,
)
from auxformer_lobes.testing.videos import write_film
from auxformer_lobes.utils.errors import UserError, one_line_errors

RECIPE = Path(__file__).parents[1] / "recipes" / "CREMA-D"


def make_films(folder, number):
    """Makes synthetic films of some seconds.

    Arguments
    ---------
    folder : str
        Where to make them.
    number : int
        How many.
    """
    sys.path.append(str(RECIPE))
    from crema_d_synthetic import make_demo_corpus

    make_demo_corpus(folder, -(-number // 12), num_sentences=2)
    films = sorted(Path(folder, "VideoFlash").iterdir())
    for film in films[number:]:
        film.unlink()
    for film in films[:number]:
        pictures = np.stack(
            [cv2.resize(x, (480, 360)) for _, x in read_frames(film, 30)]
        )
        sound = read_audio(film, 22050).numpy()
        write_film(
            film, pictures, 30, sound, 22050, ("flv", "mp3"), 22050, "synthetic"
        )


def time_parts(features, paths, folder, window):
    """Does the work of an extraction step by step.

    Arguments
    ---------
    features : Extractor
        What is measured.
    paths : dict
        Clip -> film.
    folder : str
        Where the features are written.
    window : int
        Clips that are encoded together.

    Returns
    -------
    dict
        Part -> s.
    """
    store = FeatureStore(folder, features)
    spent = dict.fromkeys(("read, one process", "encode", "write"), 0.0)
    clips = list(paths)
    for first in range(0, len(clips), window):
        batch = clips[first : first + window]
        started = time.perf_counter()
        readings = [features.read(clip, paths[clip]) for clip in batch]
        read = time.perf_counter()
        with torch.no_grad():
            encoded = features.encode([each.values for each in readings])
            encoded = [each.cpu() for each in encoded]
        done = time.perf_counter()
        for clip, values, reading in zip(batch, encoded, readings):
            store.add(clip, paths[clip], values, reading.quality)
        spent["read, one process"] += read - started
        spent["encode"] += done - read
        spent["write"] += time.perf_counter() - done
    started = time.perf_counter()
    store.merge()
    spent["write"] += time.perf_counter() - started
    return spent


def peak_memory():
    """Largest memory so far.

    Returns
    -------
    main, worker : float
        MB, of this process and of its largest worker.
    """
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kB here
    return [
        resource.getrusage(who).ru_maxrss / unit
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]


def measure(options, films):
    """Prints the table of an encoder.

    Arguments
    ---------
    options : argparse.Namespace
        Those of the command line.
    films : list of pathlib.Path
        What it is measured on.
    """
    with one_line_errors():
        encoder = load_encoder(options.encoder, options.override)
    paths = {film.stem: str(film) for film in films}
    media = sum(picture_seconds(film) for film in films)
    # Models are loaded, and files come from memory, in both measurements.
    encoder(*next(iter(paths.items())))
    for film in films:
        film.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder) / "pipeline", encoder)
        wall = extract(
            store, paths, options.num_workers, options.window
        ).seconds
        main, worker = peak_memory()
        parts = time_parts(
            encoder, paths, Path(folder) / "parts", options.window
        )
    total = sum(parts.values())
    table = Table(
        "",
        "s",
        "real-time factor",
        title=f"{encoder.settings['class']}: {len(films)} films, {media:.0f} s",
    )
    rows = {
        **parts,
        "sum of the parts": total,
        f"extraction, {options.num_workers} workers": wall,
    }
    for name, seconds in rows.items():
        table.add_row(name, f"{seconds:.2f}", f"{seconds / media:.4f}")
    console = Console(width=None if Console().is_terminal else 110)
    console.print(table)
    print(f"sum of the parts / extraction: {total / wall:.2f}")
    print(f"peak memory: {main:.0f} MB, and {worker:.0f} MB in a worker")


def in_a_process(step, *arguments):
    """Does a step whose threads and memory are of nothing else.

    Arguments
    ---------
    step : callable
        What is done; if it fails, so does this process.
    *arguments
        What it is given.
    """
    # Forked, so that the workers of an extraction are, as in train.py.
    context = multiprocessing.get_context("fork")
    process = context.Process(target=step, args=arguments)
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
    add("--encoder", required=True, help="an encoder file")
    add("--override", default="", help="YAML: arguments of the encoder")
    add("--films", type=Path, help="a folder of films")
    add("--number", type=int, default=48, help="how many, if none")
    add("--num_workers", type=int, default=2, help="processes that read")
    add("--window", type=int, default=16, help="clips encoded together")
    options = parser.parse_args()
    with one_line_errors(), tempfile.TemporaryDirectory() as folder:
        if options.films is None:
            options.films = Path(folder) / "VideoFlash"
            in_a_process(make_films, folder, options.number)
        films = sorted(f for f in options.films.rglob("*") if f.is_file())
        if not films:
            raise UserError(f"{options.films}: no films in there")
        in_a_process(measure, options, films)
