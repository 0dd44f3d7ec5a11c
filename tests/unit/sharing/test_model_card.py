"""What the card of an exported model says, to the Hub and to people."""

import copy
import json
import re
import sys
from types import SimpleNamespace

import pytest
from huggingface_hub import ModelCard

from auxformer_lobes.augment.missing import INPUTS, heads_of
from auxformer_lobes.evaluation.predictions import HEADS
from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import load
from auxformer_lobes.sharing.model_card import model_card, summary
from tests.unit.small_runs import CORPUS, make_run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    work = tmp_path_factory.mktemp("card")
    make_run(work / "run")
    return export(work / "run", work / "model")


@pytest.fixture
def config(model):
    return json.loads((model / "config.json").read_text())


def card_of(config, license="other"):
    return model_card("auxformer-made-up", config, license)


def test_the_metadata_is_what_the_hub_reads(model, config):
    data = ModelCard.load(model / "README.md").data
    assert data.library_name == "speechbrain"
    assert data.pipeline_tag == "video-classification"
    assert {"speechbrain", "emotion-recognition"} <= {*data.tags}
    assert data.datasets == ["made-up"]
    assert data.language == "en"
    assert data.license == "other" and data.license_name
    measured = {
        (result.dataset_config, result.metric_type): result.metric_value
        for result in data.eval_results
    }
    for given in INPUTS:
        for metric in config["metrics"]["names"]:
            value = config["metrics"]["test"][given]["combined"][metric]
            # Rounded to four digits.
            assert abs(measured.pop((given, metric)) - value["value"]) < 1e-4
    assert not measured


def test_a_license_that_is_chosen_is_the_one(config):
    text = card_of(config, "cc-by-nc-4.0")
    data = ModelCard(text).data
    assert data.license == "cc-by-nc-4.0"
    assert "license_name" not in data.to_dict()
    assert "Weights in this model: cc-by-nc-4.0." in text


def test_the_table_has_each_input_and_head_with_intervals(config):
    rows = re.findall(r"^\| (.*) \|$", card_of(config), re.M)
    cells = {tuple(row.split(" | ")[:2]): row.split(" | ") for row in rows}
    titles = {
        "audio_visual": "audio + visual",
        "audio_only": "audio only",
        "visual_only": "visual only",
    }
    for given, title in titles.items():
        for head in (*HEADS, "linear model"):
            shown = (title, head) in cells
            assert shown == (head in (*heads_of(given), "linear model"))
            for cell in cells.get((title, head), [])[2:]:
                assert re.fullmatch(r"-?[\d.]+ \[-?[\d.]+, -?[\d.]+\]", cell)


def test_figures_are_those_of_the_run(config):
    figure = {"value": 0.12345, "low": 0.1, "high": 0.2}
    config["metrics"]["test"]["audio_only"]["main"]["f1_macro"] = figure
    assert "| audio only | main | 12.3 [10.0, 20.0] |" in card_of(config)
    figure.update(low=None, high=None)
    assert "| audio only | main | 12.3 |" in card_of(config)
    figure.update(value=None)
    assert "| audio only | main | – |" in card_of(config)


def test_each_emotion_has_a_row(config):
    for name in config["labels"]:
        assert re.search(rf"^\| {name} \| \d+ \| .*\[", card_of(config), re.M)


def test_it_tells_limits_and_where_it_comes_from(config):
    text = card_of(config)
    for part in (
        "Not for decisions about people",
        "AI Act",
        CORPUS["about"],
        CORPUS["licence"],
        "| seed | 1 |",
        "| partition | 1 |",
        "| best epoch | 2 |",
        "| train set | 4 clips, 6 minutes, speakers: 1 |",
        "temperature 0.250",
        "speechbrain 1.",
    ):
        assert part in text, part


def test_new_speakers_are_said_only_where_they_are_new(config):
    assert "none of them in training" not in card_of(config)
    config["test_speakers_are_new"] = True
    assert "speakers: 1, none of them in training" in card_of(config)


def test_an_invented_corpus_is_no_secret(config):
    assert "invented corpus" not in card_of(config) + summary(config)
    config["corpus"]["synthetic"] = True
    name = "an invented corpus in the layout of Made Up"
    text = card_of(config)
    assert "**Trained and tested on an invented corpus" in text
    assert f"On {name}." in text and name in summary(config)
    assert CORPUS["about"] not in text and CORPUS["licence"] not in text
    data = ModelCard(text).data
    assert data.datasets is None
    assert {result.dataset_name for result in data.eval_results} == {name}


def test_a_corpus_that_nobody_described_is_said_so(config):
    config["corpus"] = {}
    text = card_of(config)
    assert "Its corpus is not described." in text
    assert "Corpus: not said." in text
    assert "datasets" not in ModelCard(text).data.to_dict()


def test_a_floor_is_explained_where_there_is_one(config):
    assert "*Linear model* is the floor" in card_of(config)
    config["metrics"]["floor"] = {}
    text = card_of(config)
    assert "what\nthe model answers.\n" in text
    assert "Linear model" not in text


ENCODERS = {
    "known": (
        {"hub": f"microsoft/wavlm-large@{'a' * 40}"},
        "[microsoft/wavlm-large](https://huggingface.co/microsoft/wavlm-large)"
        ", CC BY-SA 3.0.",
    ),
    "not known": (
        {"hub": f"some/model@{'b' * 40}"},
        "[some/model](https://huggingface.co/some/model), see its model card.",
    ),
    "of a class": (
        {"class": "OpenSmileFeatures"},
        "openSMILE: research and non-commercial use only.",
    ),
}


@pytest.mark.parametrize("case", ENCODERS)
def test_licences_of_encoders_are_named(config, case):
    changes, licence = ENCODERS[case]
    config["features"]["audio"].update(changes)
    text = card_of(config)
    assert f"- audio features: {licence}\n" in text
    bases = ModelCard(text).data.base_model
    hub = changes.get("hub", "@").partition("@")[0]
    assert bases == ([hub] if hub else None)


@pytest.mark.parametrize(
    "task, words",
    [
        ("CategoricalEmotion", "the probabilities of angry, happy, sad"),
        ("MultiLabelEmotion", "which of these emotions there are"),
        ("DimensionalEmotion", "numbers on the raters' scale"),
    ],
)
def test_it_says_what_comes_out(config, task, words):
    config["task"] = task
    assert words in card_of(config)
    assert words in summary(config)


def test_settings_that_a_recipe_lacks_are_not_invented(config):
    bare = copy.deepcopy(config)
    bare["training"] = {}
    assert "| label rule |" in card_of(config)
    assert "| label rule |" not in card_of(bare)


def test_the_example_works_when_pasted(model, monkeypatch, capsys):
    class _Recognizer:
        @classmethod
        def from_hparams(cls, source):
            recognizer = cls()
            recognizer.names = load(source)["task"].names
            return recognizer

        def classify_file(self, path):
            return f"{path}: {self.names[0]}"

    # The class itself has its own tests; here it is the text that counts.
    stub = SimpleNamespace(AudioVisualEmotionRecognizer=_Recognizer)
    monkeypatch.setitem(
        sys.modules, "auxformer_lobes.inference.audiovisual", stub
    )
    monkeypatch.chdir(model.parent)
    card = (model / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", card, re.S)
    exec(example, {})
    assert capsys.readouterr().out == "clip.mp4: angry\n"
