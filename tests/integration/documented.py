"""A machine on which the commands of the documentation are run.

`Machine.run` and `Machine.run_python` do what a page shows, in this process,
with small files in place of what the page takes for granted: `/path/to/CREMA-D`,
`talk.mp4`, `results/run`, `model`.
"""

import io
import json
import os
import re
import runpy
import shutil
import sys
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from hyperpyyaml import load_hyperpyyaml, resolve_references

from auxformer_lobes.cli.main import COMMANDS, _make_parser, main
from auxformer_lobes.experiments.hparams import parse_arguments
from auxformer_lobes.utils.overrides import check_options
from auxformer_lobes.utils.segments import split_segment
from tests.integration.pages import ROOT
from tests.integration.recipes import (
    NO_WORKERS,
    flags,
    global_state_restored,
    train,
)

# Not run: they change the machine, or reach out of it.
NOT_RUN = ("git", "hf", "pip")
# Not run but read by its parser: it serves until it is stopped.
ENDLESS = ("web",)
# Run once, where it is the same on several pages.
ONCE = ("evaluate", "timeline")
# What keeps a command from uploading, and from training for hours.
ADDED = {"push": ["--dry-run"], "experiment": ["--dry_run"]}
# Options whose value is made by the command. `export` makes its second word.
OUTPUTS = ("output_folder", "output", "plot", "store", "feature_folder")
# Folders of recordings, without a table.
CORPORA = ("corpus", "recordings", "videos")
# Options of a training that is run, and not only read.
PLAIN = {"data_folder", "table", "output_folder"}
QUICK = flags(number_of_epochs=1, bootstrap_samples=50, batch_size=16)


