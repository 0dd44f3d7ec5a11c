"""Configurations of a stranger's encoder: small, plain, and about itself only.

Transformers follows what they name: another model on the Hub, with the user's
token, or a file of this machine. So only models and processors that are known
to follow nothing are allowed, and anything that looks like a name of a file
or a repository is refused, whoever would read it. What is never followed is
listed in `TEXTS`. Numbers are limited where memory follows from them, not from
the weights, whose size limits all others.
"""

import json
import math
import re

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import shown

MODEL_TYPES = {
    "audio": ("hubert", "wav2vec2", "wavlm"),
    "visual": (
        *("beit", "clip", "clip_vision_model", "convnext", "convnextv2"),
        *("data2vec-vision", "deit", "dinov2", "dinov2_with_registers"),
        *("dinov3_vit", "ijepa", "regnet", "resnet", "siglip"),
        *("siglip_vision_model", "swin", "swinv2", "timesformer"),
        *("videomae", "vit", "vit_mae", "vit_msn", "vivit"),
    ),
}
# Those of the towers for text of CLIP and SigLIP, which are not made.
PARTS = ("clip_text_model", "siglip_text_model")
_IMAGES = "Beit|Bit|CLIP|ConvNext|DINOv3ViT|DeiT|Siglip|ViT|VideoMAE|Vivit"
PROCESSOR = re.compile(
    rf"({_IMAGES})(FeatureExtractor|ImageProcessor(Fast|Pil)?)"
    "|Wav2Vec2FeatureExtractor"
)
PROCESSOR_KEYS = ("feature_extractor_type", "image_processor_type")
# Models without attention over a whole image.
LOCAL = ("convnext", "regnet", "resnet", "swin")
# Files that transformers reads; others of the folder, as of a tokenizer, stay
# closed. Processors may be described in the second or in the third.
READ = ("config.json", "preprocessor_config.json", "processor_config.json")
# In a configuration, they ask transformers for code of a repository, or for
# another configuration in place of this one.
FOR_CODE = {
    "attn_implementation",
    "auto_map",
    "configuration_files",
    "experts_implementation",
    "quantization_config",
}
# Words in keys whose values are followed, where some class of transformers
# reads them: `repo_path`, `class_info_file`, `use_timm_backbone`.
NAMES_OTHERS = re.compile(
    "(^|_)(backbone|checkpoint|file|filename|files|path|paths|pretrained|repo"
    "|repository|timm|uri|url)(_|$)"
)
ASKS_FOR_OTHERS = re.compile("backbone|pretrained|timm")
# Texts that nothing follows: from where a model once came, and its classes.
TEXTS = ("_commit_hash", "_name_or_path", "id2label", "label2id", "license")
VERSIONS = ("transformers_version",)
WORD = re.compile(r"[\w-]{0,64}")
MAX_BYTES = 4 << 20  # 22,000 classes of ImageNet take two
MAX_DEPTH = 8
MAX_ITEMS = 1000  # of a list
MAX_NUMBER = 1 << 20
MAX_LAYERS = 200  # of a model, or a stage of it
MAX_SIZE = 1024  # pixels; the largest image encoders take 518
MAX_FRAMES = 256  # in a window
PIXELS = {"crop", "edge", "height", "image", "pad", "pixels", "width", "window"}
# Places in an image or window, and of them with channels: models compute
# tables of either size.
MAX_PLACES, MAX_TABLE = 1 << 12, 1 << 22
STRIDE, MAX_SAMPLES = (80, 1600), 16000  # of a frame; 320 and 400 are usual
# Those of wav2vec 2.0, where a configuration leaves them out.
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)


class _Refused(Exception):
    """Why a configuration is refused."""


def check_configs(folder, modality, trusted=False):
    """Checks all configurations of an encoder, before anything reads them.

    Arguments
    ---------
    folder : Path
        The encoder.
    modality : str
        "audio" or "visual".
    trusted : bool
        Whether it may be of any type, and of any size.

    Raises
    ------
    UserError
        If one is damaged, asks for code, or names anything but itself.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> config = {"model_type": "vit", "backbone": "user/name"}
    >>> _ = (folder / "config.json").write_text(json.dumps(config))
    >>> check_configs(folder, "visual")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: ...: 'backbone' is 'user/name', which ...
    """
    for path in sorted(folder.glob("*.json")):
        if not path.is_file():
            raise UserError(f"{path}: not a file: refused")
        # Transformers prefers config.4.0.0.json to the plain one.
        is_read = path.name in READ or path.name.startswith("config.")
        is_index = path.name.endswith(".index.json")
        if path.name == "adapter_config.json":
            raise UserError(f"{path}: leads to another model: refused")
        if not (is_read or is_index):
            continue
        config, cure = _read(path), ""
        try:
            _check_code(config)
            if is_index:
                _check_index(config)
            elif not trusted:
                cure = (
                    "; if you trust who made it, trust_source=True "
                    "(--trust_source) loads it"
                )
                _check_values(config, "")
                if path.name.startswith("config."):
                    _check_model(config, modality)
        except _Refused as refused:
            raise UserError(f"{path}: {refused}: refused{cure}")


