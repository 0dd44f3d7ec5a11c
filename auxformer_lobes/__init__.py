"""AuxFormer for SpeechBrain: robust audiovisual emotion recognition."""

from importlib import import_module

_HOMES = {
    "AudioVisualEmotionRecognizer": "auxformer_lobes.inference",
    "AuxFormer": "auxformer_lobes.models.auxformer",
    "AuxFormerBrain": "auxformer_lobes.brain",
    "FeatureNorm": "auxformer_lobes.features.normalization",
    "FeatureStore": "auxformer_lobes.features.store",
    "ModalityDropout": "auxformer_lobes.modalities",
    "SharedLoss": "auxformer_lobes.losses",
    "combine_heads": "auxformer_lobes.modalities",
}

__all__ = list(_HOMES)


def __getattr__(name):
    # Imported when asked for: torch and SpeechBrain take seconds.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"auxformer_lobes has no {name}")
