"""openSMILE low-level descriptors: ComParE 2016 and eGeMAPS."""

import torch
from speechbrain.utils.logger import get_logger

from auxformer_lobes.features.base import (
    LEVEL,
    ClipInput,
    Extractor,
    level_settings,
)
from auxformer_lobes.processing.audio import read_audio
from auxformer_lobes.processing.speech import normalize_loudness
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import text

logger = get_logger(__name__)

# openSMILE feature levels: descriptors of a frame, and their deltas.
LEVELS = {"ComParE_2016": "lld;lld_de", "eGeMAPSv02": "lld"}


class OpenSmileFeatures(Extractor):
    """openSMILE low-level descriptors, 100 frames/s.

    ComParE 2016 has 65 energy, spectral and voicing descriptors, followed by
    their 65 deltas, as in the published system. openSMILE is an optional
    dependency, since its licence allows research and other non-commercial use
    only: `pip install 'auxformer-lobes[opensmile]'`.

    Eyben, Wöllmer and Schuller, "openSMILE: The Munich versatile and fast
    open-source audio feature extractor", ACM Multimedia 2010.

    Arguments
    ---------
    feature_set : str
        "ComParE_2016" (130 dims) or "eGeMAPSv02" (25 dims, without deltas).
    normalize_level : float
        Integrated loudness to which each clip is scaled, LUFS (ITU-R BS.1770),
        such as -23; None leaves the level as it is. The level is a cue for
        emotion, but differs between microphones too.

    Example
    -------
    >>> OpenSmileFeatures().dim
    130
    """

    modality = "audio"
    licence = "openSMILE: research and non-commercial use only"
    dtype = "float32"  # spectral variance exceeds what float16 holds
    sample_rate = 16000
    min_samples = 960  # the longest analysis window, 60 ms
    schema = {
        "feature_set": text(r"\w{1,50}", "a name"),
        "normalize_level": LEVEL,
    }

    def __init__(self, feature_set="ComParE_2016", normalize_level=None):
        if feature_set not in LEVELS:
            raise UserError(
                f"feature_set: {feature_set} is unknown: choose one of "
                f"{', '.join(LEVELS)}"
            )
        try:
            import opensmile
        except ImportError:
            raise UserError(
                "OpenSmileFeatures needs openSMILE (non-commercial licence): "
                "pip install 'auxformer-lobes[opensmile]'"
            )
        self.smile = opensmile.Smile(
            opensmile.FeatureSet[feature_set], LEVELS[feature_set]
        )
        super().__init__(
            dim=self.smile.num_features,
            feature_set=feature_set,
            **level_settings(normalize_level),
        )
        self.normalize_level = normalize_level

    def read(self, clip, path):
        """Computes the descriptors of a clip, see `Extractor.read`.

        Values that are not finite become 0, with a warning.
        """
        waveform = normalize_loudness(
            read_audio(path, self.sample_rate),
            self.sample_rate,
            self.normalize_level,
        )
        missing = max(0, self.min_samples - len(waveform))
        waveform = torch.nn.functional.pad(waveform, (0, missing))
        # openSMILE converts to 16 bits, in which full scale would wrap around.
        waveform = waveform.clamp(-1, 1 - 2**-15)
        frames = self.smile.process_signal(waveform.numpy(), self.sample_rate)
        features = torch.tensor(frames.to_numpy())
        invalid = ~features.isfinite()
        if invalid.any():
            logger.warning(
                f"{clip}: {invalid.sum()} of {invalid.numel()} openSMILE values "
                "are not finite: set to 0"
            )
        return ClipInput(features.masked_fill(invalid, 0.0))
