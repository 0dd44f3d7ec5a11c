"""Makes a small synthetic corpus as people have them: folders of videos.

Synthetic speakers say three sentences in four emotions. There is no table:
`auxformer init` writes it. It serves the tutorial and tests; results on it say
nothing about real people.

Example
-------
> python own_corpus_synthetic.py videos
> auxformer init videos
"""

import functools

import numpy as np

from auxformer_lobes.testing.corpus import (
    TITLE,
    corpus_command,
    make_clips,
    make_corpus,
    rng_for,
)
from auxformer_lobes.testing.emotions import (
    EXPRESSIONS,
    HEARD,
    SEEN,
    STYLES,
    blend,
    draw_shares,
)
from auxformer_lobes.testing.faces import animate, invent_face
from auxformer_lobes.testing.portraits import Portrait
from auxformer_lobes.testing.videos import write_video
from auxformer_lobes.testing.voices import SAMPLE_RATE, invent_voice, speak

SPEAKERS = (
    *("anna", "ben", "carla", "dan", "eva", "finn", "greta", "hugo"),
    *("ida", "jan", "klara", "leo", "mia", "noah", "olga", "paul"),
)
EMOTIONS = ("angry", "happy", "neutral", "sad")
SENTENCES = (
    "ai wil bi der at siks",
    "de leter keim tudei",
    "nau tel mi de rest",
)
FRAME_RATE = 15
VERSION = 1  # increase with each change of the contents: makes them anew


def make_synthetic_own_corpus(
    folder, num_speakers=12, num_sentences=3, seed=0, num_workers=2
):
    """Makes the corpus: `anna/happy/1.mp4`, and so on.

    A corpus made with the same options is kept.

    Arguments
    ---------
    folder : str or pathlib.Path
        Folder of the corpus; replaces an older synthetic corpus there.
    num_speakers : int
        1 to 16.
    num_sentences : int
        1 to 3.
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
            speakers=SPEAKERS[:num_speakers],
            num_sentences=num_sentences,
            seed=seed,
            num_workers=num_workers,
        ),
        VERSION,
        seed,
        num_workers,
        speakers=(num_speakers, len(SPEAKERS)),
        sentences=(num_sentences, len(SENTENCES)),
    )


def _make(folder, speakers, num_sentences, seed, num_workers):
    clips = [
        (speaker, emotion, number)
        for speaker in speakers
        for emotion in EMOTIONS
        for number in range(num_sentences)
    ]
    for speaker in speakers:
        for emotion in EMOTIONS:
            (folder / speaker / emotion).mkdir(parents=True)
    make_clips(functools.partial(_make_clip, folder, seed), clips, num_workers)


@functools.lru_cache(maxsize=2)
def _make_speaker(seed, speaker):
    """A speaker's voice, face, and expressiveness."""
    rng = rng_for(seed, speaker)
    gender = ("female", "male")[SPEAKERS.index(speaker) % 2]
    voice = invent_voice(rng, gender)
    return voice, Portrait(invent_face(rng, gender)), rng.uniform(7, 14)


def _make_clip(folder, seed, clip):
    speaker, emotion, number = clip
    voice, portrait, expressiveness = _make_speaker(seed, speaker)
    rng = rng_for(seed, *map(str, clip))
    heard = draw_shares(HEARD[emotion], expressiveness, rng)
    seen = draw_shares(SEEN[emotion], expressiveness, rng)
    audio = speak(SENTENCES[number], voice, blend(STYLES, heard), rng)
    images = animate(
        portrait, blend(EXPRESSIONS, seen), audio, SAMPLE_RATE, FRAME_RATE, rng
    )
    write_video(
        folder / speaker / emotion / f"{number + 1}.mp4",
        images,
        FRAME_RATE,
        np.asarray(audio),
        SAMPLE_RATE,
        ("mpeg4", "aac"),
        SAMPLE_RATE,
        TITLE,
    )


if __name__ == "__main__":
    corpus_command(
        make_synthetic_own_corpus,
        __doc__.splitlines()[0],
        ("--speakers", 12, "1 to 16"),
        ("--sentences", 3, "1 to 3"),
    )
