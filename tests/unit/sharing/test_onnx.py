"""The network of a model in ONNX computes what the recognizer computes.

An export takes seconds, so one serves all tests here; benchmarks/
onnx_networks.py compares every network of the recipes.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from auxformer_lobes.cli.main import main
from auxformer_lobes.inference.audiovisual import AudioVisualEmotionRecognizer
from auxformer_lobes.models.baselines import AudioOnly
from auxformer_lobes.sharing import onnx as onnx_module
from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import load, push
from auxformer_lobes.sharing.layout import ModelFolder
from auxformer_lobes.sharing.onnx import FeaturesToOutputs, compare, write_onnx
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.utils.errors import UserError
from tests.unit.models.test_baselines import DIMS, FILES, build
from tests.unit.small_runs import make_run
from tests.unit.small_tasks import EMOTIONS, KINDS, make_task

ROOT = Path(__file__).parents[3]
# Two layers of an encoder are summed, and two frames are stacked into one.
CHANGES = [
    ("auxformer.AuxFormer", "baselines.EarlyFusion"),
    ("audio_layers: !ref <audio_features.layers>", "audio_layers: 2"),
    (
        "    model_dim: 4",
        "    audio_stack: 2\n    shortcut: True\n    model_dim: 4",
    ),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of a model with network.onnx."""
    work = tmp_path_factory.mktemp("onnx")
    make_run(work / "run", changes=CHANGES)
    return export(work / "run", work / "model", with_onnx=True)


@pytest.fixture(scope="module")
def model(exported):
    """The recognizer, the module that was exported, and onnxruntime's."""
    module = FeaturesToOutputs.of(load(exported))
    session = onnxruntime.InferenceSession(
        str(exported / "network.onnx"), providers=["CPUExecutionProvider"]
    )
    recognizer = AudioVisualEmotionRecognizer.from_hparams(exported)
    return recognizer, module, session


def recognized(recognizer, x, frames):
    """Combined outputs of the recognizer, of clips of these lengths."""
    given = {}
    for name, features in x.items():
        mask = frames[name]
        places = torch.arange(1, mask.shape[1] + 1)
        given[name] = features
        given[f"{name}_mask"] = mask
        given[f"{name}_lens"] = (places * mask).amax(1) / mask.shape[1]
    emotions = recognizer.classify_batch(**given)
    return np.array([[*emotion.outputs.values()] for emotion in emotions])


LENGTHS = st.integers(1, 60)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), LENGTHS, LENGTHS, st.integers(0, 999), st.data())
def test_any_shape_gives_what_torch_gives(
    model, batch, audio_time, visual_time, seed, data
):
    _, module, session = model
    frames = {"audio": audio_time, "visual": visual_time}
    inputs = module.draw_inputs(batch, frames, seed)
    for x, mask in zip(inputs[::2], inputs[1::2]):
        for clip in mask:  # padding; all of it: the modality is missing
            clip[data.draw(st.integers(0, len(clip))) :] = False
        x[~mask] = 1e4
    assert compare(session, module, inputs) < 1e-4


@pytest.mark.parametrize("missing", [None, "audio", "visual"])
def test_outputs_are_those_of_the_recognizer(model, missing):
    recognizer, module, session = model
    inputs = module.draw_inputs(3, {"audio": 21, "visual": 12})
    x, masks = {}, {}
    for i, name in enumerate(("audio", "visual")):
        if name == missing:
            inputs[2 * i + 1][:] = False
        x[name], masks[name] = inputs[2 * i : 2 * i + 2]
    found = session.run(
        ["probabilities"],
        {k: v.numpy() for k, v in zip(module.input_names, inputs)},
    )[0]
    expected = recognized(recognizer, x, masks)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


def test_the_file_describes_itself_and_nothing_private(exported):
    made = onnx.load(exported / "network.onnx")
    (opset,) = {x.version for x in made.opset_import if x.domain == ""}
    assert opset == 18
    props = {x.key: x.value for x in made.metadata_props}
    assert json.loads(props["labels"]) == [*EMOTIONS]
    assert json.loads(props["heads"]) == {"main": ["audio", "visual"]}
    assert json.loads(props["features"])["visual"]["frames_per_second"] == 10
    assert "temperature" in json.loads(props["fitted"])
    assert "face detection" in props["not_included"]
    shapes = {
        x.name: [
            d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim
        ]
        for x in made.graph.input
    }
    assert shapes["visual_mask"] == ["batch", "visual_time"]
    assert shapes["audio"][:2] == ["batch", "audio_time"]
    content = (exported / "network.onnx").read_bytes()
    for private in ("/home", "jane", str(ROOT), str(exported.parent), ".py"):
        assert private.encode() not in content, private


