"""Extraction: media files in, a feature store out.

Worker processes read files (decode them, find faces) while the main process
encodes what they have read, several clips at a time, and stores it.
"""

import datetime
import multiprocessing
import os
import re
import threading
import time
import traceback
from contextlib import contextmanager

import cv2
import torch
from speechbrain.utils.distributed import ddp_prevent_block, if_main_process
from torch import distributed
from torch.utils.data import DataLoader, Dataset, get_worker_info
from tqdm import tqdm

from auxformer_lobes.dataio.extraction_report import ExtractionReport
from auxformer_lobes.features.base import ClipInput
from auxformer_lobes.utils.devices import check_device
from auxformer_lobes.utils.errors import MediaError, UserError

# Processes that have finished wait for the others; the usual limits, some
# minutes to hours, are for steps of training.
LONGEST_WAIT = datetime.timedelta(days=7)


def extract(store, paths, num_workers=0, window=16, description="features"):
    """Extracts the features of those clips that the store does not have.

    Clips whose file cannot be used are noted in the store and left out, and
    tried again the next time. A run that is killed loses only the clips it
    was at.

    Where processes run together (`torch.distributed`), all of them call
    this, each does its share, and all get the report on the whole; unless
    the call is within SpeechBrain's `run_on_main`.

    Arguments
    ---------
    store : FeatureStore
        What is filled.
    paths : dict
        Clip to sound or video file.
    num_workers : int
        Processes that read files.
    window : int
        Clips that are encoded at a time. About twice as many are in memory.
    description : str
        Label of the progress bar.

    Returns
    -------
    report : ExtractionReport
        What became of the clips.

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
    options = num_workers, window, description
    if ddp_prevent_block():
        store.merge()
        report = _extract(store, paths, *options)
        store.merge()
        return report._replace(seconds=time.perf_counter() - start)
    rank, world = distributed.get_rank(), distributed.get_world_size()
    # Not NCCL, whose waiting keeps the device busy.
    group = distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
    if rank == 0:
        store.merge()
    distributed.barrier(group)
    report = _extract(store, share_of(paths, rank + 1, world), *options)
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
        untrusted=sorted(c for each in reports for c in each.untrusted),
        seconds=time.perf_counter() - start,
    )


@contextmanager
def processes(device=None):
    """Joins the processes that torchrun has started, if it has.

    Arguments
    ---------
    device : str
        What the user wants to encode on.

    Yields
    ------
    str
        What to encode on: each process on its own GPU. None if the encoder
        may choose.

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
        distributed.init_process_group("gloo", timeout=LONGEST_WAIT)
    yield device
    if rank is not None:
        distributed.destroy_process_group()


def share_of(paths, number, total):
    """Splits clips among machines or processes, the same way on each.

    Arguments
    ---------
    paths : dict
        Clip to sound or video file.
    number : int
        Which share, from 1.
    total : int
        Number of shares.

    Returns
    -------
    dict
        The clips of this share; each clip is in one of them.

    Example
    -------
    >>> share_of({"a": "a.wav", "b": "b.wav", "c": "c.wav"}, 1, 2)
    {'a': 'a.wav', 'c': 'c.wav'}
    """
    return {clip: paths[clip] for clip in sorted(paths)[number - 1 :: total]}


def _extract(store, paths, num_workers, window, description):
    """Extracts into parts, in this process and its workers."""
    # The largest first: what is too large for the device shows at once, and
    # clips of a length are encoded together.
    missing = sorted(
        (
            clip
            for clip, file in paths.items()
            if not store.has_current(clip, file)
        ),
        key=lambda clip: -_size_of(paths[clip]),
    )
    left = {clip: paths[clip] for clip in missing}
    failed, untrusted = {}, []
    bar = tqdm(
        total=len(left),
        desc=description,
        unit="clip",
        disable=None if if_main_process() else True,
    )
    with bar:
        while left:
            readings = _ClipInputs(store.features, left, num_workers)
            try:
                for batch in _windows(readings, window):
                    for clip, quality, error in _finish(store, left, batch):
                        path = left.pop(clip)
                        if error is not None:
                            failed[clip] = store.fail(clip, path, str(error))
                        elif quality is not None and not quality.any():
                            untrusted.append(clip)
                        bar.update()
            except RuntimeError as error:
                clip = readings.killed_at(error)
                if clip is None:
                    raise
                if clip in left:
                    reason = (
                        "killed the process that read it: damaged, or too "
                        "little memory for num_workers"
                    )
                    failed[clip] = store.fail(clip, left.pop(clip), reason)
                    bar.update()
    return ExtractionReport(
        present=len(paths) - len(missing),
        extracted=sorted({*missing} - {*failed}),
        failed=failed,
        untrusted=untrusted,
        seconds=0.0,
    )


