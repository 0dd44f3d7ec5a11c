"""How clips become a batch."""

import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.sampler import DynamicBatchSampler

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.modalities import MODALITIES

# Read on the host, which would have to wait for the device.
ON_HOST = ("audio_mask", "visual_mask", "truth")


def collate(clips):
    """Makes a batch, of which `to` leaves masks and labels on the host.

    Conditions are drawn from the masks, and predictions are recorded beside
    the labels: neither has to wait for the device.

    Arguments
    ---------
    clips : list of dict
        Items of a dataset of `add_features`.

    Returns
    -------
    PaddedBatch

    Example
    -------
    >>> clip = {"audio": torch.zeros(2, 3), "audio_mask": torch.ones(2)}
    >>> batch = collate([clip]).to("meta")
    >>> batch.audio.data.device, batch.audio_mask.data.device
    (device(type='meta'), device(type='cpu'))
    """
    moved = [
        key
        for key, value in clips[0].items()
        if torch.is_tensor(value) and key not in ON_HOST
    ]
    return PaddedBatch(clips, device_prep_keys=moved)


def padding(batch):
    """Counts the padded frames of a batch, of both modalities.

    Arguments
    ---------
    batch : PaddedBatch
        The clips, with `audio_mask` and `visual_mask`.

    Returns
    -------
    padded : int
        Frames that only fill up clips to the length of the longest one.
    total : int
        All frames.

    Example
    -------
    >>> masks = ("audio_mask", "visual_mask")
    >>> clips = [dict.fromkeys(masks, torch.ones(n)) for n in (3, 4)]
    >>> padding(collate(clips))
    (2, 16)
    """
    padded = total = 0
    for modality in MODALITIES:
        mask, lens = batch[f"{modality}_mask"]
        total += mask.numel()
        padded += round(float((1 - lens).sum() * mask.shape[1]))
    return padded, total


def dynamic_batches(dataset, **options):
    """Batches of clips of similar length, whose lengths the manifest has.

    Arguments
    ---------
    dataset : DynamicItemDataset
        The training split.
    **options
        Further arguments of SpeechBrain's `DynamicBatchSampler`; lengths are
        in seconds.

    Returns
    -------
    DynamicBatchSampler

    Raises
    ------
    UserError
        If the manifest lacks the duration of a clip, or the options are none
        of the sampler.

    Example
    -------
    >>> from speechbrain.dataio.dataset import DynamicItemDataset
    >>> seconds = {"a": 1.0, "b": 3.0, "c": 1.2, "d": 2.9}
    >>> dataset = DynamicItemDataset(
    ...     {clip: {"duration": length} for clip, length in seconds.items()}
    ... )
    >>> options = {"max_batch_length": 6, "bucket_boundaries": [2, 3]}
    >>> sorted(map(sorted, dynamic_batches(dataset, **options)))
    [[0, 2], [1, 3]]
    """
    for clip, entry in dataset.data.items():
        if not entry.get("duration"):
            raise UserError(
                f"dynamic_batching: the manifest has no duration of {clip}: "
                "prepare it again, or set dynamic_batching: False"
            )
    try:
        return DynamicBatchSampler(dataset, **options)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise UserError(f"dynamic_batch_sampler: {str(error).strip()}")
