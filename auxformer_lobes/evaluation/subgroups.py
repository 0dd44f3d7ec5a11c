"""Metrics by gender, age and other columns, and the gaps between them."""

import math

import numpy as np

from auxformer_lobes.evaluation.subsets import equal_parts, subset_metrics

MAX_GROUPS = 6  # of a column of the user's own; more are rather names


def measure_subgroups(task, predictions, entries, **bootstrap):
    """Metrics of the combined outputs by gender, by age and by other columns.

    Arguments
    ---------
    task : Task
        What was predicted.
    predictions : dict of Predictions
        By name of the condition.
    entries : dict
        Clip → its entry in the manifest, perhaps with `gender` and `age`, and
        with further `columns`, name → text.
    **bootstrap
        Further arguments of `bootstrap_metrics`.

    Returns
    -------
    dict
        Condition → attribute ("gender", "age", …) → `groups`, name → number of
        `clips` with a label and of their `speakers`, and each of the task's
        metrics; `gap`, metric → difference of the highest and the lowest
        group, None where fewer than two have a value. Ages are thirds of the
        speakers, named by their ends. An attribute of fewer than two groups is
        left out, and a further column of more than six.
    """
    results = {}
    for condition, made in predictions.items():
        names = {
            "gender": [_gender(entries[clip]) for clip in made.clips],
            "age": _age_thirds(made, entries),
            **_further(made, entries),
        }
        by_attribute = {
            attribute: _compare(task, made, np.array(of), **bootstrap)
            for attribute, of in names.items()
            if len({*of} - {""}) > 1
        }
        if by_attribute:
            results[condition] = by_attribute
    return results


def _compare(task, made, names, **bootstrap):
    """Metrics of the clips of each name, and the gaps between them."""
    labelled = task.has_label(np.array(made.truth))
    speakers = np.array(made.speakers)
    groups = {}
    for name in sorted({*names.tolist()} - {""}):
        chosen = names == name
        groups[name] = {
            "clips": int((chosen & labelled).sum()),
            "speakers": len({*speakers[chosen & labelled].tolist()}),
            **subset_metrics(task, made, chosen, **bootstrap),
        }
    gap = {}
    for metric in task.metrics:
        values = [of[metric]["value"] for of in groups.values()]
        values = [value for value in values if value is not None]
        gap[metric] = max(values) - min(values) if len(values) > 1 else None
    return {"groups": groups, "gap": gap}


def _further(made, entries):
    """Further columns with few values: name → the value of each clip."""
    found = [entries[clip].get("columns") or {} for clip in made.clips]
    columns = {name: None for of in found for name in of}
    values = {name: [of.get(name, "") for of in found] for name in columns}
    return {
        name: of
        for name, of in values.items()
        if len({*of} - {""}) <= MAX_GROUPS
    }


def _gender(entry):
    """The gender of a clip's speaker; empty if it is not known."""
    return str(entry.get("gender") or "")


def _age(entry):
    """The age of a clip's speaker in years; NaN if it is not known."""
    try:
        age = float(entry.get("age"))
    except (TypeError, ValueError):
        return math.nan
    return age if math.isfinite(age) else math.nan


def _age_thirds(made, entries):
    """The third of each clip's speaker, by its ends: "20–31"; or empty."""
    ages = {}
    for clip, speaker in zip(made.clips, made.speakers):
        age = _age(entries[clip])
        if not math.isnan(age):
            ages.setdefault(speaker, age)
    third = dict(zip(ages, equal_parts([*ages.values()], 3).tolist()))
    members = {}
    for speaker, index in third.items():
        members.setdefault(index, []).append(ages[speaker])
    names = {
        index: "–".join(f"{age:g}" for age in sorted({min(of), max(of)}))
        for index, of in members.items()
    }
    return [names[third[s]] if s in third else "" for s in made.speakers]
