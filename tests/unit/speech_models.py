"""Writes tiny speech models for the tests, in the layout of the hub."""

import torch
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

from auxformer_lobes.features.speech_ssl import SpeechModelFeatures

FAMILIES = {
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
    "hubert": (HubertConfig, HubertModel),
    "wavlm": (WavLMConfig, WavLMModel),
}


def tiny_model(family="wav2vec2", norm="layer", layers=4, seed=0, **config):
    """Makes a random model, 32 numbers wide.

    With "layer" it is built as the large models are, with "group" as the
    base ones.
    """
    torch.manual_seed(seed)
    config_class, model_class = FAMILIES[family]
    config = {
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "conv_dim": [16] * 7,
        "conv_bias": norm == "layer",
        "feat_extract_norm": norm,
        "do_stable_layer_norm": norm == "layer",
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
        **config,
    }
    model = model_class(config_class(**config)).eval()
    # As they come, norms do nothing, and a test could not miss them.
    for name, weights in model.named_parameters():
        if "layer_norm" in name:
            torch.nn.init.normal_(weights, mean="weight" in name, std=0.2)
    return model


def save_model(folder, model=None, do_normalize=True, **options):
    """Writes a model and its feature extractor; returns the folder."""
    model = model or tiny_model(**options)
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=do_normalize).save_pretrained(folder)
    return str(folder)


def features_of(source, **options):
    """The features of a tiny model."""
    return SpeechModelFeatures(source, f"{source}/saved", **options)
