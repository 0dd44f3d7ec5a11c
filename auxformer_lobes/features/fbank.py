"""Log Mel filterbank energies."""

from speechbrain.lobes.features import Fbank

from auxformer_lobes.features.base import (
    LEVEL,
    ClipInput,
    Extractor,
    level_settings,
)
from auxformer_lobes.processing.audio import read_audio
from auxformer_lobes.processing.speech import normalize_loudness
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.schema import FLAG, integer


class FbankFeatures(Extractor):
    """SpeechBrain's log Mel filterbank energies, with their derivatives.

    In dB, at most 80 dB below the maximum of the clip.

    Arguments
    ---------
    sample_rate : int
        Hz; audio at another rate is resampled.
    n_mels : int
        Number of Mel filters.
    hop_length : int
        ms from one frame to the next.
    win_length : int
        Window length, ms.
    deltas : bool
        Whether to append first and second derivatives over time.
    normalize_level : float
        Integrated loudness to which each clip is scaled, LUFS (ITU-R BS.1770),
        such as -23; None leaves the level as it is. The level is a cue for
        emotion, but differs between microphones too.

    Example
    -------
    >>> FbankFeatures(n_mels=40).dim
    120
    """

    modality = "audio"
    schema = {
        "sample_rate": integer(4000, 96000),
        "n_mels": integer(1, 512),
        "hop_length": integer(1, 500),
        "win_length": integer(1, 500),
        "deltas": FLAG,
        "normalize_level": LEVEL,
    }

    def __init__(
        self,
        sample_rate=16000,
        n_mels=40,
        hop_length=10,
        win_length=25,
        deltas=True,
        normalize_level=None,
    ):
        for name, value in {
            "sample_rate": sample_rate,
            "n_mels": n_mels,
            "hop_length": hop_length,
            "win_length": win_length,
        }.items():
            if not value > 0:
                raise UserError(f"{name} must be greater than 0, not {value}")
        self.fbank = Fbank(
            sample_rate=sample_rate,
            n_fft=sample_rate * win_length // 1000,
            n_mels=n_mels,
            hop_length=hop_length,
            win_length=win_length,
            deltas=deltas,
        )
        super().__init__(
            dim=3 * n_mels if deltas else n_mels,
            sample_rate=sample_rate,
            n_mels=n_mels,
            hop_length=hop_length,
            win_length=win_length,
            deltas=deltas,
            **level_settings(normalize_level),
        )
        self.normalize_level = normalize_level

    def read(self, clip, path):
        """Computes the features of a clip, see `Extractor.read`."""
        sample_rate = self.settings["sample_rate"]
        waveform = normalize_loudness(
            read_audio(path, sample_rate), sample_rate, self.normalize_level
        )
        return ClipInput(self.fbank(waveform[None])[0])