def _read(path):
    with open(path, "rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise UserError(f"{path}: longer than {MAX_BYTES} bytes: refused")
    try:
        config = json.loads(raw)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise UserError(
            f"{path}: not JSON, or damaged: copy or download it again"
        )
    return config


def _check_code(config, depth=0):
    if depth > MAX_DEPTH:
        raise _Refused("nested too deeply")
    if isinstance(config, dict):
        # Transformers keeps some as _name, or as _name_internal.
        names = {key.lstrip("_").removesuffix("_internal") for key in config}
        if FOR_CODE & names:
            raise _Refused(
                f"asks for code of its own ({' or '.join(sorted(FOR_CODE))})"
            )
        config = [*config.values()]
    for part in config if isinstance(config, list) else ():
        _check_code(part, depth + 1)


def _check_index(index):
    """An index leads to files beside it only."""
    names = index.get("weight_map")
    if not isinstance(names, dict) or not all(
        isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name)
        for name in names.values()
    ):
        raise _Refused("its weight_map is not of plain file names")


def _check_values(value, key):
    """Checks each value of a configuration by the key it is under."""
    if key in TEXTS:
        return
    if isinstance(value, dict):
        for name, part in value.items():
            _check_key(name, part)
            _check_values(part, name)
    elif isinstance(value, list):
        if len(value) > MAX_ITEMS:
            raise _Refused(f"{key} has {len(value)} items")
        for part in value:
            _check_values(part, key)
    elif isinstance(value, str):
        if key not in VERSIONS and not WORD.fullmatch(value):
            raise _Refused(
                f"{shown(key)} is {shown(value)}, which may lead to "
                "something else"
            )
    elif value is not None and not _fits(key, value):
        raise _Refused(f"{shown(key)} is {shown(value)}")


def _check_key(key, value):
    if not WORD.fullmatch(key):
        raise _Refused(f"the key {shown(key)}")
    # A flag names nothing, as `path_norm`, but `use_timm_backbone` asks for it.
    is_flag = isinstance(value, bool) and not ASKS_FOR_OTHERS.search(key)
    is_free = key in TEXTS or is_flag
    if not is_free and NAMES_OTHERS.search(key) and _is_name(value):
        raise _Refused(
            f"{shown(key)} is {shown(value)}, which leads to something else"
        )
    if key in PROCESSOR_KEYS and value is not None:
        if not isinstance(value, str) or not PROCESSOR.fullmatch(value):
            raise _Refused(
                f"{key} is {shown(value)}, none of the processors that are "
                "known to be safe"
            )
    known = (*PARTS, *MODEL_TYPES["audio"], *MODEL_TYPES["visual"])
    if key == "model_type" and value not in known:
        raise _Refused(
            f"the model type {shown(value)} is none of {', '.join(known)}"
        )


def _is_name(value):
    """Whether a value is more than numbers, such as of `drop_path_rate`."""
    if isinstance(value, list):
        return any(map(_is_name, value))
    return bool(value) and type(value) not in (int, float)


def _fits(key, value):
    """Whether a number is one that encoders have, under this key."""
    if isinstance(value, bool):
        return True
    words = key.split("_")
    is_index = words[-1] in ("id", "index")  # of a token
    if key == "size" or PIXELS & {*words} and not is_index:
        limit = MAX_SIZE
    elif "layers" in words or key == "depths":
        limit = MAX_LAYERS
    else:
        limit = MAX_FRAMES if key == "num_frames" else MAX_NUMBER
    return math.isfinite(value) and abs(value) <= limit


def _check_model(config, modality):
    """Checks what follows from several numbers of a `config.json`."""
    kind = config.get("model_type")
    if kind not in MODEL_TYPES[modality]:
        raise _Refused(
            f"the model type {shown(kind)} is none of "
            f"{', '.join(MODEL_TYPES[modality])}"
        )
    vision = config.get("vision_config")
    if modality == "audio":
        _check_convolutions(config)
    elif not kind.startswith(LOCAL):
        _check_places(vision if isinstance(vision, dict) else config)


def _check_places(config):
    sizes = _numbers(config.get("image_size", 224))
    tubelet, *sides = _numbers(config.get("tubelet_size", 2))
    sides += _numbers(config.get("patch_size", 16))
    frames = max(_numbers(config.get("num_frames", tubelet)))
    channels = max(_numbers(config.get("hidden_size", 1)))
    if min(tubelet, *sides) < 1:
        raise _Refused("patch_size or tubelet_size is below 1")
    if config.get("model_type") == "timesformer":
        frames = tubelet  # it attends to space and time in turn
    places = math.ceil(frames / tubelet)
    places *= math.ceil(max(sizes) / min(sides)) ** 2
    if places > MAX_PLACES or places * channels > MAX_TABLE:
        raise _Refused(
            f"image_size, patch_size and num_frames make {places} places of "
            f"{channels} channels"
        )


def _check_convolutions(config):
    kernels = _numbers(config.get("conv_kernel", list(KERNELS)))
    strides = _numbers(config.get("conv_stride", list(STRIDES)))
    samples = 1  # receptive field of one frame, from the last layer down
    for kernel, stride in [*zip(kernels, strides)][::-1]:
        samples = (samples - 1) * stride + kernel
    stride, least = math.prod(strides), min(*kernels, *strides)
    if not (
        least >= 1
        and len(kernels) == len(strides)
        and STRIDE[0] <= stride <= STRIDE[1]
        and samples <= MAX_SAMPLES
    ):
        raise _Refused(
            f"conv_kernel and conv_stride make frames of {samples} samples, "
            f"{stride} apart"
        )


def _numbers(value):
    """The whole numbers of a value: `16`, `[2, 16, 16]`."""
    values = value if isinstance(value, list) else [value]
    if not values or any(type(x) is not int for x in values):
        raise _Refused(f"{shown(value)} in place of whole numbers")
    return values
