"""The `auxformer` command."""

import json
import signal
import subprocess
import sys
from argparse import ArgumentTypeError

import pytest

from auxformer_lobes.cli.main import COMMANDS, main
from auxformer_lobes.cli.options import number_from
from auxformer_lobes.cli.predict import _find, _print_table
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.inference.results import Emotion
from auxformer_lobes.tasks import CategoricalEmotion
from tests.unit.letters import CLIPS, Letters, same

ENCODER = "!new:tests.unit.letters.Letters\n    factor: 1.0\n"


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """The folder in which commands run."""
    monkeypatch.chdir(tmp_path)
    manifest = {
        clip: {"wav": f"{{data_root}}/{path}", "duration": 1.5}
        for clip, path in CLIPS.items()
    }
    (tmp_path / "train.json").write_text(json.dumps(manifest))
    (tmp_path / "letters.yaml").write_text(ENCODER)
    return tmp_path


def extract(*options, manifest="train.json", encoder="letters.yaml"):
    """Runs `auxformer extract`; options replace what is said before."""
    given = f"extract {manifest} --encoder {encoder} --store st"
    given += " --num_workers 0 --data_root ."
    return main([*given.split(), *options])


def words(capsys):
    """What was printed, without the lines of tables."""
    printed = capsys.readouterr().out
    return " ".join("".join(x if x.isascii() else " " for x in printed).split())


