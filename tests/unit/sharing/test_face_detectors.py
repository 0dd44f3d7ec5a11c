"""The weights of a face detector, in an exported model."""

import json
import shutil

import pytest

from auxformer_lobes.processing.faces import yunet
from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import load
from auxformer_lobes.utils.errors import UserError
from tests.unit.small_runs import HOG, make_run
from tests.unit.small_yunet import write_yunet

FACES = "auxformer_lobes.processing.faces"
COPY = "encoders/faces.onnx"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(write_yunet(tmp_path_factory.mktemp("weights") / "own.onnx"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, weights):
    """A run whose faces YuNet finds."""
    folder = tmp_path_factory.mktemp("yunet") / "run"
    make_run(folder, changes=[(HOG, with_detector(f"YuNetDetector {weights}"))])
    return folder


def with_detector(detector):
    name, _, weights = detector.partition(" ")
    module = "yunet" if weights else "detection"
    lines = HOG.splitlines()
    lines[3:3] = [f"        detector: !new:{FACES}.{module}.{name}"]
    if weights:
        lines[4:4] = [
            f"            weights: {weights}",
            "            score_threshold: 0.8",
            "            save_path: /home/jane_doe/cache",
        ]
    return "\n".join([*lines, ""])


@pytest.fixture
def published(weights, monkeypatch):
    """Has the weights be the published ones."""
    monkeypatch.setattr(yunet, "PUBLISHED", yunet.sha256(weights))


def test_published_weights_are_fetched_by_their_name(
    run, weights, published, tmp_path, monkeypatch
):
    model = export(run, tmp_path / "model")
    assert not (model / "encoders").exists()
    assert "jane_doe" not in (model / "hyperparams.yaml").read_text()
    asked = []

    def _snapshot(*arguments):
        asked.append(arguments)
        shutil.copy(weights, tmp_path / yunet.WEIGHTS)
        return tmp_path

    monkeypatch.setattr(yunet, "snapshot", _snapshot)
    faces = load(model, savedir="cache")["visual_features"].faces
    assert asked[0][0] == "opencv/face_detection_yunet"
    assert asked[0][3] == "cache"
    assert faces.size == 16
    assert faces.settings["detector"]["score_threshold"] == 0.8
    # Other overrides are kept.
    changes = {"visual_features": {"faces": {"margin": 0.25}}}
    assert load(model, overrides=changes)["visual_features"].faces.margin > 0


def test_weights_are_copied_on_request(run, published, tmp_path):
    model = export(run, tmp_path / "model", include_encoders=True)
    detector = load(model)["visual_features"].faces.detector
    assert detector.weights == str(model / COPY)
    with open(model / COPY, "ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=f"{COPY}: damaged, or changed"):
        load(model)


def test_other_weights_are_copied_and_load_by_trust(run, tmp_path, caplog):
    with pytest.raises(UserError, match="machine only.*--include_encoders"):
        export(run, tmp_path / "model")
    model = export(run, tmp_path / "model", include_encoders=True)
    assert "trust_source=True only" in caplog.text
    with pytest.raises(UserError, match=f"{COPY}: not the published weights"):
        load(model)
    loaded = load(model, trust_source=True)
    detector = loaded["visual_features"].faces.detector
    assert detector.weights == str(model / COPY)


def test_weights_elsewhere_are_refused(run, published, tmp_path):
    model = export(run, tmp_path / "model", include_encoders=True)
    path, config = model / "hyperparams.yaml", model / "config.json"
    text, facts = path.read_text(), json.loads(config.read_text())
    del facts["files"]  # with checksums
    config.write_text(json.dumps(facts))
    for place in ("/etc/passwd", "encoders/../../faces.onnx", "faces.onnx"):
        path.write_text(text.replace(COPY, place))
        with pytest.raises(UserError, match="weights of YuNetDetector is"):
            load(model)


def test_cascades_may_be_named(tmp_path):
    changes = [(HOG, with_detector("CascadeDetector"))]
    make_run(tmp_path / "run", changes=changes)
    model = export(tmp_path / "run", tmp_path / "model")
    faces = load(model)["visual_features"].faces
    assert type(faces.detector).__name__ == "CascadeDetector"
    assert "detector" not in faces.settings
