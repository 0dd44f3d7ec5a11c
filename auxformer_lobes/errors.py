"""Errors that a user can cure, told in one line."""

import sys
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can cure.

    Its message is one line that names the file or the option, what is wrong
    with it, and the cure.
    """


class MediaError(UserError):
    """A sound or video file that cannot be used, with the reason."""


@contextmanager
def one_line_errors():
    """Ends the program with one line, and exit code 1, on a `UserError`.

    Example
    -------
    >>> with one_line_errors():
    ...     raise UserError("votes.csv is missing: download it again")
    Traceback (most recent call last):
    SystemExit: error: votes.csv is missing: download it again
    """
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
