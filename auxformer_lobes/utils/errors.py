"""Errors that a user can cure, told in one line."""

import sys
from contextlib import contextmanager

LONGEST = 2000  # characters of a line


class UserError(Exception):
    """A mistake that the user can cure.

    Its message is one line that names the file or the option, what is wrong
    with it, and the cure.
    """


class MediaError(UserError):
    """A sound or video file that cannot be used, with the reason."""


@contextmanager
def one_line_errors(*others):
    """Ends the program with one line, and exit code 1, on a `UserError`.

    Arguments
    ---------
    *others : type
        Further exceptions that the user causes here, `OSError` for example
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
        # The text of a KeyError is its argument in quotes.
        told = error.args[0] if isinstance(error, KeyError) else error
        line = " ".join(str(told).split())
        if len(line) > LONGEST:
            line = f"{line[: LONGEST - 1]}…"
        # Names in files of strangers could move the cursor, or set colours.
        line = "".join(c if c.isprintable() else "?" for c in line)
        sys.exit(f"error: {line}")
