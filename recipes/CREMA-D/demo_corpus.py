"""Makes a synthetic corpus in the layout and file formats of CREMA-D.

Invented people say CREMA-D's sentences in six emotions, and simulated raters
vote on them. For demos and tests on machines that have not got the corpus;
results on it say nothing about people.

Example
-------
> python demo_corpus.py /path/to/demo/CREMA-D
"""

import argparse
import csv
import functools
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
from speechbrain.utils.logger import get_logger
from tqdm import tqdm

from auxformer_lobes.errors import UserError, one_line_errors
from auxformer_lobes.synthetic.emotions import (
    EXPRESSIONS,
    HEARD,
    SEEN,
    STYLES,
    blend,
    draw_shares,
    vote,
)
from auxformer_lobes.synthetic.faces import animate, invent_face
from auxformer_lobes.synthetic.films import write_film
from auxformer_lobes.synthetic.portraits import Portrait
from auxformer_lobes.synthetic.voices import SAMPLE_RATE, invent_voice, speak

logger = get_logger(__name__)

# CREMA-D's twelve sentences, spelt as the synthetic voices take them.
SENTENCES = {
    "IEO": "its eleven oklok",
    "TIE": "dat is eksaktli wat hapend",
    "IOM": "aim on mai wei tu de miting",
    "IWW": "ai wonder wat dis is abaut",
    "TAI": "de erplein is almost ful",
    "MTI": "meibi tumoro it wil bi kold",
    "IWL": "ai wud laik a nu alarm klok",
    "ITH": "ai tink ai hav a doktors apointment",
    "DFA": "dont forget a djaket",
    "ITS": "ai tink aiv sin dis bifor",
    "TSI": "de serfis is slik",
    "WSI": "wil stop in a kupel of minits",
}
EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
LETTERS = [code[0] for code in EMOTIONS]
_RESPONSES = "Emo Anger Disgust Fear Happy Neutral Sad".split()
_RESPONSES = [*(f"mean{x}Resp" for x in _RESPONSES), "medianEmoResp"]
VOTES_HEADER = [
    *("", *LETTERS, "fileName", "numResponses", "agreement", "emoVote"),
    *_RESPONSES,
    *(f"{column}Norm" for column in _RESPONSES),
]
SUMMARY_HEADER = [
    *("", "FileName", "VoiceVote", "VoiceLevel", "FaceVote", "FaceLevel"),
    *("MultiModalVote", "MultiModalLevel"),
]
FIRST_ACTOR, MAX_ACTORS = 1001, 91
FRAME_RATE = 15
TITLE = "synthetic: auxformer_lobes demo corpus, no real person"
MARKER = "demo_corpus.json"
VERSION = 1  # counts changes of what is made: older corpora are made again
README = """\
SYNTHETIC DATA

The people in these films do not exist. Their faces are drawn, their voices
are computed, and the votes on their emotions are simulated, by
recipes/CREMA-D/demo_corpus.py of auxformer-lobes. The folder has the layout
of CREMA-D (Cooper et al., 2014), but only the sentences come from there.

Keep nothing of yours in here: the folder is replaced as a whole when the
corpus is made again with other options.
"""


