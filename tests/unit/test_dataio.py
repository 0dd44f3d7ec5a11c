"""From manifests and stores to batches."""

import json

import pytest
import torch
from speechbrain.dataio.batch import PaddedBatch

from auxformer_lobes.dataio import (
    add_features,
    extract_features,
    fit_norms,
    load_manifests,
)
from auxformer_lobes.errors import UserError
from auxformer_lobes.features.extractor import Extractor, Reading
from auxformer_lobes.features.normalization import FeatureNorm
from auxformer_lobes.features.store import FeatureStore

CLASSES = ("angry", "happy", "neutral", "sad")


class NamedFeatures(Extractor):
    """Frames that hold the length of the file's name."""

    def read(self, clip, path):
        return Reading(torch.full((len(clip), self.dim), float(len(path))))


def entry(wav, video, emotion="sad"):
    return {
        "wav": wav,
        "video": video,
        "emotion": emotion,
        "votes": [0.0, 0.25, 0.0, 0.75],
        "spk_id": "1001",
    }


@pytest.fixture
def stores(tmp_path):
    return {
        "audio": FeatureStore(tmp_path, NamedFeatures(dim=3, of="wav")),
        "visual": FeatureStore(tmp_path, NamedFeatures(dim=2, of="video")),
    }


@pytest.fixture
def datasets(tmp_path):
    clips = {
        "both": entry("{data_root}/a.wav", "{data_root}/a.flv"),
        "sound": entry("{data_root}/b.wav", None, emotion=None),
    }
    (tmp_path / "train.json").write_text(json.dumps(clips))
    return load_manifests({"train": tmp_path / "train.json"}, "corpus")


@pytest.fixture
def dataset(datasets, stores):
    extract_features(datasets, stores)
    return add_features(datasets["train"], stores, CLASSES)


def test_features_are_extracted_from_the_corpus(dataset):
    assert dataset[0]["audio"].tolist() == [[12.0] * 3] * 4
    assert dataset[0]["visual"].tolist() == [[12.0] * 2] * 4


def test_a_missing_modality_is_a_frame_of_zeros_and_said_to_be_missing(dataset):
    assert dataset[1]["visual"].tolist() == [[0.0, 0.0]]
    assert [clip["present"].tolist() for clip in dataset] == [
        [True, True],
        [True, False],
    ]


def test_labels_are_indices_and_ties_are_marked(dataset):
    assert [clip["label"].tolist() for clip in dataset] == [[3], [-1]]
    assert dataset[0]["shares"].tolist() == [0.0, 0.25, 0.0, 0.75]


def test_a_batch_keeps_what_is_present(dataset):
    batch = PaddedBatch(list(dataset))
    assert batch.present.data.dtype == torch.bool
    assert batch.present.data.tolist() == [[True, True], [True, False]]
    assert batch.audio.data.shape == (2, 5, 3)
    assert batch.visual.lengths.tolist() == [1.0, 0.25]


def test_a_clip_without_any_features_is_left_out(datasets, stores):
    datasets["train"].data["lost"] = entry(None, None)
    extract_features(datasets, stores)
    assert len(add_features(datasets["train"], stores, CLASSES)) == 2


def test_both_modalities_can_be_required(datasets, stores):
    extract_features(datasets, stores)
    both = add_features(datasets["train"], stores, CLASSES, require_both=True)
    assert list(both.data) == ["both"]


def test_features_of_a_file_that_was_refused_later_are_not_used(
    datasets, stores
):
    extract_features(datasets, stores)
    datasets["train"].data["both"]["video"] = None
    clip = add_features(datasets["train"], stores, CLASSES)[0]
    assert clip["present"].tolist() == [True, False]
    assert clip["visual"].tolist() == [[0.0, 0.0]]


def test_no_features_at_all_is_an_error(datasets, stores):
    with pytest.raises(UserError, match="no clip of a split has features"):
        add_features(datasets["train"], stores, CLASSES)


def test_an_emotion_that_is_no_class_is_an_error(datasets, stores):
    with pytest.raises(UserError, match=r"emotions \['sad'\], not among"):
        add_features(datasets["train"], stores, ("angry", "happy"))


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