def _size_of(path):
    try:
        return os.path.getsize(path)
    except (OSError, TypeError):  # released features need no file
        return 0


class _ClipInputs(Dataset):
    """Reads clips, in workers: name, version, and a reading or an error."""

    def __init__(self, features, paths, num_workers):
        self.features = features
        self.paths = list(paths.items())
        self.num_workers = min(num_workers, len(paths))
        # Which process is at which clip.
        self.at = multiprocessing.Array("q", 2 * num_workers, lock=False)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        clip, path = self.paths[index]
        worker = get_worker_info()
        if worker is not None:
            place = slice(2 * worker.id, 2 * worker.id + 2)
            self.at[place] = os.getpid(), index
        # Before it is read: it may be half copied, and grow meanwhile.
        version = self.features.version(clip, path)
        try:
            values, quality = self.features.read(clip, path)
        except UserError as error:
            return clip, version, error
        except Exception:
            # Not raised here: a DataLoader that fails takes long to end.
            error = RuntimeError(
                f"{clip} ({path}) cannot be read:\n{traceback.format_exc()}"
            )
            return clip, version, error
        # Not as tensors, which would go through shared memory, of which
        # containers have little.
        quality = None if quality is None else quality.numpy()
        return clip, version, ClipInput(values.numpy(), quality)

    def loader(self, ahead):
        """Reads that many clips ahead, all the workers together."""
        workers = self.num_workers
        # Here, since a process that is forked off may hang if it does so, and
        # each inherits it; torch sees to its own threads.
        cv2.setNumThreads(1)
        return DataLoader(
            self,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=max(2, -(-ahead // workers)) if workers else None,
            collate_fn=_as_it_is,
            worker_init_fn=_end_with_the_parent,
            # Whether something is extracted must not change the random
            # numbers of a training that follows.
            generator=torch.Generator(),
        )

    def killed_at(self, error):
        """Name of the clip whose reader was killed; None if none was."""
        told = re.match(r"DataLoader worker \(pid\D*([\d, ]+)\)", str(error))
        at = dict(zip(self.at[::2], self.at[1::2]))
        for pid in map(int, told[1].split(",") if told else ()):
            if pid in at:
                return self.paths[at[pid]][0]
        return None


def _end_with_the_parent(_):
    """Ends a reader whose parent is killed, and not before.

    Else it would wait for ever for somebody to take what it has read, since
    the other readers keep its pipe open.
    """
    parent = multiprocessing.parent_process()

    def _wait():
        parent.join()
        os._exit(1)

    threading.Thread(target=_wait, daemon=True).start()


def _as_it_is(reading):
    return reading


def _windows(readings, size):
    """What was read, in lists of some clips."""
    batch = []
    for item in readings.loader(size):
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _finish(store, paths, batch):
    """Encodes and stores clips: yields each, its quality, or an error."""
    readings = {c: read for c, _, read in batch if isinstance(read, ClipInput)}
    versions = {clip: version for clip, version, _ in batch}
    for clip, _, read in batch:
        if isinstance(read, MediaError):
            yield clip, None, read
        elif isinstance(read, Exception):
            raise read
    features = _encode(store.features, readings) if readings else {}
    for clip, (_, quality) in readings.items():
        quality = None if quality is None else torch.from_numpy(quality)
        try:
            store.add(
                clip, paths[clip], features[clip], quality, versions[clip]
            )
        except MediaError as error:
            yield clip, None, error
        else:
            yield clip, quality, None


def _encode(extractor, readings):
    """Features of clips."""
    values = [torch.from_numpy(read.values) for read in readings.values()]
    try:
        with torch.no_grad():
            return dict(zip(readings, extractor.encode(values)))
    except (RuntimeError, MemoryError) as error:
        if not re.search("out of memory|allocate memory", str(error)):
            raise
        longest = max(readings, key=lambda clip: readings[clip].values.size)
        bounds = (n for n in vars(extractor) if n.startswith("batch_"))
        raise UserError(
            f"{longest}, or a clip beside it: out of memory on the device: "
            f"set {next(bounds, 'window')} of the encoder "
            f"({extractor.settings['class']}) lower"
        )
