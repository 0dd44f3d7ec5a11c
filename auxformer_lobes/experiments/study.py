"""A study: the same recipe under varied settings, a run folder for each."""

import hashlib
import json
import re
from itertools import product
from pathlib import Path
from typing import NamedTuple

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.utils.errors import UserError
from auxformer_lobes.utils.files import atomic_write

# Keys of a recipe that choose the test clips; cells that agree in them and in
# the seed are compared clip by clip.
PARTITION_KEYS = (
    "partition",
    "fold",
    "num_folds",
    "split_seed",
    "split_file",
    "valid_actors",
    "test_actors",
    "valid_sessions",
    "test_sessions",
)
# Keys whose value says enough: mult, in place of network mult.
UNNAMED = {"network", "run"}
FIXED = {
    "output_folder": "each cell has a folder of its own",
    "data_folder": "a study is of one corpus",
    "feature_folder": "features are extracted once for all cells",
}


class Cell(NamedTuple):
    """One run of a study.

    Arguments
    ---------
    name : str
        Its folder in that of the study.
    settings : dict
        Varied key → its text, as on the command line.
    run : Run
        The run.
    """

    name: str
    settings: dict
    run: Run

    @property
    def partition(self):
        """What chooses its test clips."""
        return _join(self._of(lambda key: key in PARTITION_KEYS))

    @property
    def seed(self):
        """Its seed."""
        return self.settings.get("seed", "")

    @property
    def system(self):
        """All other settings: what a study compares."""
        others = self._of(lambda key: key not in (*PARTITION_KEYS, "seed"))
        if len(others) == 1 and {*others} <= UNNAMED:
            return next(iter(others.values()))
        return _join(others) or "model"

    @property
    def baseline(self):
        """Its linear baseline, which is on the features alone."""
        features = _join(self._of(lambda key: key.endswith("_features")))
        return (
            f"linear baseline ({features})" if features else "linear baseline"
        )

    @property
    def state(self):
        """Whether it is "finished", "running" or "waiting"."""
        if self.run.is_complete():
            return "finished"
        return "running" if self.run.is_locked() else "waiting"

    def _of(self, wanted):
        return {k: text for k, text in self.settings.items() if wanted(k)}


def _join(settings):
    return ", ".join(f"{key} {text}" for key, text in settings.items())


class Study:
    """The output folder of `auxformer experiment`.

    It has a run folder for each cell, `study.json`, `report.html` and perhaps
    `missing.json`. Opening it reads nothing.

    Arguments
    ---------
    folder : str or Path
        The folder.

    Example
    -------
    >>> study = Study(getfixture("tmp_path"))
    >>> plan = {"vary": ["seed"], "cells": {"seed-1": {"seed": "1"}}}
    >>> study.write(plan)
    >>> [cell.seed for cell in study.cells()]
    ['1']
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.file = self.folder / "study.json"
        self.missing_file = self.folder / "missing.json"
        self.report_file = self.folder / "report.html"

    def figure(self, name):
        """The file of a figure.

        Arguments
        ---------
        name : str
            What it shows.

        Returns
        -------
        Path
        """
        return self.folder / f"{name}.png"

    def read(self):
        """What is varied, and the cells.

        Returns
        -------
        dict
            The content of `study.json`.

        Raises
        ------
        UserError
            If the folder is not a study, or its file is damaged.
        """
        try:
            content = json.loads(self.file.read_text("utf-8"))
            if not isinstance(content["cells"], dict):
                raise TypeError
            return content
        except OSError as error:
            raise UserError(
                f"{self.file}: {error.strerror}: name the output folder of "
                "`auxformer experiment`"
            )
        except (LookupError, TypeError, ValueError):
            raise UserError(
                f"{self.file}: not of a study, or damaged: name another folder"
            )

    def write(self, content):
        """Writes `study.json`.

        Arguments
        ---------
        content : dict
            See `read`.

        Raises
        ------
        UserError
            If the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.file) as file:
                json.dump(content, file, indent=1)
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot be written: {error.strerror}: name "
                "another --output_folder"
            )

    def cells(self):
        """All cells.

        Returns
        -------
        list of Cell

        Raises
        ------
        UserError
            If the folder is not a study.
        """
        return self.cells_of(self.read()["cells"])

    def cells_of(self, settings):
        """Cells with their run folders.

        Arguments
        ---------
        settings : dict
            Name of a cell → its settings.

        Returns
        -------
        list of Cell
        """
        return [
            Cell(name, varied, Run(self.folder / name))
            for name, varied in settings.items()
        ]

    def planned(self, plan):
        """The plan, with the cells that the study has already.

        Arguments
        ---------
        plan : dict
            `script`, `hparams`, `options`, `vary` and `cells`.

        Returns
        -------
        dict
            What `read` returns.

        Raises
        ------
        UserError
            If the folder holds something else, or a study of other settings.
        """
        if not self.file.exists():
            # A study that was killed at its start leaves its lock.
            if self.folder.is_dir() and {*self.folder.iterdir()} - {
                self.folder / ".lock"
            }:
                raise UserError(
                    f"{self.folder}: holds something else than a study: name "
                    "another --output_folder"
                )
            return {**plan, "failed": {}}
        before = self.read()
        for key in ("script", "hparams", "options", "vary"):
            if before[key] != plan[key]:
                raise UserError(
                    f"{self.folder}: a study with other {key} "
                    f"({_difference(before[key], plan[key])}): name another "
                    "--output_folder"
                )
        return {**before, "cells": {**before["cells"], **plan["cells"]}}


