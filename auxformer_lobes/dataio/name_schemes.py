"""Names of emotions, and public corpora whose file names hold the labels.

- RAVDESS: Livingstone and Russo, PLoS ONE 2018.
- EMO-DB: Burkhardt et al., "A database of German emotional speech",
  Interspeech 2005.
- CREMA-D: Cao et al., IEEE Transactions on Affective Computing 2014.
- SAVEE: Haq and Jackson, "Speaker-dependent audio-visual emotion recognition",
  AVSP 2009.
- TESS: Pichora-Fuller and Dupuis, "Toronto emotional speech set", 2010.
"""

import re
import unicodedata
from typing import NamedTuple

# Synonyms, usual abbreviations and German words, by the names of
# `labels.class_names`, and of some further classes.
EMOTION_WORDS = {
    "amused": "amused amusement",
    "angry": "angry anger ang wut ärger aerger wütend wuetend zorn",
    "bored": "bored boredom langeweile",
    "calm": "calm calmness ruhig",
    "contempt": "contempt contemptuous verachtung",
    "depressed": "depressed depression",
    "disgust": "disgust disgusted dis ekel",
    "excited": "excited excitement exc",
    "fear": "fear fearful fea afraid anxious anxiety scared angst",
    "frustrated": "frustrated frustration fru",
    "happy": "happy happiness hap joy joyful freude fröhlich froehlich",
    "neutral": "neutral neu",
    "sad": "sad sadness trauer traurig",
    "sleepy": "sleepy sleepiness",
    "surprise": "surprise surprised sur überraschung ueberraschung",
}
_CLASS_OF = {
    word: name for name, text in EMOTION_WORDS.items() for word in text.split()
}

_RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fear")
_RAVDESS_EMOTIONS += ("disgust", "surprise")
_EMODB_EMOTIONS = {
    **{"W": "angry", "L": "bored", "E": "disgust", "A": "fear"},
    **{"F": "happy", "T": "sad", "N": "neutral"},
}
_EMODB_MEN = ("03", "10", "11", "12", "15")
_SAVEE_EMOTIONS = {
    **{"a": "angry", "d": "disgust", "f": "fear", "h": "happy"},
    **{"n": "neutral", "sa": "sad", "su": "surprise"},
}
_LEVELS = {"LO": "low", "MD": "medium", "HI": "high"}


class Scheme(NamedTuple):
    """How a corpus names its files.

    Arguments
    ---------
    pattern : re.Pattern
        Matches folder and name of a file, without suffix, from the end; the
        group `take` is the same for all files of a clip.
    labels : callable
        Match -> labels, by column.
    parts : str
        Parts of a name, for the user.
    """

    pattern: re.Pattern
    labels: object
    parts: str


def _ravdess(match):
    actor = int(match["actor"])
    return {
        "speaker": f"ravdess_{actor:02}",
        "emotion": _RAVDESS_EMOTIONS[int(match["emotion"]) - 1],
        "gender": "male" if actor % 2 else "female",
        "intensity": {"01": "normal", "02": "strong"}[match["intensity"]],
        "statement": {"01": "kids", "02": "dogs"}[match["statement"]],
        "repetition": str(int(match["repetition"])),
        "channel": {"01": "speech", "02": "song"}[match["channel"]],
    }


def _emodb(match):
    return {
        "speaker": f"emodb_{match['speaker']}",
        "emotion": _EMODB_EMOTIONS[match["emotion"]],
        "gender": "male" if match["speaker"] in _EMODB_MEN else "female",
        "statement": match["text"],
        "repetition": match["version"],
    }


def _crema_d(match):
    return {
        "speaker": match["speaker"],
        "emotion": emotion_of(match["emotion"]),
        "intensity": _LEVELS.get(match["level"], ""),
        "statement": match["sentence"],
    }


