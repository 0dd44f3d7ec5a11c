"""Low-level descriptors of openSMILE: ComParE 2016 and eGeMAPS."""

import torch
from speechbrain.utils.logger import get_logger

from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.processing.media import read_audio
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import text

logger = get_logger(__name__)

# openSMILE's names for the descriptors of a frame, and for their deltas.
LEVELS = {"ComParE_2016": "lld;lld_de", "eGeMAPSv02": "lld"}


class OpenSmileFeatures(Extractor):
    """openSMILE's low-level descriptors, 100 frames a second.

    ComParE 2016 has 65 descriptors of energy, spectrum and voice, followed by
    their 65 deltas, as in the published system. openSMILE is not installed
    with this package, as its licence is not free: research and other
    non-commercial use only. `pip install 'auxformer-lobes[opensmile]'`
    installs it.

    Eyben, Wöllmer and Schuller, "openSMILE: The Munich versatile and fast
    open-source audio feature extractor", ACM Multimedia 2010.

    Arguments
    ---------
    feature_set : str
        "ComParE_2016", 130 numbers a frame, or "eGeMAPSv02", 25 without
        deltas.

    Example
    -------
    >>> OpenSmileFeatures().dim
    130
    """

    modality = "audio"
    licence = "openSMILE: research and non-commercial use only"
    dtype = "float32"  # spectral variance exceeds what float16 holds
    sample_rate = 16000
    least_samples = 960  # the longest window, 60 ms
    schema = {"feature_set": text(r"\w{1,50}", "a name")}

    def __init__(self, feature_set="ComParE_2016"):
        if feature_set not in LEVELS:
            raise UserError(
                f"feature_set: {feature_set} is not one of {', '.join(LEVELS)}"
            )
        try:
            import opensmile
        except ImportError:
            raise UserError(
                "OpenSmileFeatures needs openSMILE, which is free for "
                "non-commercial use: pip install 'auxformer-lobes[opensmile]'"
            )
        self.smile = opensmile.Smile(
            opensmile.FeatureSet[feature_set], LEVELS[feature_set]
        )
        super().__init__(dim=self.smile.num_features, feature_set=feature_set)

    def read(self, clip, path):
        """Returns the descriptors of a clip, see `Extractor.read`.

        Those that are not finite become 0, and the log tells how many.
        """
        waveform = read_audio(path, self.sample_rate)
        missing = max(0, self.least_samples - len(waveform))
        waveform = torch.nn.functional.pad(waveform, (0, missing))
        # openSMILE goes on in 16 bits, in which full scale would wrap around.
        waveform = waveform.clamp(-1, 1 - 2**-15)
        frames = self.smile.process_signal(waveform.numpy(), self.sample_rate)
        values = torch.tensor(frames.to_numpy())
        broken = ~values.isfinite()
        if broken.any():
            logger.warning(
                f"{clip}: {broken.sum()} of {broken.numel()} descriptors are "
                "not finite: 0 in their place"
            )
        return ClipInput(values.masked_fill(broken, 0.0))
