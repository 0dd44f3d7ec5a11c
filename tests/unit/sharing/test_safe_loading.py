"""Models of unknown origin: refused before anything of them has run."""

import io
import json
import os
import re
import shutil
import socket
import struct
import sys
import time
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
from auxformer_lobes.sharing.hub import info, load
from auxformer_lobes.sharing.safe_loading import parse_config
from auxformer_lobes.sharing.schema import (
    CLASSES as OTHER_CLASSES,
    KEYS,
    NORMS,
    OPTIONAL,
    class_of,
    schema_of,
)
from auxformer_lobes.tasks import set_fitted
from auxformer_lobes.utils.errors import UserError, one_line_errors
from tests.unit.small_runs import batch_of, logits_of, make_run
from tests.unit.speech_models import save_model

RECIPES = Path(__file__).parents[3] / "recipes"
NETWORK = "auxformer_lobes.models.auxformer.AuxFormer"
CLASSES = (*OTHER_CLASSES, NETWORK)
SPEECH = "!new:auxformer_lobes.features.speech_ssl.SpeechModelFeatures"
FBANK = "!new:auxformer_lobes.features.fbank.FbankFeatures"
HOG = "!new:auxformer_lobes.features.hog.HogFeatures"
FILES = ("config.json", "hyperparams.yaml", "model.safetensors")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    work = tmp_path_factory.mktemp("exported")
    make_run(work / "run")
    model = export(work / "run", work / "model")
    # A stranger can write checksums, too, or leave them out.
    config = json.loads((model / "config.json").read_text())
    del config["files"]
    (model / "config.json").write_text(json.dumps(config))
    return model


@pytest.fixture
def model(exported, tmp_path):
    """A copy of an exported model, for a stranger to change."""
    shutil.copytree(exported, tmp_path / "model")
    return tmp_path / "model"


def change(model, old, new):
    path = model / "hyperparams.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def set_key(model, key, value):
    """Gives a top-level key another value; returns its line."""
    path = model / "hyperparams.yaml"
    text = re.sub(
        rf"^{key}:.*\n([ -].*\n)*", "@\n", path.read_text(), flags=re.M
    )
    path.write_text(text.replace("@", f"{key}: {value}" if value else "#"))
    return 1 + text.splitlines().index("@")


def refusal(model):
    """Loads a model that must be refused; returns the message."""
    before = sorted(model.parent.rglob("*"))
    with pytest.raises(UserError) as refused:
        load(model)
    assert sorted(model.parent.rglob("*")) == before, "something was written"
    message = str(refused.value)
    assert "\n" not in message and message.isprintable()
    assert len(message) < 1000
    return message


def sentinel_of(model):
    """The file that the attacks below make, if they are run."""
    return model.parent / "executed"


# Those with a SENTINEL make it if hyperpyyaml loads them.
TAGS = {
    "apply": "!apply:os.system [touch SENTINEL]",
    "apply another module": (
        "!apply:subprocess.check_output [[touch, SENTINEL]]"
    ),
    "applyref": "!applyref:os.system [touch SENTINEL]",
    "new": "!new:subprocess.Popen [[touch, SENTINEL]]",
    "new through our module": (
        "!new:auxformer_lobes.cli.main.os.popen [touch SENTINEL]"
    ),
    "name": "!name:os.system [touch SENTINEL]",
    "module": "!module:antigravity",
    "include": "!include:/etc/passwd",
    "placeholder": "!PLACEHOLDER",
    "copy": "!copy <task>",
    "tuple": "!tuple (!!python/name:os.system )",
    "python": "!!python/object/apply:os.system [touch SENTINEL]",
    "verbatim": (
        "!<tag:yaml.org,2002:python/object/apply:os.system> [touch SENTINEL]"
    ),
    "encoded": "!ap%70ly%3Aos.system [touch SENTINEL]",
    "homoglyph": "!new:auxformer_lobes.tasks.Categorіcal {}",  # Cyrillic
    "builtin": "!new:builtins.eval ['1']",
    "ours, not for models": (
        "!new:auxformer_lobes.features.precomputed.NumpyFeatures {folder: /}"
    ),
    "longer than any": f"!{'x' * 10**4} a",
}
# Where they are hidden in a file that is otherwise as it was exported.
PLACES = {
    "a key of its own": ("network:", "evil: ATTACK\nnetwork:"),
    "a value": ("min_face_quality: 1", "min_face_quality: ATTACK"),
    "a list": ("  - happy\n", "  - ATTACK\n"),
    "an argument": ("  num_layers: 1\n", "  num_layers: ATTACK\n"),
    "an argument in flow": ("    size: 16\n", "    size: {a: [1, ATTACK ]}\n"),
    "a key": ("network:", "? ATTACK\n: 1\nnetwork:"),
    "a merge": ("network:", "<<: {a: ATTACK }\nnetwork:"),
}


