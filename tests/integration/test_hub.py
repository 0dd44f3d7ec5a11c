"""A model goes to the Hub and comes back, to somebody else."""

import json
import os
import re
import runpy
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from huggingface_hub import SpaceCard

from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.layout import FILES
from auxformer_lobes.web import analysis, page
from tests.integration.small_hub import READER, WRITER, SmallHub
from tests.unit.small_runs import make_run
from tests.unit.speech_models import save_model

ROOT = Path(__file__).parents[2]
MODEL = "somebody/auxformer-made-up"
ENCODER = "facebook/tiny-wav2vec2"

# In one process, as each takes seconds to start: a run with an encoder of the
# Hub, its export, and everything that the Hub is asked for.
ONLINE = """
import json, os, sys
from pathlib import Path
import torch
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.sharing.export import export
from auxformer_lobes.sharing.hub import info, load, push
from auxformer_lobes.sharing.space import push_space
from tests.unit.small_runs import (
    batch_of, logits_of, make_run, speech_features
)

work, model, encoder, reader = sys.argv[1:]
work = Path(work)
results = {}

def attempt(name, function, *args, **options):
    try:
        results[name] = function(*args, **options)
    except UserError as error:
        results[name] = f"error: {error}"

features = speech_features(
    source=encoder, save_path=work / "encoders", keep_layers=2
)
hparams = make_run(work / "run", changes=[features])
waveform = torch.randn(4000)
def outputs_of(model):
    logits = logits_of(model["modules"], batch_of(model))
    return model["audio_features"].encode([waveform]), logits

torch.save([waveform, *outputs_of(hparams)], work / "expected")
folder = export(work / "run", work / "model")
(folder / "notes.txt").write_text("mine")

attempt("push", push, folder, model)
attempt("again", push, folder, model)
attempt("update", push, folder, model, update=True)
attempt("space", push_space, folder, model + "-space")
attempt("space again", push_space, folder, model + "-space")
attempt("public", push, folder, model + "-public", private=False)
for token in (reader, "hf_wrong"):
    os.environ["HF_TOKEN"] = token
    attempt(token, push, folder, "somebody/other")
os.environ["HF_TOKEN"] = reader
saved = work / "saved"
loaded = load(model, savedir=saved)
torch.save(outputs_of(loaded), work / "online")
attempt("info", info, model, savedir=saved)
attempt("evil", load, "evil/model", savedir=saved)
attempt("evil names", load, "evil/names", savedir=saved)
attempt("unknown", load, "nobody/nothing", savedir=saved)
attempt("branch", load, model, savedir=saved, revision="v2")
attempt("no export", load, encoder, savedir=saved)
attempt("no name", load, "../model", savedir=saved)
del os.environ["HF_TOKEN"]
attempt("private", load, model, savedir=work / "elsewhere")
(work / "results.json").write_text(json.dumps(results))
"""

OFFLINE = """
import sys
from pathlib import Path
import torch
from auxformer_lobes.utils.errors import one_line_errors
from auxformer_lobes.sharing.hub import load
from tests.unit.small_runs import batch_of, logits_of

work, model, encoder, reader = sys.argv[1:]
work = Path(work)
loaded = load(model, savedir=work / "saved")
waveform = torch.load(work / "expected")[0]
logits = logits_of(loaded["modules"], batch_of(loaded))
features = loaded["audio_features"].encode([waveform])
torch.save((features, logits), work / "offline")
with one_line_errors():
    load("nobody/nothing", savedir=work / "saved")
"""


def evil_files(sentinel):
    """A repository of files that nobody should fetch, or load."""
    attack = f"task: !apply:os.system ['touch {sentinel}']\n".encode()
    config = {"format": "auxformer-lobes", "format_version": 1}
    config.update(fitted={}, features={})
    files = dict.fromkeys(
        (
            "custom.py",
            "modeling.py",
            "model.ckpt",
            "model.safetensors",
            "pytorch_model.bin",
            "encoders/audio/modeling.py",
            "../../../outside.json",
        ),
        b"import os",
    )
    files["hyperparams.yaml"] = attack
    files["config.json"] = json.dumps(config).encode()
    return files


