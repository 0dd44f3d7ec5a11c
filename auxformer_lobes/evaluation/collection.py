"""All metrics of a test: the content of `metrics.json`."""

import numpy as np

from auxformer_lobes.evaluation.calibration import measure_calibration
from auxformer_lobes.evaluation.disagreement import measure_disagreement
from auxformer_lobes.evaluation.subgroups import measure_subgroups
from auxformer_lobes.tasks import describe_task


def collect_metrics(predictions, task, **bootstrap):
    """All metrics of a test.

    Arguments
    ---------
    predictions : dict of Predictions
        By name of the condition.
    task : Task
        What was predicted.
    **bootstrap
        Further arguments of `bootstrap_metrics`.

    Returns
    -------
    dict
        `test.<condition>.<head>.<metric>`, each `{value, low, high, kind}`;
        the outputs, the task, what was fitted for it on the development set,
        the number of clips and of clips without a label, and the speakers.
    """
    first = next(iter(predictions.values()))
    labelled = task.has_label(np.array(first.truth))
    return {
        "test": {
            condition: {
                head: made.scores(task, head, **bootstrap)
                for head in made.outputs
            }
            for condition, made in predictions.items()
        },
        "outputs": list(task.names),
        "task": describe_task(task),
        "fitted": task.settings,
        "test_clips": len(first.clips),
        "test_clips_unlabelled": int((~labelled).sum()),
        "test_speakers": sorted(set(first.speakers)),
    }


def collect_details(raw, predictions, task, entries, **bootstrap):
    """Calibration, disagreement with raters, and metrics of subgroups.

    Arguments
    ---------
    raw : dict of Predictions
        By name of the condition, not calibrated.
    predictions : dict of Predictions
        The same, calibrated.
    task : Task
        What was predicted.
    entries : dict
        Clip → its entry in the manifest.
    **bootstrap
        Further arguments of `bootstrap_metrics`.

    Returns
    -------
    dict
        `calibration`, `disagreement` and `subgroups`, each by condition, see
        `measure_calibration`, `measure_disagreement`, `measure_subgroups`;
        without those that the task or the manifest does not allow.
    """
    details = {
        "calibration": measure_calibration(task, raw, predictions),
        "disagreement": measure_disagreement(
            task, predictions, entries, **bootstrap
        ),
        "subgroups": measure_subgroups(task, predictions, entries, **bootstrap),
    }
    return {name: made for name, made in details.items() if made}
