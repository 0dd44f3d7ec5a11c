"""Extraction: media files in, a feature store out.

Worker processes read files (decode them, find faces) while the main process
encodes and stores what they have read, several clips at a time.
"""

import datetime
import multiprocessing
import os
import re
import threading
import time
import traceback
from contextlib import contextmanager

import torch
from speechbrain.utils.distributed import ddp_prevent_block, if_main_process
from torch import distributed
from torch.utils.data import DataLoader, Dataset, get_worker_info
from tqdm import tqdm

from auxformer_lobes.dataio.extraction_report import ExtractionReport
from auxformer_lobes.features.base import ClipInput
from auxformer_lobes.utils.devices import check_device
from auxformer_lobes.utils.errors import MediaError, UserError

# Finished processes wait for the others; torch's default timeouts of minutes
# are made for steps of training.
TIMEOUT = datetime.timedelta(days=7)


def extract(
    store, paths, num_workers=0, batch_clips=16, description="features"
):
    """Extracts the features of all clips that the store lacks.

    Clips with unusable files are recorded as failures, and tried again the next
    time. A run that is killed loses only the clips in progress.

    In distributed runs (`torch.distributed`) all processes call this; each
    extracts a shard, and all get the report on the whole. Within SpeechBrain's
    `run_on_main`, one process extracts everything.

    Arguments
    ---------
    store : FeatureStore
        The store to fill.
    paths : dict
        Clip to wav or video file.
    num_workers : int
        Processes that read files.
    batch_clips : int
        Clips to encode together. About twice as many are in memory.
    description : str
        Label of the progress bar.

    Returns
    -------
    ExtractionReport

    Raises
    ------
    UserError
        If the features cannot be stored, or the encoder runs out of memory.

    Example
    -------
    >>> import tempfile
    >>> from auxformer_lobes.features.base import Extractor
    >>> from auxformer_lobes.dataio.feature_store import FeatureStore
    >>> class Counter(Extractor):
    ...     def read(self, clip, path):
    ...         return ClipInput(torch.arange(6.0).view(3, 2))
    >>> store = FeatureStore(tempfile.mkdtemp(), Counter(dim=2))
    >>> extract(store, {"one": "one.wav", "two": "two.wav"}).extracted
    ['one', 'two']
    >>> store["one"].shape
    torch.Size([3, 2])
    """
    start = time.perf_counter()
    options = num_workers, batch_clips, description
    if ddp_prevent_block():
        store.merge()
        report = _extract(store, paths, *options)
        store.merge()
        return report._replace(seconds=time.perf_counter() - start)
    rank, world = distributed.get_rank(), distributed.get_world_size()
    # Gloo, since waiting with NCCL keeps the GPU busy.
    group = distributed.new_group(backend="gloo", timeout=TIMEOUT)
    if rank == 0:
        store.merge()
    distributed.barrier(group)
    report = _extract(store, shard_of(paths, rank + 1, world), *options)
    reports = [None] * world
    distributed.all_gather_object(reports, report, group)
    if rank == 0:
        store.merge()
    distributed.barrier(group)
    distributed.destroy_process_group(group)
    return ExtractionReport(
        present=sum(each.present for each in reports),
        extracted=sorted(c for each in reports for c in each.extracted),
        failed={c: f for each in reports for c, f in each.failed.items()},
        invalid=sorted(c for each in reports for c in each.invalid),
        seconds=time.perf_counter() - start,
    )


@contextmanager
def processes(device=None):
    """Joins the process group if torchrun has started this process.

    Arguments
    ---------
    device : str
        Device that the user wants.

    Yields
    ------
    str
        Device to encode on: under torchrun, each process has its own GPU. None
        if the encoder may choose.

    Raises
    ------
    UserError
        If there is no such device.
    """
    rank = os.environ.get("LOCAL_RANK")
    if device is None and rank is not None and torch.cuda.is_available():
        device = f"cuda:{int(rank) % torch.cuda.device_count()}"
    check_device(device)
    if rank is not None:
        distributed.init_process_group("gloo", timeout=TIMEOUT)
    yield device
    if rank is not None:
        distributed.destroy_process_group()


def shard_of(paths, number, total):
    """Selects the clips of one shard, the same on every machine.

    Arguments
    ---------
    paths : dict
        Clip to wav or video file.
    number : int
        Which shard, from 1.
    total : int
        Number of shards.

    Returns
    -------
    dict
        Clip to file. Each clip is in exactly one shard.

    Example
    -------
    >>> shard_of({"a": "a.wav", "b": "b.wav", "c": "c.wav"}, 1, 2)
    {'a': 'a.wav', 'c': 'c.wav'}
    """
    return {clip: paths[clip] for clip in sorted(paths)[number - 1 :: total]}


