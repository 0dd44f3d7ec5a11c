"""Checkpoints that are whole or not there."""

import shutil

from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.distributed import if_main_process

from auxformer_lobes.utils.files import atomic_write


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's `Checkpointer`, for runs that may be killed at any time.

    SpeechBrain writes the file by which it knows a checkpoint first, so that
    a run that is killed while it saves leaves one that cannot be loaded. Here
    a file says that a checkpoint is being saved, and which ones were there
    before; what is found beside them at the next start is removed.

    Arguments
    ---------
    checkpoints_dir : str
        Folder of the checkpoints.
    recoverables : dict
        What is saved, by name.
    **options
        Further arguments of `speechbrain.utils.checkpoints.Checkpointer`.

    Example
    -------
    >>> import torch
    >>> model = torch.nn.Linear(1, 1)
    >>> folder = getfixture("tmp_path")
    >>> checkpointer = AtomicCheckpointer(folder, recoverables={"model": model})
    >>> checkpointer.save_checkpoint(name="first").path.name
    'CKPT+first'
    """

    def __init__(self, checkpoints_dir, recoverables=None, **options):
        super().__init__(checkpoints_dir, recoverables, **options)
        self.saving = self.checkpoints_dir / "saving.txt"
        if if_main_process() and self.saving.exists():
            whole = self.saving.read_text("utf-8").splitlines()
            for folder in self.checkpoints_dir.glob("CKPT+*"):
                if folder.name not in whole:
                    shutil.rmtree(folder)
            self.saving.unlink()

    def save_checkpoint(self, *args, **options):
        """Saves a checkpoint.

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
        if if_main_process():
            with atomic_write(self.saving) as file:
                for folder in self.checkpoints_dir.glob("CKPT+*"):
                    print(folder.name, file=file)
        checkpoint = super().save_checkpoint(*args, **options)
        if if_main_process():
            self.saving.unlink()
        return checkpoint
