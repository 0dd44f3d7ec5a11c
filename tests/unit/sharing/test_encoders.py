"""Copied encoders: their configurations ask for nothing but themselves."""

import json
import socket

import pytest
import transformers

from auxformer_lobes.features.speech_ssl import FAMILIES
from auxformer_lobes.features.vision import ImageModelFeatures
from auxformer_lobes.sharing.encoder_config import MODEL_TYPES, check_configs
from auxformer_lobes.sharing.encoders import find_encoder
from auxformer_lobes.sharing.layout import ModelFolder
from auxformer_lobes.utils.errors import UserError
from tests.unit import speech_models, vision_models


@pytest.fixture
def encoder(tmp_path):
    """A copied encoder that is all right so far."""
    folder = tmp_path / "encoders" / "audio"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps(
            {"model_type": "hubert", "_attn_implementation_autoset": True}
        )
    )
    find(tmp_path)
    return folder


def find(model):
    source = {"source": "encoders/audio"}
    return find_encoder(source, ModelFolder(model), {}, "audio")


def index_of(file):
    return json.dumps({"weight_map": {"a": "model-1.bin", "b": file}})


DEEP = f"{'[' * 500}{']' * 500}"
INDEX = "model.safetensors.index.json"
REFUSED = {
    "code": ("config.json", '{"auto_map": {"AutoConfig": "evil.Config"}}'),
    "code in a part": (
        "config.json",
        '{"a": [{"attn_implementation": "x/y"}]}',
    ),
    "a private name": ("config.json", '{"_attn_implementation": "x/y"}'),
    "an internal name": (
        "config.json",
        '{"_attn_implementation_internal": "x/y"}',
    ),
    "experts": ("config.json", '{"experts_implementation": "x/y"}'),
    "quantization": ("config.json", '{"quantization_config": {"a": "x/y"}}'),
    "another file": (
        "config.json",
        '{"configuration_files": ["config.4.json"]}',
    ),
    "of a version": ("config.4.0.0.json", '{"attn_implementation": "x/y"}'),
    "deep": ("config.json", f'{{"a": {DEEP}}}'),
    "an index of nothing": (INDEX, "[]"),
    "an index of numbers": (INDEX, '{"weight_map": {"a": 1}}'),
    "an index of pickles": (
        "pytorch_model.bin.index.json",
        index_of("../secret.bin"),
    ),
    **{
        f"an index of {file!r}": (INDEX, index_of(file))
        for file in ("../secret.bin", "/secret.bin", "a/secret.bin", "..", "")
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_leads_to_others_is_refused(tmp_path, encoder, case):
    name, text = REFUSED[case]
    (encoder / name).write_text(text)
    with pytest.raises(UserError, match=name):
        find(tmp_path)


def test_an_index_of_files_beside_it_is_fine(tmp_path, encoder):
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-2.bin"}}
    path = encoder / "pytorch_model.bin.index.json"
    path.write_text(json.dumps(index))
    assert find(tmp_path)["source"] == str(encoder)


def test_what_is_no_file_is_refused(tmp_path, encoder):
    (encoder / "x.json").mkdir()
    with pytest.raises(UserError, match="x.json: not a file"):
        find(tmp_path)


def test_an_encoder_is_a_folder(tmp_path, encoder):
    (encoder / "config.json").unlink()
    encoder.rmdir()
    encoder.write_text("x")
    with pytest.raises(UserError, match="audio: not a folder"):
        find(tmp_path)


VIT = {"model_type": "vit", "hidden_size": 16, "image_size": 32}
SPEECH = {"model_type": "wav2vec2", "hidden_size": 16}
PROCESSOR = {"image_processor_type": "ViTImageProcessor"}
# What each asks for.
STRANGE = {
    "files of this machine": (
        "preprocessor_config.json",
        {
            "image_processor_type": "OneFormerImageProcessor",
            "repo_path": "/any/folder",
            "class_info_file": "secret.json",
        },
    ),
    "files of a repository": (
        "preprocessor_config.json",
        {
            "image_processor_type": "OneFormerImageProcessor",
            "repo_path": "attacker/beacon",
            "class_info_file": "x.json",
        },
    ),
    "another model": (
        "config.json",
        {**VIT, "model_type": "rf_detr", "backbone": "attacker/beacon"},
    ),
    "a model of timm": ("config.json", {**VIT, "backbone": "resnet50"}),
    "timm itself": ("config.json", {**VIT, "use_timm_backbone": True}),
    "weights": ("config.json", {**VIT, "use_pretrained_backbone": True}),
    "a file": ("processor_config.json", {"class_info_file": "x"}),
    "a path under any key": ("config.json", {**VIT, "anything": "/etc/passwd"}),
    "a parent folder": ("config.json", {**VIT, "anything": "..\\x"}),
    "a URL": ("config.json", {**VIT, "anything": "https://a.b"}),
    "a name in a list": ("config.json", {**VIT, "a": [{"b": ["user/name"]}]}),
    "a name in a part": ("config.json", {**VIT, "text_config": {"a": "b/c"}}),
    "a name as a key": ("config.json", {**VIT, "user/name": 1}),
    "a model in a part": ("config.json", {**VIT, "a": {"model_type": "x"}}),
    "no model type": ("config.json", {"architectures": ["ViTModel"]}),
    "a type that is a list": ("config.json", {"model_type": ["vit"]}),
    "a model for text": ("config.json", {"model_type": "clip_text_model"}),
    "a model for audio": ("config.json", SPEECH),
    "an older processor": (
        "preprocessor_config.json",
        {"feature_extractor_type": "OneFormerFeatureExtractor"},
    ),
    "a processor in a part": (
        "processor_config.json",
        {"image_processor": {"image_processor_type": "SamImageProcessor"}},
    ),
    "another base": ("adapter_config.json", {}),
    "escapes": ("config.json", {**VIT, "a": f"\x1b[2J\n{'x' * 10**5}"}),
    # Memory
    "images": ("preprocessor_config.json", {"size": {"height": 30000}}),
    "crops": ("preprocessor_config.json", {**PROCESSOR, "crop_size": 9000}),
    "edges": ("preprocessor_config.json", {"size": {"shortest_edge": 9e9}}),
    "layers": ("config.json", {**VIT, "num_hidden_layers": 10**6}),
    "depths": ("config.json", {"model_type": "swin", "depths": [1, 10**6]}),
    "patches": ("config.json", {**VIT, "image_size": 1000, "patch_size": 1}),
    "no patches": ("config.json", {**VIT, "patch_size": 0}),
    "no list of patches": ("config.json", {**VIT, "patch_size": []}),
    "frames": ("config.json", {"model_type": "videomae", "num_frames": 10**5}),
    "tables": (
        "config.json",
        {"model_type": "videomae", "num_frames": 16, "hidden_size": 10**5},
    ),
    "a number": ("config.json", {**VIT, "hidden_size": 10**12}),
    "infinite": ("config.json", {**VIT, "layer_norm_eps": float("inf")}),
    "no number": ("config.json", {**VIT, "layer_norm_eps": float("nan")}),
    "a long list": ("config.json", {**VIT, "a": [1] * 10**5}),
    "a long file": ("config.json", {**VIT, "id2label": {"0": "x" * 5 * 10**6}}),
}


@pytest.mark.parametrize("case", STRANGE)
def test_a_stranger_names_nothing_and_asks_for_no_memory(tmp_path, case):
    name, config = STRANGE[case]
    (tmp_path / "config.json").write_text(json.dumps(VIT))
    check_configs(tmp_path, "visual")
    (tmp_path / name).write_text(json.dumps(config))
    with pytest.raises(UserError) as refused:
        check_configs(tmp_path, "visual")
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / name}: ")
    assert message.isprintable() and len(message) < 1000


@pytest.mark.parametrize(
    "convolutions",
    [
        {"conv_stride": [10**5] * 7},
        {"conv_stride": [1] * 7},
        {"conv_stride": [0] * 7},
        {"conv_stride": []},
        {"conv_stride": "5"},
        {"conv_kernel": [10**5] * 7},
        {"conv_kernel": [10]},
    ],
)
def test_frames_of_audio_are_neither_endless_nor_too_many(
    tmp_path, convolutions
):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SPEECH))
    check_configs(tmp_path, "audio")
    path.write_text(json.dumps({**SPEECH, **convolutions}))
    with pytest.raises(UserError, match="config.json: .*refused"):
        check_configs(tmp_path, "audio")


