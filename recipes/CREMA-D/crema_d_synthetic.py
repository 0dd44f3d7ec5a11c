"""Makes a synthetic corpus in the layout and file formats of CREMA-D.

Synthetic speakers say the sentences of CREMA-D in six emotions, and simulated
raters vote on them. It serves demos and tests without the real corpus; results
on it say nothing about real people.

Example
-------
> python crema_d_synthetic.py /path/to/demo/CREMA-D
"""

import csv
import functools
import zlib

import numpy as np

from auxformer_lobes.testing.corpus import (
    corpus_command,
    make_clips,
    make_corpus,
    write_clip,
)
from auxformer_lobes.testing.emotions import (
    EXPRESSIONS,
    HEARD,
    SEEN,
    STYLES,
    blend,
    draw_shares,
    vote,
)
from auxformer_lobes.testing.faces import animate, invent_face
from auxformer_lobes.testing.portraits import Portrait
from auxformer_lobes.testing.voices import SAMPLE_RATE, invent_voice, speak

# The twelve sentences of CREMA-D, spelt for the synthetic voices.
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
VERSION = 1  # increase with each change of the contents: makes them anew
README = """\
SYNTHETIC DATA

The people in these videos do not exist. Their faces are drawn, their voices
are synthesised and the votes on their emotions are simulated by
recipes/CREMA-D/crema_d_synthetic.py of auxformer-lobes. The folder has the
layout of CREMA-D (Cao et al., 2014), but only the sentences are taken from it.

Keep no files of your own here: the whole folder is replaced when the corpus is
made again with other options.
"""


def make_synthetic_crema_d(
    folder, num_actors=16, num_sentences=9, seed=0, num_workers=2
):
    """Makes the corpus: each actor says each sentence in six emotions.

    A clip depends on the seed, actor, sentence and emotion only. A corpus
    made with the same options is kept.

    Arguments
    ---------
    folder : str or pathlib.Path
        Folder of the corpus; replaces an older synthetic corpus there.
    num_actors : int
        1 to 91.
    num_sentences : int
        1 to 12.
    seed : int
        Selects the speakers.
    num_workers : int
        Number of processes.

    Raises
    ------
    UserError
        If the folder holds anything else, or a number is out of range.
    """
    make_corpus(
        folder,
        functools.partial(
            _make,
            num_actors=num_actors,
            num_sentences=num_sentences,
            seed=seed,
            num_workers=num_workers,
        ),
        VERSION,
        seed,
        num_workers,
        actors=(num_actors, MAX_ACTORS),
        sentences=(num_sentences, len(SENTENCES)),
    )


def _make(folder, num_actors, num_sentences, seed, num_workers):
    for name in ("AudioWAV", "VideoFlash", "processedResults"):
        (folder / name).mkdir()
    (folder / "README.txt").write_text(README, "utf-8")
    actors = range(FIRST_ACTOR, FIRST_ACTOR + num_actors)
    clips = [
        (actor, sentence, code)
        for actor in actors
        for sentence in list(SENTENCES)[:num_sentences]
        for code in EMOTIONS
    ]
    make_clip = functools.partial(_make_clip, folder, seed)
    ratings = make_clips(make_clip, clips, num_workers)
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
def _make_actor(seed, actor):
    """An actor's voice, face, and expressiveness."""
    rng = np.random.default_rng([seed, actor])
    voice = invent_voice(rng, _gender(actor))
    portrait = Portrait(invent_face(rng, _gender(actor)))
    return voice, portrait, rng.uniform(7, 14)


def _make_clip(folder, seed, clip):
    """Writes one clip; returns votes and levels for each presentation."""
    actor, sentence, code = clip
    voice, portrait, expressiveness = _make_actor(seed, actor)
    name = _clip_name(*clip)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    heard = draw_shares(HEARD[EMOTIONS[code]], expressiveness, rng)
    seen = draw_shares(SEEN[EMOTIONS[code]], expressiveness, rng)
    audio = speak(SENTENCES[sentence], voice, blend(STYLES, heard), rng)
    images = animate(
        portrait, blend(EXPRESSIONS, seen), audio, SAMPLE_RATE, FRAME_RATE, rng
    )
    write_clip(
        folder / "AudioWAV" / f"{name}.wav",
        folder / "VideoFlash" / f"{name}.flv",
        audio,
        images,
        FRAME_RATE,
        wav_rate=SAMPLE_RATE,
        video_rate=22050,
        codecs=("flv", "mp3"),
    )
    return [
        _rate(evidence, rng) for evidence in ([heard], [seen], [heard, seen])
    ]


def _rate(evidence, rng):
    """Votes of six to twelve raters, and the intensity levels they give."""
    num_raters = rng.integers(6, 13)
    choices = vote(list(EMOTIONS.values()), evidence, num_raters, rng)
    levels = rng.normal(60, 15, size=num_raters).clip(0, 100).round()
    return choices, levels


def _write_votes(folder, names, ratings):
    """Writes both tables of votes, with all columns of the real ones."""
    rows, summary = [], [[str(i), name] for i, name in enumerate(names, 1)]
    for presentation in range(3):
        for i, name in enumerate(names):
            choices, levels = ratings[i][presentation]
            counts = np.bincount(choices, minlength=len(LETTERS)).tolist()
            means = [
                float(levels[choices == k].mean()) if count else -1
                for k, count in enumerate(counts)
            ]
            top = [k for k, count in enumerate(counts) if count == max(counts)]
            winners = ":".join(LETTERS[k] for k in top)
            rows.append(
                [str(100000 * (presentation + 1) + i + 1), *counts, name]
                + [len(choices), max(counts) / len(choices), winners]
                # The simulated raters share one scale: normalised = raw.
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
    corpus_command(
        make_synthetic_crema_d,
        __doc__.splitlines()[0],
        ("--actors", 16, "1 to 91"),
        ("--sentences", 9, "1 to 12"),
    )
