"""A data loader whose workers fail ends in one line, and never hangs."""

import errno
import os
import signal

import pytest
from torch.utils.data import DataLoader, Dataset

from auxformer_lobes.dataio.workers import init_worker, one_line_worker_errors
from auxformer_lobes.utils.errors import UserError


class Unsendable:
    """Cannot be handed over, as a tensor where shared memory is full."""

    def __reduce__(self):
        raise OSError(errno.ENOSPC, "unable to allocate shared memory(shm)")


def be_killed():
    """As by a system that runs out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def find_damage():
    raise UserError("Fbank.h5: the features of two are damaged: start again")


class Clips(Dataset):
    """A clip, of which a worker makes this."""

    def __init__(self, make):
        self.make = make

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.make()


@pytest.mark.parametrize(
    "make, message",
    [
        (Unsendable, r"^data loader: a worker exited unexpectedly: too little"),
        (be_killed, r"^data loader: a worker (is killed|exited)"),
        (
            find_damage,
            r"^Fbank\.h5: the features of two are damaged: start aga",
        ),
    ],
)
def test_workers_that_fail_are_one_line(make, message):
    loader = DataLoader(
        Clips(make), None, num_workers=1, worker_init_fn=init_worker
    )
    with pytest.raises(UserError, match=message) as raised:
        with one_line_worker_errors():
            list(loader)
    assert "\n" not in str(raised.value)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes do not match"):
        with one_line_worker_errors():
            raise RuntimeError("shapes do not match")
