"""Pretrained models: where they lie, which one it is, and all of it.

Most runs find their features in the store and need no model. So an extractor
takes its settings from the files (`download`, `digest`), and loads the
weights at the first `encode`: `load_model` for models of Hugging Face,
`read_weights` and `fill` for any others. All weights of a model are
pretrained ones, or there is an error.
"""

import hashlib
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from huggingface_hub import snapshot_download

from auxformer_lobes.processing.media import check_file
from auxformer_lobes.utils.errors import UserError

# As transformers does, the first kind that there is.
WEIGHTS = ["model*.safetensors", "pytorch_model*.bin"]
# Weights that only training with masked inputs looks at.
FOR_MASKS = ("mask_token", "masked_spec_embed")
# Numbers that files may lack before memory is taken for them: 1 GiB.
MAY_LACK = 1 << 28


@contextmanager
def load_errors(source):
    """Turns what goes wrong with a model into one line.

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
    # Damaged weights, and configurations of values that transformers cannot
    # have, give errors of any kind.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{source}: no pretrained model for this, neither in a folder of "
            f"that name nor on the Hugging Face hub: {reason}"
        )


def download(source, save_path):
    """Makes sure that the files of a model lie in a folder.

    Arguments
    ---------
    source : str
        Hugging Face hub name, or a local folder.
    save_path : str
        Where files of the hub are kept: those that are there are not loaded
        again.

    Returns
    -------
    str
        The folder.

    Raises
    ------
    UserError
        If there is no such model, or no weights.

    Example
    -------
    >>> import tempfile
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
            # What lies there as both kinds of weights is fetched as one.
            folders = (
                snapshot_download(
                    str(source),
                    cache_dir=str(save_path),
                    allow_patterns=["*.json", weights],
                )
                for weights in WEIGHTS
            )
        for folder in folders:
            if Path(folder, "adapter_config.json").exists():
                # transformers would load the model that it names instead.
                raise UserError(
                    f"{source}: an adapter (adapter_config.json), no whole "
                    "model: merge it into its model and save that"
                )
            if _weights(folder):
                return folder
        raise OSError(f"no weights, neither {' nor '.join(WEIGHTS)}")


def digest(path):
    """Tells a model from any other, wherever it lies.

    Arguments
    ---------
    path : str
        A folder that `download` has returned, or a file with weights.

    Returns
    -------
    str
        16 hexadecimal digits, of all configurations and weights.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    found = hashlib.sha256()
    configs = sorted(Path(path).glob("*config.json"))
    for file_path in [*configs, *_weights(path)] or [path]:
        check_file(file_path)
        with open(file_path, "rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    return found.hexdigest()[:16]


def load_model(source, folder, **options):
    """Loads a model, and makes sure that all of its weights are pretrained.

    Arguments
    ---------
    source : str
        What the user calls it.
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
        If it cannot be loaded, or has weights that the files do not have.
    """
    with load_errors(source), _quiet():
        _check_size(source, folder, **options)
        model, found = transformers.AutoModel.from_pretrained(
            folder,
            **options,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    missing = {
        *found["missing_keys"],
        *(k[0] for k in found["mismatched_keys"]),
    }
    missing = sorted(k for k in missing if not k.endswith(FOR_MASKS))
    if missing:
        raise UserError(
            f"{source}: its files lack {len(missing)} of the weights of "
            f"{type(model).__name__}, {missing[0]} for one: they would be "
            "random: choose a checkpoint of this very model"
        )
    return model.float()


def read_weights(path):
    """Reads a state dict that `torch.save` has written; no code in it runs.

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
        If it is damaged, or something else.

    Example
    -------
    >>> path = getfixture("tmp_path") / "linear.pth"
    >>> torch.save(torch.nn.Linear(3, 2).state_dict(), path)
    >>> list(read_weights(path))
    ['weight', 'bias']
    """
    check_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file fails in any way
        state = None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor)
        for name, value in state.items()
    ):
        raise UserError(
            f"{path}: not a state dict as torch.save writes it: damaged, or "
            "another kind of file"
        )
    return state


def fill(model, state, path):
    """Gives a model its weights, all of them and no others.

    Arguments
    ---------
    model : torch.nn.Module
        Any model; what its weights are before does not matter.
    state : dict
        Name to tensor.
    path : str
        Where they are from, for the error.

    Raises
    ------
    UserError
        If weights are missing, unknown, or of another shape.

    Example
    -------
    >>> fill(torch.nn.Linear(3, 2), {"weight": torch.ones(2, 3)}, "a.pth")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: a.pth: not weights of this model: ...
    """
    wanted = {k: list(v.shape) for k, v in model.state_dict().items()}
    found = {k: list(v.shape) for k, v in state.items()}
    wrong = sorted(
        k for k in {**wanted, **found} if wanted.get(k) != found.get(k)
    )
    if wrong:
        name = wrong[0]
        raise UserError(
            f"{path}: not weights of this model: {len(wrong)} tensors are "
            f"missing, unknown or of another shape, {name} for one: "
            f"{found.get(name, 'none')} in place of {wanted.get(name, 'none')}"
        )
    # Taken as they are, so that there are never two of each.
    model.load_state_dict(state, assign=True)
    model.float()


def _check_size(source, folder, config=None, **options):
    """Refuses sizes that files do not fill: random numbers would fill them."""
    config = config or transformers.AutoConfig.from_pretrained(
        folder, trust_remote_code=False
    )
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(
            config, trust_remote_code=False, **options
        )
    wanted = sum(weight.numel() for weight in model.parameters())
    found = sum(path.stat().st_size for path in _weights(folder))
    if wanted > found + MAY_LACK:  # a byte each at least
        raise UserError(
            f"{source}: its files of {found} bytes lack weights of "
            f"{type(model).__name__}, which has {wanted}"
        )


def _weights(folder):
    """The files with weights that transformers takes."""
    for pattern in WEIGHTS:
        if paths := sorted(Path(folder).glob(pattern)):
            return paths
    return []


@contextmanager
def _quiet():
    """Keeps transformers from listing what is checked here."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)