@pytest.mark.parametrize(
    "attack, place",
    [(attack, "an argument") for attack in TAGS]
    + [("apply", place) for place in PLACES if place != "an argument"],
)
def test_a_tag_that_is_not_listed_is_refused_anywhere(model, attack, place):
    text = TAGS[attack].replace("SENTINEL", str(sentinel_of(model)))
    old, new = PLACES[place]
    change(model, old, new.replace("ATTACK", text))
    assert f"{model / 'hyperparams.yaml'}: " in refusal(model)
    assert not sentinel_of(model).exists()


def test_a_refusal_names_line_tag_and_option(model):
    line = set_key(model, "task", "!apply:os.system [x]")
    message = refusal(model)
    assert f"hyperparams.yaml: line {line}: the tag '!apply:os.sys" in message
    assert "trust_source=True" in message


@pytest.mark.parametrize("attack", ["apply", "applyref", "new", "python"])
def test_these_attacks_work_where_nothing_is_checked(tmp_path, attack):
    sentinel = tmp_path / "executed"
    load_hyperpyyaml(f"evil: {TAGS[attack]}".replace("SENTINEL", str(sentinel)))
    for _ in range(100):  # one of them does not wait for its process
        if not sentinel.exists():
            time.sleep(0.05)
    assert sentinel.exists()


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
    "a tag directive": ("# For", "%TAG ! !new:os.\n---\n# For"),
    "a version directive": ("# For", "%YAML 1.1\n---\n# For"),
    "a tag of the whole file": ("# For", "--- !<tag:yaml.org,2002:set>\n# For"),
    "a second document": ("network:", "---\nnetwork:"),
    "an anchor": ("missing: mask", "missing: &a mask"),
    "an anchor of an object": ("network: ", "network: &a "),
    "an alias": ("missing: mask", "missing: *a"),
    "a key twice": ("network:", "min_face_quality: 1\nnetwork:"),
    "an argument twice": ("  dim: 4\n", "  dim: 4\n  dim: 5\n"),
    "a merge": ("network:", "<<: {min_face_quality: 2}\nnetwork:"),
    "another key": ("network:", "device: cuda\nnetwork:"),
    "an attribute": ("dim: 4", "dim: !ref <audio_features.__class__>"),
    "arithmetic": ("dim: 4", "dim: !ref <min_face_quality> ** 9 ** 9 ** 9"),
    "a reference": ("dim: 4", "dim: !ref <min_face_quality>"),
    "a reference to nothing": ("dim: 4", "dim: !ref <nothing>"),
    "positions": ("FeatureNorm\n  dim: 4", "FeatureNorm\n  - 4"),
    "a mapping as argument": ("  dim: 4", "  dim: {a: 4}"),
    "an object as argument": ("  dim: 4", "  dim: !new:torch.nn.Identity {}"),
    "a class for another key": (
        "network: !new:auxformer_lobes.models.auxformer.AuxFormer",
        "network: !new:auxformer_lobes.nnet.normalization.FeatureNorm",
    ),
    "a key that is no text": ("network:", "? !!str [a]\n: 1\nnetwork:"),
    "a list as key": ("network:", "? [a, b]\n: 1\nnetwork:"),
    "an octal number": ("  dim: 4", "  dim: 0o4"),
    "a date": ("missing: mask", "missing: 2026-01-01"),
    "depth": ("missing: mask", f"missing: {'[' * 30000}"),
    "depth in blocks": ("missing: mask", f"missing: {'? ' * 20000}x"),
    "a number of many digits": ("  dim: 4", f"  dim: {'9' * 60000}"),
    "no end": ("missing: mask", "missing: 'mask"),
    "a control character": ("missing: mask", "missing: \x1b[2J"),
    "too long": ("network:", "# more\n" * 10000 + "network:"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_an_export_does_not_write_is_refused(model, case):
    change(model, *MALFORMED[case])
    start = time.perf_counter()
    assert f"{model / 'hyperparams.yaml'}: " in refusal(model)
    # s; the slowest takes half a second, without limits minutes
    assert time.perf_counter() - start < 10


BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"# nothing\n", b"- a\n", BOMB.encode()],
    ids=["empty", "no text", "a comment", "a list", "a bomb of aliases"],
)
def test_other_files_are_refused(model, content):
    (model / "hyperparams.yaml").write_bytes(content)
    assert f"{model / 'hyperparams.yaml'}: " in refusal(model)


