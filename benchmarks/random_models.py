#!/usr/bin/env python3
"""Writes models of real size with random weights, for speed measurements.

Example
-------
> python benchmarks/random_models.py models
> python benchmarks/extraction.py --number 12 --override 'source: models/wavlm' \
>     --encoder recipes/CREMA-D/hparams/encoders/wavlm_large.yaml
"""

import argparse
import json
from pathlib import Path

import torch
import transformers

from auxformer_lobes.features.vgg_face import VggFace

# The large models of the three families.
SPEECH = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "patch_size": 14,
}
MODELS = {
    "wav2vec2": ("Wav2Vec2", SPEECH),
    "hubert": ("Hubert", SPEECH),
    "wavlm": ("WavLM", SPEECH),
    "vit": ("ViT", {}),
    "clip": ("CLIPVision", LARGE),
    "dinov2": ("Dinov2", {"patch_size": 14, "image_size": 518}),
    "videomae": ("VideoMAE", {}),
}


def write_models(folder):
    """Writes all models, about 6 GB.

    Arguments
    ---------
    folder : pathlib.Path
        Output folder: a subfolder per model, and vgg_face.pth.
    """
    for name, (family, settings) in MODELS.items():
        config = getattr(transformers, f"{family}Config")(**settings)
        model = getattr(transformers, f"{family}Model")(config)
        model.save_pretrained(folder / name)
        processor = {
            "do_normalize": True,
            "size": {"height": 224, "width": 224},
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
            "image_processor_type": "ViTImageProcessor",
        }
        if settings is SPEECH:
            processor = {"feature_extractor_type": "Wav2Vec2FeatureExtractor"}
        if name == "videomae":
            processor["size"] = {"shortest_edge": 224}
            processor["image_processor_type"] = "VideoMAEImageProcessor"
        path = folder / name / "preprocessor_config.json"
        path.write_text(json.dumps(processor))
    torch.save(VggFace().state_dict(), folder / "vgg_face.pth")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="output folder")
    write_models(parser.parse_args().folder)
