"""The card of an exported model, for the Hub and for people."""

import json
import re
import sys
from types import SimpleNamespace

import pytest
from huggingface_hub import ModelCard

from auxformer_lobes.reporting.tables import title_of
from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import load
from auxformer_lobes.sharing.model_card import model_card, summary
from tests.unit.small_runs import CORPUS, make_run
from tests.unit.small_sweeps import make_twin


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


def rows_of(card):
    """The cells of all rows, by the first two of them."""
    rows = (
        line.split(" | ") for line in re.findall(r"^\| (.*) \|$", card, re.M)
    )
    return {tuple(row[:2]): row[2:] for row in rows}


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
    assert measured == {
        (condition, metric): round(heads["combined"][metric]["value"], 4)
        for condition, heads in config["metrics"]["test"].items()
        for metric in config["metrics"]["names"]
    }


def test_a_license_that_is_chosen_is_the_one(config):
    text = card_of(config, "cc-by-nc-4.0")
    data = ModelCard(text).data
    assert data.license == "cc-by-nc-4.0"
    assert "license_name" not in data.to_dict()
    assert "Weights in this model: cc-by-nc-4.0." in text


def test_any_conditions_and_heads_have_rows_with_ranges(config):
    metrics = config["metrics"]
    heads = {"combined": metrics["test"]["audio_only"]["combined"]}
    metrics["test"] = {
        "burst_loss_40": heads | {"early_fusion": heads["combined"]},
        **metrics["test"],
    }
    rows = rows_of(card_of(config))
    for condition, scores in metrics["test"].items():
        for head in scores:
            for cell in rows[title_of(condition), head]:
                assert re.fullmatch(r"-?[\d.]+ \(-?[\d.]+–-?[\d.]+\)", cell)
    for condition in metrics["linear_baseline"]:
        assert (title_of(condition), "linear baseline") in rows
    # The first condition is that of the table by class.
    assert ("burst loss 40", "clips") in rows


def test_figures_are_those_of_the_run(config):
    figure = {"value": 0.12345, "low": 0.1, "high": 0.2, "kind": "interval"}
    config["metrics"]["test"]["audio_only"]["main"]["f1_macro"] = figure
    for changes, cell in (
        ({}, "12.3 [10, 20]"),
        ({"kind": "range"}, "12.3 (10–20)"),
        ({"low": None, "high": None}, "12.3"),
        ({"value": None}, "–"),
    ):
        figure.update(changes)
        assert rows_of(card_of(config))["audio only", "main"][0] == cell


def test_each_emotion_has_a_row(config):
    for name in config["labels"]:
        assert re.search(rf"^\| {name} \| \d+ \| .*\(", card_of(config), re.M)


RANGES = (
    "(a–b): lowest and highest of a single speaker, fewer than six; "
    "the value itself is of all clips"
)


def test_it_says_what_brackets_are(config):
    assert f"Figures in %. {RANGES}." in card_of(config)
    assert f"in %; {RANGES}\n" in summary(config)


def test_calibration_and_groups_have_tables(config):
    text = card_of(config)
    assert not re.search(r"\n\n\n", text)
    rows = rows_of(text)
    made = config["metrics"]["calibration"]["audio_only"]
    before, after = (made[name]["ece"] for name in made)
    cells = next(v for k, v in rows.items() if k[1].startswith(f"{before:.3f}"))
    assert len(cells) == 3
    assert f"| audio only | {before:.3f} → {after:.3f} | " in text
    groups = config["metrics"]["subgroups"]["audio_visual"]["gender"]["groups"]
    for name, scores in groups.items():
        row = rows[f"gender {name}", str(scores["clips"])]
        assert row[0] == str(scores["speakers"])
        assert len(row) == 1 + len(config["metrics"]["names"])
    assert len(rows["gender, largest gap", ""]) == len(row)


def test_a_model_that_was_swept_says_what_it_retains(config):
    assert "Missing modalities" not in card_of(config)
    assert config["metrics"]["missing"] == {}
    config["metrics"]["missing"] = {
        "metric": "f1_macro",
        "retention": {
            "whole": {"audio": 0.912, "both": None},
            "bursts": {"audio": 1.0},
        },
        "twins": [make_twin(), make_twin("audio", holds=True, difference=0.1)],
    }
    text = card_of(config)
    assert not re.search(r"\n\n\n", text)
    rows = rows_of(text)
    assert rows["lost", "whole modality"] == ["bursts"]
    assert rows["audio", "91.2"] == ["100.0"]
    assert not [key for key in rows if key[0] in ("visual", "both")]
    assert "of\nF1-macro over severity" in text
    assert (
        "With the visual modality lost, the model is worse than a network "
        "trained on the audio modality alone by 2.1 points [0.3, 4.0], "
        "p = 0.030: the twin rule does not hold.\n"
    ) in text
    assert "lost, the model is better than a network trained on the v" in text


