"""Files that are whole or not there."""

import os
from contextlib import contextmanager, suppress


@contextmanager
def whole_file(path, mode="w"):
    """Opens a file for writing that takes its name when it is complete.

    A program that is killed, or fails, leaves what was there before.

    Arguments
    ---------
    path : str or Path
        The file.
    mode : str
        "w" for text in UTF-8, "wb" for bytes.

    Yields
    ------
    file
        The open file.

    Example
    -------
    >>> path = getfixture("tmp_path") / "votes.txt"
    >>> with whole_file(path) as file:
    ...     print("angry 3", file=file)
    ...     path.exists()
    False
    >>> path.read_text()
    'angry 3\\n'
    """
    # Named by the process, so that two of them cannot mix their halves.
    temporary = f"{path}.{os.getpid()}.tmp"
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        with open(temporary, mode, **text) as file:
            yield file
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.remove(temporary)