def make_demo_corpus(
    folder, num_actors=16, num_sentences=9, seed=0, num_workers=2
):
    """Makes the corpus: every actor says every sentence in six emotions.

    A clip's content depends on the seed, the actor, the sentence and the
    emotion only. A folder that holds the corpus already is left as it is.

    Arguments
    ---------
    folder : str or pathlib.Path
        Where to make it. An older demo corpus there is replaced.
    num_actors : int
        1 to 91.
    num_sentences : int
        1 to 12.
    seed : int
        Other seeds, other people.
    num_workers : int
        Processes that work side by side.

    Raises
    ------
    UserError
        If the folder holds something else, or a number is out of range.
    """
    folder = Path(folder).resolve()
    for option, value, least, most in (
        ("actors", num_actors, 1, MAX_ACTORS),
        ("sentences", num_sentences, 1, len(SENTENCES)),
        ("seed", seed, 0, 2**32 - 1),
        ("workers", num_workers, 1, 64),
    ):
        if not least <= value <= most:
            raise UserError(f"{option}: {value} is not in {least} to {most}")
    options = json.dumps(
        {
            "synthetic": True,
            "version": VERSION,
            "actors": num_actors,
            "sentences": num_sentences,
            "seed": seed,
        }
    )
    if (folder / MARKER).is_file():
        if (folder / MARKER).read_text("utf-8") == options:
            logger.info(f"{folder}: the demo corpus is there already")
            return
    elif folder.is_file() or folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: not a demo corpus; name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".demo") as work:
        made = Path(work) / folder.name
        _make(made, num_actors, num_sentences, seed, num_workers)
        (made / MARKER).write_text(options, "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(made, folder)
    logger.info(f"{folder}: demo corpus made (synthetic)")


def _make(folder, num_actors, num_sentences, seed, num_workers):
    for name in ("AudioWAV", "VideoFlash", "processedResults"):
        (folder / name).mkdir(parents=True)
    (folder / "README.txt").write_text(README, "utf-8")
    actors = range(FIRST_ACTOR, FIRST_ACTOR + num_actors)
    clips = [
        (actor, sentence, code)
        for actor in actors
        for sentence in list(SENTENCES)[:num_sentences]
        for code in EMOTIONS
    ]
    # Workers are many already: no threads of OpenCV's in each.
    with multiprocessing.Pool(num_workers, cv2.setNumThreads, (0,)) as pool:
        make_clip = functools.partial(_make_clip, folder, seed)
        progress = tqdm(
            pool.imap(make_clip, clips, chunksize=8),
            total=len(clips),
            desc="synthetic clips",
            unit="clip",
        )
        ratings = list(progress)
    names = [_clip_name(*clip) for clip in clips]
    _write_votes(folder / "processedResults", names, ratings)
    _write_csv(
        folder / "SentenceFilenames.csv",
        ["Stimulus_Number", "Filename"],
        enumerate(names, start=1),
    )
    _write_csv(
        folder / "VideoDemographics.csv",
        ["ActorID", "Age", "Sex", "Race", "Ethnicity"],
        [_demographics(seed, actor) for actor in actors],
    )


def _clip_name(actor, sentence, code):
    return f"{actor}_{sentence}_{code}_XX"


def _gender(actor):
    return "female" if actor % 2 == 0 else "male"


def _demographics(seed, actor):
    age = int(np.random.default_rng([seed, actor, 1]).integers(20, 75))
    return actor, age, _gender(actor).title(), "Synthetic", "Synthetic"


@functools.lru_cache(maxsize=2)
def _invent(seed, actor):
    """An actor's voice and looks, and how clearly emotions show in them."""
    rng = np.random.default_rng([seed, actor])
    voice = invent_voice(rng, _gender(actor))
    portrait = Portrait(invent_face(rng, _gender(actor)))
    return voice, portrait, rng.uniform(7, 14)


def _make_clip(folder, seed, clip):
    """Writes one clip; returns its votes and levels in three conditions."""
    actor, sentence, code = clip
    voice, portrait, skill = _invent(seed, actor)
    name = _clip_name(*clip)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    heard = draw_shares(HEARD[EMOTIONS[code]], skill, rng)
    seen = draw_shares(SEEN[EMOTIONS[code]], skill, rng)
    sound = speak(SENTENCES[sentence], voice, blend(STYLES, heard), rng)
    pictures = animate(
        portrait, blend(EXPRESSIONS, seen), sound, SAMPLE_RATE, FRAME_RATE, rng
    )
    wav = folder / "AudioWAV" / f"{name}.wav"
    with soundfile.SoundFile(wav, "w", SAMPLE_RATE, 1, "PCM_16") as file:
        file.title = TITLE
        file.write(sound)
    write_film(
        folder / "VideoFlash" / f"{name}.flv",
        pictures,
        FRAME_RATE,
        sound,
        SAMPLE_RATE,
        ("flv", "mp3"),
        22050,
        TITLE,
    )
    return [
        _rate(evidence, rng) for evidence in ([heard], [seen], [heard, seen])
    ]


def _rate(evidence, rng):
    """Six to twelve raters' choices, and how strong they find the emotion."""
    num_raters = rng.integers(6, 13)
    choices = vote(list(EMOTIONS.values()), evidence, num_raters, rng)
    levels = rng.normal(60, 15, size=num_raters).clip(0, 100).round()
    return choices, levels


def _write_votes(folder, names, ratings):
    """Both tables of votes, with all columns of the real ones."""
    rows, summary = [], [[str(i), name] for i, name in enumerate(names, 1)]
    for condition in range(3):
        for i, name in enumerate(names):
            choices, levels = ratings[i][condition]
            counts = np.bincount(choices, minlength=len(LETTERS)).tolist()
            means = [
                float(levels[choices == k].mean()) if count else -1
                for k, count in enumerate(counts)
            ]
            top = [k for k, count in enumerate(counts) if count == max(counts)]
            winners = ":".join(LETTERS[k] for k in top)
            rows.append(
                [str(100000 * (condition + 1) + i + 1), *counts, name]
                + [len(choices), max(counts) / len(choices), winners]
                # Simulated raters use one scale: no need to normalise.
                + 2 * [float(levels.mean()), *means, float(np.median(levels))]
            )
            summary[i] += [winners, ":".join(f"{means[k]:.2f}" for k in top)]
    _write_csv(folder / "tabulatedVotes.csv", VOTES_HEADER, rows)
    _write_csv(folder / "summaryTable.csv", SUMMARY_HEADER, summary)


def _write_csv(path, header, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(
            file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"
        )
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where to make it")
    for option, default, text in (
        ("--actors", 16, "1 to 91"),
        ("--sentences", 9, "1 to 12"),
        ("--seed", 0, "other seeds, other people"),
        ("--workers", 2, "processes side by side"),
    ):
        parser.add_argument(option, type=int, default=default, help=text)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        make_demo_corpus(
            arguments.folder,
            arguments.actors,
            arguments.sentences,
            arguments.seed,
            arguments.workers,
        )
