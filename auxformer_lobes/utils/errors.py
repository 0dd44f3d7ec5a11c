"""Errors that a user can cure, in one line."""

import os
import sys
import traceback
from contextlib import contextmanager

MAX_CHARACTERS = 2000  # of an error line
DEBUG = "AUXFORMER_DEBUG"


class UserError(Exception):
    """A mistake that the user can cure.

    Its message is one line that names the file or the option, what is wrong
    with it, and the cure.
    """


class MediaError(UserError):
    """A wav or video file that cannot be used, with the reason."""


def is_debugging():
    """Whether tracebacks are wanted: the environment has AUXFORMER_DEBUG=1.

    Returns
    -------
    bool
    """
    return os.environ.get(DEBUG, "0") != "0"


@contextmanager
def one_line_errors(*others):
    """Ends the program with one line, and exit code 1, on a `UserError`.

    With AUXFORMER_DEBUG=1 in the environment, the traceback comes before it.

    Arguments
    ---------
    *others : type
        Further exceptions that the user can cause here, `OSError` for example
        where a file is opened that the user has named.

    Example
    -------
    >>> with one_line_errors():
    ...     raise UserError("votes.csv is missing: download it again")
    Traceback (most recent call last):
    SystemExit: error: votes.csv is missing: download it again
    """
    try:
        yield
    except (UserError, *others) as error:
        if is_debugging():
            traceback.print_exc()
        # KeyError quotes its text, and HyperPyYAML's errors have two parts.
        if type(error) in (KeyError, TypeError, ValueError):
            error_text = ": ".join(map(str, error.args))
        else:
            error_text = str(error)
        line = " ".join(error_text.split())
        if not isinstance(error, UserError):
            line += f" ({type(error).__name__}; {DEBUG}=1 shows the traceback)"
        if len(line) > MAX_CHARACTERS:
            line = f"{line[: MAX_CHARACTERS - 1]}…"
        # Names of strangers' files could move the cursor, or set colours.
        line = "".join(c if c.isprintable() else "?" for c in line)
        sys.exit(f"error: {line}")
