"""What the `hyperparams.yaml` of an exported model may hold.

No other class is ever imported for a file than those listed here and the
networks of `auxformer_lobes.models` that have a `schema` of their own. What its
arguments may be is in the `schema` of each class; folders of a machine and
devices are no valid arguments.
"""

import re
from importlib import import_module

from auxformer_lobes.models.base import AudioVisualNetwork
from auxformer_lobes.utils.schema import (
    CHANNELS,
    FLAG,
    SHARE,
    Check,
    ObjectSpec,
    integer,
    list_of,
    object_of,
    one_of,
    optional,
)

TASKS = (
    "auxformer_lobes.tasks.categorical.CategoricalEmotion",
    "auxformer_lobes.tasks.dimensional.DimensionalEmotion",
    "auxformer_lobes.tasks.multilabel.MultiLabelEmotion",
)
AUDIO_FEATURES = (
    "auxformer_lobes.features.fbank.FbankFeatures",
    "auxformer_lobes.features.opensmile.OpenSmileFeatures",
    "auxformer_lobes.features.speech_ssl.SpeechModelFeatures",
)
FACES = ("auxformer_lobes.processing.faces.tracker.FaceTracker",)
VISUAL_FEATURES = (
    "auxformer_lobes.features.hog.HogFeatures",
    "auxformer_lobes.features.vgg_face.VggFaceFeatures",
    "auxformer_lobes.features.vision.ImageModelFeatures",
    "auxformer_lobes.features.vision.VideoModelFeatures",
)
ENCODERS = ("auxformer_lobes.features.finetuned.FineTunedEncoder",)
NORMS = (
    "auxformer_lobes.nnet.normalization.FeatureNorm",
    "torch.nn.Identity",
    "torch.nn.LayerNorm",
)
CLASSES = (
    *(*TASKS, *AUDIO_FEATURES, *FACES, *VISUAL_FEATURES),
    *(*ENCODERS, *NORMS),
)
TORCH_SCHEMAS = {
    "torch.nn.Identity": {},
    "torch.nn.LayerNorm": {
        "normalized_shape": list_of(CHANNELS),
        "eps": SHARE,
        "elementwise_affine": FLAG,
        "bias": FLAG,
    },
}


def is_network(path):
    """Whether a path is that of a network of `models` with its own schema.

    Example
    -------
    >>> is_network("auxformer_lobes.models.auxformer.AuxFormer")
    True
    >>> is_network("auxformer_lobes.models.published.rename")
    False
    """
    if not re.fullmatch(r"auxformer_lobes\.models\.\w+\.\w+", path):
        return False
    try:
        kind = _imported(path)
    except (ImportError, AttributeError):
        return False
    is_class = isinstance(kind, type) and issubclass(kind, AudioVisualNetwork)
    return is_class and "schema" in vars(kind)


def _imported(path):
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


KEYS = {
    "task": object_of(*TASKS),
    "audio_features": optional(object_of(*AUDIO_FEATURES)),
    "visual_features": optional(object_of(*VISUAL_FEATURES)),
    "audio_dtype": one_of("float16", "float32", "uint8"),
    "visual_dtype": one_of("float16", "float32", "uint8"),
    "min_face_quality": integer(0, 2),
    "audio_encoder": object_of(*ENCODERS),
    "visual_encoder": object_of(*ENCODERS),
    "audio_norm": object_of(*NORMS),
    "visual_norm": object_of(*NORMS),
    "network": Check(
        lambda x: isinstance(x, ObjectSpec) and is_network(x.path),
        "a network of auxformer_lobes.models",
    ),
}
OPTIONAL = ("audio_encoder", "visual_encoder")
# Made without memory: all that they hold is in the weights.
META_INIT = ("audio_norm", "visual_norm", "network")
MODULES = (*OPTIONAL, *META_INIT)


def is_allowed(path):
    """Whether a file may name a class."""
    return path in CLASSES or is_network(path)


def class_of(path):
    """Imports an allowed class; any other path is a LookupError."""
    if not is_allowed(path):
        raise LookupError(path)
    return _imported(path)


def schema_of(path):
    """Argument → `Check`, of an allowed class."""
    if path in TORCH_SCHEMAS:
        return TORCH_SCHEMAS[path]
    return class_of(path).schema
