"""Files of the Hugging Face Hub, and its errors in one line."""

from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants, errors

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import is_lfs_pointer

# The first class that fits counts: some are subclasses of later ones.
REASONS = {
    errors.HFValidationError: (
        "neither a folder nor a name on the Hub, user/name"
    ),
    errors.GatedRepoError: (
        "its owner gives access on request: ask on "
        f"{constants.ENDPOINT}/{{name}}"
    ),
    errors.RepositoryNotFoundError: (
        "not on the Hub, or private: check the name, or log in with "
        "`hf auth login`"
    ),
    errors.RevisionNotFoundError: "has no such revision on the Hub",
    errors.LocalEntryNotFoundError: (
        "not in the cache, and the Hub cannot be reached: check the network "
        "and HF_HUB_OFFLINE"
    ),
}
# By status of the Hub's answer.
REFUSALS = {
    401: "the token is not valid: run `hf auth login`",
    403: "the token has no permission: make one that may write",
    409: "there is one of this name already: choose another name, or update it",
}


def snapshot(name, revision, patterns, savedir=None, offline=False):
    """Fetches files of some patterns; the name of the folder is the commit."""
    with hub_errors(name):
        return Path(
            huggingface_hub.snapshot_download(
                str(name),
                revision=revision,
                cache_dir=savedir,
                allow_patterns=patterns,
                local_files_only=offline,
            )
        )


def check_pointer(path):
    """Refuses a pointer of Git LFS in place of a file.

    Arguments
    ---------
    path : str or Path
        The file.

    Raises
    ------
    UserError
        If it is one.

    Example
    -------
    >>> path = getfixture("tmp_path") / "model.safetensors"
    >>> _ = path.write_text("version https://git-lfs.github.com/spec/v1")
    >>> check_pointer(path)
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: ...: only a pointer ...
    """
    if is_lfs_pointer(path):
        raise UserError(
            f"{path}: only a pointer to the file: install Git LFS and run "
            "`git lfs pull` there"
        )


@contextmanager
def offline():
    """Sends no request to the Hub, whatever a configuration names.

    Example
    -------
    >>> with hub_errors("user/name"), offline():
    ...     huggingface_hub.model_info("user/name")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: user/name: the Hub cannot be reached...
    """
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def hub_errors(name):
    """Turns errors of the Hub, the network and the disk into a `UserError`.

    Example
    -------
    >>> with hub_errors("../model"):
    ...     huggingface_hub.model_info("../model")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: ../model: neither a folder nor a name...
    """
    try:
        yield
    except (
        errors.HTTPError,
        errors.OfflineModeIsEnabled,
        OSError,
        ValueError,
    ) as error:
        reason = _reason(error).replace("{name}", str(name))
        raise UserError(f"{name}: {reason}")


def _reason(error):
    for kind, reason in REASONS.items():
        if isinstance(error, kind):
            return reason
    message = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        message = error.server_message or "try again later"
        reason = REFUSALS.get(status, " ".join(message.split()))
        return f"{reason} (the Hub answered {status})"
    if isinstance(error, (errors.HTTPError, errors.OfflineModeIsEnabled)):
        return f"the Hub cannot be reached: {message}: check the network"
    return message
