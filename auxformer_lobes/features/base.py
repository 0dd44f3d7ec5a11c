"""What every feature extractor is: something read, something encoded."""

from typing import NamedTuple, Optional

import torch

from auxformer_lobes.utils.files import fingerprint
from auxformer_lobes.utils.schema import Configurable


class ClipInput(NamedTuple):
    """What an extractor reads from one clip.

    Arguments
    ---------
    values : torch.Tensor
        What the device part takes: a waveform, face crops, or features
        already.
    quality : torch.Tensor
        `[time]`, uint8: how far each frame can be trusted, 0 being not at
        all (see `auxformer_lobes.processing.faces.smoothing.Quality`). None where the
        extractor cannot tell.
    """

    values: torch.Tensor
    quality: Optional[torch.Tensor] = None


class Extractor(Configurable):
    """Features of a clip, in two halves.

    `read` runs on the CPU, in worker processes: an extractor must be
    picklable, and what lies on a device must not be pickled with it.
    `encode` runs on the device, in the main process, on several clips at a
    time. Extractors that need no device do everything in `read`.

    Each kind has a `modality`, "audio" or "visual": which file of a clip it
    reads. Where several layers of an encoder lie side by side in a frame,
    `layers` is their number. One that encodes names the shape of one sample or
    frame of what it reads, `input_shape`. `dtype` is what a `FeatureStore`
    keeps its numbers as.

    Arguments
    ---------
    dim : int
        Channels of the features.
    **settings
        Everything that changes the features, as JSON has it. With the name
        of the class they are `settings`, the key of a `FeatureStore`.

    Example
    -------
    >>> class Loudness(Extractor):
    ...     modality = "audio"
    ...
    ...     def __init__(self, frame=160):
    ...         super().__init__(dim=1, frame=frame)
    ...
    ...     def read(self, clip, path):
    ...         sound = torch.ones(self.settings["frame"] * 3)
    ...         return ClipInput(sound.view(3, -1).std(1, keepdim=True))
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
        """Those of the settings that change the values `read` returns.

        All of them, where a kind does not know better.
        """
        return self.settings

    def read(self, clip, path):
        """Reads one clip.

        Arguments
        ---------
        clip : str
            Name of the clip.
        path : str
            Its sound or video file.

        Returns
        -------
        reading : ClipInput
            What `encode` takes, and the quality of each frame.

        Raises
        ------
        MediaError
            If the file cannot be used.
        """
        raise NotImplementedError

    def version(self, clip, path):
        """By what the file is told from another one of the same name.

        Arguments
        ---------
        clip : str
            Name of the clip.
        path : str
            Its sound or video file, or None.

        Returns
        -------
        int
            From its size, its beginning and its end; -1 if it is not there.
        """
        return fingerprint(path)

    def encode(self, values):
        """Encodes what was read from some clips.

        What a clip gives does not depend on the clips beside it.

        Arguments
        ---------
        values : list of torch.Tensor
            The values of a `ClipInput` of each clip.

        Returns
        -------
        features : list of torch.Tensor
            `[time, dim]`, float32, of each clip.
        """
        return values

    def __call__(self, clip, path):
        """Returns the features of one clip, `[time, dim]`."""
        return self.encode([self.read(clip, path).values])[0]
