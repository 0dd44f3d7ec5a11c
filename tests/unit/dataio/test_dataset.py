"""From manifests and stores to batches."""

import json
import math

import pytest
import torch
from speechbrain.dataio.batch import PaddedBatch

from auxformer_lobes.dataio.dataset import (
    add_features,
    extract_features,
    fit_norms,
    load_manifests,
)
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.features.base import ClipInput, Extractor
from auxformer_lobes.nnet.normalization import FeatureNorm
from auxformer_lobes.processing.faces.tracker import FaceQuality
from auxformer_lobes.tasks import (
    CategoricalEmotion,
    DimensionalEmotion,
    MultiLabelEmotion,
)
from auxformer_lobes.utils.errors import UserError

CLASSES = ("angry", "happy", "neutral", "sad")
TASK = CategoricalEmotion(CLASSES)
# Of frames in order; a clip without a face is a fallback throughout.
QUALITIES = {"face.flv": [2, 1, 0, 2], "wall.flv": [0, 0, 0]}


class NamedFeatures(Extractor):
    """Frames that hold the length of the file's name."""

    def read(self, clip, path):
        return ClipInput(torch.full((len(clip), self.dim), float(len(path))))


class NumberedFaces(Extractor):
    """Frames that hold their number, of the quality that a video has."""

    def read(self, clip, path):
        validity = torch.tensor(QUALITIES[path.split("/")[-1]])
        frames = torch.arange(float(len(validity)))
        return ClipInput(frames[:, None].repeat(1, self.dim), validity.byte())


def entry(wav, video, emotion="sad"):
    return {
        "wav": wav,
        "video": video,
        "emotion": emotion,
        "votes": [0.0, 0.25, 0.0, 0.75],
        "attributes": {"arousal": 3.0, "valence": 1.0, "dominance": None},
        "spk_id": "1001",
    }


@pytest.fixture
def stores(tmp_path):
    return {
        "audio": FeatureStore(tmp_path, NamedFeatures(dim=3, of="wav")),
        "visual": FeatureStore(tmp_path, NamedFeatures(dim=2, of="video")),
    }


@pytest.fixture
def load(tmp_path):
    """Writes a manifest, and loads it."""

    def _load(clips):
        (tmp_path / "train.json").write_text(json.dumps(clips))
        return load_manifests({"train": tmp_path / "train.json"}, "corpus")

    return _load


@pytest.fixture
def datasets(load):
    return load(
        {
            "both": entry("{data_root}/a.wav", "{data_root}/a.flv"),
            "audio": entry("{data_root}/b.wav", None, emotion=None),
        }
    )


@pytest.fixture
def dataset(datasets, stores):
    extract_features(datasets, stores)
    return add_features(datasets["train"], stores, TASK)


def test_features_are_extracted_from_the_corpus(dataset):
    assert dataset[0]["audio"].tolist() == [[12.0] * 3] * 4
    assert dataset[0]["visual"].tolist() == [[12.0] * 2] * 4


def test_a_table_says_what_was_extracted_and_nothing_if_nothing_was(
    datasets, stores, capsys
):
    for clip in datasets["train"].data.values():
        clip["duration"] = 720.0
    extract_features(datasets, stores)
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "audio features" in printed and "visual features" in printed
    assert "clips 2 new 2" in printed and "clips 1 new 1" in printed
    assert "media, hours 0.40" in printed and "media, hours 0.20" in printed
    extract_features(datasets, stores)
    assert not capsys.readouterr().out


def test_a_missing_modality_is_a_frame_of_zeros_and_said_to_be_missing(dataset):
    assert dataset[1]["visual"].tolist() == [[0.0, 0.0]]
    assert [clip["audio_mask"].all() for clip in dataset] == [True, True]
    assert [clip["visual_mask"].tolist() for clip in dataset] == [
        [True] * 4,
        [False],
    ]


def test_braces_in_a_manifest_are_text(load):
    clip = entry("{data_root}/{a}.wav", None) | {"columns": {"text": "{oh}"}}
    (found,) = load({"a": clip})["train"].data.values()
    assert found["wav"] == "corpus/{a}.wav"
    assert found["columns"] == {"text": "{oh}"}