def test_it_belongs_to_the_model_and_loading_ignores_it(
    exported, tmp_path, capsys
):
    main(["info", str(exported)])
    assert "network.onnx, " in capsys.readouterr().out
    assert "network.onnx" in ModelFolder(exported).files()
    assert "from features" in (exported / "README.md").read_text()
    config = ModelFolder(exported).config()
    assert "network.onnx" in config["files"]
    copy = tmp_path / "model"
    copy.mkdir()
    for name in ModelFolder(exported).files():
        (copy / name).write_bytes((exported / name).read_bytes())
    (copy / "network.onnx").write_bytes(b"damaged")
    load(copy)
    with pytest.raises(UserError, match="network.onnx: damaged"):
        push(copy, "somebody/model", dry_run=True)
    (copy / "network.onnx").unlink()
    push(copy, "somebody/model", dry_run=True)


def test_an_exported_model_gets_one_too(
    exported, tmp_path, monkeypatch, capsys
):
    def write(path, module, config):
        path.write_bytes(b"onnx")
        return {"opset": 18, "bytes": 4, "max_difference": 1e-6}

    monkeypatch.setattr(onnx_module, "write_onnx", write)
    out = tmp_path / "model"
    for source in (exported, out):  # a copy, and the folder itself
        main(["export", str(source), str(out), "--onnx"])
        printed = capsys.readouterr().out
        assert f"{out}/network.onnx: 0.0 MB, opset 18, within 1e-06" in printed
        assert "face tracking" in printed
        assert (out / "network.onnx").read_bytes() == b"onnx"
        push(out, "somebody/model", dry_run=True)  # checksums hold
    (out / "mine.txt").touch()
    with pytest.raises(SystemExit, match="other files, mine.txt for one"):
        main(["export", str(out), str(out), "--onnx"])


@pytest.mark.parametrize(
    "options", [["--license", "apache-2.0"], ["--include_encoders"]]
)
def test_an_exported_model_takes_no_options_of_a_run(
    exported, tmp_path, options
):
    words = ["export", str(exported), str(tmp_path / "out"), "--onnx", *options]
    with pytest.raises(SystemExit, match="exported already: --license and"):
        main(words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra_one_line_names_it(
    exported, tmp_path, monkeypatch, package
):
    found = onnx_module.find_spec
    monkeypatch.setattr(
        onnx_module, "find_spec", lambda x: None if x == package else found(x)
    )
    for source in (exported, tmp_path / "run"):
        with pytest.raises(SystemExit, match=f"--onnx needs {package}: pip"):
            main(["export", str(source), str(tmp_path / "out"), "--onnx"])
    assert not (tmp_path / "out").exists()


def test_a_network_that_cannot_be_exported_is_named(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        cause = ValueError("no operator\nof this name")
        raise torch.onnx.errors.OnnxExporterError("step 1") from cause

    monkeypatch.setattr(torch.onnx, "export", refuse)
    network = AudioOnly(4, 3, model_dim=4, num_heads=1, num_layers=1)
    norms = {"audio": torch.nn.Identity()}
    module = FeaturesToOutputs(network, norms, CategoricalEmotion("abcdef"))
    with pytest.raises(UserError) as error:
        write_onnx(tmp_path / "network.onnx", module, {})
    assert str(error.value) == (
        "AudioOnly: cannot be exported to ONNX: no operator of this name"
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_module_of_any_network_and_task_is_the_recognizer(path, kind):
    """Before it is exported: exports of all take minutes."""
    task, network = make_task(kind), build(path).eval()
    norms = {m: torch.nn.Identity() for m in DIMS}
    module = FeaturesToOutputs(network, norms, task)
    assert module.output_names[0] == (
        "values" if kind == "attributes" else "probabilities"
    )
    inputs = module.draw_inputs(4, {"audio": 9, "visual": 7})
    for mask in inputs[1::2]:
        mask[0], mask[1, 4:] = True, False
    if len(inputs) > 2:
        inputs[1][2], inputs[3][3] = False, False
    with torch.no_grad():
        outputs, *logits = module(*inputs)
    assert len(logits) == len(network.heads)
    given = dict(zip(module.input_names, inputs))
    audio = {k: v for k, v in given.items() if not k.endswith("mask")}
    masks = {
        k.removesuffix("_mask"): v for k, v in given.items() if "mask" in k
    }
    hparams = {
        **{"task": task, "min_face_quality": 1, "feature_dtype": {}},
        **{"audio_features": None, "visual_features": None},
    }
    modules = {f"{m}_norm": norm for m, norm in norms.items()}
    recognizer = AudioVisualEmotionRecognizer(
        {**modules, "network": network}, hparams
    )
    expected = recognized(recognizer, audio, masks)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
