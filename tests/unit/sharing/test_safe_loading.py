"""Models of strangers: what is refused, before anything of it has run."""

import io
import json
import os
import re
import shutil
import socket
import struct
import time
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from hypothesis import (
    given,
    settings,
    strategies as st,
)
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file

from auxformer_lobes.features.fbank import FbankFeatures
from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import _set_fitted, info, load
from auxformer_lobes.sharing.safe_loading import EMPTY_AT_FIRST, TAGS, read_plan
from auxformer_lobes.sharing.schema import CLASSES, KEYS
from auxformer_lobes.utils.errors import UserError, one_line_errors
from tests.unit.small_runs import batch_of, logits_of, make_run
from tests.unit.speech_models import save_model

RECIPES = Path(__file__).parents[3] / "recipes"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    work = tmp_path_factory.mktemp("exported")
    make_run(work / "run")
    return export(work / "run", work / "model")


@pytest.fixture
def model(exported, tmp_path):
    """A copy of an exported model, for a stranger to change."""
    shutil.copytree(exported, tmp_path / "model")
    return tmp_path / "model"


def change(model, old, new):
    path = model / "hyperparams.yaml"
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))


def append(model, text):
    with open(model / "hyperparams.yaml", "a") as file:
        file.write(text)


def refusal(model, **options):
    """Loads a model that must be refused; says how it was refused."""
    work = model.parent
    before = sorted(work.rglob("*"))
    with pytest.raises(UserError) as refused:
        load(model, **options)
    assert sorted(work.rglob("*")) == before, "something was written"
    told = str(refused.value)
    assert "\n" not in told and told.isprintable()
    return told


def sentinel_of(model):
    """What the attacks below make, if they are run."""
    return model.parent / "executed"