def evil_names(work):
    """A good model, whose encoder has a file that wants to lie elsewhere."""
    make_run(work / "good run")
    export(work / "good run", work / "good")
    files = {path.name: path.read_bytes() for path in work.glob("good/*")}
    speech = "SpeechModelFeatures\n  source: encoders/audio\nvisual_features:"
    files["hyperparams.yaml"] = re.sub(
        r"fbank\.FbankFeatures\n.*?visual_features:",
        f"speech_ssl.{speech}",
        files["hyperparams.yaml"].decode(),
        flags=re.DOTALL,
    ).encode()
    config = json.loads(files["config.json"])
    del config["files"]  # without checksums, as exports of older versions
    files["config.json"] = json.dumps(config).encode()
    files["encoders/audio/../../../../../outside.json"] = b"{}"
    return files


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Both processes, with what they left and what the Hub has seen."""
    work = tmp_path_factory.mktemp("hub")
    with SmallHub() as hub:
        save_model(work / "tiny")
        (work / "tiny" / "modeling.py").write_text("import os")
        commit = hub.commit_folder(ENCODER, work / "tiny")
        hub.commit("evil/model", evil_files(work / "executed"))
        hub.commit("evil/names", evil_names(work))
        environment = hub.environment(work / "home", WRITER)
        arguments = [work, MODEL, ENCODER, READER]
        online = run(ONLINE, *arguments, **environment)
        assert online.returncode == 0, online.stderr
        before = sorted(work.rglob("*"))
        hub.stop()
        environment["HF_HUB_OFFLINE"] = "1"
        offline = run(OFFLINE, *arguments, **environment)
    after = sorted(work.rglob("*"))
    results = json.loads((work / "results.json").read_text())
    return dict(
        work=work,
        hub=hub,
        results=results,
        commit=commit,
        printed=online.stdout,
        offline=offline,
        written_offline=[*{*after} - {*before}],
    )


def run(code, *args, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )


def test_the_files_of_an_export_go_to_the_hub_and_no_others(done):
    files, _ = done["hub"].repos[MODEL].values()
    assert {*files} == {*FILES}
    for name in {*FILES} - {"README.md"}:
        assert files[name] == (done["work"] / "model" / name).read_bytes()
    url, listed = done["results"]["push"]
    assert url.endswith(MODEL)
    assert {name for name, _ in listed} == {*FILES}


def test_the_example_on_the_hub_loads_it_from_there(done):
    files, _ = done["hub"].repos[MODEL].values()
    assert f'source="{MODEL}"' in files["README.md"].decode()
    here = (done["work"] / "model" / "README.md").read_text()
    assert 'source="model"' in here


def test_it_is_private_by_default(done):
    assert done["hub"].private[MODEL]
    assert not done["hub"].private[f"{MODEL}-public"]


def test_a_space_has_the_model_the_package_and_its_settings(done):
    name = f"{MODEL}-space"
    (files,) = done["hub"].repos[name].values()
    model = done["work"] / "model"
    for file in FILES:
        assert files[f"model/{file}"] == (model / file).read_bytes()
    code = (ROOT / "auxformer_lobes" / "web" / "page.py").read_bytes()
    assert files["auxformer_lobes/web/page.py"] == code
    assert not [file for file in files if "notes.txt" in file or ".pyc" in file]
    requirements = files["requirements.txt"].decode().splitlines()
    assert "speechbrain>=1.1" in requirements
    assert not [line for line in requirements if "extra" in line]
    card = SpaceCard(files["README.md"].decode()).data
    assert (card.sdk, card.sdk_version) == ("gradio", version("gradio"))
    assert (card.app_file, card.license) == ("app.py", "other")
    assert card.models == [ENCODER]
    assert len(card.short_description) <= 60  # the Hub takes no more


def test_a_space_is_one_of_gradio_and_private(done):
    name = f"{MODEL}-space"
    created = done["hub"].created[name]
    assert (created["type"], created["sdk"]) == ("space", "gradio")
    assert done["hub"].private[name]
    assert done["results"]["space"][0].endswith(f"/spaces/{name}")
    assert "of this name already" in done["results"]["space again"]


def test_the_app_of_a_space_runs_the_page_with_its_model(done, tmp_path):
    (files,) = done["hub"].repos[f"{MODEL}-space"].values()
    (tmp_path / "app.py").write_bytes(files["app.py"])
    with pytest.MonkeyPatch.context() as patch:
        asked = []
        patch.setattr(page, "run", lambda *given: asked.append(given))
        runpy.run_path(str(tmp_path / "app.py"))
    assert asked == [(tmp_path / "model", analysis.Limits(100, 120))]


def test_a_name_that_is_taken_needs_update(done):
    assert "there is one of this name already" in done["results"]["again"]
    assert done["results"]["update"][0].endswith(MODEL)
    assert len(done["hub"].repos[MODEL]) == 2


@pytest.mark.parametrize(
    "case, reason",
    [
        (READER, "somebody/other: the token has no permission"),
        ("hf_wrong", "somebody/other: the token is not valid"),
        ("unknown", "nobody/nothing: not on the Hub, or private"),
        ("private", f"{MODEL}: not on the Hub, or private"),
        ("branch", f"{MODEL}: has no such revision"),
        ("no export", "not of an exported model"),
        ("no name", "../model: neither a folder nor a name on the Hub"),
    ],
)
def test_what_the_hub_refuses_is_one_line(done, case, reason):
    results = done["results"][case]
    assert reason in results
    assert "\n" not in results


def test_the_encoder_is_named_at_its_commit(done):
    text = (done["work"] / "model" / "hyperparams.yaml").read_text()
    assert f"source: {ENCODER}@{done['commit']}\n" in text


@pytest.mark.parametrize("when", ["online", "offline"])
def test_it_comes_back_as_it_was(done, when):
    _, *expected = torch.load(done["work"] / "expected")
    features, logits = torch.load(done["work"] / when)
    assert {*logits} == {"main", "audio", "visual"}
    torch.testing.assert_close([features, logits], expected)


def test_info_asks_for_nothing_but_the_configuration(done):
    assert "angry, happy, sad" in done["printed"]


def test_offline_nothing_is_written(done):
    assert done["written_offline"] == [done["work"] / "offline"]
    assert done["offline"].returncode == 1
    last = done["offline"].stderr.strip().splitlines()[-1]
    assert last.startswith("error: nobody/nothing: not in the cache")


def test_no_code_is_ever_fetched(done):
    fetched = {*done["hub"].fetched}
    assert fetched <= {*FILES, "preprocessor_config.json"} - {"README.md"}
    assert not [*done["work"].glob("saved/**/*.py")]


def test_a_model_that_would_run_code_is_refused(done):
    results = done["results"]["evil"]
    assert "hyperparams.yaml: line 1: the tag '!apply:os.system'" in results
    assert not (done["work"] / "executed").exists()


def test_a_file_cannot_choose_another_place(done):
    results = done["results"]["evil names"]
    assert "evil/names: Invalid filename" in results
    assert "\n" not in results


def test_all_that_is_fetched_lies_in_savedir(done):
    names = {path.name for path in done["work"].iterdir()}
    ours = {
        "tiny",
        "good",
        "good run",
        "run",
        "model",
        "encoders",
        "saved",
        "home",
        "elsewhere",
    }
    assert names <= ours | {"expected", "online", "offline", "results.json"}
    assert not [*done["work"].glob("home/hub/*")]
    assert not [*done["work"].rglob("outside.json")]
