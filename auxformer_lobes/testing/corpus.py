"""Makes an invented corpus into a folder: as a whole, once, over nothing else."""

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

from auxformer_lobes.testing.videos import write_film
from auxformer_lobes.testing.voices import SAMPLE_RATE
from auxformer_lobes.utils.errors import UserError, one_line_errors

logger = get_logger(__name__)

MARKER = "demo_corpus.json"
TITLE = "synthetic: auxformer_lobes demo corpus, no real person"


def make_corpus(folder, make, version, seed, num_workers, **sizes):
    """Makes a corpus, or leaves it as it is if it is there already.

    The file `demo_corpus.json` in it says what it was made with. A corpus
    that is not finished has another place.

    Arguments
    ---------
    folder : str or pathlib.Path
        Where to make it. An older demo corpus there is replaced.
    make : callable
        Fills the empty folder that it is given.
    version : int
        Counts changes of what is made: older corpora are made again.
    seed : int
        Of what is made.
    num_workers : int
        Processes that work side by side.
    **sizes
        What is made, and the most of it: ``actors=(16, 91)``.

    Raises
    ------
    UserError
        If the folder holds something else, or a number is out of range.

    Example
    -------
    >>> folder = getfixture("tmp_path") / "corpus"
    >>> make_corpus(
    ...     folder, lambda x: None, 1, seed=0, num_workers=1, films=(2, 9)
    ... )
    >>> (folder / "demo_corpus.json").read_text()
    '{"synthetic": true, "version": 1, "films": 2, "seed": 0}'
    """
    folder = Path(folder).resolve()
    for option, value, least, most in (
        *((size, value, 1, most) for size, (value, most) in sizes.items()),
        ("seed", seed, 0, 2**32 - 1),
        ("workers", num_workers, 1, 64),
    ):
        if not least <= value <= most:
            raise UserError(f"{option}: {value} is not in {least} to {most}")
    options = {size: value for size, (value, _) in sizes.items()}
    options = {"synthetic": True, "version": version, **options, "seed": seed}
    options = json.dumps(options)
    if (folder / MARKER).is_file():
        if (folder / MARKER).read_text("utf-8") == options:
            logger.info(f"{folder}: the demo corpus is there already")
            return
    elif folder.is_file() or folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: not a demo corpus; name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".demo") as work:
        made = Path(work) / folder.name
        made.mkdir()
        make(made)
        (made / MARKER).write_text(options, "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(made, folder)
    logger.info(f"{folder}: demo corpus made (synthetic)")


def chance(seed, *names):
    """Returns random numbers that depend on the seed and some names only.

    Arguments
    ---------
    seed : int
        Of the corpus.
    *names : str
        Of a clip, and what the numbers are for.

    Returns
    -------
    numpy.random.Generator
        The same for the same arguments.

    Example
    -------
    >>> int(chance(0, "clip", "voice").integers(100))
    59
    """
    return np.random.default_rng(
        [seed, *(zlib.crc32(name.encode()) for name in names)]
    )


def make_clips(make_clip, clips, num_workers):
    """Makes clips side by side and shows the progress.

    Arguments
    ---------
    make_clip : callable
        Makes one clip; picklable.
    clips : list
        What it is given, clip by clip.
    num_workers : int
        Processes that work side by side.

    Returns
    -------
    list
        What it has returned, in the order of the clips.
    """
    # Workers are many already: no threads of OpenCV's in each. Set here, since
    # a process that is forked off may hang if it does so.
    cv2.setNumThreads(0)
    with multiprocessing.Pool(num_workers) as pool:
        progress = tqdm(
            pool.imap(make_clip, clips, chunksize=8),
            total=len(clips),
            desc="synthetic clips",
            unit="clip",
        )
        made = list(progress)
        # Workers that are waited for end by themselves. One that is killed
        # while it holds the lock of the queue stops all others for ever.
        pool.close()
        pool.join()
    return made


def write_clip(
    wav, film, sound, pictures, frame_rate, *, wav_rate, film_rate, codecs
):
    """Writes the two files of a clip, both marked as synthetic.

    Arguments
    ---------
    wav : pathlib.Path
        The sound file, 16 bits.
    film : pathlib.Path
        The video file, with the same sound.
    sound : numpy.ndarray
        What a synthetic voice says, ``[samples]``, at its `SAMPLE_RATE`.
    pictures : numpy.ndarray
        RGB, ``[frames, height, width, 3]``, uint8.
    frame_rate : int
        Pictures a second.
    wav_rate : int
        Sample rate of the sound file, in Hz.
    film_rate : int
        Sample rate of the sound in the video file, in Hz.
    codecs : tuple of str
        FFmpeg's names of the picture's and the sound's codec.
    """
    if wav_rate != SAMPLE_RATE:
        sound = resample_poly(sound, wav_rate, SAMPLE_RATE).clip(-1, 1)
    with soundfile.SoundFile(wav, "w", wav_rate, 1, "PCM_16") as file:
        file.title = TITLE
        file.write(sound)
    write_film(
        film, pictures, frame_rate, sound, wav_rate, codecs, film_rate, TITLE
    )


def corpus_command(make, description, *sizes):
    """The command line of a script that makes a corpus.

    Arguments
    ---------
    make : callable
        Takes the folder, the sizes, the seed and the number of workers.
    description : str
        Of the command.
    *sizes : tuple
        Option, default and help text of each size.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", help="where to make it")
    for option, default, text in (
        *sizes,
        ("--seed", 0, "other seeds, other people"),
        ("--workers", 2, "processes side by side"),
    ):
        parser.add_argument(option, type=int, default=default, help=text)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors(OSError):
        make(*vars(arguments).values())
