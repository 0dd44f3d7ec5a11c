"""Damages files: flipped bits, cuts, repetitions, and numbers at the edge."""

import re
from typing import NamedTuple

from hypothesis import strategies as st

# What readers of text and of binary files may stumble over.
EDGES = [
    *(b"", b"\0", b"\n", b'"', b",", b"\xff\xfe", b"[" * 500, b"," * 5000),
    *(b"-1", b"0", b"nan", b"inf", b"1e400", b"-1e-400", b"9" * 40, b"0.5"),
    *(b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"),
    *(b"../../x", b"\x1b[2J", "ä\u202e".encode(), b"A" * 60_000),
]


class Mutation(NamedTuple):
    """One change of a file.

    Arguments
    ---------
    kind : str
        What is done.
    place : float
        Where: share of the file before it, 0 to 1.
    size : int
        Bytes that it concerns.
    data : bytes
        What comes in.
    """

    kind: str
    place: float
    size: int
    data: bytes

    def __call__(self, content):
        """The changed content, bytes."""
        start = int(self.place * len(content))
        end = start + self.size
        head, body, tail = content[:start], content[start:end], content[end:]
        if self.kind == "flip":
            flipped = bytes([(body or b"\0")[0] ^ 1 << self.size % 8])
            return head + flipped + content[start + 1 :]
        if self.kind == "cut":
            return head
        if self.kind == "delete":
            return head + tail
        if self.kind == "repeat":
            return head + body + body + tail
        if self.kind == "insert":
            return head + self.data + body + tail
        if self.kind == "overwrite":
            return head + self.data + content[start + len(self.data) :]
        # The next number of a text.
        rest = content[start:]
        return head + re.sub(rb"-?\d[\d.]*", lambda _: self.data, rest, count=1)


KINDS = ("flip", "cut", "delete", "repeat", "insert", "overwrite", "number")
mutations = st.lists(
    st.builds(
        Mutation,
        st.sampled_from(KINDS),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 4096),
        st.sampled_from(EDGES) | st.binary(min_size=1, max_size=16),
    ),
    min_size=1,
    max_size=3,
)