def test_no_key_is_missing(model):
    whole = (model / "hyperparams.yaml").read_text()
    for key in {*KEYS} - {*OPTIONAL}:
        set_key(model, key, None)
        assert key in refusal(model)
        (model / "hyperparams.yaml").write_text(whole)


# Extractors that would open, fetch or use up what is not theirs.
EXTRACTORS = {
    "endless filters": FBANK + " {n_mels: 100000}",
    "endless windows": FBANK + " {win_length: 9999999}",
    "no hop": FBANK + " {hop_length: 0}",
    "endless batches": SPEECH
    + " {source: encoders/audio, batch_seconds: .inf}",
    "a model of this machine": SPEECH + " {source: /etc}",
    "a model in a parent folder": SPEECH + " {source: ../../model}",
    "a model that may change": SPEECH + " {source: facebook/wav2vec2-base}",
    "a model of a branch": SPEECH + " {source: user/name@main}",
    "weights of this machine": SPEECH
    + " {source: encoders/audio, weights: /home/somebody/model.pt}",
    "weights in a parent folder": SPEECH
    + " {source: encoders/audio, weights: encoders/../../model.pt}",
    "a folder to write to": SPEECH + " {source: encoders/audio, save_path: /}",
    "code": SPEECH + " {source: encoders/audio, trust_remote_code: True}",
    "a device": SPEECH + " {source: encoders/audio, device: cuda}",
    "another modality": HOG + " {}",
    "endless crops": HOG
    + " {faces: !new:auxformer_lobes.processing.faces.tracker.FaceTracker "
    "{size: 100000}}",
    "endless frames": HOG + " {frames_per_second: 1.0e9}",
    "not a number": HOG + " {frames_per_second: .nan}",
}


@pytest.mark.parametrize("case", EXTRACTORS)
def test_arguments_are_data_within_limits(model, case):
    is_visual = "faces" in EXTRACTORS[case] or "frames" in EXTRACTORS[case]
    key = "visual_features" if is_visual else "audio_features"
    line = set_key(model, key, EXTRACTORS[case])
    assert f"hyperparams.yaml: line {line}: " in refusal(model)


def wrapped(text, wrappers):
    for wrapper in wrappers:
        text = wrapper.replace("X", text)
    return text


LISTED = st.sampled_from([f"!new:{path}" for path in CLASSES])


@settings(deadline=None, max_examples=30)  # the first one imports modules
@given(
    key=st.sampled_from([*KEYS, "other"]),
    wrappers=st.lists(
        st.sampled_from(["[X]", "{a: X}", "{dim: X, b: 1}", "[1, {? X : 1}]"]),
        max_size=6,
    ),
    tag=st.one_of(
        st.from_regex(r"!{1,2}[a-zA-Z:./_%-]{0,20}", fullmatch=True),
        st.from_regex(r"!<[a-zA-Z:./_!,-]{1,20}>", fullmatch=True),
        LISTED.map(lambda tag: f"{tag}x"),
        LISTED.map(lambda tag: tag.upper()),
        LISTED.map(lambda tag: f"!{tag}"),
    ),
    value=st.sampled_from(["", "x", "[touch, x]", "{a: 1}", "'<task>'"]),
)
def test_no_other_tag_is_ever_accepted(
    tmp_path_factory, key, wrappers, tag, value
):
    path = tmp_path_factory.getbasetemp() / "property.yaml"
    path.write_text(f"{key}: {wrapped(f'{tag} {value}', wrappers)}\n")
    with pytest.raises(UserError):
        parse_config(path)


