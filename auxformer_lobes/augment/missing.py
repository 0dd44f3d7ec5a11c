"""What is lost of a clip: conditions, for evaluation and training alike.

A condition is an object that changes a batch, is deterministic for its seed,
and has a name. A new one is a subclass of `Condition` whose `forward` masks the
frames that are lost; it goes into `test_conditions` or `train_condition` of
a recipe's YAML file.
"""

import zlib
from typing import NamedTuple

import numpy as np
import torch
import torch.nn as nn

from auxformer_lobes.utils.modalities import MODALITIES


class Stream(NamedTuple):
    """One modality of a batch.

    A mask and a rate may be on the host while the data are on the device, so
    that a condition draws without waiting for it.

    Arguments
    ---------
    data : torch.Tensor
        Features, `[batch, time, channels]`.
    lens : torch.Tensor
        Relative lengths, `[batch]`.
    mask : torch.Tensor
        Boolean `[batch, time]`: frames that are neither padding nor lost. A
        clip without any lacks the modality.
    rate : torch.Tensor
        Frames per second of each clip, `[batch]`; NaN where its duration is
        not known.
    """

    data: torch.Tensor
    lens: torch.Tensor
    mask: torch.Tensor
    rate: torch.Tensor


class Condition(nn.Module):
    """What a network is given of a batch.

    `modalities` are those that may be present under the condition: heads that
    need none of them do not contribute.

    Arguments
    ---------
    name : str
        Its name in tables and files.
    seed : int
        Seed of what it draws in evaluation.

    Example
    -------
    >>> class FirstHalf(Condition):
    ...     def forward(self, streams, clips):
    ...         half = lambda mask: mask.cumsum(1) <= mask.sum(1, True) / 2
    ...         return {
    ...             name: stream._replace(mask=stream.mask & half(stream.mask))
    ...             for name, stream in streams.items()
    ...         }
    >>> mask = torch.ones(1, 4, dtype=torch.bool)
    >>> rate = torch.tensor([2.0])
    >>> audio = Stream(torch.rand(1, 4, 2), torch.ones(1), mask, rate)
    >>> FirstHalf("first_half")({"audio": audio}, ["clip"])["audio"].mask
    tensor([[ True,  True, False, False]])
    """

    modalities = MODALITIES

    def __init__(self, name, seed=0):
        super().__init__()
        self.name = name
        self.seed = seed

    def forward(self, streams, clips):
        """Changes a batch.

        Arguments
        ---------
        streams : dict of Stream
            "audio" and "visual".
        clips : list of str
            Names of the clips.

        Returns
        -------
        dict of Stream
            A lost frame keeps its place in time; its mask is False.
        """
        raise NotImplementedError

    def rng(self, clip, modality):
        """Random generator for one modality of a clip.

        In evaluation it depends on the seed and the names alone, so that what
        is lost does not depend on the batch, nor on its padding; in training,
        each call draws anew from torch's generator.

        Arguments
        ---------
        clip : str
            Name of the clip.
        modality : str
            "audio" or "visual".

        Returns
        -------
        np.random.Generator
        """
        if self.training:
            return np.random.default_rng(torch.randint(2**62, ()).item())
        names = zlib.crc32(f"{modality} {clip}".encode())
        return np.random.default_rng([self.seed, names])


class Available(Condition):
    """Some modalities of every clip, the others wholly lost.

    Arguments
    ---------
    modalities : list of str
        Those that are there.

    Example
    -------
    >>> Available(["audio"]).name, Available().name
    ('audio_only', 'audio_visual')
    """

    def __init__(self, modalities=MODALITIES):
        modalities = tuple(dict.fromkeys(modalities))
        if not modalities or {*modalities} - {*MODALITIES}:
            raise ValueError(
                f"modalities {[*modalities]}: choose among {[*MODALITIES]}"
            )
        super().__init__(
            "audio_visual" if len(modalities) > 1 else f"{modalities[0]}_only"
        )
        self.modalities = modalities

    def forward(self, streams, clips):
        """Masks the modalities that are lost, see `Condition.forward`."""
        return {
            name: stream
            if name in self.modalities
            else stream._replace(mask=torch.zeros_like(stream.mask))
            for name, stream in streams.items()
        }


