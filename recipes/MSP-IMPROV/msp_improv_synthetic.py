"""Makes a synthetic corpus in the layout and file formats of MSP-IMPROV.

Twelve synthetic speakers babble in six sessions, and simulated raters rate
their emotions. It serves demos and tests without the real corpus, which is
licensed; results on it say nothing about real people.

Example
-------
> python msp_improv_synthetic.py /path/to/demo/MSP-IMPROV
"""

import functools
from collections import Counter
from typing import NamedTuple

import numpy as np
from msp_improv_synthetic_ratings import rating_block

from auxformer_lobes.testing.corpus import (
    corpus_command,
    make_clips,
    make_corpus,
    rng_for,
    write_clip,
)
from auxformer_lobes.testing.emotions import (
    ATTRIBUTES,
    EXPRESSIONS,
    HEARD,
    SEEN,
    STYLES,
    blend,
    draw_shares,
    mix,
)
from auxformer_lobes.testing.faces import animate, invent_face
from auxformer_lobes.testing.portraits import Portrait
from auxformer_lobes.testing.voices import SAMPLE_RATE, invent_voice, speak

LABEL_FILE = "Evalution.txt"  # sic
SPEAKERS = [f"{gender}{n:02}" for n in range(1, 7) for gender in "FM"]
TARGETS = {"N": "neutral", "A": "angry", "S": "sad", "H": "happy"}
# A speaker cycles through these nine kinds of recordings and the four targets,
# so that 36 turns have each target in each kind of recording.
RECORDINGS = "PSRTSPSPS"
# Intensity of the emotions: natural interaction is closest to neutral.
STRENGTH = {"P": 0.6, "R": 0.85, "S": 0.9, "T": 1.0}
CLARITY = 0.5  # of vocal emotion, added to that of the synthetic CREMA-D
MAX_TURNS = 240  # twelve for each of the twenty sentences

FRAME_RATE = 15
IMAGE_HEIGHT = 240  # pixels
RATES = {48000: 0.85, 44100: 0.15}  # Hz, and the share of turns
VERSION = 1  # increase with each change of the contents: makes them anew

README = """\
SYNTHETIC DATA

The people in these videos do not exist. Their faces are drawn, their voices
are synthesised and the ratings of their emotions are simulated by
recipes/MSP-IMPROV/msp_improv_synthetic.py of auxformer-lobes. The folder has
the layout and file formats of MSP-IMPROV (Busso et al., 2017); nothing in it
is taken from there.

Keep no files of your own here: the whole folder is replaced when the corpus is
made again with other options.
"""


class Turn(NamedTuple):
    """A turn of one speaker."""

    sentence: int
    """Target sentence of the scene, 1 to 20."""
    target: str
    """Letter of the scene's target emotion."""
    speaker: str
    recording: str
    number: int
    """Number within the scene and kind of recording, from 1."""

    @property
    def scene(self):
        """Sentence and target emotion, such as S01A."""
        return f"S{self.sentence:02}{self.target}"

    @property
    def name(self):
        """Name of the turn, without the corpus' prefix."""
        talker = self.speaker[0]
        # A sentence is read without a listener.
        alone = self.recording == "R"
        listener = talker if alone else "M" if talker == "F" else "F"
        return (
            f"{self.scene}-{self.speaker}-{self.recording}-"
            f"{listener}{talker}{self.number:02}"
        )


