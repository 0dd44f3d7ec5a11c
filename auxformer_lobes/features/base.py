"""Base class of the feature extractors: read a clip, then encode it."""

from typing import NamedTuple, Optional

import torch

from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import fingerprint
from auxformer_lobes.utils.schema import Configurable, number, optional

LEVEL = optional(number(-70, 0))  # LUFS


class ClipInput(NamedTuple):
    """One modality of one clip, as `Extractor.read` returns it.

    Arguments
    ---------
    data : torch.Tensor
        `[time, ...]`: a waveform, face crops, or the features themselves.
    frame_validity : torch.Tensor
        `[time]`, uint8: 0 marks frames without usable content; for faces, a
        `FaceQuality`. None if all frames are valid.
    """

    data: torch.Tensor
    frame_validity: Optional[torch.Tensor] = None


def level_settings(normalize_level):
    """The setting of a level; none by default, so that stores stay valid.

    Arguments
    ---------
    normalize_level : float
        LUFS, or None.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        If it is out of range.

    Example
    -------
    >>> level_settings(None), level_settings(-23)
    ({}, {'normalize_level': -23})
    """
    if normalize_level is None:
        return {}
    if not LEVEL.accepts(normalize_level):
        raise UserError(
            f"normalize_level must be {LEVEL.description}, not "
            f"{normalize_level}"
        )
    return {"normalize_level": normalize_level}


class Extractor(Configurable):
    """Extracts the features of a clip in two steps.

    `read` runs on the CPU, in worker processes, so an extractor must be
    picklable, without its model. `encode` runs on the device, in the main
    process, on several clips at a time. Extractors without a model do
    everything in `read`.

    Class attributes: `modality` is "audio" or "visual"; `layers` is the number
    of encoder layers concatenated in each frame; `input_shape` is the
    shape of one sample or frame of `ClipInput.data`, for extractors with an
    encoder; `dtype` is the dtype in which a `FeatureStore` keeps the features.

    Arguments
    ---------
    dim : int
        Feature channels.
    **settings
        Every option that changes the features, as JSON values. Together with
        the class name they identify a `FeatureStore`.

    Example
    -------
    >>> class Loudness(Extractor):
    ...     modality = "audio"
    ...
    ...     def __init__(self, frame=160):
    ...         super().__init__(dim=1, frame=frame)
    ...
    ...     def read(self, clip, path):
    ...         waveform = torch.ones(self.settings["frame"] * 3)
    ...         return ClipInput(waveform.view(3, -1).std(1, keepdim=True))
    >>> loudness = Loudness()
    >>> loudness.settings
    {'class': 'Loudness', 'frame': 160}
    >>> loudness("clip", "clip.wav").shape
    torch.Size([3, 1])
    """

    modality = None
    layers = 1
    input_shape = ()
    dtype = "float16"

    def __init__(self, dim, **settings):
        self.dim = dim
        self.settings = {"class": type(self).__name__, **settings}

    @property
    def read_settings(self):
        """The settings that change what `read` returns; by default all."""
        return self.settings

    def read(self, clip, path):
        """Reads one clip.

        Arguments
        ---------
        clip : str
            Name of the clip.
        path : str
            Its wav or video file, or a segment of one.

        Returns
        -------
        ClipInput
            What `encode` takes.

        Raises
        ------
        MediaError
            If the file cannot be used.
        """
        raise NotImplementedError

    def version(self, clip, path):
        """Identifies the content of a clip's file.

        A stored clip whose version has changed is extracted again.

        Arguments
        ---------
        clip : str
            Name of the clip.
        path : str
            Its wav or video file, or None.

        Returns
        -------
        int
            63-bit fingerprint (size, first and last 64 KiB, times of a
            segment); -1 if there is no file.
        """
        return fingerprint(path)

    def encode(self, data):
        """Encodes some clips; each result is independent of the other clips.

        Arguments
        ---------
        data : list of torch.Tensor
            `ClipInput.data` of each clip.

        Returns
        -------
        list of torch.Tensor
            Features of each clip, `[time, dim]`, float32.
        """
        return data

    def carry_mask(self, mask, num_frames):
        """Carries a mask from what was read to the features of `encode`.

        By default a feature frame is there if the middle of its share of the
        clip is.

        Arguments
        ---------
        mask : torch.Tensor
            What is there of `ClipInput.data`, boolean `[time]`.
        num_frames : int
            Frames that `encode` returns.

        Returns
        -------
        torch.Tensor
            Boolean `[num_frames]`.

        Example
        -------
        >>> mask = torch.tensor([True, True, False, False])
        >>> Extractor(dim=1).carry_mask(mask, 2)
        tensor([ True, False])
        """
        frames = torch.arange(num_frames, device=mask.device)
        return mask[(2 * frames + 1) * len(mask) // (2 * num_frames)]

    def __call__(self, clip, path):
        """Returns the features of one clip, `[time, dim]`."""
        return self.encode([self.read(clip, path).data])[0]
