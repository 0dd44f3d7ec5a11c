"""`missing.json` of runs and of studies, small and made up."""

import json

import numpy as np

HEADS = ("main", "combined", "audio", "visual", "late_fusion")
KINDS = ("whole", "bursts")
MODALITIES = ("audio", "visual", "both")


def make_curve(
    kind="bursts",
    modality="audio",
    head="combined",
    start=0.8,
    end=0.4,
    band="interval",
    baselines=("own_late_fusion",),
):
    """Makes a curve that falls in a straight line."""
    severities = np.linspace(0, 1, 11 if kind == "whole" else 6)
    values = start + (end - start) * severities
    spread = 0.1 if band else None
    bounds = [
        (values + sign * spread).tolist() if band else [None] * len(values)
        for sign in (-1, 1)
    ]
    return {
        "kind": kind,
        "modality": modality,
        "head": head,
        "measured": severities.tolist(),
        "severities": severities.round(1).tolist(),
        "values": values.tolist(),
        **dict(zip(("low", "high"), bounds)),
        "band": band,
        "area": (start + end) / 2,
        "retention": (start + end) / 2 / start,
        "effective_robustness": dict.fromkeys(baselines, 0.021),
    }


def make_twin(lost="visual", **changes):
    """Makes the twin rule for one modality; it does not hold."""
    twin = {
        "lost": lost,
        "twin": "audio_only" if lost == "visual" else "visual_only",
        **{"difference": -0.021, "low": -0.04, "high": -0.003},
        **{"band": "interval", "p": 0.03, "cells": 1, "holds": False},
    }
    return {**twin, **changes}


def make_sweep(heads=HEADS, kinds=KINDS, modalities=MODALITIES, **changes):
    """Makes the sweep of a run."""
    return {
        "task": {"class": "CategoricalEmotion"},
        **{"metric": "f1_macro", "seeds": 3, "burst": 0.5},
        **{"clips": 12, "speakers": 8, "epoch": 2},
        "curves": [
            make_curve(kind, modality, head, start=0.8 - place / 10)
            for kind in kinds
            for modality in modalities
            for place, head in enumerate(heads)
        ],
        "twins": [make_twin()] if len(modalities) > 1 else [],
        **changes,
    }


def make_study_sweep(systems=("mult", "late_fusion"), **changes):
    """Makes the sweep of a study; the last system reads audio alone."""
    curves = {name: make_sweep(["combined"])["curves"] for name in systems}
    alone = make_sweep(["combined"], modalities=["audio"])["curves"]
    names = [*systems, "audio_only"]
    return {
        **{"metric": "f1_macro", "seeds": 3, "burst": 0.5},
        "cells": dict.fromkeys(names, 2),
        "systems": {**curves, "audio_only": alone},
        "comparisons": [{"sentence": f"{names[0]} is better by 4.1 points"}],
        "not_compared": {},
        "twins": [make_twin(system=name) for name in systems],
        **changes,
    }


def write_sweep(file, sweep):
    """Writes `missing.json`; returns the file."""
    file.write_text(json.dumps(sweep), encoding="utf-8")
    return file