def make_synthetic_msp_improv(folder, turns=36, seed=0, num_workers=2):
    """Makes the corpus: six sessions of two speakers.

    A turn depends on the seed and its name only. A corpus made with the same
    options is kept.

    Arguments
    ---------
    folder : str or pathlib.Path
        Folder of the corpus; replaces an older synthetic corpus there.
    turns : int
        Turns per speaker, 1 to 240. Four have all target emotions; 36 have
        them in all kinds of recordings.
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
            _make, turns=turns, seed=seed, num_workers=num_workers
        ),
        VERSION,
        seed,
        num_workers,
        turns=(turns, MAX_TURNS),
    )


def plan_turns(turns):
    """Turns of all speakers.

    Arguments
    ---------
    turns : int
        Turns per speaker.

    Returns
    -------
    list of Turn
        Speaker by speaker.

    Example
    -------
    >>> [turn.name for turn in plan_turns(3)[:4]]
    ['S01N-F01-P-MF01', 'S01A-F01-S-MF01', 'S01S-F01-R-FF01', 'S01N-M01-P-FM01']
    """
    planned = []
    for speaker in SPEAKERS:
        counts = Counter()
        for i in range(turns):
            kind = (
                1 + i // 12,
                "NASH"[i % 4],
                speaker,
                RECORDINGS[i % len(RECORDINGS)],
            )
            counts[kind] += 1
            planned.append(Turn(*kind, counts[kind]))
    return planned


def write_labels(path, turns, seed):
    """Writes the label file.

    Arguments
    ---------
    path : pathlib.Path
        The file.
    turns : list of Turn
        One block each.
    seed : int
        Seed of the corpus.
    """
    with open(path, "w", encoding="utf-8", newline="\r\n") as file:
        for turn in turns:
            file.write(
                rating_block(turn.name, turn.recording, _show(seed, turn), seed)
            )


def _make(folder, turns, seed, num_workers):
    (folder / "README.txt").write_text(README, "utf-8")
    planned = plan_turns(turns)
    for turn in planned:
        for kind in ("Audio", "Video"):
            _path(folder, kind, turn, "").parent.mkdir(
                parents=True, exist_ok=True
            )
    make_clip = functools.partial(_make_clip, folder, seed)
    make_clips(make_clip, planned, num_workers)
    write_labels(folder / LABEL_FILE, planned, seed)


def _path(folder, kind, turn, ending):
    session = f"session{int(turn.speaker[1:])}"
    name = f"MSP-IMPROV-{turn.name}{ending}"
    return folder / kind / session / turn.scene / turn.recording / name


@functools.lru_cache(maxsize=2)
def _make_speaker(seed, speaker):
    """A speaker's voice, face, and expressiveness."""
    rng = np.random.default_rng([seed, SPEAKERS.index(speaker)])
    gender = "female" if speaker[0] == "F" else "male"
    voice = invent_voice(rng, gender)
    portrait = Portrait(invent_face(rng, gender), IMAGE_HEIGHT)
    return voice, portrait, rng.uniform(6, 10)


def _show(seed, turn):
    """Shares of the emotions in the voice and in the face."""
    expressiveness = _make_speaker(seed, turn.speaker)[-1]
    rng = rng_for(seed, turn.name, "emotion")
    emotion = TARGETS[turn.target]
    if rng.random() < 0.05:  # an improvisation off target
        emotion = rng.choice(["disgust", "fear"])
    heard = draw_shares(HEARD[emotion], expressiveness, rng)
    heard = mix(heard, CLARITY, emotion)
    seen = draw_shares(SEEN[emotion], expressiveness, rng)
    weakness = 1 - rng.normal(STRENGTH[turn.recording], 0.3, size=2)
    return [
        mix(shares, amount, "neutral")
        for shares, amount in zip((heard, seen), weakness.clip(0, 1).tolist())
    ]


def _make_clip(folder, seed, turn):
    """Writes the two files of a turn."""
    voice, portrait, _ = _make_speaker(seed, turn.speaker)
    heard, seen = _show(seed, turn)
    rng = rng_for(seed, turn.name, "clip")
    text = _babble(
        # All speakers share the words of a target sentence.
        np.random.default_rng(turn.sentence) if turn.recording in "RT" else rng
    )
    style = blend(STYLES, heard)._replace(
        smile=blend(ATTRIBUTES, heard).valence
    )
    audio = speak(text, voice, style, rng)
    images = animate(
        portrait, blend(EXPRESSIONS, seen), audio, SAMPLE_RATE, FRAME_RATE, rng
    )
    rate = int(rng.choice(list(RATES), p=list(RATES.values())))
    write_clip(
        _path(folder, "Audio", turn, ".wav"),
        _path(folder, "Video", turn, ".avi"),
        audio,
        images,
        FRAME_RATE,
        wav_rate=rate,
        video_rate=rate,
        codecs=("mpeg4", "pcm_s16le"),
    )


def _babble(rng):
    """Three to fifteen words of one or two syllables."""
    consonants, vowels = list("bdfghjklmnprstvwz"), list("aeiou")
    words = [
        "".join(
            rng.choice(consonants) + rng.choice(vowels)
            for _ in range(rng.integers(1, 3))
        )
        for _ in range(rng.integers(3, 16))
    ]
    return " ".join(words)


if __name__ == "__main__":
    corpus_command(
        make_synthetic_msp_improv,
        __doc__.splitlines()[0],
        ("--turns", 36, "turns per speaker, 1 to 240"),
    )