def _savee(match):
    return {
        "speaker": match["speaker"],
        "emotion": _SAVEE_EMOTIONS[match["emotion"]],
        "gender": "male",
        "statement": match["sentence"],
    }


def _tess(match):
    word = match["emotion"].lower()
    return {
        "speaker": match["speaker"] + "F" * (len(match["speaker"]) < 3),
        "emotion": "surprise" if word == "ps" else emotion_of(word),
        "gender": "female",
        "statement": match["word"],
    }


SCHEMES = {
    "RAVDESS": Scheme(
        re.compile(
            r"(^|/)0[123]-(?P<take>(?P<channel>0[12])-(?P<emotion>0[1-8])-"
            r"(?P<intensity>0[12])-(?P<statement>0[12])-(?P<repetition>0[12])-"
            r"(?P<actor>0[1-9]|1\d|2[0-4]))$"
        ),
        _ravdess,
        "modality-channel-emotion-intensity-statement-repetition-actor",
    ),
    "EMO-DB": Scheme(
        re.compile(
            r"(^|/)(?P<take>(?P<speaker>0[389]|1[0-6])(?P<text>[ab]\d\d)"
            r"(?P<emotion>[WLEAFTN])(?P<version>[a-z]?))$"
        ),
        _emodb,
        "speaker, text, letter of the German emotion, version",
    ),
    "CREMA-D": Scheme(
        re.compile(
            r"(^|/)(?P<take>(?P<speaker>1\d{3})_(?P<sentence>[A-Z]{3})_"
            r"(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_(?P<level>LO|MD|HI|XX?))$"
        ),
        _crema_d,
        "actor_sentence_emotion_level; the emotion is the intended one",
    ),
    "SAVEE": Scheme(
        re.compile(
            r"(^|/)(?P<take>(?P<speaker>DC|JE|JK|KL)[/_]"
            r"(?P<emotion>[adfhn]|sa|su)(?P<sentence>\d\d?))$"
        ),
        _savee,
        "speaker, letters of the emotion, sentence",
    ),
    "TESS": Scheme(
        # One file is called OA_bite_neutral.
        re.compile(
            r"(^|/)(?P<take>(?P<speaker>OAF?|YAF)_(?P<word>[a-z]+)_"
            r"(?P<emotion>angry|disgust|fear|happy|ps|sad|neutral))$"
        ),
        _tess,
        "speaker_word_emotion",
    ),
}


def scheme_of(path):
    """Finds the corpus that names its files like this one.

    Arguments
    ---------
    path : str
        Path without suffix, with "/" between folders.

    Returns
    -------
    corpus : str or None
        A key of `SCHEMES`.
    take : str or None
        The same for all files of a clip.
    labels : dict
        Column -> text.

    Example
    -------
    >>> corpus, take, labels = scheme_of("Actor_12/03-01-06-01-02-01-12")
    >>> corpus, labels["emotion"], labels["speaker"], labels["gender"]
    ('RAVDESS', 'fear', 'ravdess_12', 'female')
    >>> scheme_of("wav/03a01Fa")[2]["emotion"], scheme_of("angry/one")
    ('happy', (None, None, {}))
    """
    for corpus, scheme in SCHEMES.items():
        if match := scheme.pattern.search(path):
            return corpus, match["take"], scheme.labels(match)
    return None, None, {}


def emotion_of(name):
    """Finds the one emotion that a name has among its words.

    Arguments
    ---------
    name : str
        Of a folder or a file.

    Returns
    -------
    str or None
        None if there is no known emotion in it, or several.

    Example
    -------
    >>> emotion_of("01_Fearful"), emotion_of("Freude"), emotion_of("anna")
    ('fear', 'happy', None)
    """
    # macOS writes letters and their dots apart.
    text = unicodedata.normalize("NFC", name).lower()
    words = re.findall(r"[^\W\d_]+", text)
    found = {_CLASS_OF[word] for word in words if word in _CLASS_OF}
    return found.pop() if len(found) == 1 else None
