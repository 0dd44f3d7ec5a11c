"""Reads `missing.json`: what a sweep over missing modalities has found."""

import json
import math
import re
from os.path import commonprefix
from pathlib import PurePath

from auxformer_lobes.utils.errors import UserError

LATE_FUSION = "late_fusion"  # the mean of a network's heads on one modality
OWN = "own_late_fusion"  # the same, as a baseline of effective robustness
BANDS = {
    "interval": "95 % intervals over speakers",
    "range": "ranges over single speakers",
}
CURE = "start `auxformer evaluate --missing` again"


def read_sweep(file, epoch=None):
    """Reads `missing.json`, of a run or of a study.

    Arguments
    ---------
    file : Path
        The file.
    epoch : int, optional
        That of the metrics beside it.

    Returns
    -------
    dict
        `metric`, `seeds`, `burst` (s), and `twins`, perhaps with the `reason`
        why they were not compared; of a run its `curves`; of a
        study its `systems` (name → curves), `cells` (name → how many),
        `sentences` (comparisons in words) and `not_compared`. What is undefined
        is None.

    Raises
    ------
    UserError
        If it cannot be read, is damaged, or is of another epoch.
    """
    try:
        content = json.loads(file.read_text("utf-8"))
        sweep = _checked(content)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}: {CURE}")
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ):
        raise UserError(f"{file}: damaged: {CURE}")
    if None not in (epoch, swept := content.get("epoch")) and swept != epoch:
        raise UserError(
            f"{file}: of epoch {swept}, the metrics are of {epoch}: {CURE}"
        )
    return sweep


def read_if_there(file, epoch=None):
    """Reads `missing.json` for a page, which goes on without it.

    Arguments
    ---------
    file : Path
        The file.
    epoch : int, optional
        That of the metrics beside it.

    Returns
    -------
    dict or str
        What `read_sweep` returns, or in a line why it cannot be read; empty if
        there is no such file.
    """
    if not file.exists():
        return {}
    try:
        return read_sweep(file, epoch)
    except UserError as error:
        # A page does not tell in which folder it was made.
        return str(error).replace(str(file), file.name)


def shared_prefix(content):
    """What a run and those it was measured against have alike in their names.

    Cells of a study begin alike: their settings are in their names.

    Arguments
    ---------
    content : dict
        That of the `missing.json` of a run.

    Returns
    -------
    str
        May be left out of names.

    Example
    -------
    >>> effective = {"own_late_fusion": 0.0, "seed-0_network-audio_only": 0.1}
    >>> curves = [{"effective_robustness": effective}]
    >>> content = {"run": "study/seed-0_network-auxformer", "twins": []}
    >>> shared_prefix({**content, "curves": curves})
    'seed-0_network-'
    """
    own = PurePath(content.get("run", "")).name
    curves, twins = content["curves"], content["twins"]
    names = {of for curve in curves for of in curve["effective_robustness"]}
    others = {*names, *(twin["twin"] for twin in twins)} - {OWN}
    # Up to a value: auxformer and audio_only begin alike, too.
    return re.match(r"(.*-)?", commonprefix([own, *others]))[0]


def _checked(content):
    sweep = {
        "metric": _text(content["metric"]),
        "seeds": int(_number(content["seeds"])),
        "burst": _number(content.get("burst")),
        "twins": [*map(_twin, content["twins"])],
    }
    if "systems" not in content:
        prefix = shared_prefix(content)
        sweep["twins"] = [
            {**twin, "twin": twin["twin"].removeprefix(prefix)}
            for twin in sweep["twins"]
        ]
        return {**sweep, "curves": _curves(content["curves"], prefix)}
    systems, cells = content["systems"], content["cells"]
    return {
        **sweep,
        "cells": {name: int(_number(cells[name])) for name in systems},
        "systems": {name: _curves(of) for name, of in systems.items()},
        "sentences": [_text(of["sentence"]) for of in content["comparisons"]],
        "not_compared": {
            name: _text(reason)
            for name, reason in content["not_compared"].items()
        },
    }


def _curves(curves, prefix=""):
    return [_curve(curve, prefix) for curve in curves]


def _curve(curve, prefix):
    lists = ("severities", "values", "low", "high")
    checked = {key: [*map(_number, curve[key])] for key in lists}
    if not 1 < len(checked["severities"]) or None in checked["severities"]:
        raise ValueError("no severities")
    if len({*map(len, checked.values())}) > 1:
        raise ValueError("not one value for each severity")
    return {
        **{key: _text(curve[key]) for key in ("kind", "modality")},
        "head": _text(curve["head"]),
        **checked,
        "band": _band(curve),
        **{key: _number(curve[key]) for key in ("area", "retention")},
        "effective_robustness": {
            name.removeprefix(prefix): _number(value)
            for name, value in curve["effective_robustness"].items()
        },
    }


def _twin(twin):
    optional = [key for key in ("system", "reason") if key in twin]
    return {
        **{key: _text(twin[key]) for key in ("lost", "twin", *optional)},
        **{key: _number(twin[key]) for key in ("difference", "low", "high")},
        "band": _band(twin),
        "p": _number(twin["p"]),
        "holds": bool(twin["holds"]),
    }


def _text(value):
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _number(value):
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("no number")
    return float(value) if math.isfinite(value) else None


def _band(of):
    if of.get("band") not in (*BANDS, None):
        raise ValueError("no kind of bounds")
    return of.get("band")
