"""Frames that are lost: independently, in bursts, or in one stretch.

Conditions for `test_conditions` and for `train_condition` alike. A lost frame
keeps its place in time: its mask is False.
"""

import math

import numpy as np
import torch

from auxformer_lobes.augment.missing import Condition
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.modalities import MODALITIES

BOTH = "both"
BURST = 0.5  # mean length of a burst, seconds


class FrameLoss(Condition):
    """Loses a share of the frames of each clip.

    A subclass has a `kind`, and draws in `draw` which frames are lost. Only
    frames that are there count, so that what is lost does not depend on the
    padding; a burst or a stretch goes on behind frames without a face.

    Arguments
    ---------
    severity : float
        Share of the frames that are lost, 0 to 1.
    modality : str
        "audio", "visual", or "both", where each modality is drawn on its own.
    seed : int
        Seed of what it draws in evaluation.

    Raises
    ------
    ValueError
        If the severity or the modality is none of these.
    """

    kind = None

    def __init__(self, severity, modality=BOTH, seed=0):
        if modality not in (*MODALITIES, BOTH):
            raise ValueError(
                f"modality {modality!r}: choose among {[*MODALITIES, BOTH]}"
            )
        if not isinstance(severity, (int, float)) or not 0 <= severity <= 1:
            raise ValueError(
                f"severity {severity!r}: a share of the frames, from 0 to 1"
            )
        super().__init__(f"{self.kind}_{modality}_{severity:g}", seed)
        self.severity = severity
        self.modality = modality

    def forward(self, streams, clips):
        """Masks the frames that are lost, see `Condition.forward`."""
        affected = MODALITIES if self.modality == BOTH else (self.modality,)
        return {
            name: self._lose(stream, clips, name)
            if name in affected
            else stream
            for name, stream in streams.items()
        }

    def _lose(self, stream, clips, modality):
        mask = stream.mask.cpu().numpy().copy()
        for kept, clip, rate in zip(mask, clips, stream.rate.tolist()):
            # All or nothing exactly, without a draw.
            if self.severity in (0, 1):
                kept &= self.severity == 0
            elif count := int(kept.sum()):
                rng = self.rng(clip, modality)
                try:
                    kept[kept] = ~self.draw(count, rate, rng)
                except ValueError as error:
                    raise UserError(f"{self.name}: clip {clip}: {error}")
        mask = torch.from_numpy(mask).to(stream.mask.device)
        return stream._replace(mask=mask)

    def draw(self, count, rate, rng):
        """Draws which frames of a clip are lost.

        Arguments
        ---------
        count : int
            Number of frames.
        rate : float
            Frames per second; NaN if unknown.
        rng : np.random.Generator
            Source of the draws.

        Returns
        -------
        np.ndarray
            True where one is lost, `[count]`.
        """
        raise NotImplementedError


class LostFrames(FrameLoss):
    """Loses each frame independently, with the probability `severity`.

    See `FrameLoss` for the arguments.

    Example
    -------
    >>> condition = LostFrames(0.25, "audio")
    >>> condition.name
    'frames_audio_0.25'
    >>> condition.draw(8, 50.0, np.random.default_rng(1)).tolist()
    [False, False, True, False, False, False, False, False]
    """

    kind = "frames"

    def draw(self, count, rate, rng):
        """Draws each frame, see `FrameLoss.draw`."""
        return rng.random(count) < self.severity


class LostBursts(FrameLoss):
    """Loses bursts of frames, as a channel does that breaks down for a while.

    A two-state Markov chain (Gilbert, "Capacity of a burst-noise channel", Bell
    System Technical Journal 1960): with a mean burst of B frames, a burst ends
    with the probability 1 / B after each frame, and one starts with s / (B (1 −
    s)), so that the share s is lost in the long run.

    Arguments
    ---------
    severity : float
        See `FrameLoss`.
    modality : str
        See `FrameLoss`.
    seed : int
        See `FrameLoss`.
    burst : float
        Mean length of a burst in seconds, but at least one frame, and at least
        s / (1 − s): between two bursts a frame or more is kept.

    Example
    -------
    >>> lost = LostBursts(0.4).draw(16, 8.0, np.random.default_rng(9))
    >>> "".join("-" if x else "+" for x in lost)
    '+++----++++++---'
    """

    kind = "bursts"

    def __init__(self, severity, modality=BOTH, seed=0, burst=BURST):
        super().__init__(severity, modality, seed)
        if not isinstance(burst, (int, float)) or not 0 < burst < math.inf:
            raise ValueError(f"burst {burst!r}: a number of seconds, above 0")
        self.burst = burst

    def draw(self, count, rate, rng):
        """Draws runs of frames, see `FrameLoss.draw`."""
        if math.isnan(rate):
            raise ValueError(
                "bursts are in seconds, and its manifest has no duration of "
                "it: prepare the manifest again"
            )
        odds = self.severity / (1 - self.severity)
        length = max(1, self.burst * rate, odds)
        # The state of the first frame is that of any frame.
        starts_lost = rng.random() < self.severity
        is_lost = (np.arange(count) % 2 == 0) == starts_lost
        ends = np.where(is_lost, 1 / length, min(1, odds / length))
        # Each run has a frame or more, so that so many runs suffice.
        runs = np.minimum(rng.geometric(ends), count).cumsum()
        return is_lost[np.searchsorted(runs, np.arange(count), "right")]


class LostStretch(FrameLoss):
    """Loses one contiguous stretch at a random place.

    It covers the share `severity` of the frames. A fraction of a frame is
    rounded up or down at random, so that it is this share on average even in
    clips of a few frames. See `FrameLoss` for the arguments.

    Example
    -------
    >>> lost = LostStretch(0.5).draw(8, 50.0, np.random.default_rng(0))
    >>> "".join("-" if x else "+" for x in lost)
    '++----++'
    """

    kind = "stretch"

    def draw(self, count, rate, rng):
        """Draws the place of the stretch, see `FrameLoss.draw`."""
        length = int(self.severity * count + rng.random())
        start = rng.integers(count - length, endpoint=True)
        places = np.arange(count)
        return (start <= places) & (places < start + length)


FRAME_LOSSES = (LostFrames, LostBursts, LostStretch)
