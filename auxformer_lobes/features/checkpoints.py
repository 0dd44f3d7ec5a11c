"""Files of pretrained models: find, identify and load them completely.

Most runs find their features in the store and need no model. An extractor
therefore derives its settings from the files (`download`, `digest`) and loads
the weights at the first `encode`: with `load_model` for Hugging Face models,
with `read_weights` and `assign_weights` for others. Every parameter of a
loaded model comes from the files, or loading fails.
"""

import hashlib
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
import torch

from auxformer_lobes.features.weight_files import check_weight_file
from auxformer_lobes.processing.media import check_file
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.hub import offline

# In the order in which transformers looks for them.
WEIGHTS = ["model*.safetensors", "pytorch_model*.bin"]
# Embeddings of masked positions, used only in pretraining.
MASKING_PARAMS = ("mask_token", "masked_spec_embed")
# Parameters beyond the size of the files for which memory is allocated: as
# float32, 64 MiB.
MAX_MISSING_PARAMS = 1 << 24


@contextmanager
def load_errors(source):
    """Turns any error about a model into a `UserError` of one line.

    Arguments
    ---------
    source : str
        Hugging Face hub name, or a local folder.

    Raises
    ------
    UserError
        If the model, or a part of it, cannot be loaded.

    Example
    -------
    >>> with load_errors("nobody/nothing"):
    ...     raise OSError("no such model")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: nobody/nothing: ...: no such model
    """
    try:
        yield
    except UserError:
        raise
    # Damaged weights, and configurations with impossible values, raise errors
    # of any type in transformers.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{source}: no pretrained model that can be loaded, neither in a "
            f"local folder nor on the Hugging Face hub: {reason}"
        )


def download(source, save_path):
    """Makes the files of a model available in a local folder.

    Arguments
    ---------
    source : str
        Hugging Face hub name, or a local folder.
    save_path : str
        Cache of the files from the hub.

    Returns
    -------
    str
        The folder.

    Raises
    ------
    UserError
        If there is no such model, or it has no weights.

    Example
    -------
    >>> import tempfile
    >>> import transformers
    >>> folder = tempfile.mkdtemp()  # or "openai/clip-vit-base-patch32"
    >>> transformers.ViTModel(
    ...     transformers.ViTConfig(num_hidden_layers=1)
    ... ).save_pretrained(folder)
    >>> download(folder, "downloads") == folder
    True
    """
    with load_errors(source):
        if Path(source).is_dir():
            folders = [str(source)]
        else:
            # Lazily: safetensors, and *.bin only if there are none.
            folders = (
                huggingface_hub.snapshot_download(
                    str(source),
                    cache_dir=str(save_path),
                    allow_patterns=["*.json", pattern],
                )
                for pattern in WEIGHTS
            )
        for folder in folders:
            if Path(folder, "adapter_config.json").exists():
                # transformers would load the base model instead.
                raise UserError(
                    f"{source}: an adapter (adapter_config.json), not a "
                    "complete model: merge it into its base model"
                )
            if paths := _weight_files(folder):
                for path in paths:
                    check_weight_file(path)
                return folder
        raise OSError(f"no weights, neither {' nor '.join(WEIGHTS)}")


