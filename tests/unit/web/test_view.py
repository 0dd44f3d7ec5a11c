"""What the page shows, as HTML."""

import base64
import json
import re
from html import unescape

import pytest

from auxformer_lobes.web import view
from auxformer_lobes.web.analysis import Limits
from tests.unit.web.small_analyses import (
    ATTRIBUTES,
    CLASSES,
    NEITHER,
    SEVERAL,
    small_analysis,
    window,
)

ATTACK = '<img src=x onerror="alert(1)">${alert(1)}{{x}}'


@pytest.mark.parametrize(
    "task, summary",
    [
        (CLASSES, "Most often happy, in 2 of 4 windows. On average happy 67%"),
        (SEVERAL, "Most often angry, in 2 of 4 windows. On average happy 67%"),
        (ATTRIBUTES, "On average arousal 2.33, valence 3.67."),
    ],
)
def test_each_task_has_a_summary(task, summary):
    assert view.summarize(small_analysis(task)).startswith(summary)


def test_nothing_usable_is_a_sentence_too():
    analysis = small_analysis(windows=[window(0, None, {}, NEITHER)])
    assert view.summarize(analysis).startswith("Neither audio nor a face")
    assert "no prediction" in view.result_html(analysis)


@pytest.mark.parametrize(
    "task, texts, values",
    [
        (CLASSES, ["angry", "happy"], ["100%", "0%"]),
        (SEVERAL, ["angry", "no emotion above"], ["100%", "0%"]),
        (ATTRIBUTES, ["arousal 5.00", "arousal 1.00"], ["5.00", "1.00"]),
    ],
)
def test_a_moment_has_prediction_outputs_and_modalities(task, texts, values):
    made = view.describe_windows(small_analysis(task))
    first, second, third, fourth = made["windows"]
    assert first["text"].startswith(texts[0])
    assert second["text"].startswith(texts[1])
    assert [output["text"] for output in first["outputs"]] == values
    assert [output["share"] for output in first["outputs"]] == [100, 0]
    assert (third["text"], third["outputs"]) == ("no prediction", [])
    assert fourth["modalities"] == {
        "audio": "used",
        "visual": "not used: no face in any frame",
    }


def test_values_beyond_the_scale_are_text_and_full_or_empty_bars():
    windows = [window(0, None, {"arousal": 9.0, "valence": -3.0})]
    analysis = small_analysis(ATTRIBUTES, windows=windows)
    (made,) = view.describe_windows(analysis)["windows"]
    assert made["outputs"] == [
        {"share": 100, "text": "9.00"},
        {"share": 0, "text": "-3.00"},
    ]


def test_a_part_of_the_frames_is_named():
    start, end, emotion = window(0, "angry", {"angry": 1.0, "happy": 0.0})
    emotion = emotion._replace(valid_share={"audio": 1.0, "visual": 0.25})
    analysis = small_analysis(windows=[(start, end, emotion)])
    (made,) = view.describe_windows(analysis)["windows"]
    assert made["modalities"]["visual"] == "used, 25% of its frames valid"


@pytest.mark.parametrize("task", [CLASSES, SEVERAL, ATTRIBUTES])
def test_a_result_has_both_downloads_and_loads_nothing(task):
    analysis = small_analysis(task)
    html = view.result_html(analysis)
    found = re.findall(r'download="(.*?)" href="data:.*?base64,(.*?)"', html)
    files = {name: base64.b64decode(data).decode() for name, data in found}
    assert files == {"talk.csv": analysis.csv(), "talk.json": analysis.json()}
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    data = re.search(r'data-windows="(.*?)"', html)[1]
    assert json.loads(unescape(data)) == view.describe_windows(analysis)
    assert html.count("<path") == 2


def test_audio_has_a_player_of_its_own():
    assert "<video" in view.result_html(small_analysis())
    html = view.result_html(small_analysis(has_video=False))
    assert "<audio" in html and "<video" not in html


def test_the_name_of_a_file_is_text_and_nothing_else():
    for html in (
        view.result_html(small_analysis(name=f"{ATTACK}.mp4")),
        view.error_html(f"{ATTACK}: no"),
        view.input_html(ATTACK, Limits(), "Here."),
    ):
        assert "<img" not in html
        assert "&lt;img src=x" in html
    view.result_html(small_analysis(name="caf\udce9.mp4")).encode("utf-8")


def test_limits_stand_where_a_file_is_chosen():
    html = view.input_html("a model", Limits(50, 90), "Here.")
    assert "up to 50 MB and\n1.5 min. Here." in html
    assert 'data-bytes="50000000"' in html