NETWORKS = [
    "auxformer_lobes.models.auxformer.AuxFormer",
    *(
        f"auxformer_lobes.models.baselines.{name}"
        for name in (
            *("AudioOnly", "EarlyFusion", "LateFusion", "LateTransformer"),
            *("MulT", "VisualOnly"),
        )
    ),
]


@pytest.mark.parametrize("path", [*CLASSES, *NETWORKS])
def test_the_schema_of_a_class_is_of_its_arguments(path):
    schema = schema_of(path)
    arguments = {
        name: parameter.default
        for name, parameter in signature(class_of(path)).parameters.items()
        if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD
    }
    assert {*schema} == {*arguments} - {"save_path", "device", "dtype"}
    for name, default in arguments.items():
        if name in schema and default is not Parameter.empty:
            # In a file, tuples are lists.
            default = list(default) if type(default) is tuple else default
            assert schema[name].accepts(default), name


def test_classes_that_are_not_listed_are_not_imported():
    with pytest.raises(LookupError):
        class_of("antigravity.fly")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "path",
    [
        "auxformer_lobes.models.base.AudioVisualNetwork",  # has no schema
        "auxformer_lobes.models.baselines.Baseline",  # likewise
        "auxformer_lobes.models.published.read_published",
        "auxformer_lobes.models.auxformer.partial",
        "auxformer_lobes.models.auxformer.nn",
        "auxformer_lobes.models.unimodal.UnimodalAuxFormer",
        "auxformer_lobes.models.nowhere.AuxFormer",
        "auxformer_lobes.models.auxformer.AuxFormer.from_published",
        "auxformer_lobes.models..auxformer.AuxFormer",
        "auxformer_lobes.models.auxformer.AuxFormer\n",
    ],
)
def test_of_models_only_networks_with_a_schema_are_allowed(path):
    with pytest.raises(LookupError):
        class_of(path)


@pytest.mark.parametrize(
    "path",
    sorted(RECIPES.glob("*/hparams/**/*.yaml")),
    ids=lambda path: f"{path.parts[-2]}/{path.name}",
)
def test_classes_of_recipes_can_be_loaded(path):
    recipe = YAML().load(path)
    nodes = [recipe.get(key) for key in KEYS] if "task" in recipe else [recipe]
    names = {
        node.tag.value.rpartition(".")[2]
        for node in nodes
        if hasattr(node, "tag") and str(node.tag.value).startswith("!new:")
    }
    known = {path.rpartition(".")[2] for path in (*CLASSES, *NETWORKS)}
    # Precomputed features are files of the training clips, and not exported.
    assert names <= known | {"NumpyFeatures", "HDF5Features"}


def test_networks_of_any_size_cost_nothing_before_their_weights_fit(model):
    change(model, "  model_dim: 4\n", "  model_dim: 1000000\n")
    change(model, "  num_layers: 1\n", "  num_layers: 20\n")
    assert "not its weights" in refusal(model)  # 60 TB


OPTIONS = {
    "AuxFormer": [
        {"audio_dim": 20, "visual_dim": 20, "shared_auxiliary_head": shared}
        for shared in (True, False)
    ],
    "FeatureNorm": [{"dim": 20}],
    "LayerNorm": [{"normalized_shape": 20}],
    "Identity": [{}],
}


@pytest.mark.parametrize("path", (*NORMS, NETWORK))
def test_what_is_made_without_memory_has_all_of_it_in_the_weights(path):
    for options in OPTIONS[path.rpartition(".")[2]]:
        with torch.device("meta"):
            made = class_of(path)(**options)
        tensors = [*made.parameters(), *made.buffers()]
        assert len(tensors) == len(made.state_dict())
        for part in made.modules():
            assert not any(map(torch.is_tensor, vars(part).values()))


class Touch:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def with_header(header, content=b""):
    return struct.pack("<Q", len(header)) + header + content


