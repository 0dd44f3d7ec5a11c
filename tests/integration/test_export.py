"""A run of the CREMA-D recipe becomes a model that others can use."""

import csv
import re
from ast import literal_eval

import pytest

from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import load
from auxformer_lobes.sharing.layout import FILES
from tests.integration.kills import kill_again_and_again
from tests.integration.recipes import NO_WORKERS, flags, train
from tests.unit.small_runs import make_run

CLIP = "1003_IEO_ANG_XX"


@pytest.fixture(scope="module")
def model(tmp_path_factory, crema_d, crema_d_features):
    work = tmp_path_factory.mktemp("recipe")
    options = flags(
        data_folder=crema_d,
        feature_folder=crema_d_features,
        output_folder=work / "run",
        valid_actors=[1002],
        test_actors=[1003],
        number_of_epochs=1,
    )
    run = train("hparams/demo.yaml", *options, *NO_WORKERS, figures=False)
    assert run.returncode == 0, run.stderr
    return export(work / "run", work / "model")


def test_a_run_of_a_recipe_can_be_exported(model):
    assert {path.name for path in model.iterdir()} == {*FILES}
    run = model.parent / "run"
    for path in model.iterdir():
        assert str(run.parent).encode() not in path.read_bytes()


def test_the_example_of_its_card_works_when_pasted(
    model, crema_d, monkeypatch, capsys
):
    work = model.parent
    video = crema_d / "VideoFlash" / f"{CLIP}.flv"
    (work / "clip.mp4").write_bytes(video.read_bytes())
    card = (model / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", card, re.S)
    # The same head, on the same video.
    more = "print(recognizer.classify_file('clip.mp4').heads['visual'])"
    monkeypatch.chdir(work)
    exec(example + more, {})
    printed = literal_eval(capsys.readouterr().out.splitlines()[-1])
    with open(work / "run" / "predictions.csv", newline="") as file:
        (trained,) = (
            row
            for row in csv.DictReader(file)
            if (row["clip"], row["condition"], row["head"])
            == (CLIP, "visual_only", "visual")
        )
    for emotion, probability in printed.items():
        # Written with six digits; batches differ in the last bits.
        assert abs(probability - float(trained[f"p_{emotion}"])) < 1e-5


def test_an_export_that_is_killed_at_any_moment_is_made_again(
    tmp_path, request, counts
):
    make_run(tmp_path / "run")

    def _export(number):
        export(tmp_path / "run", tmp_path / str(number) / "model")

    def _check(number):
        load(tmp_path / str(number) / "model")
        return tmp_path / str(number)

    kill_again_and_again("export", _export, _check, request, counts)