def test_norms_are_fitted_to_what_the_corpus_has(load, stores):
    datasets = load({"a": entry("{data_root}/a.wav", None)})
    extract_features(datasets, stores)
    dataset = add_features(datasets["train"], stores, TASK)
    norms = {"audio_norm": FeatureNorm(3), "visual_norm": FeatureNorm(2)}
    fit_norms(dataset, norms)
    assert norms["audio_norm"].fitted and not norms["visual_norm"].fitted


def test_labels_are_indices_and_ties_are_marked(dataset):
    assert [clip["truth"].tolist() for clip in dataset] == [[3], [-1]]
    assert [clip["target"].tolist() for clip in dataset] == [[3], [-1]]


@pytest.mark.parametrize(
    "task, target, truth",
    [
        (
            CategoricalEmotion(CLASSES, label_rule="D"),
            [0.0, 0.25, 0.0, 0.75],
            [3],
        ),
        (MultiLabelEmotion(CLASSES), [0.0, 0.25, 0.0, 0.75], [0, 0, 0, 1]),
        (MultiLabelEmotion(CLASSES, binary=True), [0, 0, 0, 1], [0, 0, 0, 1]),
        (DimensionalEmotion(["valence", "arousal"], high=9), None, [1.0, 3.0]),
    ],
    ids=["votes", "shares", "binary", "attributes"],
)
def test_labels_are_those_of_the_task(datasets, stores, task, target, truth):
    extract_features(datasets, stores)
    clip = add_features(datasets["train"], stores, task)[0]
    assert clip["truth"].tolist() == truth
    if target is None:
        torch.testing.assert_close(task.outputs(clip["target"]), clip["truth"])
    else:
        assert clip["target"].tolist() == target


def test_an_item_has_what_training_needs_and_no_more(dataset):
    features = {"audio", "visual", "audio_mask", "visual_mask"}
    assert {*dataset[0]} == {
        "id",
        *features,
        "seconds",
        "target",
        "truth",
        "spk_id",
    }
    assert dataset[0]["id"] == "both" and dataset[0]["spk_id"] == "1001"


def test_a_batch_keeps_what_is_there_and_its_padding_is_not(dataset):
    batch = PaddedBatch(list(dataset))
    for mask in (batch.audio_mask.data, batch.visual_mask.data):
        assert mask.dtype == torch.bool
    assert batch.audio_mask.data.tolist() == [[True] * 4 + [False], [True] * 5]
    assert batch.visual_mask.data.tolist() == [[True] * 4, [False] * 4]
    assert batch.audio.data.shape == (2, 5, 3)
    assert batch.visual.lengths.tolist() == [1.0, 0.25]
    assert batch.target.data.tolist() == [[3], [-1]]


def test_a_clip_lasts_as_long_as_its_manifest_says(load, stores):
    clips = {name: entry("a.wav", "a.flv") for name in ("a", "b", "c")}
    clips["a"]["duration"], clips["b"]["duration"] = 1.5, None
    datasets = load(clips)
    extract_features(datasets, stores)
    batch = PaddedBatch(list(add_features(datasets["train"], stores, TASK)))
    assert [float(x) for x in batch.seconds] == pytest.approx(
        [1.5, math.nan, math.nan], nan_ok=True
    )


def test_a_clip_without_any_features_is_left_out(datasets, stores):
    datasets["train"].data["lost"] = entry(None, None)
    extract_features(datasets, stores)
    assert len(add_features(datasets["train"], stores, TASK)) == 2


def test_both_modalities_can_be_required(datasets, stores):
    extract_features(datasets, stores)
    both = add_features(datasets["train"], stores, TASK, require_both=True)
    assert list(both.data) == ["both"]


def test_features_of_a_file_that_was_refused_later_are_not_used(
    datasets, stores
):
    extract_features(datasets, stores)
    datasets["train"].data["both"]["video"] = None
    clip = add_features(datasets["train"], stores, TASK)[0]
    assert clip["audio_mask"].all()
    assert clip["visual_mask"].tolist() == [False]
    assert clip["visual"].tolist() == [[0.0, 0.0]]


