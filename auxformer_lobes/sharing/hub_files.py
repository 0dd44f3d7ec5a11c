"""Files of the Hugging Face Hub, and what goes wrong there in one line."""

from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
from huggingface_hub import errors

from auxformer_lobes.utils.errors import UserError


def snapshot(name, revision, patterns, savedir=None, offline=False):
    """Fetches files of a repository that are not there yet.

    Arguments
    ---------
    name : str
        "user/name".
    revision : str
        Branch, tag or commit; the main branch if None.
    patterns : list of str
        Which files.
    savedir : str or Path
        Where to keep them; the Hub's own cache by default.
    offline : bool
        Whether to take only what is there.

    Returns
    -------
    Path
        The folder with the files; its name is the commit.

    Raises
    ------
    UserError
        If they cannot be had.
    """
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


@contextmanager
def hub_errors(name):
    """Tells in one line what the Hub says.

    Arguments
    ---------
    name : str
        What is read or written.

    Raises
    ------
    UserError
        If the Hub refuses, or cannot be reached.

    Example
    -------
    >>> with hub_errors("../model"):
    ...     huggingface_hub.model_info("../model")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: ../model: neither a folder nor a name...
    """
    try:
        yield
    except errors.HFValidationError:
        raise UserError(
            f"{name}: neither a folder nor a name on the Hub, user/name"
        )
    except errors.GatedRepoError:
        raise UserError(
            f"{name}: its owner gives access to those who ask for it: ask on "
            f"{huggingface_hub.constants.ENDPOINT}/{name}"
        )
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{name}: not on the Hub, or private: check the name, or log in "
            "with `hf auth login`"
        )
    except errors.RevisionNotFoundError:
        raise UserError(f"{name}: has no such revision on the Hub")
    except errors.LocalEntryNotFoundError:
        raise UserError(
            f"{name}: not in the cache, and the Hub cannot be reached: check "
            "the network and HF_HUB_OFFLINE"
        )
    except errors.HfHubHTTPError as error:
        reasons = {
            401: "the token is not valid: run `hf auth login`",
            403: "the token may not do this: make one that may write",
            409: "there is one of this name already: choose another name, or "
            "update it",
        }
        status = error.response.status_code
        told = error.server_message or "try again later"
        reason = " ".join(reasons.get(status, told).split())
        raise UserError(f"{name}: {reason} (the Hub said {status})")
    except (errors.HTTPError, errors.OfflineModeIsEnabled) as error:
        reason = str(error).strip() or type(error).__name__
        raise UserError(
            f"{name}: the Hub cannot be reached: {reason.splitlines()[0]}: "
            "check the network"
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip() or type(error).__name__
        raise UserError(f"{name}: {reason.splitlines()[0]}")