class ModalityDropout(Condition):
    """Drops one modality of some clips in training; nothing in evaluation.

    Audio with one probability, else the visual modality with another, never
    both. A clip with a single modality keeps it.

    Arguments
    ---------
    audio : float
        Probability that the audio is dropped.
    visual : float
        Probability that the visual modality is dropped.
    per_batch : bool
        Whether one draw holds for the whole batch, as published, or each clip
        has its own.

    Example
    -------
    >>> dropout = ModalityDropout(audio=1.0, visual=0.0)
    >>> dropout.draw(torch.tensor([[True, True], [True, False]]))
    tensor([[False,  True],
            [ True, False]])
    >>> dropout.eval().draw(torch.tensor([[True, True]]))
    tensor([[True, True]])
    """

    def __init__(self, audio=0.2, visual=0.2, per_batch=False):
        super().__init__("modality_dropout")
        if min(audio, visual) < 0 or audio + visual > 1:
            raise ValueError(
                f"probabilities audio {audio} and visual {visual}: negative, "
                "or more than 1 together"
            )
        self.audio = audio
        self.visual = visual
        self.per_batch = per_batch

    def forward(self, streams, clips):
        """Masks what is dropped, see `Condition.forward`."""
        kept = self.draw(presence(streams))
        return {
            name: streams[name]._replace(
                mask=streams[name].mask & kept[:, i, None]
            )
            for i, name in enumerate(MODALITIES)
        }

    def draw(self, present):
        """Draws which modalities are kept.

        Arguments
        ---------
        present : torch.Tensor
            Whether each sample has (audio, visual), boolean `[batch, 2]`.

        Returns
        -------
        torch.Tensor
            What it keeps, boolean `[batch, 2]`.
        """
        if not self.training:
            return present
        draw = torch.rand(
            1 if self.per_batch else len(present), device=present.device
        )
        dropped = torch.stack(
            [
                draw < self.audio,
                (draw >= self.audio) & (draw < self.audio + self.visual),
            ],
            dim=1,
        )
        return present & ~(dropped & present.all(1, keepdim=True))


class Chain(Condition):
    """Several conditions in turn, each for a share of the clips.

    Arguments
    ---------
    conditions : list of Condition
        What they are, the first one first.
    shares : list of float
        Probability that a clip is under each of them; 1 by default.
    seed : int
        Seed of which clips are, in evaluation.

    Example
    -------
    >>> chain = Chain([ModalityDropout(), Available(["audio"])], [1.0, 0.0])
    >>> mask = torch.ones(1, 4, dtype=torch.bool)
    >>> stream = Stream(torch.rand(1, 4, 2), torch.ones(1), mask, torch.ones(1))
    >>> left = chain.eval()({"audio": stream, "visual": stream}, ["clip"])
    >>> left["visual"].mask
    tensor([[True, True, True, True]])
    """

    def __init__(self, conditions, shares=None, seed=0):
        super().__init__("_".join(c.name for c in conditions), seed)
        shares = [1.0] * len(conditions) if shares is None else [*shares]
        if len(shares) != len(conditions) or not all(
            0 <= s <= 1 for s in shares
        ):
            raise ValueError(
                f"shares {shares}: one from 0 to 1 for each of the "
                f"{len(conditions)} conditions"
            )
        self.conditions = nn.ModuleList(conditions)
        self.shares = shares

    def forward(self, streams, clips):
        """Applies them, see `Condition.forward`."""
        for i, (condition, share) in enumerate(
            zip(self.conditions, self.shares)
        ):
            drawn = [self.rng(clip, f"{i}").random() < share for clip in clips]
            left = condition(streams, clips)
            streams = {
                name: _where(drawn, left[name], stream)
                for name, stream in streams.items()
            }
        return streams


def _where(drawn, changed, stream):
    """A stream that is changed in the clips that were drawn."""
    drawn = torch.tensor(drawn)
    data = stream.data
    if changed.data is not data:
        data = torch.where(
            drawn[:, None, None].to(data.device), changed.data, data
        )
    drawn = drawn[:, None].to(stream.mask.device)
    mask = torch.where(drawn, changed.mask, stream.mask)
    return stream._replace(data=data, mask=mask)


def presence(streams):
    """Which modalities each sample has.

    Arguments
    ---------
    streams : dict of Stream
        "audio" and "visual".

    Returns
    -------
    torch.Tensor
        Boolean `[batch, 2]`.
    """
    return torch.stack([streams[m].mask.any(1) for m in MODALITIES], 1)


# The conditions of the recipes.
AUDIO_VISUAL = Available()
CONDITIONS = (AUDIO_VISUAL, Available(["audio"]), Available(["visual"]))
