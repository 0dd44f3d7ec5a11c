"""Errors that a user can cure, in one line."""

import os
import sys
import traceback
from contextlib import contextmanager

from auxformer_lobes.utils.text import printable

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
    return os.environ.get(DEBUG, "") not in ("", "0")


@contextmanager
def one_line_errors(*others, debug=False):
    """Ends the program with one line, and exit code 1, on a `UserError`.

    Arguments
    ---------
    *others : type
        Further exceptions that the user can cause here, `OSError` for example
        where a file is opened that the user has named.
    debug : bool
        Whether to print the traceback first; AUXFORMER_DEBUG=1 in the
        environment does so everywhere.

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
        if debug or is_debugging():
            traceback.print_exc()
        # KeyError quotes its text, and HyperPyYAML's errors have two parts.
        if type(error) in (KeyError, TypeError, ValueError):
            text = ": ".join(map(str, error.args))
        else:
            text = str(error)
        line = printable(" ".join(text.split()))
        if len(line) > MAX_CHARACTERS:
            line = f"{line[: MAX_CHARACTERS - 1]}…"
        if not (isinstance(error, UserError) or debug or is_debugging()):
            line += f" ({type(error).__name__}; {DEBUG}=1 shows the traceback)"
        sys.exit(f"error: {line}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted: start it again to resume")