# Each runs `touch SENTINEL` if hyperpyyaml loads it; its tag as it is parsed.
TAG_ATTACKS = {
    "apply": ("!apply:os.system [touch SENTINEL]", "!apply:os.system"),
    "apply of another module": (
        "!apply:subprocess.check_output [[touch, SENTINEL]]",
        "!apply:subprocess.check_output",
    ),
    "applyref": ("!applyref:os.system [touch SENTINEL]", "!applyref:os.system"),
    "new": (
        "!new:subprocess.Popen [[touch, SENTINEL]]",
        "!new:subprocess.Popen",
    ),
    "new through a module of ours": (
        "!new:auxformer_lobes.cli.main.os.popen [touch SENTINEL]",
        "!new:auxformer_lobes.cli.main.os.popen",
    ),
    "name": ("!name:os.system [touch SENTINEL]", "!name:os.system"),
    "module": ("!module:antigravity", "!module:antigravity"),
    "include": ("!include:/etc/passwd", "!include:/etc/passwd"),
    "placeholder": ("!PLACEHOLDER", "!PLACEHOLDER"),
    "copy": ("!copy <task>", "!copy"),
    "tuple": ("!tuple (!!python/name:os.system )", "!tuple"),
    "python": (
        "!!python/object/apply:os.system [touch SENTINEL]",
        "tag:yaml.org,2002:python/object/apply:os.system",
    ),
    "verbatim": (
        "!<tag:yaml.org,2002:python/object/apply:os.system> [touch SENTINEL]",
        "tag:yaml.org,2002:python/object/apply:os.system",
    ),
    "verbatim shortcut": ("!<!apply:os.system> [a]", "!apply:os.system"),
    "encoded": ("!ap%70ly%3Aos.system [touch SENTINEL]", "!apply:os.system"),
    "look-alike": (
        "!new:auxformer_lobes.tasks.Categorіes {classes: [a]}",  # Cyrillic
        None,  # no character of a tag in YAML
    ),
    "eval": ("!new:builtins.eval ['1']", "!new:builtins.eval"),
    "hub": ("!new:torch.hub.load [a, b]", "!new:torch.hub.load"),
    "ours, but not for models": (
        "!new:auxformer_lobes.features.precomputed.NumpyFeatures {folder: /}",
        "!new:auxformer_lobes.features.precomputed.NumpyFeatures",
    ),
    "a checkpointer": (
        "!new:speechbrain.utils.checkpoints.Checkpointer [SENTINEL]",
        "!new:speechbrain.utils.checkpoints.Checkpointer",
    ),
    "a text": ("!!str harmless", "tag:yaml.org,2002:str"),
}
# Where they are hidden, in a file that is else as it was exported.
PLACES = {
    "a key of its own": ("modules:\n", "evil: ATTACK\nmodules:\n"),
    "a list": ("  - happy\n", "  - ATTACK\n"),
    "an argument": ("  num_layers: 1\n", "  num_layers: ATTACK\n"),
    "an argument in flow": ("    size: 16\n", "    size: {a: [1, ATTACK ]}\n"),
    "a key": ("modules:\n", "? ATTACK\n: 1\nmodules:\n"),
    "a merge": ("modules:\n", "<<: {a: ATTACK }\nmodules:\n"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attack", TAG_ATTACKS)
def test_a_tag_that_is_not_listed_is_refused_anywhere(model, attack, place):
    text, tag = TAG_ATTACKS[attack]
    text = text.replace("SENTINEL", str(sentinel_of(model)))
    old, new = PLACES[place]
    change(model, old, new.replace("ATTACK", text))
    told = refusal(model)
    if tag:
        path = model / "hyperparams.yaml"
        lines = path.read_text().splitlines()
        line = 1 + next(i for i, x in enumerate(lines) if text in x)
        assert f"{path}: line {line}: the tag {tag!r}" in told
        assert "trust_source=True" in told


@pytest.mark.parametrize(
    "attack",
    ["apply", "apply of another module", "applyref", "new", "python"],
)
def test_these_attacks_work_where_nothing_is_checked(model, attack):
    text = TAG_ATTACKS[attack][0].replace("SENTINEL", str(sentinel_of(model)))
    append(model, f"evil: {text}\n")
    with open(model / "hyperparams.yaml") as file:
        load_hyperpyyaml(file)
    for _ in range(100):  # one of them does not wait for its process
        if not sentinel_of(model).exists():
            time.sleep(0.05)
    assert sentinel_of(model).exists()


def test_a_tuple_can_hide_a_tag_and_is_a_text_here(model):
    # hyperpyyaml gives texts in brackets to an unsafe loader.
    hidden = f"(!!python/object/apply:os.system ['touch {sentinel_of(model)}'])"
    load_hyperpyyaml(io.StringIO(f"a: {hidden}\n"))
    assert sentinel_of(model).exists()
    sentinel_of(model).unlink()
    change(model, "  - happy\n", f"  - {hidden}\n")
    assert "hyperparams.yaml: line 5: " in refusal(model)
    assert not sentinel_of(model).exists()


MALFORMED = {
    "a directive": ("# AuxFormer", "%TAG ! !new:os.\n---\n# AuxFormer"),
    "a version": ("# AuxFormer", "%YAML 1.1\n---\n# AuxFormer"),
    "a second document": ("modules:\n", "---\nmodules:\n"),
    "an anchor": ("missing: mask", "missing: &a skip"),
    "an alias": ("missing: mask", "missing: *a"),
    "a key twice": ("missing: mask\n", "missing: mask\nmissing: zero_fill\n"),
    "an argument twice": ("  dim: 4\n", "  dim: 4\n  dim: 5\n"),
    "a merge": ("modules:\n", "<<: {missing: zero_fill}\nmodules:\n"),
    "another key": ("modules:\n", "device: cuda\nmodules:\n"),
    "an option of the interface": ("modules:\n", "compile: True\nmodules:\n"),
    "an attribute": ("!ref <auxformer>", "!ref <auxformer.__class__>"),
    "arithmetic": ("!ref <auxformer>", "!ref <auxformer> ** 9 ** 9 ** 9"),
    "another module": ("!ref <auxformer>", "!ref <audio_norm>"),
    "no such key": ("!ref <auxformer>", "!ref <nothing>"),
    "positions": ("FeatureNorm\n  dim: 4", "FeatureNorm\n  - 4"),
    "a mapping as argument": ("  dim: 4", "  dim: {a: 4}"),
    "an object as argument": ("  dim: 4", "  dim: !new:torch.nn.Identity"),
    "another kind of object": (
        "auxformer: !new:auxformer_lobes.models.auxformer.AuxFormer",
        "auxformer: !new:auxformer_lobes.nnet.normalization.FeatureNorm",
    ),
    "a list as key": ("modules:\n", "? [a, b]\n: 1\nmodules:\n"),
    "an octal number": ("  dim: 4", "  dim: 0o4"),
    "a date": ("missing: mask", "missing: 2026-01-01"),
    "depth": ("missing: mask", f"missing: {'[' * 30000}"),
    "depth in blocks": ("missing: mask", f"missing: {'? ' * 20000}x"),
    "a number of many digits": ("  dim: 4", f"  dim: {'9' * 60000}"),
    "no end": ("missing: mask", "missing: 'skip"),
    "a control character": ("missing: mask", "missing: \x1b[2J"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_an_export_does_not_write_is_refused(model, case):
    change(model, *MALFORMED[case])
    start = time.perf_counter()
    assert f"{model / 'hyperparams.yaml'}: " in refusal(model)
    # s; a bomb takes minutes, and the slowest of these half a second
    assert time.perf_counter() - start < 10


def test_a_bomb_of_aliases_is_refused(model):
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
    )
    (model / "hyperparams.yaml").write_text(bomb)
    assert "line 1: an anchor or alias" in refusal(model)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"# nothing\n", b"- a\n", b"task: 1\n" * 20000],
    ids=["empty", "no text", "a comment", "a list", "too long"],
)
def test_other_files_are_refused(model, content):
    (model / "hyperparams.yaml").write_bytes(content)
    assert f"{model / 'hyperparams.yaml'}: " in refusal(model)


def test_a_file_is_not_longer_than_any_export(model):
    append(model, "# more\n" * 10000)
    assert "longer than any export" in refusal(model)


@pytest.mark.parametrize("key", [k for k in KEYS if "encoder" not in k])
def test_no_key_is_missing(model, key):
    plain = (model / "hyperparams.yaml").read_text()
    (model / "hyperparams.yaml").write_text(
        re.sub(rf"^{key}:.*\n(  .*\n)*", "", plain, flags=re.M)
    )
    assert key in refusal(model)


# Extractors that would open, fetch or use up what is not theirs.
EXTRACTORS = {
    "audio_features": {
        "Fbank with a filter a hertz": "audio.FbankFeatures {n_mels: 100000}",
        "Fbank of endless windows": "audio.FbankFeatures {win_length: 9999999}",
        "Fbank of nothing": "audio.FbankFeatures {hop_length: 0}",
        "a model of this machine": "speech.SpeechModelFeatures {source: /etc}",
        "a model in a parent folder": (
            "speech.SpeechModelFeatures {source: ../../model}"
        ),
        "a model that may change": (
            "speech.SpeechModelFeatures {source: facebook/wav2vec2-base}"
        ),
        "a model of a branch": (
            "speech.SpeechModelFeatures {source: user/name@main}"
        ),
        "weights of this machine": (
            "speech.SpeechModelFeatures {source: encoders/audio, "
            "weights: /home/somebody/model.pt}"
        ),
        "weights in a parent folder": (
            "speech.SpeechModelFeatures {source: encoders/audio, "
            "weights: encoders/../../model.pt}"
        ),
        "a place to write": (
            "speech.SpeechModelFeatures {source: encoders/audio, save_path: /}"
        ),
        "code of strangers": (
            "speech.SpeechModelFeatures {source: encoders/audio, "
            "trust_remote_code: True}"
        ),
        "a device": (
            "speech.SpeechModelFeatures {source: encoders/audio, device: cuda}"
        ),
        "features of a picture": "visual.HogFeatures",
        "endless batches": (
            "speech.SpeechModelFeatures {source: encoders/audio, "
            "batch_seconds: .inf}"
        ),
    },
    "visual_features": {
        "weights of this machine": "vgg_face.VggFaceFeatures {weights: /x.pth}",
        "weights elsewhere": (
            "vgg_face.VggFaceFeatures {weights: encoders/audio.pt/../../x.pt}"
        ),
        "endless crops": (
            "visual.HogFeatures {faces: !new:auxformer_lobes.processing.faces.tracker."
            "FaceTracker {size: 100000}}"
        ),
        "endless frames": "visual.HogFeatures {frames_per_second: 1.0e9}",
        "not a number": "visual.HogFeatures {frames_per_second: .nan}",
        "features of sound": "audio.FbankFeatures",
    },
}


@pytest.mark.parametrize(
    "key, case",
    [(k, case) for k, cases in EXTRACTORS.items() for case in cases],
)
def test_arguments_are_data_within_limits(model, key, case):
    text = (model / "hyperparams.yaml").read_text()
    evil = f"{key}: !new:auxformer_lobes.features.{EXTRACTORS[key][case]}\n"
    text = re.sub(rf"^{key}:.*\n(  .*\n)*", evil, text, flags=re.M)
    (model / "hyperparams.yaml").write_text(text)
    line = text.splitlines().index(evil.strip()) + 1
    assert f"hyperparams.yaml: line {line}: " in refusal(model)


def wrapped(text, wrappers):
    for wrapper in wrappers:
        text = wrapper.replace("X", text)
    return text


@settings(deadline=None)  # the first example imports modules
@given(
    key=st.sampled_from([*KEYS, "other"]),
    wrappers=st.lists(
        st.sampled_from(["[X]", "{a: X}", "{dim: X, b: 1}", "[1, {? X : 1}]"]),
        max_size=6,
    ),
    tag=st.one_of(
        st.from_regex(r"!{1,2}[a-zA-Z:./_%-]{0,20}", fullmatch=True),
        st.from_regex(r"!<[a-zA-Z:./_!,-]{1,20}>", fullmatch=True),
        st.sampled_from(sorted(TAGS)).map(lambda tag: f"{tag}x"),
        st.sampled_from(sorted(TAGS)).map(lambda tag: tag.upper()),
        st.sampled_from(sorted(TAGS)).map(lambda tag: f"!{tag}"),
    ),
    value=st.sampled_from(["", "x", "[touch, x]", "{a: 1}", "'<task>'"]),
)
def test_no_other_tag_is_ever_accepted(
    tmp_path_factory, key, wrappers, tag, value
):
    path = tmp_path_factory.getbasetemp() / "property.yaml"
    path.write_text(f"{key}: {wrapped(f'{tag} {value}', wrappers)}\n")
    with pytest.raises(UserError) as refused:
        read_plan(path)
    assert "\n" not in str(refused.value)


def test_classes_are_asked_for_what_they_take():
    of_the_machine = {"save_path", "device", "dtype"}
    for path, kinds in CLASSES.items():
        module, _, name = path.rpartition(".")
        parameters = signature(getattr(import_module(module), name)).parameters
        parameters = {
            key: parameter.default
            for key, parameter in parameters.items()
            if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD
        }
        assert {*kinds} == {*parameters} - of_the_machine, path
        for key, default in parameters.items():
            if key in kinds and default is not Parameter.empty:
                # In a file, tuples are lists.
                default = list(default) if type(default) is tuple else default
                assert kinds[key].fits(default), f"{path}: {key}"


@pytest.mark.parametrize(
    "path",
    sorted(RECIPES.glob("*/hparams/**/*.yaml")),
    ids=lambda path: f"{path.parts[-2]}/{path.name}",
)
def test_what_recipes_are_made_of_can_be_loaded(path):
    asked = YAML().load(path)
    is_recipe = "auxformer" in asked
    nodes = [asked[k] for k in KEYS if k in asked] if is_recipe else [asked]
    tags = {node.tag.value for node in nodes if hasattr(node, "tag")}
    tags = {tag for tag in tags if tag and tag.startswith("!new:")}
    assert tags
    # Features of others are files of the training clips, and not exported.
    assert all(tag in TAGS or ".released." in tag for tag in tags)


def test_networks_of_any_size_cost_nothing_before_their_weights_fit(model):
    change(model, "  model_dim: 4\n", "  model_dim: 1000000\n")
    change(model, "  num_layers: 1\n", "  num_layers: 20\n")
    assert "not its weights" in refusal(model)  # 60 TB


def test_what_is_made_without_memory_has_all_of_it_in_the_weights():
    for path in EMPTY_AT_FIRST:
        module, _, name = path.rpartition(".")
        kind = getattr(import_module(module), name)
        count = 2 if name == "AuxFormer" else 1
        for shared in (True, False) if name == "AuxFormer" else (None,):
            options = (
                {} if shared is None else {"shared_auxiliary_head": shared}
            )
            with torch.device("meta"):
                made = kind(*[20] * count, **options)
            tensors = [*made.parameters(), *made.buffers()]
            assert len(tensors) == len(made.state_dict())
            attributes = (
                value
                for part in made.modules()
                for value in vars(part).values()
                if isinstance(value, torch.Tensor)
            )
            assert not [*attributes]


class Touch:
    """A pickle of it makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def with_header(header, content=b""):
    return struct.pack("<Q", len(header)) + header + content


HUGE = {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}
NOT_WEIGHTS = {
    "empty": b"",
    "short": b"\0\0\0",
    "a page": b"<html>Not found</html>",
    "a header of an exabyte": struct.pack("<Q", 1 << 60) + b"{}",
    "a header longer than the file": struct.pack("<Q", 1 << 22) + b"{}",
    "a header of another kind": with_header(b"[1, 2, 3]"),
    "a tensor larger than the file": with_header(
        json.dumps({"auxformer.main_head.output.bias": HUGE}).encode()
    ),
    "tensors that overlap": with_header(
        json.dumps(
            {
                name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
                for name in "ab"
            }
        ).encode(),
        bytes(4),
    ),
}


@pytest.mark.parametrize("case", NOT_WEIGHTS)
def test_other_files_are_no_weights(model, case):
    (model / "model.safetensors").write_bytes(NOT_WEIGHTS[case])
    assert f"{model / 'model.safetensors'}: not safetensors" in refusal(model)


def test_a_header_is_not_longer_than_any_of_ours(model):
    path = model / "model.safetensors"
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, tensors = content[8 : 8 + length], content[8 + length :]
    # Spaces after it are allowed by the format.
    path.write_bytes(with_header(header + b" " * 8000, tensors))
    load(model)
    path.write_bytes(with_header(header + b" " * (12 << 20), tensors))
    assert "a header of 125" in refusal(model)


def test_a_pickle_is_never_opened(model):
    evil = Touch(sentinel_of(model))
    torch.save(evil, model / "model.safetensors")
    for name in ("model.ckpt", "pytorch_model.bin", "save"):
        torch.save(evil, model / name)
    assert "not safetensors" in refusal(model)
    assert not sentinel_of(model).exists()
    torch.load(model / "model.ckpt", weights_only=False)
    assert sentinel_of(model).exists()  # so it would have worked


@pytest.mark.parametrize("own_weights", [False, True])
def test_a_pickle_of_an_encoder_runs_nothing(model, own_weights):
    encoder = model / "encoders" / "audio"
    save_model(encoder)
    (encoder / "model.safetensors").unlink()
    torch.save(Touch(sentinel_of(model)), encoder / "pytorch_model.bin")
    speech = "speech.SpeechModelFeatures\n  source: encoders/audio\n"
    if own_weights:
        shutil.copy(encoder / "pytorch_model.bin", f"{encoder}.pt")
        speech += "  weights: encoders/audio.pt\n"
    fbank = "audio.FbankFeatures\n  n_mels: 4\n  deltas: false\n"
    change(model, fbank, speech)
    change(model, "  audio_dim: 4\n", "  audio_dim: 32\n")
    config = json.loads((model / "config.json").read_text())
    config["features"]["audio"]["dim"] = 32
    (model / "config.json").write_text(json.dumps(config))
    change(model, "FeatureNorm\n  dim: 4\n", "FeatureNorm\n  dim: 32\n")
    weights = load_file(model / "model.safetensors")
    for name in ("audio_norm.mean", "audio_norm.std"):
        weights[name] = torch.ones(32)
    weights["auxformer.audio_projection.weight"] = torch.ones(4, 32)
    save_file(weights, model / "model.safetensors")
    loaded = load(model)  # the encoder's weights come with the first clip
    with pytest.raises(UserError, match="[^\n]*"):
        loaded["audio_features"].encode([torch.zeros(4000)])
    assert not sentinel_of(model).exists()


def nan(tensor):
    return torch.full_like(tensor, float("nan"))


WRONG_WEIGHTS = {
    "missing": (lambda x: None, "is missing"),
    "of another shape": (lambda x: x[:-1], r"is \[2\], not \[3\]"),
    "of other dimensions": (lambda x: x[None], r"is \[1, 3\], not \[3\]"),
    "of another type": (
        lambda x: x.double(),
        "is torch.float64, not torch.float32",
    ),
    "not a number": (nan, "not finite"),
    "infinite": (lambda x: x / 0, "not finite"),
}


@pytest.mark.parametrize("case", WRONG_WEIGHTS)
def test_weights_are_exactly_those_of_the_network(model, case):
    name = "auxformer.main_head.output.bias"
    wrong, reason = WRONG_WEIGHTS[case]
    path = model / "model.safetensors"
    tensors = load_file(path)
    changed = wrong(tensors.pop(name))
    if changed is not None:
        tensors[name] = changed.contiguous()
    save_file(tensors, path)
    assert re.search(f"{path}: {name} .*{reason}", refusal(model))


@pytest.mark.parametrize(
    "name", ["auxformer.more", "evil.weight", "", "x" * 98]
)
def test_there_are_no_other_weights(model, name):
    path = model / "model.safetensors"
    save_file({**load_file(path), name: torch.zeros(1)}, path)
    assert f"{path}: {name!r} is [1], not in this model" in refusal(model)


def test_names_of_strangers_are_told_in_short_and_in_plain(model, capsys):
    path = model / "model.safetensors"
    name = f"\x1b[2J\n\u202e{'x' * 10**5}"
    save_file({**load_file(path), name: torch.zeros(1)}, path)
    assert len(refusal(model)) < 1000
    with pytest.raises(SystemExit) as told, one_line_errors():
        raise UserError(name)
    assert str(told.value).startswith("error: ?[2J ?xxx")
    assert str(told.value).endswith("…") and len(str(told.value)) < 2010


def test_a_version_is_told_in_short(model):
    path = model / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "format_version": "x" * 10**5}))
    assert len(refusal(model)) < 1000


def test_a_tag_is_told_in_short(model):
    change(model, "missing: mask", f"missing: !{'x' * 10**4} skip")
    assert len(refusal(model)) < 1000


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    # By a short name: a long one is refused.
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def make_loop(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    "make", [make_pipe, make_socket, make_loop, Path.mkdir]
)
@pytest.mark.parametrize(
    "name", ["config.json", "hyperparams.yaml", "model.safetensors"]
)
def test_what_is_no_file_is_not_read(model, name, make):
    (model / name).unlink()
    make(model / name)
    assert f"{model / name}: " in refusal(model)


@pytest.mark.parametrize(
    "name", ["config.json", "hyperparams.yaml", "model.safetensors"]
)
def test_links_do_not_lead_out_of_the_folder(model, name):
    elsewhere = model.parent / name
    (model / name).rename(elsewhere)
    (model / name).symlink_to(elsewhere)
    assert f"{model / name}: leads out of the folder" in refusal(model)


@pytest.mark.parametrize("where", ["the folder", "a file"])
def test_links_of_encoders_do_not_lead_out_either(model, where):
    elsewhere = model.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.json").write_text("{}")
    if where == "the folder":
        (model / "encoders").mkdir()
        (model / "encoders" / "audio").symlink_to(elsewhere)
    else:
        (model / "encoders" / "audio").mkdir(parents=True)
        (model / "encoders" / "audio" / "config.json").symlink_to(
            elsewhere / "config.json"
        )
    change(
        model,
        "audio.FbankFeatures\n  n_mels: 4\n  deltas: false\n",
        "speech.SpeechModelFeatures\n  source: encoders/audio\n",
    )
    assert "leads out of the folder" in refusal(model)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "x", "auto_map": {"AutoConfig": "evil.Config"}},
        {"vision_config": [{"attn_implementation": "somebody/kernel"}]},
        {"_attn_implementation": "somebody/kernel"},
        {"_attn_implementation_internal": "somebody/kernel"},
        {"experts_implementation": "somebody/kernel"},
        {"configuration_files": ["config.4.0.0.json"]},
        {"quantization_config": {"quant_method": "somebody's"}},
    ],
)
def test_encoders_do_not_bring_code(model, config):
    folder = model / "encoders" / "audio"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    sentinel = sentinel_of(model)
    (folder / "evil.py").write_text(f"open({str(sentinel)!r}, 'w')")
    change(
        model,
        "audio.FbankFeatures\n  n_mels: 4\n  deltas: false\n",
        "speech.SpeechModelFeatures\n  source: encoders/audio\n",
    )
    assert f"{folder / 'config.json'}: asks for code" in refusal(model)


CONFIGS = {
    "another file": {"a": 1},
    "a list": [],
    "a newer format": {"format_version": 2},
    "another setting": {"fitted": {"names": 1.0}},
    "a private one": {"fitted": {"__class__": 1.0}},
    "no setting": {"fitted": {}},
    "nothing fitted": {"fitted": None},
    "endless frames": {"features": {"audio": {"dim": 10**12}}},
    "no features": {"features": {}},
    "features of another kind": {"features": {"audio": [], "visual": []}},
    "a text": {"fitted": {"temperature": "1"}},
    "zero": {"fitted": {"temperature": 0}},
    "not a number": {"fitted": {"temperature": float("nan")}},
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_configuration_is_checked(model, case):
    path = model / "config.json"
    config = json.loads(path.read_text())
    changes = CONFIGS[case]
    known = isinstance(changes, dict) and {*changes} <= {*config}
    path.write_text(json.dumps({**config, **changes} if known else changes))
    assert f"{path}: " in refusal(model)


@pytest.mark.parametrize(
    "name, fits, others",
    [
        ("temperature", [0.001, 0.1, 10, 1000.0], [5e-324, 10**400]),
        ("threshold", [1e-12, 0.5], [-0.1, 1.1, True]),
    ],
)
def test_what_was_fitted_is_within_limits(name, fits, others):
    task = SimpleNamespace(settings={name: None})
    for value in fits:
        _set_fitted(task, {"fitted": {name: value}}, "config.json")
        assert getattr(task, name) == value
    for value in others:
        with pytest.raises(UserError, match=f"{name} is not a number from"):
            _set_fitted(task, {"fitted": {name: value}}, "config.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100000, b"\xff"])
def test_a_damaged_configuration_is_refused(model, content):
    (model / "config.json").write_bytes(content)
    assert f"{model / 'config.json'}: not of an exported" in refusal(model)


def test_info_survives_any_configuration(model, capsys):
    path = model / "config.json"
    config = json.loads(path.read_text())
    for key in config:
        for value in (None, [], {}, "x", {"audio": 1}):
            path.write_text(json.dumps({**config, key: value}))
            try:
                info(model)
            except UserError as refused:
                assert str(path) in str(refused)
    figure = config["metrics"]["test"]["audio_only"]["combined"]["f1_macro"]
    for broken, changes in (
        (config, {"bytes": 10**400}),
        (figure, {"value": 10**400}),
        (figure, {"value": "xxx"}),
        (config["metrics"], {"scale": "x"}),
    ):
        whole = dict(broken)
        broken.update(changes)
        path.write_text(json.dumps(config))
        with pytest.raises(UserError, match="not of an export"):
            info(model)
        broken.update(whole)
    config["labels"] = ["\x1b[2Jangry\nhappy"]
    path.write_text(json.dumps(config))
    capsys.readouterr()
    info(model)
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("  n_mels: 4", "  n_mels: 8", "audio_features give 8 numbers"),
        ("    size: 16", "    size: 24", "visual_features give"),
        ("  - angry\n", "", "the task has 2 outputs, and the network 3"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(model, old, new, reason):
    change(model, old, new)
    assert re.search(reason, refusal(model))


@pytest.mark.parametrize(
    "error", [KeyError("x"), ZeroDivisionError(), cv2.error]
)
def test_any_failure_to_make_something_is_told(model, error, monkeypatch):
    def _fail(self, **arguments):
        raise error

    monkeypatch.setattr(FbankFeatures, "__init__", _fail)
    assert "hyperparams.yaml: FbankFeatures: " in refusal(model)
    error = UserError("told already")
    assert refusal(model) == "told already"


def test_trust_lifts_the_check_with_a_warning(model, caplog):
    classes = "!apply:sorted [[sad, happy, angry]]"
    change(
        model,
        "  classes:\n  - angry\n  - happy\n  - sad\n",
        f"  classes: {classes}\n",
    )
    assert "the tag '!apply:sorted'" in refusal(model)
    loaded = load(model, trust_source=True)
    assert loaded["task"].names == ("angry", "happy", "sad")
    assert "trusted, so that it may run any code" in caplog.text


def test_trusted_or_not_an_export_is_the_same(model):
    loaded = [load(model), load(model, trust_source=True)]
    batch = batch_of(loaded[0])
    safe, trusted = (logits_of(hparams["modules"], batch) for hparams in loaded)
    assert all(map(torch.equal, safe, trusted))
    for key in ("audio_features", "visual_features"):
        assert loaded[0][key].settings == loaded[1][key].settings
    for key in ("feature_dtype", "min_face_quality", "missing", "config"):
        assert loaded[0][key] == loaded[1][key]
