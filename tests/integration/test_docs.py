"""The documentation: its code blocks run, its links lead somewhere.

Each page is read as by someone who pastes its blocks into one terminal, one
after the other, from the root of the repository (of a recipe's README: from the
recipe's folder). No block is skipped:

- `python` and `yaml` blocks are run. Those that begin with the name of a file,
  as in `# train.py`, are written to files, and the script is run.
- `sh` blocks: bash tells which commands these are, and `documented.py` calls
  them in this process. `auxformer` is really run, on small files, but for `web`,
  which never ends and is read by its parser; `experiment` and `push` are run
  with `--dry_run`, for one cell; `export --onnx` is of an audio-only network; the offline encoder stands for a pretrained
  one; figures are not drawn. The first training on a table of clips is run, for
  one epoch; other trainings are read by the recipe's parser, and the options of
  all objects are checked (a study of two networks is trained beforehand, for
  what reads runs). Scripts that make a corpus run, but for the corpus.
  Benchmarks are searched for their options.
- `git`, `hf`, `pip` and `make` are not run, but the goals of `make` exist. Any
  other command fails.
- Blocks without a tag, and those of `SHOWN`, are output and the like.
"""

import re
import shutil
from contextlib import chdir

import pytest
from speechbrain.utils.run_opts import RunOptions
from sphinx.application import Sphinx

from auxformer_lobes.cli.main import _make_parser, main
from auxformer_lobes.experiments import experiment
from tests.integration.documented import Machine, quiet
from tests.integration.pages import (
    PAGES,
    ROOT,
    anchors_of,
    links_of,
    name_of,
    shell_commands,
    split_blocks,
)
from tests.integration.recipes import (
    CREMA_D,
    NO_WORKERS,
    InThisProcess,
    flags,
    global_state_restored,
)

SHOWN = ("", "bibtex", "{literalinclude}", "{toctree}")
BLOCKS = {page: split_blocks(page.read_text("utf-8"))[0] for page in PAGES}
WITH_CODE = [
    page
    for page, blocks in BLOCKS.items()
    if any(block.tag not in SHOWN for block in blocks)
]
SPEAKERS = ("anna", "ben", "cem", "dora")


@pytest.fixture(scope="module")
def study(tmp_path_factory, crema_d, crema_d_features):
    """A study of two networks, each trained for an epoch."""
    folder = tmp_path_factory.mktemp("documented") / "study"
    options = flags(
        data_folder=crema_d,
        feature_folder=crema_d_features,
        output_folder=folder,
        valid_actors=[1002],
        test_actors=[1003, 1004],
        number_of_epochs=1,
        bootstrap_samples=50,
    )
    command = ["experiment", "train.py", "hparams/auxformer_offline.yaml"]
    vary = "--vary=network=late_fusion,audio_only"
    with chdir(CREMA_D), quiet(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "LocalLauncher", InThisProcess)
        main([*command, *options, *NO_WORKERS, vary])
    return folder


@pytest.fixture(scope="module")
def given(study, crema_d):
    """What stands for the names that pages take for granted."""
    folder = study.parent
    runs = {path.parent.name: path.parent for path in study.rglob("save")}
    (run,) = (path for name, path in runs.items() if "audio_only" not in name)
    (twin,) = (path for name, path in runs.items() if "audio_only" in name)
    with quiet():
        main(["export", str(run), str(folder / "model")])
    corpus = folder / "corpus"
    for number, name in enumerate(SPEAKERS, start=1001):
        for code, emotion in ("HAP", "happy"), ("SAD", "sad"):
            videos = crema_d.glob(f"VideoFlash/{number}_*_{code}_*.flv")
            path = corpus / name / emotion / f"{name}_1.mp4"
            path.parent.mkdir(parents=True)
            path.symlink_to(sorted(videos)[0])
    video = next(crema_d.glob("VideoFlash/*.flv"))
    split = ROOT / "tests" / "data" / "splits" / "hicmae_crema_d_1.csv"
    return {
        "results/study": study,
        "results/run": run,
        "results/audio_only": twin,
        "fbank": twin,
        "model": folder / "model",
        "auxformer-crema-d": folder / "model",
        "user/name": folder / "model",
        "corpus": corpus,
        "recordings": corpus,
        "videos": corpus,
        "split.csv": split,
        **{f"{s}.json": run / f"{s}.json" for s in ("train", "valid", "test")},
        ".mp4": video,
        ".wav": next(crema_d.glob("AudioWAV/*.wav")),
    }


