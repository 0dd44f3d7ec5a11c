"""Checkpoints that are complete or not there."""

import shutil

import torch
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.distributed import ddp_barrier, if_main_process

from auxformer_lobes.utils.files import atomic_write


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's `Checkpointer`, for runs that may be killed at any time.

    SpeechBrain first writes the file by which it recognises a checkpoint, so
    that a run that is killed while it saves leaves one that cannot be loaded.
    Here a file says that a checkpoint is being saved, and which ones were
    there before: others do not count until it is complete. A process that only
    reads deletes nothing.

    Arguments
    ---------
    checkpoints_dir : str
        Folder of the checkpoints.
    recoverables : dict
        What is saved, by name; modules without a state are not.
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
        # SpeechBrain would warn of a module without state at each save.
        recoverables = {
            name: each
            for name, each in (recoverables or {}).items()
            if not isinstance(each, torch.nn.Module) or each.state_dict()
        }
        super().__init__(checkpoints_dir, recoverables, **options)
        self.saving = self.checkpoints_dir / "saving.txt"

    def save_checkpoint(self, *args, **options):
        """Saves a checkpoint, after removing one that is incomplete.

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
            complete = [f.name for f in self._list_checkpoint_dirs()]
            for folder in self.checkpoints_dir.glob("CKPT+*"):
                if folder.name not in complete:
                    shutil.rmtree(folder)
            with atomic_write(self.saving) as file:
                file.writelines(f"{name}\n" for name in complete)
        checkpoint = super().save_checkpoint(*args, **options)
        if if_main_process():
            self.saving.unlink()
        # Processes that train together must agree on which ones are there.
        ddp_barrier()
        return checkpoint

    def _list_checkpoint_dirs(self):
        # Listed before the file is read: a checkpoint that is completed in
        # between counts.
        folders = super()._list_checkpoint_dirs()
        try:
            complete = self.saving.read_text("utf-8").splitlines()
        except FileNotFoundError:  # none is being saved
            return folders
        return [folder for folder in folders if folder.name in complete]
