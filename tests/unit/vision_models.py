"""Tiny vision models on disk, as save_pretrained writes them."""

import json
from pathlib import Path

import torch
import transformers

SIZE = 32
TINY = dict(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
)
PATCHES = dict(TINY, image_size=SIZE, patch_size=8)
WORDS = 997  # of the text towers
TEXT = dict(TINY, vocab_size=WORDS, bos_token_id=1, eos_token_id=2)
FRAMES = 4  # in a window of the video models
VIDEO = dict(PATCHES, num_frames=FRAMES)


def _vit_classifier():
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(**PATCHES)
    )


def _vit():
    return transformers.ViTModel(transformers.ViTConfig(**PATCHES))


def _vit_mae():
    return transformers.ViTMAEModel(transformers.ViTMAEConfig(**PATCHES))


def _clip():
    return transformers.CLIPModel(
        transformers.CLIPConfig(vision_config=PATCHES, text_config=TEXT)
    )


def _siglip():
    return transformers.SiglipModel(
        transformers.SiglipConfig(vision_config=PATCHES, text_config=TEXT)
    )


def _dinov2():
    return transformers.Dinov2WithRegistersModel(
        transformers.Dinov2WithRegistersConfig(**PATCHES)
    )


def _convnext():
    return transformers.ConvNextForImageClassification(
        transformers.ConvNextConfig(
            hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]
        )
    )


def _resnet():
    return transformers.ResNetForImageClassification(
        transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 32], depths=[1, 1]
        )
    )


def _swin():
    return transformers.SwinForImageClassification(
        transformers.SwinConfig(
            embed_dim=16,
            depths=[1, 1],
            num_heads=[2, 2],
            image_size=SIZE,
            patch_size=2,
            window_size=4,
        )
    )


def _videomae():
    return transformers.VideoMAEForVideoClassification(
        transformers.VideoMAEConfig(**VIDEO)
    )


def _timesformer():
    return transformers.TimesformerForVideoClassification(
        transformers.TimesformerConfig(**VIDEO)
    )


def _vivit():
    return transformers.VivitForVideoClassification(
        transformers.VivitConfig(
            **TINY, image_size=SIZE, num_frames=FRAMES, tubelet_size=[2, 8, 8]
        )
    )


# Of each kind: the model, and the words in which its processor is described,
# as they are found on the hub, from four generations of transformers.
SQUARE = {"size": {"height": SIZE, "width": SIZE}}
CROPPED = {
    "size": {"shortest_edge": SIZE + 8},
    "crop_size": {"height": SIZE, "width": SIZE},
}
IMAGE_MODELS = {
    "vit_classifier": (
        _vit_classifier,
        {"feature_extractor_type": "ViTFeatureExtractor", "size": SIZE},
    ),
    "vit": (_vit, {"image_processor_type": "ViTImageProcessor", **SQUARE}),
    "vit_mae": (
        _vit_mae,
        {"image_processor_type": "ViTImageProcessor", **SQUARE},
    ),
    "clip": (
        _clip,
        {
            "feature_extractor_type": "CLIPFeatureExtractor",
            "size": SIZE,
            "crop_size": SIZE,
        },
    ),
    "siglip": (
        _siglip,
        {"image_processor_type": "SiglipImageProcessor", **SQUARE},
    ),
    "dinov2": (
        _dinov2,
        {"image_processor_type": "BitImageProcessor", **CROPPED},
    ),
    "convnext": (
        _convnext,
        {"feature_extractor_type": "ConvNextFeatureExtractor", "size": SIZE},
    ),
    "resnet": (
        _resnet,
        {"image_processor_type": "ConvNextImageProcessor", "size": SIZE},
    ),
    "swin": (_swin, {"image_processor_type": "ViTImageProcessor", **SQUARE}),
}
VIDEO_MODELS = {
    "videomae": (
        _videomae,
        {"image_processor_type": "VideoMAEImageProcessor", **CROPPED},
    ),
    "timesformer": (
        _timesformer,
        {"feature_extractor_type": "VideoMAEFeatureExtractor", **CROPPED},
    ),
    "vivit": (
        _vivit,
        {"image_processor_type": "VivitImageProcessor", **CROPPED},
    ),
}


def save_model(folder, kind="vit_classifier", seed=0, **processor):
    """Writes a tiny model and its processor; returns the model."""
    torch.manual_seed(seed)
    make, described = {**IMAGE_MODELS, **VIDEO_MODELS}[kind]
    model = make().eval()
    model.save_pretrained(folder)
    Path(folder, "preprocessor_config.json").write_text(
        json.dumps({**described, **processor})
    )
    return model


def smooth_crops(time, seed=0):
    """Returns `[time, size, size, 3]`, uint8, of smooth colours."""
    numbers = torch.Generator().manual_seed(seed)
    coarse = torch.rand(time, 3, 4, 4, generator=numbers)
    smooth = torch.nn.functional.interpolate(coarse, (SIZE, SIZE))
    return (255 * smooth).byte().movedim(1, -1)
