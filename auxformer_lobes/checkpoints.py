"""Checkpoints that are whole or not there."""

from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.distributed import ddp_barrier

# SpeechBrain writes the file by which it knows a checkpoint first, so that a
# run that is killed in between leaves one that cannot be loaded.
MARK = "WHOLE"


class WholeCheckpointer(Checkpointer):
    """SpeechBrain's `Checkpointer`, blind to checkpoints that are not whole.

    Example
    -------
    >>> import torch
    >>> folder = getfixture("tmp_path")
    >>> model = torch.nn.Linear(1, 1)
    >>> checkpointer = WholeCheckpointer(folder, recoverables={"model": model})
    >>> checkpoint = checkpointer.save_checkpoint()
    >>> (checkpoint.path / MARK).unlink()  # as if the run had been killed
    >>> checkpointer.find_checkpoint() is None
    True
    """

    def save_checkpoint(self, *args, **options):
        """Saves a checkpoint, and marks it when it is whole.

        Arguments
        ---------
        *args
            Arguments of `Checkpointer.save_checkpoint`.
        **options
            Further ones.

        Returns
        -------
        Checkpoint
            The checkpoint; None but on the main process.
        """
        checkpoint = super().save_checkpoint(*args, **options)
        if checkpoint is not None:
            (checkpoint.path / MARK).touch()
        # All processes must list the same checkpoints from here on.
        ddp_barrier()
        return checkpoint

    def list_checkpoints(self):
        """Lists the checkpoints that are whole.

        Returns
        -------
        list of Checkpoint
            In no order.
        """
        return [
            checkpoint
            for checkpoint in super().list_checkpoints()
            if (checkpoint.path / MARK).exists()
        ]