def test_help_answers_without_heavy_imports():
    script = (
        "import sys; from auxformer_lobes.cli.main import main\n"
        "try: main(['extract', '--help'])\n"
        "finally: assert 'torch' not in sys.modules, 'slow'"
    )
    python = [sys.executable, "-c", script]
    result = subprocess.run(python, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "example: auxformer extract train.json" in result.stdout


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    printed = words(capsys)
    for command in COMMANDS:
        summary = command.__doc__.partition("\n")[0]
        assert f"{command.__name__} {summary}" in printed


def test_extract_fills_a_store_that_a_recipe_finds(capsys):
    assert extract() == 0
    printed = words(capsys)
    store = FeatureStore("st", Letters())
    assert same(store, CLIPS)
    assert "Letters clips 4 new 4 present before 0 failed 0" in printed
    assert printed.endswith(f"features: {store.path}")
    assert extract() == 0
    assert "new 0 present before 4" in words(capsys)


def test_precision_and_arguments_of_the_encoder_are_options():
    assert extract("--dtype", "float32", "--override", "factor: 2.5") == 0
    assert same(FeatureStore("st", Letters(2.5), "float32"), CLIPS, 2.5)


def test_a_shard_is_a_part_of_the_clips():
    assert extract("--shard", "1/2") == 0
    store = FeatureStore("st", Letters())
    assert sorted(store) == ["four", "three"]
    assert extract("--shard", "2/2") == 0
    assert sorted(store) == sorted(CLIPS)
    assert extract("--shard", "9/9") == 0, "more shards than clips"


def add_damaged_clip(work):
    manifest = json.loads((work / "train.json").read_text())
    manifest["bad one"] = {"wav": "bad.wav"}
    (work / "train.json").write_text(json.dumps(manifest))


def test_failed_clips_are_told_and_fail_nothing(work, capsys):
    add_damaged_clip(work)
    assert extract() == 0
    printed = words(capsys)
    assert "failed 1" in printed and "1 damaged bad.wav" in printed
    assert printed.endswith(".failures.json")


def test_if_all_clips_fail_the_exit_code_tells(work):
    (work / "train.json").write_text('{"bad one": {"wav": "bad.wav"}}')
    assert extract() == 1


def test_the_hours_are_of_the_clips_that_were_extracted(work, capsys):
    manifest = json.loads((work / "train.json").read_text())
    manifest["one"]["duration"] = 360.0
    (work / "train.json").write_text(json.dumps(manifest))
    extract("--shard", "2/2")
    assert "media, hours 0.10" in words(capsys)
    extract()
    assert "media, hours 0.00" in words(capsys)


def test_a_clip_without_the_modality_is_left_out(work):
    manifest = json.loads((work / "train.json").read_text())
    manifest["one"]["wav"] = None
    (work / "train.json").write_text(json.dumps(manifest))
    assert extract() == 0
    assert sorted(FeatureStore("st", Letters())) == ["four", "three", "two"]


def test_an_encoder_file_may_be_commented_and_include_others(work):
    (work / "factor.yaml").write_text("2.0\n")
    (work / "encoders").mkdir()
    (work / "encoders" / "double.yaml").write_text(
        "# Twice as large.\n!new:tests.unit.letters.Letters\n"
        "factor: !include:../factor.yaml  # times\n"
    )
    assert extract(encoder="encoders/double.yaml") == 0
    assert same(FeatureStore("st", Letters(2.0)), CLIPS, 2.0)


def test_merge_makes_one_store_of_two(capsys):
    extract("--shard", "1/2", "--store", "a")
    extract("--shard", "2/2", "--store", "b")
    name = FeatureStore("st", Letters()).path.name
    capsys.readouterr()
    assert not main(["merge", f"a/{name}", f"b/{name}", "--into", "st"])
    assert words(capsys) == f"4 clips, 0 failed features: st/{name}"
    assert same(FeatureStore("st", Letters()), CLIPS)


FILES = {
    "table.csv": "clip,wav\none,one.wav\n",
    "list.json": "[1, 2]",
    "video.json": '{"one": {"video": "one.mp4"}}',
    "flat.json": '{"one": "one.wav"}',
    "null.json": '{"one": {"wav": null}}',
    "other.json": '{"one": {"wav": "other.wav"}}',
    "typo.yaml": "!new:tests.unit.letters.Leters",
    "typo_module.yaml": "!new:tests.unit.leters.Letters",
    "argument.yaml": "!new:tests.unit.letters.Letters\nfactr: 1",
    "placeholder.yaml": "!new:tests.unit.letters.Letters\nlog: !PLACEHOLDER",
    "broken.yaml": "a: [",
    "counter.yaml": "!new:collections.Counter",
    "empty.yaml": "",
    "file": "in the way",
}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("", "required: COMMAND: see `auxformer --help`"),
        ("extrac", "invalid choice: 'extrac'"),
        ("extract", "required: MANIFEST, --encoder, --store: see"),
        ("extract train.json --nonsense 3", "see `auxformer extract --help`"),
        ("merge", "required: STORE, --into: see `auxformer merge --help`"),
        ("merge file --into st", "file: not a feature store, or damaged"),
        ("merge a.h5 --into st", "a.h5: no such file: leave out a share"),
    ],
)
def test_a_mistake_in_the_command_is_told_in_one_line(work, arguments, message):
    is_told(message, lambda: main(arguments.split()), work)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"manifest": "nowhere.json"}, "nowhere.json: No such file"),
        ({"manifest": "table.csv"}, "table.csv: not JSON"),
        ({"manifest": "list.json"}, "list.json: not a manifest"),
        ({"manifest": "flat.json"}, "flat.json: its clip one has no wav"),
        ({"manifest": "video.json"}, "video.json: its clip one has no wav"),
        ({"manifest": "null.json"}, "null.json: no clip has a wav"),
        (
            {"manifest": "train.json other.json"},
            "other.json: its clip one is other.wav, but another manifest says",
        ),
        ({"encoder": "nowhere.yaml"}, "nowhere.yaml: No such file"),
        ({"encoder": "typo.yaml"}, "typo.yaml: There is no such class as"),
        ({"encoder": "typo_module.yaml"}, "no such class as tests.unit.leters"),
        ({"encoder": "argument.yaml"}, "Letters has no option factr"),
        ({"encoder": "placeholder.yaml"}, "'log' is a !PLACEHOLDER"),
        ({"encoder": "broken.yaml"}, "broken.yaml: while parsing"),
        ({"encoder": "counter.yaml"}, "a Counter, not an Extractor"),
        ({"encoder": "empty.yaml"}, "empty.yaml: "),
    ],
)
def test_a_file_that_is_not_right_is_told_in_one_line(work, options, message):
    is_told(message, lambda: extract(**options), work)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--data_root", "nowhere"], "--data_root nowhere: no such folder"),
        (["--store", "file"], "file: features cannot be written: Not a dir"),
        (["--dtype", "int8"], "dtype 'int8' of a feature store is unknown"),
        (["--dtype", "uint8"], "its features are float32, not bytes"),
        (["--device", "gpu"], "device gpu: Expected one of cpu"),
        (["--device", "cuda:99"], "device cuda:99: "),
        (["--device", "meta"], "device meta: "),
        (["--shard", "3/2"], "--shard: 3/2: of 2 shares, the first is 1/2"),
        (["--shard", "0/2"], "--shard: 0/2: of 2 shares, the first is 1/2"),
        (["--shard", "2"], "--shard: 2 is not like 1/4"),
        (["--shard", "-1/2"], "--shard"),
        (["--num_workers", "-1"], "--num_workers: -1 is not a number from 0"),
        (["--window", "0"], "--window: 0 is not a number from 1"),
        (["--override", "nonsense: 3"], "has no option nonsense: choose"),
        (["--override", "nonsense"], "nonsense: not 'OPTION: VALUE'"),
        (["--override", "["], "letters.yaml: while parsing"),
    ],
)
def test_an_option_that_is_not_right_is_told_in_one_line(
    work, options, message
):
    is_told(message, lambda: extract(*options), work)


