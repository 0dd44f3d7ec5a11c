"""What reports are made of, small and made up, and a reader of their HTML."""

import json
from html.parser import HTMLParser

import numpy as np

from auxformer_lobes.dataio.run import Run
from auxformer_lobes.evaluation.collection import collect_metrics
from auxformer_lobes.reporting.run_report import run_report
from tests.unit.small_sweeps import write_sweep
from tests.unit.small_tasks import make_task, random_predictions

VOID = {"meta", "br", "hr", "img", "input", "link"}
AUDIT = {
    "findings": [
        {
            "level": "warning",
            "kind": "class_missing",
            "text": "One speaker of test has no clip of a class.",
            "examples": ["speaker1"],
        }
    ],
    "splits": {
        split: {
            "clips": clips,
            "minutes": None if split == "valid" else clips / 20,
            "speakers": ["a", "b"],
            "gender": {"female": clips},
            "classes": {"angry": clips},
        }
        for split, clips in [("train", 40), ("valid", 9), ("test", 12)]
    },
    "class_distance": 0.25,
    "allow_leaks": False,
}
YAML = """\
# Generated 2026-01-01 from:
# /secret/place/train.yaml
seed: 7
select_by: loss
network: !new:auxformer_lobes.models.auxformer.AuxFormer
    audio_dim: 4
audio_features: !new:auxformer_lobes.features.fbank.FbankFeatures
"""


class Reader(HTMLParser):
    """Reads a page: what is nested in what, and what it loads."""

    def __init__(self, html):
        super().__init__()
        self.open, self.errors = [], []
        self.ids, self.addresses, self.labels = [], [], []
        self.tags, self.headings, self.json = [], [], ""
        self.text = {}  # of each kind of tag
        self.feed(html)
        self.close()
        self.errors += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href", "srcset", "action"):
                self.addresses.append(value)
            if name == "aria-labelledby":
                self.labels.append(value)
            if name.startswith("on"):
                self.errors.append(f"<{tag} {name}>")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.errors.append(f"</{tag}> closes another one")

    def handle_data(self, data):
        for tag in {*self.open[-3:]}:
            self.text.setdefault(tag, []).append(data)


def read(html):
    """Reads a page, and the JSON in it."""
    page = Reader(html)
    (text,) = page.text["script"]
    return page, json.loads(text)


def metric(value, kind="interval"):
    return {"value": value, "low": value - 0.1, "high": 0.9, "kind": kind}


def detailed(metrics, task):
    """Metrics with calibration, disagreement and subgroups."""
    scores = {name: metric(0.6) for name in task.metrics}
    bins = [
        {"confidence": 0.3, "accuracy": 0.5, "count": 8},
        {"confidence": None, "accuracy": None, "count": 0},
    ]
    errors = {"ece": 0.1, "adaptive_ece": 0.1, "brier": 0.4, "nll": 1.0}
    third = {"clips": 4, "agreement": [0.5, 0.75], **scores}
    thirds = {"low": third, "middle": None, "high": third}
    votes = {"jensen_shannon": 0.2, "kl": 0.3, "entropy_correlation": None}
    groups = {
        name: {"clips": 4, "speakers": 1, **scores} for name in ("old", "young")
    }
    gap = dict.fromkeys(task.metrics)
    each = {
        "calibration": dict.fromkeys(
            ("before", "after"), {**errors, "bins": bins}
        ),
        "disagreement": {**votes, "by_agreement": thirds},
        "subgroups": {"age": {"groups": groups, "gap": gap}},
    }
    return {
        **metrics,
        **{key: dict.fromkeys(metrics["test"], of) for key, of in each.items()},
    }


def make_report(
    folder, kind="categories", clips=None, details=True, yaml=YAML, sweep=None
):
    """The report of a finished run; its files are left in the folder."""
    task = make_task(kind)
    predictions = dict([*random_predictions(task).items()][:2])
    for made in predictions.values():
        made.clips = clips or made.clips
    entries = {
        clip: {"sentence": "IEO", "votes": [0.75, 0.25, 0.0]}
        for clip in next(iter(predictions.values())).clips
    }
    metrics = collect_metrics(predictions, task, num_samples=20)
    metrics["epoch"] = 2
    if details:
        metrics = detailed(metrics, task)
        metrics["linear_baseline"] = {
            condition: heads["combined"]
            for condition, heads in metrics["test"].items()
        }
    losses = {"loss": 0.5, "loss_main": float("nan")}
    history = [
        {
            "epoch": epoch,
            "train": losses,
            "valid": {**losses, **dict.fromkeys(task.metrics, 0.5)},
        }
        for epoch in (1, 2, 3)
    ]
    run = Run(folder)
    run.write_metrics(metrics)
    if details:
        run.hyperparams.write_text(yaml)
        run.history_file.write_text(json.dumps(history))
        run.audit_file.write_text(json.dumps(AUDIT))
    if sweep is not None:
        write_sweep(run.missing_file, sweep)
    return run_report(run, task, predictions, entries)


def make_study(name="study", system="AuxFormer", reason="no memory"):
    """What a report of a study is made of."""
    rng = np.random.default_rng(0)
    systems = (system, "linear baseline")
    conditions = ("audio_visual", "audio_only")
    states = ("finished", "finished", "failed", "waiting")
    return {
        "name": name,
        "settings": {"number_of_epochs": 3, "recipe": "train.py"},
        "versions": {"torch": "2.11"},
        "cells": [
            {
                "name": f"{system}, seed {seed}",
                "settings": {"network": system, "seed": seed},
                "state": state,
                "reason": reason if state == "failed" else None,
                "folder": f"cells/{system} {seed}",
                "metrics": {c: {"uar": 0.5} for c in conditions}
                if state == "finished"
                else {},
            }
            for seed, state in enumerate(states)
        ],
        "systems": [
            {
                "name": each,
                "condition": condition,
                "cells": 2,
                "speakers": 3,
                "uar": {**metric(rng.uniform(0.4, 0.8)), "sd": 0.02},
            }
            for each in systems
            for condition in conditions
        ],
        "comparisons": [
            {
                "a": system,
                "b": "linear baseline",
                "condition": "audio_only",
                "metric": "uar",
                "difference": 0.041,
                "low": 0.01,
                "high": 0.073,
                "kind": "interval",
                "p": 0.002,
                "p_holm": 0.01,
                "improvement": 1.0,
                "cells": 2,
                "sentence": f"{system} is better by 4.1 points",
            }
        ],
        "not_compared": {},
        "audits": {
            "partition 1": AUDIT,
            "partition 2": {**AUDIT, "findings": []},
        },
        "metric_names": ["uar"],
        "scale": 100,
    }
