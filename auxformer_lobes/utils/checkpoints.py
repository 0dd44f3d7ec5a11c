"""Checkpoints that are complete and undamaged, or do not count."""

import errno
import hashlib
import json
import logging
import math
import os
import shutil
import time
from contextlib import suppress

import torch
from speechbrain.utils.checkpoints import (
    METAFNAME,
    Checkpoint,
    Checkpointer,
    ckpt_recency,
)
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import (
    atomic_write,
    clear_temporaries,
    reason_of,
)

logger = get_logger(__name__)

CHECKSUMS = "sha256.json"  # of all other files of a checkpoint
DELETED = "deleted-"  # before the name of one that is being removed


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's `Checkpointer`, for runs that may be killed at any time.

    SpeechBrain first writes the file by which it recognises a checkpoint, so
    that a run that is killed while it saves leaves one that cannot be loaded.
    Here a file says that a checkpoint is being saved, and which ones were
    there before: others do not count until it is complete. A process that only
    reads deletes nothing.

    A checkpoint has checksums of its files, which are checked before it is
    loaded; those of older versions have none.

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
    >>> checkpoint = checkpointer.save_checkpoint(name="first")
    >>> checkpoint.path.name
    'CKPT+first'
    >>> _ = (checkpoint.path / "model.ckpt").write_bytes(b"anything")
    >>> damage_of(checkpoint)
    'model.ckpt is not what was saved'
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

        Raises
        ------
        UserError
            If it cannot be written. The ones before are kept.
        """
        try:
            self.clear()
            checkpoint = self._save(*args, **options)
        except (OSError, RuntimeError) as error:
            # torch's writer raises a RuntimeError, which names its source file.
            of_torch = "inline_container" in str(error)
            if isinstance(error, RuntimeError) and not of_torch:
                raise
            with suppress(OSError):
                self.clear()
            full = OSError(errno.ENOSPC, "")
            reason = reason_of(full if of_torch else error)
            raise UserError(
                f"{self.checkpoints_dir}: a checkpoint cannot be saved: "
                f"{reason}, and start again: it goes on from the last one"
            )
        # Processes that train together must agree on which ones are there.
        ddp_barrier()
        return checkpoint

    def _save(self, *args, **options):
        if if_main_process():
            with atomic_write(self.saving) as file:
                names = [f.name for f in self._list_checkpoint_dirs()]
                file.writelines(f"{name}\n" for name in names)
        checkpoint = super().save_checkpoint(*args, **options)
        if if_main_process():
            made = {
                path.name: _digest(path)
                for path in sorted(checkpoint.path.iterdir())
            }
            with atomic_write(checkpoint.path / CHECKSUMS) as file:
                json.dump(made, file, indent=1)
            self.saving.unlink()
        return checkpoint

    def clear(self):
        """Removes what a process that was killed has left.

        Only the process that trains may call this.
        """
        if not if_main_process():
            return
        left = {*self.checkpoints_dir.glob(f"{DELETED}*")}
        if self.saving.exists():
            folders = {*self.checkpoints_dir.glob("CKPT+*")}
            left |= folders - {*self._list_checkpoint_dirs()}
        for folder in left:
            shutil.rmtree(folder)
        self.saving.unlink(missing_ok=True)
        clear_temporaries(self.checkpoints_dir)

    def delete_checkpoints(
        self,
        *,
        num_to_keep=1,
        min_keys=None,
        max_keys=None,
        importance_keys=(ckpt_recency,),
        ckpt_predicate=None,
        verbosity=logging.INFO,
    ):
        """Deletes the least important checkpoints.

        As SpeechBrain does, but each is gone at once, whenever the process is
        killed; and the one before the last is kept, too, for the last one may
        get damaged.

        Arguments
        ---------
        num_to_keep : int
            How many are kept by each key.
        min_keys : list of str
            Quantities of which the lowest value is best.
        max_keys : list of str
            Quantities of which the highest value is best.
        importance_keys : sequence of callable
            Checkpoint → importance.
        ckpt_predicate : callable
            Checkpoint → whether it may be deleted.
        verbosity : int
            Level of the message.
        """
        if if_main_process():
            orders = [
                *({"min_key": key} for key in min_keys or ()),
                *({"max_key": key} for key in max_keys or ()),
                # Each once: `save_and_keep_only` of SpeechBrain 1.1 adds one
                # more each time that it is called.
                *(
                    {"importance_key": k}
                    for k in dict.fromkeys(importance_keys)
                ),
            ]
            kept = {c.path for c in self.find_checkpoints()[:2]}
            found = set()
            for order in orders:
                ranked = self.find_checkpoints(
                    **order, ckpt_predicate=ckpt_predicate
                )
                found |= {c.path for c in ranked}
                kept |= {c.path for c in ranked[:num_to_keep]}
            for path in sorted(found - kept):
                self._remove(path)
                logger.log(verbosity, f"Deleted checkpoint in {path}")
        ddp_barrier()

    def _remove(self, folder):
        """Removes a checkpoint, which is gone before its first file is."""
        doomed = folder.with_name(f"{DELETED}{folder.name}")
        os.replace(folder, doomed)
        shutil.rmtree(doomed)

    def find_checkpoint(self, *args, **options):
        """Finds a checkpoint, and checks it.

        Arguments
        ---------
        *args
            Arguments of `Checkpointer.find_checkpoint`.
        **options
            Further ones.

        Returns
        -------
        Checkpoint
            None if there is none.

        Raises
        ------
        UserError
            If it is damaged: another one would give other results.
        """
        found = super().find_checkpoint(*args, **options)
        # Of one whose metadata is lost, nobody knows whether it is the best.
        unknown = [c for c in self.list_checkpoints() if "damaged" in c.meta]
        for checkpoint in [*unknown, found]:
            if checkpoint is not None and (damage := damage_of(checkpoint)):
                raise UserError(
                    f"{checkpoint.path}: damaged: {damage}: put a copy in its "
                    "place, or delete it and start train.py again, which goes "
                    "on from the others"
                )
        return found

    def drop_damaged(self, **best):
        """Removes damaged checkpoints, before a run goes on.

        Where the last one is damaged, the run goes on from the one before, and
        makes the same epochs again.

        Arguments
        ---------
        **best
            What selects the best one, see `Checkpointer.find_checkpoint`.

        Raises
        ------
        UserError
            If none is left, or one that may have been the best is lost: no
            epoch that is to come again gives the same results.
        """
        checked = {c.path: damage_of(c) for c in self.list_checkpoints()}
        found = self.find_checkpoints()  # the last one first
        whole = [c for c in found if not checked[c.path]]
        if found and not whole:
            raise UserError(
                f"{found[0].path}: damaged: {checked[found[0].path]}: there is "
                f"no other checkpoint: put a copy in its place, or delete "
                f"{self.checkpoints_dir} to train from the start"
            )
        ranked = self.find_checkpoints(**best)[:1]
        earlier = found[found.index(whole[0]) :] if whole else []
        for checkpoint in earlier:
            damage = checked[checkpoint.path]
            if damage and (
                checkpoint in ranked or "damaged" in checkpoint.meta
            ):
                raise UserError(
                    f"{checkpoint.path}: damaged: {damage}: it was the best, "
                    "or may have been: put a copy in its place, or delete it "
                    "to choose among the others"
                )
        ddp_barrier()  # all processes have read them
        for checkpoint in found:
            damage = checked[checkpoint.path]
            if damage and if_main_process():
                logger.warning(
                    f"{checkpoint.path}: damaged: {damage}: removed; the run "
                    f"goes on from {whole[0].path.name}"
                )
                self._remove(checkpoint.path)
        ddp_barrier()

    def load_checkpoint(self, checkpoint):
        """Loads a checkpoint.

        Arguments
        ---------
        checkpoint : Checkpoint
            The checkpoint.

        Raises
        ------
        UserError
            If it cannot be loaded.
        """
        try:
            super().load_checkpoint(checkpoint)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except OSError as error:
            raise UserError(f"{checkpoint.path}: {reason_of(error)}")
        # Any: one of an older version, without checksums, may be damaged.
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(
                f"{checkpoint.path}: cannot be loaded: {reason}: put a copy in "
                "its place, or delete it and start train.py again"
            )

    def _list_checkpoint_dirs(self):
        # Listed before the file is read: a checkpoint that is completed in
        # between counts.
        folders = [
            folder
            for folder in self.checkpoints_dir.glob("CKPT+*")
            if (folder / METAFNAME).exists() or (folder / CHECKSUMS).exists()
        ]
        try:
            complete = self.saving.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:  # none is being saved
            return folders
        except OSError as error:
            raise UserError(f"{self.saving}: {reason_of(error)}")
        return [folder for folder in folders if folder.name in complete]

    @staticmethod
    def _construct_checkpoint_objects(checkpoint_dirs):
        return [_checkpoint_at(folder) for folder in checkpoint_dirs]


def _checkpoint_at(folder):
    """A checkpoint, even one whose metadata is damaged."""
    try:
        (made,) = Checkpointer._construct_checkpoint_objects([folder])
        # Those that SpeechBrain itself needs.
        made.meta["end-of-epoch"]
        if math.isfinite(made.meta["unixtime"]) and _is_as_saved(made):
            return made
        reason = f"{METAFNAME} is not what was saved"
    except FileNotFoundError:
        if not folder.exists():
            raise  # removed just now by the process that trains
        reason = f"{METAFNAME} is missing"
    except PermissionError as error:
        raise UserError(f"{folder / METAFNAME}: {reason_of(error)}")
    # Any: damaged YAML may be anything.
    except Exception:
        reason = f"{METAFNAME} cannot be read"
    meta = {"unixtime": _time_of(folder), "end-of-epoch": True}
    return Checkpoint(folder, {**meta, "damaged": reason}, {})


def _time_of(folder):
    """When a checkpoint was saved, by its name: copies have other times."""
    with suppress(ValueError):
        stamp = folder.name[: len("CKPT+2000-01-01+00-00-00")]
        return time.mktime(time.strptime(stamp, "CKPT+%Y-%m-%d+%H-%M-%S"))
    return 0.0  # of another name: the oldest, which is never dropped


def _is_as_saved(checkpoint):
    """Whether the metadata is, by which checkpoints are compared."""
    path = checkpoint.path / CHECKSUMS
    try:
        stated = json.loads(path.read_bytes())[METAFNAME]
    except (LookupError, OSError, TypeError, ValueError):
        return True  # up to `damage_of`
    return _digest(checkpoint.path / METAFNAME) == stated


def damage_of(checkpoint):
    """What is wrong with the files of a checkpoint.

    Arguments
    ---------
    checkpoint : Checkpoint
        The checkpoint.

    Returns
    -------
    str
        Empty if nothing is, or if it has no checksums.

    Raises
    ------
    UserError
        If a file must not be read.
    """
    if "damaged" in checkpoint.meta:
        return checkpoint.meta["damaged"]
    path = checkpoint.path / CHECKSUMS
    try:
        expected = json.loads(path.read_bytes()).items()
    except FileNotFoundError:
        return ""
    except PermissionError as error:
        raise UserError(f"{path}: {reason_of(error)}")
    except (AttributeError, OSError, ValueError):
        return f"{CHECKSUMS} cannot be read"
    for name, digest in expected:
        path = checkpoint.path / name
        try:
            if _digest(path) != digest:
                return f"{name} is not what was saved"
        except PermissionError as error:
            raise UserError(f"{path}: {reason_of(error)}")
        except OSError as error:
            return f"{name}: {reason_of(error)}"
    return ""


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