def _extract(store, paths, num_workers, batch_clips, description):
    """Extracts into the staging area, in this process and its workers."""
    # Largest files first: what does not fit the device fails at once, and clips
    # of similar length are encoded together.
    missing = sorted(
        (
            clip
            for clip, file in paths.items()
            if not store.has_current(clip, file)
        ),
        key=lambda clip: -_size_of(paths[clip]),
    )
    remaining = {clip: paths[clip] for clip in missing}
    failed, invalid = {}, []
    bar = tqdm(
        total=len(remaining),
        desc=description,
        unit="clip",
        disable=None if if_main_process() else True,
    )
    with bar:
        # One round, and another for each worker that a clip has killed.
        while remaining:
            reader = _ClipReader(store.features, remaining, num_workers)
            try:
                for batch in _batches(reader.loader(batch_clips), batch_clips):
                    for clip, validity, error in _finish(
                        store, remaining, batch
                    ):
                        path = remaining.pop(clip)
                        if error is not None:
                            failed[clip] = store.fail(clip, path, str(error))
                        elif validity is not None and not validity.any():
                            invalid.append(clip)
                        bar.update()
            except RuntimeError as error:
                clip = reader.clip_of_killed_worker(error)
                if clip is None:
                    raise
                if clip in remaining:
                    reason = (
                        "killed the process that read it: damaged, or too "
                        "little memory for num_workers"
                    )
                    failed[clip] = store.fail(clip, remaining.pop(clip), reason)
                    bar.update()
    return ExtractionReport(
        present=len(paths) - len(missing),
        extracted=sorted({*missing} - {*failed}),
        failed=failed,
        invalid=invalid,
        seconds=0.0,
    )


def _size_of(path):
    try:
        return os.path.getsize(path)
    except (OSError, TypeError):  # precomputed features need no file
        return 0


class _ClipReader(Dataset):
    """Reads clips in workers: (clip, version, `ClipInput` or exception)."""

    def __init__(self, features, paths, num_workers):
        self.features = features
        self.paths = list(paths.items())
        self.num_workers = min(num_workers, len(paths))
        # Shared memory: pid and current index of each worker.
        self.current = multiprocessing.Array("q", 2 * num_workers, lock=False)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        clip, path = self.paths[index]
        worker = get_worker_info()
        if worker is not None:
            place = slice(2 * worker.id, 2 * worker.id + 2)
            self.current[place] = os.getpid(), index
        # Before reading: the file may be half copied, and still grow.
        version = self.features.version(clip, path)
        try:
            data, validity = self.features.read(clip, path)
        except UserError as error:
            return clip, version, error
        except Exception:
            # Returned, not raised: a failing DataLoader takes long to end.
            error = RuntimeError(
                f"{clip} ({path}) cannot be read:\n{traceback.format_exc()}"
            )
            return clip, version, error
        # Tensors would go through shared memory, of which containers have
        # little; arrays go through a pipe.
        validity = None if validity is None else validity.numpy()
        return clip, version, ClipInput(data.numpy(), validity)

    def loader(self, ahead):
        """A DataLoader whose workers together read that many clips ahead."""
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
            worker_init_fn=_exit_with_parent,
            # A generator of its own: an extraction must not change the random
            # numbers of a training that follows.
            generator=torch.Generator(),
        )

    def clip_of_killed_worker(self, error):
        """The clip that a killed worker was reading; None for other errors."""
        found = re.match(r"DataLoader worker \(pid\D*([\d, ]+)\)", str(error))
        current = dict(zip(self.current[::2], self.current[1::2]))
        for pid in map(int, found[1].split(",") if found else ()):
            if pid in current:
                return self.paths[current[pid]][0]
        return None


def _exit_with_parent(_):
    """Makes a worker exit when its parent is killed, and not before.

    It would otherwise wait for ever to hand over what it has read, since the
    other workers keep its pipe open.
    """
    parent = multiprocessing.parent_process()

    def _wait():
        parent.join()
        os._exit(1)

    threading.Thread(target=_wait, daemon=True).start()


def _identity(item):
    return item  # a lambda could not be pickled


def _batches(items, size):
    """Groups items into lists of `size`; the last may be shorter."""
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _finish(store, paths, batch):
    """Encodes and stages a batch; yields (clip, frame validity, error)."""
    inputs = {c: item for c, _, item in batch if isinstance(item, ClipInput)}
    versions = {clip: version for clip, version, _ in batch}
    for clip, _, item in batch:
        if isinstance(item, MediaError):
            yield clip, None, item
        elif isinstance(item, Exception):
            raise item
    features = _encode(store.features, inputs) if inputs else {}
    for clip, (_, validity) in inputs.items():
        validity = None if validity is None else torch.from_numpy(validity)
        try:
            store.add(
                clip, paths[clip], features[clip], validity, versions[clip]
            )
        except MediaError as error:
            yield clip, None, error
        else:
            yield clip, validity, None


def _encode(extractor, inputs):
    """Encodes clips: clip to features, `[time, dim]`."""
    data = [torch.from_numpy(item.data) for item in inputs.values()]
    try:
        with torch.no_grad():
            return dict(zip(inputs, extractor.encode(data)))
    except (RuntimeError, MemoryError) as error:
        if not re.search("out of memory|allocate memory", str(error)):
            raise
        longest = max(inputs, key=lambda clip: inputs[clip].data.size)
        options = (n for n in vars(extractor) if n.startswith("batch_"))
        raise UserError(
            f"{longest}, or a clip in its batch: out of memory on the device: "
            f"lower {next(options, 'batch_clips')} of "
            f"{extractor.settings['class']}"
        )
