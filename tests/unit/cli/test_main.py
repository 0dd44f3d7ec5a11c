"""The `auxformer` command."""

import errno
import io
import json
import re
import signal
import subprocess
import sys
from argparse import ArgumentTypeError
from types import SimpleNamespace

import pytest

from auxformer_lobes.cli.main import COMMANDS, main
from auxformer_lobes.cli.media_arguments import find_media, stored_stdin
from auxformer_lobes.cli.options import number_from
from auxformer_lobes.cli.output import print_emotions, split_folder
from auxformer_lobes.dataio.feature_store import FeatureStore
from auxformer_lobes.inference.results import Emotion
from auxformer_lobes.sharing import hub, layout, model_card
from auxformer_lobes.tasks import CategoricalEmotion
from auxformer_lobes.utils.errors import DEBUG, MediaError
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
    """Runs `auxformer extract`; options override those given here."""
    given = f"extract {manifest} --encoder {encoder} --store st"
    given += " --num_workers 0 --data_root ."
    return main([*given.split(), *options])


def words(capsys):
    """What was printed, without the lines of tables."""
    printed = capsys.readouterr().out
    return " ".join("".join(x if x.isascii() else " " for x in printed).split())


def test_help_needs_no_heavy_imports():
    script = (
        "import sys; from auxformer_lobes.cli.main import main\n"
        "try: main(['extract', '--help'])\n"
        "finally:\n"
        "    heavy = {'torch', 'numpy', 'av', 'rich', 'tqdm'} & {*sys.modules}\n"
        "    assert not heavy, heavy"
    )
    python = [sys.executable, "-c", script]
    result = subprocess.run(python, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    printed = words(capsys)
    for command in COMMANDS:
        summary = command.__doc__.partition("\n")[0]
        assert f"{command.__name__} {summary}" in printed


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.__name__)
def test_each_command_has_an_example(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command.__name__, "--help"])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert f"example: auxformer {command.__name__} " in printed


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


def test_failed_clips_are_reported_and_fail_nothing(work, capsys):
    add_damaged_clip(work)
    assert extract() == 0
    printed = words(capsys)
    assert "failed 1" in printed and "1 damaged bad.wav" in printed
    assert printed.endswith(".failures.json")


def test_if_all_clips_fail_the_exit_code_is_1(work):
    (work / "train.json").write_text('{"bad one": {"wav": "bad.wav"}}')
    assert extract() == 1


def test_the_report_has_the_hours_of_new_clips(work, capsys):
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
        ("", "COMMAND: see `auxformer --help`"),
        ("extrac", "'extrac'"),
        ("extract", "MANIFEST, --encoder, --store: see"),
        ("extract train.json --nonsense 3", "see `auxformer extract --help`"),
        ("merge", "STORE, --into: see `auxformer merge --help`"),
        ("merge file --into st", "file: "),
        ("merge a.h5 --into st", "a.h5: "),
    ],
)
def test_a_mistake_in_the_command_is_one_line(work, arguments, message):
    is_one_line(message, lambda: main(arguments.split()), work)


@pytest.mark.parametrize("name", [name for name in FILES if "." in name])
def test_an_invalid_file_is_one_line(work, name):
    kind = "encoder" if name.endswith("yaml") else "manifest"
    is_one_line(f"error: {name}: ", lambda: extract(**{kind: name}), work)


def test_a_manifest_that_is_not_there_is_one_line(work):
    is_one_line(
        "nowhere.json: ", lambda: extract(manifest="nowhere.json"), work
    )


def test_manifests_that_disagree_are_one_line(work):
    (work / "other.json").write_text('{"one": {"wav": "other.wav"}}')
    manifests = "train.json other.json"
    is_one_line("other.json: ", lambda: extract(manifest=manifests), work)


@pytest.mark.parametrize(
    "option, value",
    [
        ("--encoder", "nowhere.yaml"),
        ("--data_root", "nowhere"),
        ("--store", "file"),
        *(("--dtype", "int8"), ("--dtype", "uint8")),
        *(("--device", "gpu"), ("--device", "cuda:99"), ("--device", "meta")),
        *(("--shard", "3/2"), ("--shard", "0/2"), ("--shard", "2")),
        ("--shard", "-1/2"),
        ("--num_workers", "-1"),
        *(("--override", "nonsense: 3"), ("--override", "nonsense")),
        ("--override", "["),
    ],
)
def test_an_invalid_option_is_one_line(work, option, value):
    files = {"--encoder": value, "--store": value, "--override": "letters.yaml"}
    message = files.get(option, option.removeprefix("--"))
    is_one_line(message, lambda: extract(option, value), work)


def test_files_in_data_root_need_that_option(work):
    command = "extract train.json --encoder letters.yaml --store st"
    is_one_line("--data_root", lambda: main(command.split()))


def is_one_line(message, command, work=None):
    """Asserts that a command ends with this error, in one line."""
    for name, content in FILES.items() if work else ():
        (work / name).write_text(content)
    with pytest.raises(SystemExit) as error:
        command()
    assert error.value.code.startswith("error: ")
    assert message in error.value.code
    assert "\n" not in error.value.code
    if work:
        assert not list(work.glob("**/*.h5"))


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "0", "two"])
def test_a_number_that_is_not_finite_or_too_small_is_refused(text):
    with pytest.raises(ArgumentTypeError, match=f"{text} is not a number"):
        number_from(0.1, float)(text)


