"""Tries something in a process of its own, which may hang or crash."""

import os
import resource
import select
import signal
import time
import traceback
from typing import NamedTuple

from auxformer_lobes.utils.errors import UserError

MAX_SECONDS = 30.0  # some hundred times what a whole input takes
MAX_BYTES = 2 << 30  # beyond what the process has before
MESSAGE = 100_000  # bytes that are read of a traceback


class Outcome(NamedTuple):
    """How it ended.

    Arguments
    ---------
    kind : str
        "read", "refused" (by a `UserError`) or "failed".
    reason : str
        Message of the error, traceback, or signal.
    """

    kind: str
    reason: str


def in_child(function, *arguments):
    """Calls a function in a forked process with limits of time and memory.

    Arguments
    ---------
    function : callable
        What is tried; a `UserError` refuses, all else that it raises fails.
    *arguments
        Its arguments.

    Returns
    -------
    Outcome
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.write(writing, _outcome(function, arguments)[:MESSAGE])
        os._exit(0)
    os.close(writing)
    message, deadline = b"", time.monotonic() + MAX_SECONDS
    while part := _read(reading, deadline - time.monotonic()):
        message += part
    os.close(reading)
    if part is None:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if part is None:
        return Outcome("failed", f"hangs: over {MAX_SECONDS:.0f} s")
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return Outcome("failed", f"crashes: {name}")
    kind, _, reason = message.decode("utf-8", "replace").partition("\n")
    return Outcome(kind, reason)


def _read(file, seconds):
    """What a pipe has; b"" at its end, None if nothing comes in time."""
    if select.select([file], [], [], max(0, seconds))[0]:
        return os.read(file, 1 << 16)
    return None


def _outcome(function, arguments):
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + MAX_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Libraries in C write there.
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    try:
        function(*arguments)
    except UserError as error:
        return f"refused\n{error}".encode("utf-8", "replace")
    except BaseException:
        return f"failed\n{traceback.format_exc()}".encode("utf-8", "replace")
    return b"read\n"
