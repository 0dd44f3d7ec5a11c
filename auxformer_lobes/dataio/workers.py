"""Worker processes that outlive a damaged file."""

import multiprocessing
import os
import re
import sys
import threading
import traceback
from contextlib import contextmanager
from multiprocessing.queues import Queue

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from auxformer_lobes.utils.errors import UserError, is_debugging

KILLED = (
    "killed the process that read it: damaged, or too little memory for "
    "num_workers"
)


class ClipWorkers(Dataset):
    """Does something with each clip, in worker processes.

    An item is a clip, and what `work` returned for it or raised. If a clip
    kills its process, PyTorch raises a `RuntimeError` in whatever the main
    process is doing: catch it around the loop, see `clip_of_killed_worker`.

    Arguments
    ---------
    work : callable
        Takes a clip; picklable. What it returns goes through a pipe: arrays
        rather than tensors, which would go through shared memory, of which
        containers have little.
    clips : collection of str
        The clips.
    num_workers : int
        Number of processes; 0 for this one.

    Example
    -------
    >>> workers = ClipWorkers(str.upper, ["one", "two"], num_workers=0)
    >>> dict(workers.loader())
    {'one': 'ONE', 'two': 'TWO'}
    """

    def __init__(self, work, clips, num_workers):
        self.work = work
        self.clips = [*clips]
        self.num_workers = min(num_workers, len(clips))
        # Shared memory: pid and current index of each worker.
        self.current = multiprocessing.Array("q", 2 * num_workers, lock=False)

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        clip = self.clips[index]
        worker = get_worker_info()
        if worker is not None:
            place = slice(2 * worker.id, 2 * worker.id + 2)
            self.current[place] = os.getpid(), index
        try:
            return clip, self.work(clip)
        except UserError as error:
            return clip, error
        except Exception:
            # Returned, not raised: a failing DataLoader takes long to end.
            error = f"{clip} cannot be read:\n{traceback.format_exc()}"
            return clip, RuntimeError(error)

    def loader(self, ahead=1):
        """Starts the workers.

        Arguments
        ---------
        ahead : int
            Clips that they together finish ahead.

        Returns
        -------
        DataLoader
            Of the items, in the order of the clips.
        """
        import cv2

        workers = self.num_workers
        # In the parent, since the call may hang in a forked process; workers
        # inherit it. torch sets its own threads.
        cv2.setNumThreads(1)
        return DataLoader(
            self,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=max(2, -(-ahead // workers)) if workers else None,
            collate_fn=_identity,
            worker_init_fn=init_worker,
            # A generator of its own: workers must not change the random
            # numbers of a training that follows.
            generator=torch.Generator(),
        )

    def clip_of_killed_worker(self, error):
        """The clip that has killed its worker.

        Arguments
        ---------
        error : RuntimeError
            What was raised.

        Returns
        -------
        str
            The clip; None for other errors.
        """
        found = re.match(r"DataLoader worker \(pid\D*([\d, ]+)\)", str(error))
        current = dict(zip(self.current[::2], self.current[1::2]))
        for pid in map(int, found[1].split(",") if found else ()):
            if pid in current:
                return self.clips[current[pid]]
        return None


def init_worker(_):
    """Makes a worker process end where it would otherwise hang.

    It ends when its parent is killed: it would wait for ever to hand over what
    it has done, since the other workers keep its pipe open. And it ends where
    it cannot hand over a batch, for want of shared memory or of open files: the
    thread that failed to would only print why, and the parent would wait.
    """
    parent = multiprocessing.parent_process()

    def _wait():
        parent.join()
        os._exit(1)

    threading.Thread(target=_wait, daemon=True).start()
    Queue._on_queue_feeder_error = staticmethod(_exit)


def _exit(error, _):
    if is_debugging():
        traceback.print_exc()
    print(f"data loader: {error}", file=sys.stderr, flush=True)
    os._exit(1)


@contextmanager
def one_line_worker_errors():
    """Turns what the workers of a data loader raise, or died of, into one line.

    Raises
    ------
    UserError
        With the cure.

    Example
    -------
    >>> with one_line_worker_errors():
    ...     raise RuntimeError("DataLoader worker (pid 9) is killed by signal: Killed.")
    Traceback (most recent call last):
    auxformer_lobes.utils.errors.UserError: data loader: a worker is killed by \
signal: Killed: too little memory, shared memory (df -h /dev/shm) or open files \
(ulimit -n): raise it, or set num_workers: 0 in train_dataloader_opts and \
test_dataloader_opts
    """
    try:
        yield
    except UserError as error:
        # PyTorch puts the worker's traceback around it.
        first, _, message = str(error).rpartition("UserError: ")
        if "DataLoader worker" in first:
            raise UserError(message.strip())
        raise
    except (OSError, RuntimeError) as error:
        text = " ".join(str(error).split())
        found = re.search(r"DataLoader worker \(.*\d\) (.*?)\.", f"{text}.")
        if found:
            reason = f"a worker {found[1]}"
        elif re.search(
            r"memory\(shm\)|open files|ancdata|DataLoader timed", text
        ):
            reason = text[:200]
        else:
            raise
        raise UserError(
            f"data loader: {reason}: too little memory, shared memory (df -h "
            "/dev/shm) or open files (ulimit -n): raise it, or set num_workers: "
            "0 in train_dataloader_opts and test_dataloader_opts"
        )


def _identity(item):
    return item  # a lambda could not be pickled