def test_files_in_a_corpus_need_to_be_told_where_it_is(work):
    options = ["--encoder", "letters.yaml", "--store", "st"]
    command = ["extract", "train.json", *options]
    is_told("train.json: its files are in {data_root}", lambda: main(command))


def is_told(message, command, work=None):
    """Whether a command ends with one line that says so."""
    for name, content in FILES.items() if work else ():
        (work / name).write_text(content)
    with pytest.raises(SystemExit) as error:
        command()
    assert error.value.code.startswith("error: ")
    assert message in error.value.code
    assert "\n" not in error.value.code
    if work:
        assert not list(work.glob("**/*.h5"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.__name__)
def test_each_command_has_an_example(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command.__name__, "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert f"example: auxformer {command.__name__} " in printed


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "0", "two"])
def test_a_number_that_is_not_finite_or_too_small_is_refused(text):
    with pytest.raises(ArgumentTypeError, match=f"{text} is not a number"):
        number_from(0.1, float)(text)


def test_a_folder_has_each_file_once(work):
    (work / "media" / "more").mkdir(parents=True)
    (work / "media" / "dir.mp4").mkdir()
    (work / "media" / "more" / "a.wav").touch()
    (work / "media" / "more" / "up").symlink_to(work / "media")
    (work / "media" / "z.wav").symlink_to(work / "media" / "more" / "a.wav")
    (work / "media" / "._b.wav").touch()
    assert _find(["media"]) == ["media/more/a.wav"]


def test_a_table_has_names_of_files_as_they_are(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    names = ["x[/b].wav", "y[red]a.wav", "long/" * 30 + "z.wav"]
    missing = {"audio": "silent", "visual": "dark"}
    emotion = Emotion("sad", {"sad": 1.0}, {}, {}, missing)
    _print_table(dict.fromkeys(names, emotion), CategoricalEmotion(["sad"]))
    lines = capsys.readouterr().out.splitlines()[3:]
    printed = "".join(x[1:].partition("│")[0].strip() for x in lines)
    assert all(name in printed for name in names)


def test_signals_are_afterwards_as_they_were():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        main(["predict"])
    assert signal.getsignal(signal.SIGTERM) is before
