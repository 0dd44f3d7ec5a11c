"""Writes a synthetic corpus to a folder, completely or not at all."""

import argparse
import json
import logging
import multiprocessing
import os
import shutil
import tempfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import soundfile
from scipy.signal import resample_poly
from speechbrain.utils.logger import get_logger
from tqdm import tqdm

from auxformer_lobes.testing.videos import write_video
from auxformer_lobes.testing.voices import SAMPLE_RATE
from auxformer_lobes.utils.errors import UserError, one_line_errors

logger = get_logger(__name__)

MARKER = "demo_corpus.json"
TITLE = "synthetic: auxformer_lobes demo corpus, no real person"


def make_corpus(folder, make, version, seed, num_workers, **sizes):
    """Makes a corpus, unless the same one exists.

    The file `demo_corpus.json` in it holds the options. The corpus is made in a
    temporary folder, and moved when it is complete.

    Arguments
    ---------
    folder : str or pathlib.Path
        Folder of the corpus; another demo corpus in it is replaced.
    make : callable
        Fills an empty folder.
    version : int
        Version of `make`: corpora of other versions are made again.
    seed : int
        Seed of all random numbers.
    num_workers : int
        Number of parallel processes.
    **sizes
        Name to (value, maximum): `actors=(16, 91)`.

    Raises
    ------
    UserError
        If the folder holds anything else, or a number is out of range.

    Example
    -------
    >>> folder = getfixture("tmp_path") / "corpus"
    >>> make_corpus(
    ...     folder, lambda x: None, 1, seed=0, num_workers=1, videos=(2, 9)
    ... )
    >>> (folder / "demo_corpus.json").read_text()
    '{"synthetic": true, "version": 1, "videos": 2, "seed": 0}'
    """
    folder = Path(folder).resolve()
    for option, value, minimum, maximum in (
        *((size, value, 1, limit) for size, (value, limit) in sizes.items()),
        ("seed", seed, 0, 2**32 - 1),
        ("workers", num_workers, 1, 64),
    ):
        if not minimum <= value <= maximum:
            raise UserError(
                f"{option} must be from {minimum} to {maximum}, not {value}"
            )
    options = {size: value for size, (value, _) in sizes.items()}
    options = {"synthetic": True, "version": version, **options, "seed": seed}
    options = json.dumps(options)
    if (folder / MARKER).is_file():
        if (folder / MARKER).read_text("utf-8") == options:
            logger.info(f"{folder}: the demo corpus exists")
            return
    elif folder.is_file() or folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: not a demo corpus: name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".demo") as work:
        made = Path(work) / folder.name
        made.mkdir()
        make(made)
        (made / MARKER).write_text(options, "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(made, folder)
    logger.info(f"{folder}: demo corpus written (synthetic)")


def rng_for(seed, *names):
    """Random generator that depends only on the seed and the names.

    Arguments
    ---------
    seed : int
        Seed of the corpus.
    *names : str
        Name of a clip, and the purpose of the numbers.

    Returns
    -------
    numpy.random.Generator

    Example
    -------
    >>> int(rng_for(0, "clip", "voice").integers(100))
    59
    """
    return np.random.default_rng(
        [seed, *(zlib.crc32(name.encode()) for name in names)]
    )


def make_clips(make_clip, clips, num_workers):
    """Makes clips in parallel processes, with a progress bar.

    Arguments
    ---------
    make_clip : callable
        Makes one clip; picklable.
    clips : list
        Its argument for each clip.
    num_workers : int
        Number of processes.

    Returns
    -------
    list
        Its results, in the order of the clips.
    """
    # One thread of OpenCV per worker. Set in the parent: the call may hang in a
    # forked process.
    cv2.setNumThreads(0)
    with multiprocessing.Pool(num_workers) as pool:
        progress = tqdm(
            pool.imap(make_clip, clips, chunksize=8),
            total=len(clips),
            desc="synthetic clips",
            unit="clip",
        )
        made = list(progress)
        # Wait for the workers: `Pool.__exit__` kills them, and one that is
        # killed while it holds the lock of the queue blocks the others.
        pool.close()
        pool.join()
    return made


def write_clip(
    wav, video, waveform, images, frame_rate, *, wav_rate, video_rate, codecs
):
    """Writes the two files of a clip, both marked as synthetic.

    Arguments
    ---------
    wav : pathlib.Path
        The wav file, 16 bits.
    video : pathlib.Path
        The video file, with the same audio.
    waveform : numpy.ndarray
        Synthetic speech, `[samples]`, at `voices.SAMPLE_RATE`.
    images : numpy.ndarray
        `[frames, height, width, 3]`, uint8, RGB.
    frame_rate : int
        frames/s.
    wav_rate : int
        Sample rate of the wav file, Hz.
    video_rate : int
        Sample rate of the audio in the video file, Hz.
    codecs : tuple of str
        FFmpeg's names of the video and the audio codec.
    """
    if wav_rate != SAMPLE_RATE:
        waveform = resample_poly(waveform, wav_rate, SAMPLE_RATE).clip(-1, 1)
    with soundfile.SoundFile(wav, "w", wav_rate, 1, "PCM_16") as file:
        file.title = TITLE
        file.write(waveform)
    write_video(
        video, images, frame_rate, waveform, wav_rate, codecs, video_rate, TITLE
    )


def corpus_command(make, description, *sizes):
    """Command line of a script that makes a corpus.

    Arguments
    ---------
    make : callable
        Takes the folder, the sizes, the seed and the number of workers.
    description : str
        Description in the help.
    *sizes : tuple
        Option, default and help of each size.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", help="folder of the corpus")
    for option, default, text in (
        *sizes,
        ("--seed", 0, "each seed gives other people"),
        ("--workers", 2, "parallel processes"),
    ):
        parser.add_argument(option, type=int, default=default, help=text)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors(OSError):
        make(*vars(arguments).values())