def digest(path):
    """Identifies a model by its content, wherever it is stored.

    Arguments
    ---------
    path : str
        A folder that `download` has returned, or a file with weights.

    Returns
    -------
    str
        16 hexadecimal digits, from all configurations and weights.

    Raises
    ------
    MediaError
        If a file cannot be read.
    """
    found = hashlib.sha256()
    configs = sorted(Path(path).glob("*config.json"))
    for file_path in [*configs, *_weight_files(path)] or [path]:
        check_file(file_path)
        with open(file_path, "rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    return found.hexdigest()[:16]


def load_model(source, folder, **options):
    """Loads a Hugging Face model, with all parameters from its files.

    Arguments
    ---------
    source : str
        Name of the model in errors.
    folder : str
        What `download` has returned.
    **options
        Arguments of `AutoModel.from_pretrained`.

    Returns
    -------
    torch.nn.Module
        The model, on the CPU, in float32 and evaluation mode.

    Raises
    ------
    UserError
        If it cannot be loaded, or its files lack parameters.
    """
    from transformers import AutoModel

    with load_errors(source), _quiet(), offline():
        _check_size(source, folder, **options)
        model, info = AutoModel.from_pretrained(
            folder,
            **options,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    missing = {
        *info["missing_keys"],
        *(key[0] for key in info["mismatched_keys"]),
    }
    missing = sorted(k for k in missing if not k.endswith(MASKING_PARAMS))
    if missing:
        raise UserError(
            f"{source}: lacks {len(missing)} tensors of {type(model).__name__}, "
            f"such as {missing[0]}, which would be random: choose a checkpoint "
            "of this model"
        )
    _check_finite(model, source)
    return model.float()


def read_weights(path):
    """Reads a state dict that `torch.save` has written, without running code.

    Arguments
    ---------
    path : str
        The file.

    Returns
    -------
    dict
        Name to tensor, on the CPU.

    Raises
    ------
    UserError
        If it is damaged, or not a state dict.

    Example
    -------
    >>> path = getfixture("tmp_path") / "linear.pth"
    >>> torch.save(torch.nn.Linear(3, 2).state_dict(), path)
    >>> list(read_weights(path))
    ['weight', 'bias']
    """
    check_file(path)
    check_weight_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file raises errors of any type
        state = None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor)
        for name, value in state.items()
    ):
        raise UserError(
            f"{path}: not a state dict saved by torch.save, or damaged"
        )
    return state


def assign_weights(model, state, path):
    """Replaces all parameters and buffers of a model.

    Arguments
    ---------
    model : torch.nn.Module
        Any model; it may be on the meta device.
    state : dict
        Name to tensor.
    path : str
        The file they are from, for errors.

    Raises
    ------
    UserError
        If tensors are missing, unexpected, or of another shape.

    Example
    -------
    >>> assign_weights(
    ...     torch.nn.Linear(3, 2), {"weight": torch.ones(2, 3)}, "a.pth"
    ... )
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: a.pth: not weights of this model: ...
    """
    expected = {k: list(v.shape) for k, v in model.state_dict().items()}
    found = {k: list(v.shape) for k, v in state.items()}
    wrong = sorted(
        k for k in {**expected, **found} if expected.get(k) != found.get(k)
    )
    if wrong:
        name = wrong[0]
        raise UserError(
            f"{path}: not weights of this model: {len(wrong)} tensors are "
            "missing, unexpected or of another shape, such as "
            f"{name}: {found.get(name, 'none')} instead of "
            f"{expected.get(name, 'none')}"
        )
    # Assigned, not copied: each tensor is in memory once.
    model.load_state_dict(state, assign=True)
    model.float()
    _check_finite(model, path)


def _check_finite(model, source):
    """Weights that are not finite make features of nothing."""
    for name, weights in model.named_parameters():
        if not weights.isfinite().all():
            raise UserError(
                f"{source}: {name} has values that are not finite: damaged: "
                "copy or download it again"
            )


def _check_size(source, folder, config=None, **options):
    """Refuses models much larger than their files.

    transformers would first allocate them and fill them with random numbers.
    """
    from transformers import AutoConfig, AutoModel

    config = config or AutoConfig.from_pretrained(
        folder, trust_remote_code=False
    )
    with torch.device("meta"):
        model = AutoModel.from_config(
            config, trust_remote_code=False, **options
        )
    parameters = sum(weight.numel() for weight in model.parameters())
    size = sum(path.stat().st_size for path in _weight_files(folder))
    if parameters > size + MAX_MISSING_PARAMS:  # at least a byte each
        raise UserError(
            f"{source}: its weights are {size} bytes, too few for the "
            f"{parameters} parameters of {type(model).__name__}: download it "
            "again"
        )


def _weight_files(folder):
    """The files with weights that transformers would load."""
    for pattern in WEIGHTS:
        if paths := sorted(Path(folder).glob(pattern)):
            return paths
    return []


@contextmanager
def _quiet():
    """Silences the warnings of transformers about what is checked here."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