@pytest.fixture(scope="module")
def state():
    """Options of the first training of each recipe; what was run once."""
    return {"OwnCorpus": flags(num_folds=4)}, []


@pytest.fixture
def machine(tmp_path, given, crema_d, state):
    """A machine with the corpora of a reader."""
    (tmp_path / "path" / "to").mkdir(parents=True)
    for name, folder in {
        "CREMA-D": crema_d,
        "MSP-IMPROV": crema_d,
    }.items():
        (tmp_path / "path" / "to" / name).symlink_to(folder)
    for name in ("corpus", "RAVDESS"):
        shutil.copytree(
            given["corpus"], tmp_path / "path" / "to" / name, symlinks=True
        )
    return Machine(tmp_path, given, *state)


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_code_blocks_run(page, machine):
    first = machine.home
    if page.parent.parent.name == "recipes":
        first = first / "recipes" / page.parent.name
    folder, files, names = first, {}, {}
    for line, tag, code in BLOCKS[page]:
        where = f"{name_of(page)}:{line}"
        code = code.replace("/path/to/", f"{machine.home}/path/to/")
        file = re.match(r"# ([\w.]+)\n", code)
        try:
            if tag == "sh":
                commands, folder = shell_commands(code, folder, first)
                for place, words in commands:
                    machine.run(place, words)
            elif tag in ("python", "yaml") and file:
                files[file[1]] = code
                machine.run_files(folder, files)
            elif tag == "python":
                machine.run_python(folder, code, names)
            elif tag == "yaml":
                machine.check_yaml(code)
            else:
                assert tag in SHOWN, f"{tag!r}: tag it sh, python or yaml"
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{where}: {error}") from error


def test_options_that_are_named_exist():
    """Those in the text, such as `--min_face_quality`, of any command."""
    known = {f"--{name}" for name in RunOptions().as_dict()}
    (commands,) = _make_parser()._subparsers._group_actions
    for parser in commands.choices.values():
        known |= {*parser._option_string_actions}
    for path in ROOT.glob("recipes/*/hparams/*.yaml"):
        keys = re.findall(r"^(\w+):", path.read_text("utf-8"), re.M)
        known |= {f"--{key}" for key in keys}
    for path in (*ROOT.glob("benchmarks/*.py"), ROOT / "conftest.py"):
        known |= {*re.findall(r'"(--\w+)"', path.read_text("utf-8"))}
    for page in PAGES:
        _, prose = split_blocks(page.read_text("utf-8"))
        named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", prose))
        assert named - known == set(), name_of(page)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for link in links_of(page.read_text("utf-8")):
        if link.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "generated" in target.parts:  # pages that `make docs` writes
            assert target.suffix == ".rst"
            continue
        assert target.exists(), f"{link} is not there"
        if anchor:
            anchors = anchors_of(target.read_text("utf-8"))
            assert anchor in anchors, f"{link}: choose among {anchors}"


def test_the_site_is_built_without_a_warning(tmp_path):
    """Without the classes, which take `make docs` half a minute."""
    site = tmp_path / "site"
    folders = (ROOT, ROOT / "docs", site, tmp_path / "trees")
    with global_state_restored():
        app = Sphinx(
            *map(str, folders),
            "html",
            status=None,
            warning=None,
            tags=["pages"],
            warningiserror=True,
            exception_on_warning=True,
        )
        app.build()
    assert app.statuscode == 0
    pages = [*site.rglob("*.html")]
    assert site / "docs" / "how_to" / "train.html" in pages
    for page in pages:
        text = page.read_text("utf-8")
        loaded = re.findall(r'(?:src|srcset|data)="(\S+)"', text)
        loaded += re.findall(r'<link[^>]* href="(\S+)"', text)
        away = [url for url in loaded if re.match(r"(https?:)?//", url)]
        assert not away, page