class Machine:
    """Folders like those of a reader, and what is in them.

    `home` has the recipes, as links. `given` maps a name that pages take for
    granted, or a suffix, to the file or folder that stands for it: "model",
    ".mp4". `options` are those of a short training, by recipe.
    """

    def __init__(self, home, given, options, done):
        self.home = home
        self.given = given
        self.options = options
        self.done = done
        self.partitions = home / "partitions.json"
        content = {"1": {"valid": [1002], "test": [1003, 1004]}}
        self.partitions.write_text(json.dumps({"partitions": content}))
        for recipe in (ROOT / "recipes").iterdir():
            if not (recipe / "train.py").exists():
                continue
            (home / "recipes" / recipe.name).mkdir(parents=True)
            for path in recipe.iterdir():
                if path.name not in ("results", "__pycache__"):
                    here = home / "recipes" / recipe.name / path.name
                    here.symlink_to(path)
        for name in ("benchmarks", "constraints.txt", "setup.py"):
            (home / name).symlink_to(ROOT / name)

    def run(self, folder, words):
        """Runs a command, or what can be run of it: see `test_docs.py`."""
        program, *words = words
        if program == "make":
            rules = (ROOT / "Makefile").read_text("utf-8")
            rules = rules.replace("$(VENV)", ".venv")
            goals = [word for word in words if "=" not in word]
            assert all(f"\n{goal}:" in rules for goal in goals), words
        elif program in NOT_RUN:
            pass
        elif program == "auxformer":
            self._auxformer(folder, words)
        elif program == "python" and words[0] == "-c":
            # In place of the published partition.
            with mock.patch("crema_d_labels.PARTITIONS", self.partitions):
                self.run_python(folder, words[1], {})
        elif program == "python" and Path(words[0]).name == "train.py":
            self._train(folder, words)
        elif program == "python":
            self._script(folder, words)
        else:
            raise AssertionError(f"{program}: how is it tested?")

    def run_python(self, folder, code, names):
        """Runs code in a folder; `names` are its variables."""
        for name in re.findall(r'"([^"\n]+)"', code):
            if name in self.given or Path(name).suffix in self.given:
                self._give(folder, name)
        with chdir(folder), quiet():
            exec(compile(code, "<page>", "exec"), names)

    def run_files(self, folder, files):
        """Runs the last of some files, which read the others."""
        for name, code in files.items():
            (folder / name).write_text(code)
        if name.endswith(".py"):
            with chdir(folder), quiet(), global_state_restored():
                runpy.run_path(name, run_name="__main__")

    def check_yaml(self, code):
        """Makes the objects of a piece of YAML."""
        text = resolve_references(io.StringIO(code)).getvalue()
        check_options(text)
        load_hyperpyyaml(text)

    def _auxformer(self, folder, words):
        command = words[0]
        words = [*words, *(w for w in ADDED.get(command, []) if w not in words)]
        names = {each.__name__ for each in COMMANDS}
        assert command in names, f"auxformer has no command {command}"
        if command in ENDLESS:
            _make_parser().parse_args(words)
            return
        if "--onnx" in words:  # takes seconds: of the smallest network
            words = [
                w.replace("results/run", "results/audio_only") for w in words
            ]
        if "--missing" in words:
            words.append("--missing_seeds=1")
        # One cell of a study: `--vary seed=0,1,2` becomes `seed=0`.
        words = [re.sub(r"^(\w+=[^,]*),.*", r"\1", word) for word in words]
        made = words[2:3] if command == "export" else []
        for word in inputs(words[1:]):
            if word not in made:
                self._give(folder, word)
        done = [os.path.realpath(folder / word) for word in words]
        if command in ONCE and done in self.done:
            return
        self.done.append(done)
        # A pretrained encoder is not here: the offline one stands for it.
        words = [
            re.sub(r"encoders/\w+\.yaml$", "encoders/fbank.yaml", word)
            for word in words
        ]
        if command == "extract":
            words += ["--num_workers=0"]
        with chdir(folder), quiet() as printed, global_state_restored():
            code = main(words)
        # An audit that finds leaks has done what it should.
        assert code in (None, 0) or command == "audit", printed.getvalue()

    def _train(self, folder, words):
        """Trains for an epoch, or reads the options and makes no object."""
        script, yaml, *options = words
        names = {w[2:].partition("=")[0] for w in options if w[:2] == "--"}
        for word in inputs(options):
            self._give(folder, word)
        recipe = os.path.basename(os.path.dirname(os.path.join(folder, script)))
        with chdir(folder):
            _, _, overrides = parse_arguments([yaml, *options])
            with open(yaml, encoding="utf-8") as file:
                check_options(resolve_references(file, overrides).getvalue())
        is_plain = names <= PLAIN and yaml.endswith("offline.yaml")
        if recipe not in self.options or not is_plain:
            return
        extra = [*self.options.pop(recipe), *QUICK, *NO_WORKERS]
        result = train(
            *words[1:], *extra, script=script, cwd=folder, figures=False
        )
        assert result.returncode == 0, result.stderr[-2000:]

    def _script(self, folder, words):
        """Runs what makes a corpus, but for the corpus; reads benchmarks."""
        script, *options = words
        if script.startswith("benchmarks/"):
            code = (folder / script).read_text("utf-8")
            for name in (w for w in options if w.startswith("--")):
                assert f'"{name}"' in code, f"{script} has no option {name}"
            return
        made = "auxformer_lobes.testing.corpus.make_corpus"
        with (
            chdir(folder),
            quiet(),
            global_state_restored(),
            mock.patch(made) as make,
            mock.patch.object(sys, "argv", words),
        ):
            runpy.run_path(script, run_name="__main__")
        make.assert_called_once()
        self._give(folder, options[0])

    def _give(self, folder, word):
        """Puts what stands for a name where it is looked for."""
        path = folder / split_segment(word).file
        if "results/" in word and path.suffix == ".json":
            path = path.parent
        if path.exists():
            return
        kind = "results/run" if "results/" in word else None
        names = (word, path.name, path.suffix, kind)
        name = next((name for name in names if name in self.given), None)
        if name:
            source = self.given[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            if name in CORPORA:  # where a table is written
                shutil.copytree(source, path, symlinks=True)
            else:
                path.symlink_to(source)


def inputs(words):
    """The words of a command that may name what it reads."""
    made = {f"--{name}" for name in OUTPUTS}
    return [
        word
        for before, word in zip(["", *words], words)
        if before not in made and not word.startswith("-")
    ]


@contextmanager
def quiet():
    """Catches what is printed, as bytes; figures are not drawn."""
    text = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    with (
        redirect_stdout(text),
        redirect_stderr(text),
        mock.patch("matplotlib.figure.Figure.savefig"),
        mock.patch(
            "auxformer_lobes.reporting.charts.inline_svg", return_value=""
        ),
    ):
        yield text.buffer
