"""Extraction: media files in, a feature store out.

Worker processes read files (decode them, find faces) while the main process
encodes what they have read, several clips at a time, and threads store it.
"""

import datetime
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain

import torch
from speechbrain.utils.distributed import ddp_prevent_block, if_main_process
from torch import distributed
from tqdm import tqdm

from auxformer_lobes.dataio.extraction_report import ExtractionReport
from auxformer_lobes.dataio.workers import KILLED, ClipWorkers
from auxformer_lobes.features.base import ClipInput
from auxformer_lobes.processing.segments import size_of
from auxformer_lobes.utils.devices import check_device
from auxformer_lobes.utils.errors import MediaError, UserError
from auxformer_lobes.utils.files import CURES, reason_of

# Finished processes wait for the others; torch's default timeouts of minutes
# are made for steps of training.
TIMEOUT = datetime.timedelta(days=7)
# Threads that store clips: a network file system may take long for each file.
NUM_WRITERS = 4


def extract(
    store, paths, num_workers=0, batch_clips=16, description="features"
):
    """Extracts the features of all clips that the store lacks.

    All clips that are stored are checked; those that are damaged are extracted
    again. Clips with unusable files are recorded as failures, and tried again
    the next time. A run that is killed loses only the clips in progress.

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
        Clips to encode together. About three times as many are in memory.
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
        damaged=sorted(c for each in reports for c in each.damaged),
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
    current = {c for c, file in paths.items() if store.has_current(c, file)}
    damaged = sorted(clip for clip in current if not store.is_whole(clip))
    missing = sorted(
        {*paths} - current.difference(damaged),
        key=lambda clip: (-size_of(paths[clip]), clip),
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
            read = partial(_read, store.features, remaining.copy())
            try:
                workers = ClipWorkers(read, remaining, num_workers)
                batches = _batches(workers.loader(batch_clips), batch_clips)
                for clip, validity, error in _finish(store, remaining, batches):
                    path = remaining.pop(clip)
                    if error is not None:
                        failed[clip] = store.fail(clip, path, str(error))
                    elif validity is not None and not validity.any():
                        invalid.append(clip)
                    bar.update()
            except RuntimeError as error:
                clip = workers.clip_of_killed_worker(error)
                if clip is None:
                    raise
                if clip in remaining:
                    path = remaining.pop(clip)
                    failed[clip] = store.fail(clip, path, KILLED)
                    bar.update()
            except OSError as error:
                if error.errno not in CURES:
                    raise
                raise UserError(f"{description}: {reason_of(error)}")
    return ExtractionReport(
        present=len(paths) - len(missing),
        extracted=sorted({*missing} - {*failed}),
        failed=failed,
        invalid=invalid,
        seconds=0.0,
        damaged=damaged,
    )


def _read(features, paths, clip):
    """Version of the file of a clip, and what is read from it."""
    # Before reading: the file may be half copied, and still grow.
    version = features.version(clip, paths[clip])
    data, validity = features.read(clip, paths[clip])
    validity = None if validity is None else validity.numpy()
    return version, ClipInput(data.numpy(), validity)


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


def _finish(store, paths, batches):
    """Encodes and stages batches; yields (clip, frame validity, error).

    Threads stage a batch while the next one is encoded.
    """
    with ThreadPoolExecutor(NUM_WRITERS) as writers:
        before = []
        for batch in chain(batches, [[]]):
            read = {}
            for clip, result in batch:
                if isinstance(result, MediaError):
                    yield clip, None, result
                elif isinstance(result, Exception):
                    raise result
                else:
                    read[clip] = result
            inputs = {
                clip: clip_input for clip, (_, clip_input) in read.items()
            }
            features = _encode(store.features, inputs) if inputs else {}
            staged = [
                writers.submit(
                    _stage,
                    store,
                    clip,
                    paths[clip],
                    features[clip],
                    *read[clip],
                )
                for clip in read
            ]
            for result in before:
                yield result.result()
            before = staged


def _stage(store, clip, path, features, version, clip_input):
    """Stages a clip; returns (clip, frame validity, error)."""
    validity = clip_input.frame_validity
    validity = None if validity is None else torch.from_numpy(validity)
    try:
        store.add(clip, path, features, validity, version)
    except MediaError as error:
        return clip, None, error
    return clip, validity, None


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
        cure = f"lower {next(options, 'batch_clips')} of "
        if isinstance(error, torch.OutOfMemoryError):  # of a single input
            cure = "no GPU has room for it: set device: cpu in "
        raise UserError(
            f"{longest}, or a clip in its batch: out of memory on the device: "
            f"{cure}{extractor.settings['class']}"
        )