HUGE = {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}
ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
NOT_WEIGHTS = {
    "empty": b"",
    "short": b"\0\0\0",
    "a page": b"<html>Not found</html>",
    "a header of an exabyte": struct.pack("<Q", 1 << 60) + b"{}",
    "a header longer than the file": struct.pack("<Q", 1 << 22) + b"{}",
    "a header longer than any": with_header(b"{}" + b" " * (12 << 20)),
    "a header of another kind": with_header(b"[1, 2, 3]"),
    "a tensor larger than the file": with_header(
        json.dumps({"network.main_head.output.bias": HUGE}).encode()
    ),
    "tensors that overlap": with_header(
        json.dumps({"a": ONE, "b": ONE}).encode(), bytes(4)
    ),
}


@pytest.mark.parametrize("case", NOT_WEIGHTS)
def test_other_files_are_no_weights(model, case):
    (model / "model.safetensors").write_bytes(NOT_WEIGHTS[case])
    assert f"{model / 'model.safetensors'}: not safetensors" in refusal(model)


def test_a_pickle_is_never_opened(model):
    evil = Touch(sentinel_of(model))
    for name in ("model.safetensors", "model.ckpt", "pytorch_model.bin"):
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
    speech = f"{SPEECH}\n  source: encoders/audio"
    if own_weights:
        shutil.copy(encoder / "pytorch_model.bin", f"{encoder}.pt")
        speech += "\n  weights: encoders/audio.pt"
    set_key(model, "audio_features", speech)
    change(model, "  audio_dim: 4\n", "  audio_dim: 32\n")
    change(model, "FeatureNorm\n  dim: 4\n", "FeatureNorm\n  dim: 32\n")
    config = json.loads((model / "config.json").read_text())
    config["features"]["audio"]["dim"] = 32
    (model / "config.json").write_text(json.dumps(config))
    weights = load_file(model / "model.safetensors")
    for name in ("audio_norm.mean", "audio_norm.std"):
        weights[name] = torch.ones(32)
    weights["network.audio_projection.weight"] = torch.ones(4, 32)
    save_file(weights, model / "model.safetensors")
    loaded = load(model)  # the encoder's weights come with the first clip
    with pytest.raises(UserError):
        loaded["audio_features"].encode([torch.zeros(4000)])
    assert not sentinel_of(model).exists()


WRONG_WEIGHTS = {
    "missing": (lambda x: None, "is missing"),
    "of another shape": (lambda x: x[:-1], r"is \[2\] .*, not \[3\]"),
    "of other dimensions": (lambda x: x[None], r"is \[1, 3\] .*, not \[3\]"),
    "of another type": (lambda x: x.double(), "float64, not .*float32"),
    "not a number": (lambda x: x * float("nan"), "not finite"),
    "infinite": (lambda x: x / 0, "not finite"),
}


@pytest.mark.parametrize("case", WRONG_WEIGHTS)
def test_weights_are_exactly_those_of_the_network(model, case):
    name = "network.main_head.output.bias"
    wrong, reason = WRONG_WEIGHTS[case]
    path = model / "model.safetensors"
    tensors = load_file(path)
    changed = wrong(tensors.pop(name))
    if changed is not None:
        tensors[name] = changed.contiguous()
    save_file(tensors, path)
    assert re.search(f"{path}: {name} .*{reason}", refusal(model))


@pytest.mark.parametrize(
    "name", ["network.more", "evil.weight", "", f"\x1b[2J\n{'x' * 10**5}"]
)
def test_there_are_no_other_weights(model, name):
    path = model / "model.safetensors"
    save_file({**load_file(path), name: torch.zeros(1)}, path)
    assert "not in this model" in refusal(model)


def test_names_of_strangers_do_not_move_the_cursor():
    with pytest.raises(SystemExit) as error, one_line_errors():
        raise UserError(f"\x1b[2J\n\u202e{'x' * 10**5}")
    assert str(error.value).startswith("error: \\x1b[2J \\u202exxx")
    assert str(error.value).endswith("…") and len(str(error.value)) < 2010


def make_socket(path):
    # By a short name: a long one is refused.
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def make_link_out(path):
    elsewhere = path.parent.parent / "elsewhere"
    elsewhere.write_text("{}")
    path.symlink_to(elsewhere)


NO_FILES = {
    "pipe": os.mkfifo,
    "socket": make_socket,
    "loop": lambda path: path.symlink_to(path.name),
    "folder": Path.mkdir,
    "link out": make_link_out,
}


