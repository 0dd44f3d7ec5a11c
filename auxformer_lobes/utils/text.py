"""Names of files as text that is safe to show."""


def printable(text, kept=""):
    """Writes what cannot be printed as an escape sequence.

    Names of files may move the cursor of a terminal, set colours, or be no
    text at all: bytes that are not UTF-8 come as surrogates.

    Arguments
    ---------
    text : str
        Any text.
    kept : str
        Characters that stay as they are.

    Returns
    -------
    str

    Example
    -------
    >>> print(printable("a\\x1b[2J.wav"), printable("caf\\udce9.wav"))
    a\\x1b[2J.wav caf\\udce9.wav
    """
    return "".join(
        c
        if c.isprintable() or c in kept
        else c.encode("unicode_escape").decode()
        for c in text
    )
