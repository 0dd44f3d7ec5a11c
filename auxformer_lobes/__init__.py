"""AuxFormer for SpeechBrain: robust audiovisual emotion recognition."""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "AudioVisualEmotionRecognizer": "auxformer_lobes.inference.audiovisual",
    "AuxFormer": "auxformer_lobes.models.auxformer",
    "AuxFormerBrain": "auxformer_lobes.core",
    "FeatureNorm": "auxformer_lobes.nnet.normalization",
    "FeatureStore": "auxformer_lobes.dataio.feature_store",
    "ModalityDropout": "auxformer_lobes.augment.missing",
    "SharedLoss": "auxformer_lobes.nnet.losses",
    "combine_heads": "auxformer_lobes.models.base",
}

__all__ = list(_HOMES)


def __getattr__(name):
    # Imported when asked for: torch and SpeechBrain take seconds.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"auxformer_lobes has no {name}")
