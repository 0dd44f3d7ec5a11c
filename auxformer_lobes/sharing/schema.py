"""What the `hyperparams.yaml` of an exported model may say.

It makes objects of the classes in `CLASSES`, from arguments that are data and
within limits, and refers to them by their keys. Where files lie, and on which
device things run, is not for it to say.
"""

import re
from typing import Any, Callable, NamedTuple

# A model on the Hub, at a commit; or what an export holds itself.
SOURCE = r"\w[\w.-]*/[\w.-]+@[0-9a-f]{40}"
COPIED_MODEL = "encoders/(audio|visual)"
COPIED_WEIGHTS = r"encoders/(audio|visual)\.pt"


class Made(NamedTuple):
    """An object that a file asks for.

    Arguments
    ---------
    path : str
        Its class.
    arguments : dict
        What it is made from, by name.
    """

    path: str
    arguments: dict


class Ref(NamedTuple):
    """What another key of a file stands for.

    Arguments
    ---------
    key : str
        The other one.
    """

    key: str


class Kind(NamedTuple):
    """What a value may be.

    Arguments
    ---------
    fits : callable
        Whether a value is so.
    words : str
        The same in words.
    """

    fits: Callable[[Any], bool]
    words: str


def _whole(low, high):
    return Kind(
        lambda x: type(x) is int and low <= x <= high,
        f"a whole number from {low} to {high}",
    )


def _real(low, high):
    return Kind(
        lambda x: type(x) in (int, float) and low <= x <= high,
        f"a number from {low} to {high}",
    )


def _one_of(*choices):
    return Kind(
        lambda x: any(type(x) is type(c) and x == c for c in choices),
        f"one of {', '.join(map(str, choices))}",
    )


def _text(pattern, words):
    return Kind(
        lambda x: type(x) is str and re.fullmatch(pattern, x) is not None, words
    )


def _made(*paths):
    names = ", ".join(path.rpartition(".")[2] for path in paths)
    return Kind(lambda x: isinstance(x, Made) and x.path in paths, names)


def _ref(*keys):
    return Kind(
        lambda x: isinstance(x, Ref) and x.key in keys,
        " or ".join(f"!ref <{key}>" for key in keys),
    )


def _several(kind):
    return Kind(
        lambda x: type(x) is list and all(map(kind.fits, x)),
        f"a list, each {kind.words}",
    )


def _or_null(kind):
    return Kind(lambda x: x is None or kind.fits(x), f"{kind.words}, or null")


_FLAG = _one_of(True, False)
_SHARE = _real(0, 1)
_SIZE = _whole(1, 1 << 20)
_NUMBERS = _or_null(_several(_real(0, 1e6)))
_NAMES = _several(_text(r"[\w .-]{1,100}", "a name"))
_MODEL = _text(
    f"{SOURCE}|{COPIED_MODEL}",
    "a model on the Hub at a commit, user/name@commit, or one in the folder",
)
_WEIGHTS = _text(COPIED_WEIGHTS, "a file of the folder, encoders/*.pt")
_RATE = _or_null(_real(0.1, 240))
_FACES = {
    "faces": _or_null(
        _made("auxformer_lobes.processing.faces.tracker.FaceTracker")
    ),
    "frames_per_second": _RATE,
}
_BATCH = {"batch_frames": _whole(1, 4096)}