def test_a_folder_has_each_name_once(work):
    (work / "media" / "more").mkdir(parents=True)
    (work / "media" / "dir.mp4").mkdir()
    (work / "media" / "more" / "a.wav").touch()
    (work / "media" / "more" / "up").symlink_to(work / "media")
    (work / "media" / "z.wav").symlink_to(work / "media" / "more" / "a.wav")
    (work / "media" / "._b.wav").touch()
    # Both names: their results are asked for by name.
    assert find_media(["media"]) == ["media/more/a.wav", "media/z.wav"]


def test_linked_folders_are_followed_and_others_counted(work, capsys):
    (work / "media").mkdir()
    (work / "elsewhere").mkdir()
    (work / "media" / "linked").symlink_to(work / "elsewhere")
    for suffix in (".MTS", ".m2ts", ".aif", ".wma", ".amr", ".caf", ".m4b"):
        (work / "elsewhere" / f"clip{suffix}").touch()
    for name in ("a.txt", "b.txt", "notes"):
        (work / "media" / name).touch()
    assert len(find_media(["media"])) == 7
    message = "media: 3 other files left out (.txt, no suffix)\n"
    assert capsys.readouterr().err == message


def test_errors_name_standard_input_and_no_temporary_file(monkeypatch):
    given = SimpleNamespace(buffer=io.BytesIO(b"a"))
    monkeypatch.setattr("sys.stdin", given)
    with pytest.raises(MediaError, match="^standard input: damaged$"):
        with stored_stdin(["-"]) as places:
            raise MediaError(f"{places['-']}: damaged")


def test_a_full_disk_is_no_damaged_model(monkeypatch, tmp_path):
    class FullDisk(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    folder = SimpleNamespace(path=tmp_path, config=dict)
    monkeypatch.setattr(layout, "ModelFolder", lambda *given: folder)
    monkeypatch.setattr(model_card, "summary", lambda config: "a model")
    monkeypatch.setattr("sys.stdout", FullDisk())
    with pytest.raises(OSError, match="No space left"):
        hub.info("model")


def table_of(capsys, monkeypatch, paths, width):
    """What is printed of these files, and the cells of the first column."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal of this width
    names = "angry", "happy", "sad"
    missing = {"visual": "[b]no face[/b] in any frame"}
    outputs = dict.fromkeys(names, 1 / 3)
    emotion = Emotion("sad", outputs, {}, {"audio": 1.0}, missing, {})
    print_emotions(dict.fromkeys(paths, emotion), CategoricalEmotion(names))
    printed = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    lines = [x for x in printed.splitlines() if x.startswith("│")]
    cells = [line.split("│")[1].strip() for line in lines]
    return printed, [cell for cell in cells if cell]


ROOT = "/data/corpora/a corpus/of/many/folders"


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_shows_what_tells_files_apart(capsys, monkeypatch, width):
    paths = [
        f"{ROOT}/speaker_{i}/recorded_on_the_first_of_may/clip.mp4"
        for i in range(4)
    ]
    printed, cells = table_of(capsys, monkeypatch, paths, width)
    assert printed.splitlines()[0] == f"in {ROOT}/"
    assert len({*cells}) == len(cells) == len(paths), "a line for each"
    for path, cell in zip(paths, cells):
        start, end = cell.split("…")
        assert path.startswith(f"{ROOT}/{start}") and path.endswith(end)
    assert max(map(len, printed.splitlines())) <= width


def test_a_table_has_short_names_as_they_are(capsys, monkeypatch):
    names = ["x[/b].wav", "y[red]a.wav", "new\nline.wav"]
    printed, cells = table_of(capsys, monkeypatch, names, 80)
    assert cells == [*names[:2], "new\\nline.wav"]
    assert "[b]no" in printed, "reasons are no markup either"


def test_names_that_would_look_alike_are_not_shortened(capsys, monkeypatch):
    names = [f"{a}{'x' * 40}{b}{'x' * 40}" for a in "ab" for b in "ab"]
    _, cells = table_of(capsys, monkeypatch, names, 80)
    assert "".join(cells) == "".join(names)


@pytest.mark.parametrize(
    "paths, folder, names",
    [
        (["a/b/x.wav", "a/c.wav"], "a", ["b/x.wav", "c.wav"]),
        (["a/b/x.wav"], "a/b", ["x.wav"]),
        (["x.wav", "a/x.wav"], "", ["x.wav", "a/x.wav"]),
        (["/x.wav", "/a/x.wav"], "", ["/x.wav", "/a/x.wav"]),
        (["/a/x.wav", "a/x.wav"], "", ["/a/x.wav", "a/x.wav"]),
    ],
)
def test_a_common_folder_is_split_off(paths, folder, names):
    assert split_folder(paths) == (folder, names)


MINE = """
class Mine:
    def __init__(self):
        raise TypeError("of my own")
"""


@pytest.mark.parametrize(
    "before, after, variable",
    [
        ([], [], None),
        (["--debug"], [], None),
        ([], ["--debug"], None),
        ([], [], "1"),
    ],
)
def test_a_type_error_of_the_users_own_class_can_be_traced(
    work, monkeypatch, capsys, before, after, variable
):
    (work / "mine.py").write_text(MINE)
    (work / "mine.yaml").write_text("!new:mine.Mine\n")
    monkeypatch.syspath_prepend(work)
    if variable:
        monkeypatch.setenv(DEBUG, variable)
    command = "extract train.json --encoder mine.yaml --store st".split()
    is_one_line("of my own", lambda: main([*before, *command, *after]))
    is_traced = "mine.py" in capsys.readouterr().err
    assert is_traced == bool(before or after or variable)


def test_signals_are_afterwards_as_they_were():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        main(["info", "nowhere"])
    assert signal.getsignal(signal.SIGTERM) is before