def test_trust_lifts_what_is_not_about_code(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**VIT, "model_type": "efficientnet"}))
    with pytest.raises(UserError, match="efficientnet.*trust_source=True"):
        check_configs(tmp_path, "visual")
    check_configs(tmp_path, "visual", trusted=True)
    path.write_text(json.dumps({"auto_map": {}}))
    with pytest.raises(UserError, match="asks for code"):
        check_configs(tmp_path, "visual", trusted=True)


# What is in configurations on the Hub, and is never followed.
HARMLESS = {
    "_name_or_path": "google/vit-base-patch16-224-in21k",
    "architectures": ["ViTForImageClassification"],
    "backbone": None,
    "drop_path_rate": 0.1,
    "id2label": {"0": "tench, Tinca/tinca", "1": "https://a.b"},
    "label2id": {"tench, Tinca/tinca": 0},
    "license": "apache-2.0",
    "pad_token_id": 49407,
    "path_norm": True,
    "torch_dtype": "float32",
    "transformers_version": "4.52.0.dev0",
    "use_timm_backbone": False,
}


def test_what_nothing_follows_is_fine_and_asks_for_nothing(
    tmp_path, monkeypatch
):
    asked = []

    def refuse(*args, **options):
        asked.append(args)
        raise OSError("no network")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    folder = tmp_path / "encoders" / "visual"
    vision_models.save_model(folder, "vit")
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **HARMLESS}))
    found = find_encoder(
        {"source": "encoders/visual"}, ModelFolder(tmp_path), {}, "visual"
    )
    features = ImageModelFeatures(**found)
    features.load()
    assert not asked


@pytest.mark.parametrize(
    "kind", [*vision_models.IMAGE_MODELS, *vision_models.VIDEO_MODELS]
)
def test_all_models_of_the_tests_are_allowed(tmp_path, kind, monkeypatch):
    # Their configurations are enough.
    monkeypatch.setattr(
        transformers.PreTrainedModel,
        "save_pretrained",
        lambda self, folder: self.config.save_pretrained(folder),
    )
    vision_models.save_model(tmp_path, kind)
    check_configs(tmp_path, "visual")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_speech_models_are_allowed(tmp_path, family, norm):
    model = speech_models.tiny_model(family, norm, layers=1)
    model.config.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    check_configs(tmp_path, "audio")
    assert {*MODEL_TYPES["audio"]} == {*FAMILIES}


@pytest.mark.parametrize("kind", MODEL_TYPES["visual"])
def test_default_configurations_are_allowed(tmp_path, kind):
    config = transformers.AutoConfig.for_model(kind)
    config.save_pretrained(tmp_path)
    check_configs(tmp_path, "visual")


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "pytorch_model.bin"]
)
def test_a_pointer_of_git_lfs_is_named(tmp_path, encoder, name):
    (encoder / name).write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(UserError, match=f"{name}: .*git lfs pull"):
        find(tmp_path)
