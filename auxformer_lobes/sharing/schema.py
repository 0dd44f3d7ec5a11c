"""What the `hyperparams.yaml` of an exported model may hold.

For a file, nothing is imported but the classes listed here and modules of
`auxformer_lobes.models`, whose networks with a `schema` of their own it may
name. What the arguments may be is in the `schema` of each class; folders of a
machine and devices are no valid arguments.
"""

import re
from contextlib import suppress
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
FACES = (
    "auxformer_lobes.processing.faces.detection.CascadeDetector",
    "auxformer_lobes.processing.faces.tracker.FaceTracker",
    "auxformer_lobes.processing.faces.yunet.YuNetDetector",
)
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
MODELS = "auxformer_lobes.models."
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
        lambda x: isinstance(x, ObjectSpec) and x.path.startswith(MODELS),
        "a network of auxformer_lobes.models",
    ),
}
OPTIONAL = ("audio_encoder", "visual_encoder")
# Made without memory: all that they hold is in the weights.
META_INIT = ("audio_norm", "visual_norm", "network")
MODULES = (*OPTIONAL, *META_INIT)


def class_of(path):
    """Imports a class that a file may name; any other path is a LookupError."""
    module, _, name = path.rpartition(".")
    if path in CLASSES:
        return getattr(import_module(module), name)
    if re.fullmatch(rf"{re.escape(MODELS)}\w+\.\w+", path):
        with suppress(ImportError, AttributeError):
            kind = getattr(import_module(module), name)
            is_class = isinstance(kind, type) and "schema" in vars(kind)
            if is_class and issubclass(kind, AudioVisualNetwork):
                return kind
    raise LookupError(path)


def schema_of(path):
    """Argument → `Check`, of a class that a file may name."""
    if path in TORCH_SCHEMAS:
        return TORCH_SCHEMAS[path]
    return class_of(path).schema