def test_exports_of_older_versions_have_a_card_without_them(config):
    for name in ("calibration", "subgroups", "missing"):
        del config["metrics"][name]
    text = card_of(config)
    assert "Calibration, before" not in text and "Groups of sp" not in text
    assert summary(config)


def test_it_states_limits_and_provenance(config):
    text = card_of(config)
    for part in (
        "Not for decisions about people",
        "AI Act",
        "The network is AuxFormer",
        CORPUS["about"],
        CORPUS["licence"],
        "main (audio, visual), audio (audio), visual (visual)",
        "| seed | 1 |",
        "| partition | 1 |",
        "| best epoch | 2, by the lowest loss on the development set |",
        "Speakers of the training set: F01.",
        "| audit of the split | not audited |",
        "| train set | 4 clips, 6.0 minutes, speakers: 1 |",
        "| temperature, fitted on the development set | 0.250 |",
        "speechbrain 1.",
    ):
        assert part in text, part


def test_new_speakers_are_stated_only_where_they_are_new(config):
    assert "none of them in training" not in card_of(config)
    config["test_speakers_are_new"] = True
    assert "speakers: 3, none of them in training" in card_of(config)


def test_it_states_what_the_audit_found(config):
    config["audit"] = [{"level": "note", "text": "all is well"}]
    text = card_of(config)
    assert "| audit of the split | no leak found, 1 note |" in text
    assert "all is well" not in text
    config["audit"] = [{"level": "error", "text": "a speaker is in both"}]
    text = card_of(config)
    assert "| audit of the split | 1 error |" in text
    assert "\n- error: a speaker is in both.\n" in text


def test_clips_without_a_label_are_counted_where_there_are_any(config):
    config["metrics"].update(clips=12, unlabelled=4)
    assert "12 clips, 4 of them without a label, speakers" in card_of(config)
    config["metrics"]["unlabelled"] = 0
    assert "12 clips, speakers" in card_of(config)


def test_a_synthetic_corpus_is_no_secret(config):
    assert "synthetic" not in card_of(config) + summary(config)
    config["corpus"]["synthetic"] = True
    name = "a synthetic corpus in the layout of Made Up"
    text = card_of(config)
    assert "**Trained and tested on a synthetic corpus" in text
    assert f"trained on {name}" in text and name in summary(config)
    assert CORPUS["about"] not in text and CORPUS["licence"] not in text
    data = ModelCard(text).data
    assert data.datasets is None
    assert {result.dataset_name for result in data.eval_results} == {name}


def test_a_corpus_without_a_description_is_stated(config):
    config["corpus"] = {}
    text = card_of(config)
    assert "The corpus is not described." in text
    assert "Corpus: not stated." in text
    assert "datasets" not in ModelCard(text).data.to_dict()


def test_the_linear_baseline_is_explained_where_there_is_one(config):
    assert "linear baseline" in card_of(config)
    config["metrics"]["linear_baseline"] = {}
    assert "linear baseline" not in card_of(config)


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
    "of a class": ({"licence": "openSMILE: research"}, "openSMILE: research."),
}


@pytest.mark.parametrize("case", ENCODERS)
def test_licences_of_encoders_are_named(config, case):
    changes, licence = ENCODERS[case]
    config["features"]["audio"].update(changes)
    text = card_of(config)
    assert f"- audio features: {licence}\n" in text
    hub = changes.get("hub", "").partition("@")[0]
    assert ModelCard(text).data.base_model == ([hub] if hub else None)


@pytest.mark.parametrize(
    "task, words",
    [
        ("CategoricalEmotion", "probabilities of angry, happy, sad"),
        ("MultiLabelEmotion", "presence of each of angry"),
        ("DimensionalEmotion", "values on the raters' scale of angry"),
    ],
)
def test_it_states_the_output(config, task, words):
    config["task"] = task
    assert words in card_of(config)
    assert words in summary(config)


def test_settings_that_a_recipe_lacks_are_not_invented(config):
    assert "| label rule |" in card_of(config)
    del config["training"]["label_rule"]
    assert "| label rule |" not in card_of(config)


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