def _difference(before, now):
    if isinstance(before, dict):
        keys = [k for k in {**before, **now} if before.get(k) != now.get(k)]
        return ", ".join(f"--{key}" for key in keys)
    if isinstance(before, list):
        return f"{', '.join(before)}; now {', '.join(now)}"
    return f"{before}; now {now}"


def expand(words):
    """The cells of a grid: all combinations of the values of each key.

    Arguments
    ---------
    words : list of str
        `key=value,value`; a comma in brackets or quotes separates nothing.

    Returns
    -------
    dict
        Name of a cell → its settings, key → text.

    Raises
    ------
    UserError
        If a word is not of this form, a key or a value is given twice, or a
        key cannot be varied.

    Example
    -------
    >>> cells = expand(["seed=0,1", "network={num_layers: 1}"])
    >>> [*cells]
    ['seed-0_network-num_layers-1-799dd0', 'seed-1_network-num_layers-1-799dd0']
    """
    vary = {}
    for word in words:
        key, _, text = word.partition("=")
        values = [value.strip() for value in _split_values(text)]
        if not key or not all(values):
            raise UserError(f"--vary {word}: write key=value,value")
        if key in FIXED:
            raise UserError(f"--vary {key}: cannot be varied: {FIXED[key]}")
        if key in vary:
            raise UserError(f"--vary {key}: given twice")
        if twice := {v for v in values if values.count(v) > 1}:
            raise UserError(f"--vary {word}: {min(twice)} is given twice")
        vary[key] = values
    cells = {}
    for values in product(*vary.values()):
        settings = dict(zip(vary, values))
        name = "_".join(f"{k}-{_slug(v)}" for k, v in settings.items())
        cells[name] = settings
    return cells


def _split_values(text):
    """Splits at commas outside of brackets and quotes."""
    depth, quote, start = 0, None, 0
    for i, character in enumerate(text):
        if quote:
            quote = None if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[{(":
            depth += 1
        elif character in ")}]":
            depth -= 1
        elif character == "," and depth == 0:
            yield text[start:i]
            start = i + 1
    yield text[start:]


def _slug(value):
    """A part of a file name; another value never has the same."""
    slug = re.sub(r"[^\w.]+", "-", value).strip("-.")[:30]
    if slug != value:
        slug += f"-{hashlib.sha256(value.encode()).hexdigest()[:6]}"
    return slug