# What may be made, and from what.
CLASSES = {
    "auxformer_lobes.tasks.CategoricalEmotion": {
        "classes": _NAMES,
        "label_rule": _one_of("P", "M", "D"),
        "class_weights": _NUMBERS,
        "label_smoothing": _SHARE,
    },
    "auxformer_lobes.tasks.MultiLabelEmotion": {
        "classes": _NAMES,
        "binary": _FLAG,
    },
    "auxformer_lobes.tasks.DimensionalEmotion": {
        "names": _NAMES,
        "low": _real(-1e6, 1e6),
        "high": _real(-1e6, 1e6),
        "weights": _NUMBERS,
        "mse_weight": _real(0, 1e6),
    },
    "auxformer_lobes.features.fbank.FbankFeatures": {
        "sample_rate": _whole(4000, 96000),
        "n_mels": _whole(1, 512),
        "hop_length": _whole(1, 500),
        "win_length": _whole(1, 500),
        "deltas": _FLAG,
    },
    "auxformer_lobes.features.opensmile.OpenSmileFeatures": {
        "feature_set": _text(r"\w{1,50}", "a name"),
    },
    "auxformer_lobes.features.speech_ssl.SpeechModelFeatures": {
        "source": _MODEL,
        "keep_layers": _or_null(_whole(1, 1000)),
        "layer": Kind(
            lambda x: x in ("last", "all") or _whole(1, 1000).fits(x),
            "last, all or a number",
        ),
        "weights": _or_null(_WEIGHTS),
        "batch_seconds": _real(0, 3600),
    },
    "auxformer_lobes.processing.faces.tracker.FaceTracker": {
        "size": _whole(8, 1024),
        "detect_every": _real(0, 60),
        "smoothing": _real(0, 60),
        "margin": _real(0, 2),
        "align": _FLAG,
        "min_face": _real(0.01, 1),
        "working_width": _whole(32, 4096),
    },
    "auxformer_lobes.features.hog.HogFeatures": _FACES,
    "auxformer_lobes.features.vgg_face.VggFaceFeatures": {
        "weights": _WEIGHTS,
        **_FACES,
        **_BATCH,
    },
    "auxformer_lobes.features.vision.ImageModelFeatures": {
        "source": _MODEL,
        **_FACES,
        "pooling": _one_of("pooled", "cls", "mean"),
        **_BATCH,
    },
    "auxformer_lobes.features.vision.VideoModelFeatures": {
        "source": _MODEL,
        **_FACES,
        "hop": _whole(1, 1000),
        **_BATCH,
    },
    "auxformer_lobes.features.finetuned.FineTunedEncoder": {
        "features": _ref("audio_features", "visual_features"),
        "freeze": _FLAG,
        "frozen_modules": _several(
            _text(r"[\w.]{1,200}", "a part of the model")
        ),
        "gradient_checkpointing": _FLAG,
    },
    "auxformer_lobes.nnet.normalization.FeatureNorm": {
        "dim": _SIZE,
        "clip": _or_null(_real(0, 1e6)),
    },
    "torch.nn.Identity": {},
    "torch.nn.LayerNorm": {
        "normalized_shape": _SIZE,
        "eps": _SHARE,
        "elementwise_affine": _FLAG,
        "bias": _FLAG,
    },
    "auxformer_lobes.models.auxformer.AuxFormer": {
        "audio_dim": _SIZE,
        "visual_dim": _SIZE,
        "model_dim": _SIZE,
        "num_heads": _SIZE,
        "num_layers": _whole(1, 200),
        "num_classes": _SIZE,
        "audio_layers": _whole(1, 1000),
        "visual_layers": _whole(1, 1000),
        "audio_projection": _or_null(_FLAG),
        "visual_projection": _or_null(_FLAG),
        "shared_auxiliary_head": _FLAG,
        "causal": _FLAG,
        "pooling": _one_of("last", "attentive"),
        "auxiliary_passes": _whole(0, 100),
        "missing": _one_of("mask", "zero_fill"),
        "embedding_dropout": _SHARE,
        "attention_dropout": _SHARE,
        "cross_attention_dropout": _SHARE,
        "relu_dropout": _SHARE,
        "residual_dropout": _SHARE,
        "head_dropout": _SHARE,
    },
}


def _classes(prefix, *names):
    return _made(*(f"{prefix}.{name}" for name in names))


_NORM = _made(
    "auxformer_lobes.nnet.normalization.FeatureNorm",
    "torch.nn.Identity",
    "torch.nn.LayerNorm",
)
_ENCODER = _classes("auxformer_lobes.features.finetuned", "FineTunedEncoder")
_DTYPE = _one_of("float16", "float32", "uint8")
# What the network is made of, in the order in which it is applied.
MODULES = (
    "audio_encoder",
    "visual_encoder",
    "audio_norm",
    "visual_norm",
    "network",
)
# Where there are none, features come from elsewhere or are fixed.
OPTIONAL = ("audio_encoder", "visual_encoder")

# What a file holds.
KEYS = {
    "task": _classes(
        "auxformer_lobes.tasks",
        "CategoricalEmotion",
        "MultiLabelEmotion",
        "DimensionalEmotion",
    ),
    "audio_features": _or_null(
        _classes(
            "auxformer_lobes.features",
            "fbank.FbankFeatures",
            "opensmile.OpenSmileFeatures",
            "speech_ssl.SpeechModelFeatures",
        )
    ),
    "visual_features": _or_null(
        _classes(
            "auxformer_lobes.features",
            "hog.HogFeatures",
            "vgg_face.VggFaceFeatures",
            "vision.ImageModelFeatures",
            "vision.VideoModelFeatures",
        )
    ),
    "feature_dtype": {"audio": _DTYPE, "visual": _DTYPE},
    "min_face_quality": _whole(0, 2),
    "audio_encoder": _ENCODER,
    "visual_encoder": _ENCODER,
    "audio_norm": _NORM,
    "visual_norm": _NORM,
    "network": _classes("auxformer_lobes.models.auxformer", "AuxFormer"),
    "modules": {name: _ref(name) for name in MODULES},
}