@pytest.mark.parametrize(
    "name, kind",
    [("hyperparams.yaml", kind) for kind in NO_FILES]
    + [("config.json", "link out"), ("model.safetensors", "link out")]
    + [("config.json", "pipe"), ("model.safetensors", "pipe")],
)
def test_only_files_of_the_folder_are_read(model, name, kind):
    (model / name).unlink()
    NO_FILES[kind](model / name)
    assert f"{model / name}: " in refusal(model)


@pytest.mark.parametrize("where", ["the folder", "a file"])
def test_links_of_encoders_do_not_lead_out_either(model, where):
    elsewhere = model.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.json").write_text("{}")
    encoder = model / "encoders" / "audio"
    encoder.parent.mkdir()
    if where == "the folder":
        encoder.symlink_to(elsewhere)
    else:
        encoder.mkdir()
        (encoder / "config.json").symlink_to(elsewhere / "config.json")
    set_key(model, "audio_features", f"{SPEECH} {{source: encoders/audio}}")
    assert "leads out of the folder" in refusal(model)


def test_encoders_do_not_bring_code(model):
    encoder = model / "encoders" / "audio"
    encoder.mkdir(parents=True)
    auto_map = {"auto_map": {"AutoConfig": "evil.Config"}}
    (encoder / "config.json").write_text(json.dumps(auto_map))
    sentinel = sentinel_of(model)
    (encoder / "evil.py").write_text(f"open({str(sentinel)!r}, 'w')")
    set_key(model, "audio_features", f"{SPEECH} {{source: encoders/audio}}")
    assert f"{encoder / 'config.json'}: asks for code" in refusal(model)
    assert not sentinel.exists()


CONFIGS = {
    "another file": {"a": 1},
    "a list": [],
    "a newer format": {"format_version": 2},
    "a long version": {"format_version": "x" * 10**5},
    "another setting": {"fitted": {"names": 1.0}},
    "a private one": {"fitted": {"__class__": 1.0}},
    "no setting": {"fitted": {}},
    "nothing fitted": {"fitted": None},
    "endless channels": {"features": {"audio": {"dim": 10**12}}},
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
    "name, valid, others",
    [
        ("temperature", [0.001, 0.1, 10, 1000.0], [5e-324, 10**400]),
        ("threshold", [1e-12, 0.5], [-0.1, 1.1, True]),
    ],
)
def test_what_was_fitted_is_within_limits(name, valid, others):
    task = SimpleNamespace(settings={name: None})
    for value in valid:
        set_fitted(task, {name: value})
        assert getattr(task, name) == value
    for value in others:
        with pytest.raises(UserError, match=f"fitted: {name}"):
            set_fitted(task, {name: value})


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
        ("  n_mels: 4", "  n_mels: 8", "audio_features"),
        ("    size: 16", "    size: 24", "visual_features"),
        ("  - angry\n", "", "outputs"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(model, old, new, reason):
    change(model, old, new)
    assert reason in refusal(model)


@pytest.mark.parametrize(
    "error", [KeyError("x"), ZeroDivisionError(), cv2.error, UserError("no")]
)
def test_any_failure_to_make_an_object_is_one_line(model, error, monkeypatch):
    def _fail(self, **arguments):
        raise error

    monkeypatch.setattr(FbankFeatures, "__init__", _fail)
    expected = "no" if isinstance(error, UserError) else "FbankFeatures: "
    assert expected in refusal(model)


def test_trust_lifts_the_check_with_a_warning(model, caplog):
    task = "!new:auxformer_lobes.tasks.CategoricalEmotion"
    classes = "!apply:sorted [[sad, happy, angry]]"
    set_key(model, "task", f"{task}\n  classes: {classes}")
    refusal(model)
    loaded = load(model, trust_source=True)
    assert loaded["task"].names == ("angry", "happy", "sad")
    assert "trusted, so that it may run any code" in caplog.text


def test_trusted_or_not_an_export_is_the_same(model):
    loaded = [load(model), load(model, trust_source=True)]
    batch = batch_of(loaded[0])
    safe, trusted = (logits_of(hparams["modules"], batch) for hparams in loaded)
    torch.testing.assert_close(safe, trusted)
    for key in ("audio_features", "visual_features"):
        assert loaded[0][key].settings == loaded[1][key].settings
    for key in ("feature_dtype", "min_face_quality", "config"):
        assert loaded[0][key] == loaded[1][key]