def test_no_features_at_all_is_an_error(datasets, stores):
    with pytest.raises(UserError, match="no clip of a split has features"):
        add_features(datasets["train"], stores, TASK)


@pytest.mark.parametrize(
    "task, message",
    [
        (
            CategoricalEmotion(("angry", "happy")),
            r"emotions \['sad'\], not among",
        ),
        (MultiLabelEmotion(("angry", "happy")), "votes on 4 emotions"),
        (
            DimensionalEmotion(["naturalness"]),
            "has no naturalness: attribute models",
        ),
    ],
    ids=["categories", "secondary", "attributes"],
)
def test_a_manifest_of_another_task_is_an_error(
    datasets, stores, task, message
):
    """Before anything is looked for in the stores."""
    with pytest.raises(UserError, match=message) as error:
        add_features(datasets["train"], stores, task)
    assert "\n" not in str(error.value)


@pytest.fixture
def faces(load, stores, tmp_path):
    """A video with a face, one without, and a wav file; extracted."""
    stores["visual"] = FeatureStore(tmp_path, NumberedFaces(dim=2))
    datasets = load(
        {
            "face": entry("a.wav", "face.flv"),
            "wall": entry("b.wav", "wall.flv"),
            "audio": entry("c.wav", None),
        }
    )
    extract_features(datasets, stores)
    return datasets["train"]


@pytest.mark.parametrize(
    "least, there",
    [
        (FaceQuality.FALLBACK, [True, True, True, True]),
        (FaceQuality.TRACKED, [True, True, False, True]),
        (FaceQuality.DETECTED, [True, False, False, True]),
    ],
)
def test_frames_without_a_face_are_lost_in_their_place(
    faces, stores, least, there
):
    clip = add_features(faces, stores, TASK, min_face_quality=least)[0]
    assert clip["visual"].tolist() == [[x, x] for x in range(4)]
    assert clip["visual_mask"].tolist() == there
    assert clip["audio_mask"].all()


def test_all_frames_are_taken_by_default(faces, stores):
    dataset = add_features(faces, stores, TASK)
    assert [clip["visual_mask"].sum() for clip in dataset] == [4, 3, 0]


@pytest.mark.parametrize("require_both", [False, True])
def test_a_clip_without_any_face_stays_and_lacks_visual(
    faces, stores, require_both
):
    """It has a video: the test set is the same, whatever is detected."""
    dataset = add_features(
        faces, stores, TASK, require_both, min_face_quality=1
    )
    clips = {clip["id"]: clip for clip in dataset}
    assert [*clips] == ["face", "wall"] + ["audio"] * (not require_both)
    assert clips["wall"]["audio_mask"].all()
    assert clips["wall"]["visual_mask"].tolist() == [False] * 3
    assert clips["wall"]["audio"].tolist() == [[5.0] * 3] * 4


def test_audio_has_no_frame_validity_and_is_never_missing_for_it(faces, stores):
    for clip in add_features(faces, stores, TASK, min_face_quality=2):
        assert clip["audio_mask"].all()


def test_norms_do_not_see_what_is_not_to_be_trusted(faces, stores):
    dataset = add_features(faces, stores, TASK, min_face_quality=1)
    modules = {"audio_norm": FeatureNorm(3), "visual_norm": FeatureNorm(2)}
    fit_norms(dataset, modules)
    assert modules["visual_norm"].count == 3
    assert modules["visual_norm"].mean.tolist() == pytest.approx([4 / 3] * 2)


def test_norms_are_fitted_on_what_is_present(dataset):
    modules = {"audio_norm": FeatureNorm(3), "visual_norm": FeatureNorm(2)}
    fit_norms(dataset, modules)
    assert modules["audio_norm"].count == 9
    assert modules["visual_norm"].count == 4
    assert modules["visual_norm"].mean.tolist() == [12.0, 12.0]


def test_another_norm_is_left_alone(dataset):
    modules = {"audio_norm": torch.nn.Identity(), "visual_norm": FeatureNorm(2)}
    fit_norms(dataset, modules)
    assert modules["visual_norm"].fitted
