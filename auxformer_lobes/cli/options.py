"""Options that commands share."""

import argparse
import math
import os

MODALITIES = ("audio", "visual")


def add_model(parser):
    """Adds the options that say which model, and where it runs.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Of the command.
    """
    parser.add_argument(
        "--source",
        required=True,
        metavar="MODEL",
        help="a folder of `auxformer export`, or user/name on the Hub",
    )
    add_fetching(parser)
    parser.add_argument(
        "--trust_source",
        action="store_true",
        help="let the model run any code that it brings",
    )
    add_device(parser)
    parser.add_argument(
        "--batch_size",
        type=number_from(1),
        default=8,
        metavar="N",
        help="as many at a time (%(default)s)",
    )


def add_fetching(parser):
    """Adds the options that say how a model is fetched.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Of the command.
    """
    parser.add_argument(
        "--savedir", metavar="FOLDER", help="for what is fetched from the Hub"
    )
    parser.add_argument(
        "--revision", metavar="NAME", help="branch, tag or commit on the Hub"
    )


def add_device(parser):
    """Adds the option that says where networks run.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Of the command.
    """
    parser.add_argument(
        "--device", help="cpu, cuda:0, ... (a GPU if there is one)"
    )


def run_opts(options):
    """SpeechBrain's options.

    Arguments
    ---------
    options : argparse.Namespace
        With `device`.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        If there is no such device.
    """
    from auxformer_lobes.utils.devices import check_device

    if options.device is None:
        return {}
    check_device(options.device)
    return {"device": options.device}


def load_model(options):
    """Loads the model that is asked for.

    Arguments
    ---------
    options : argparse.Namespace
        Those of `add_model`.

    Returns
    -------
    AudioVisualEmotionRecognizer
    """
    from auxformer_lobes.inference.audiovisual import (
        AudioVisualEmotionRecognizer,
    )

    return AudioVisualEmotionRecognizer.from_hparams(
        options.source,
        options.savedir,
        run_opts(options),
        options.revision,
        options.trust_source,
    )


def columns(task):
    """Titles of what `cells` gives.

    Arguments
    ---------
    task : Task
        What the model predicts.

    Returns
    -------
    list of str
    """
    parts = [f"{x}_{y}" for x in ("quality", "missing") for y in MODALITIES]
    return ["label", *task.names, *parts]


def cells(task, emotion):
    """What is recognised, as a row of a CSV file.

    Arguments
    ---------
    task : Task
        What the model predicts.
    emotion : Emotion
        What it says.

    Returns
    -------
    list of str
    """
    label = emotion.label or ""
    outputs = [emotion.outputs.get(name) for name in task.names]
    quality = [emotion.quality.get(m) for m in MODALITIES]
    return [
        label if isinstance(label, str) else "|".join(label),
        *("" if x is None else f"{x:.6f}" for x in outputs),
        *("" if x is None else f"{x:.3f}" for x in quality),
        *(emotion.missing.get(m, "") for m in MODALITIES),
    ]


def cpus():
    """CPUs that this process may have for itself.

    Returns
    -------
    int
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count()
    return cpus // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def number_from(least, kind=int):
    """Makes a reader of numbers that are no less.

    Arguments
    ---------
    least : int or float
        The least.
    kind : type
        int, or float.

    Returns
    -------
    callable
        From text to a number.
    """

    def _number(text):
        try:
            number = kind(text)
        except ValueError:
            number = None
        # Written so, since NaN is not at least anything.
        if number is None or not least <= number < math.inf:
            raise argparse.ArgumentTypeError(
                f"{text} is not a number from {least}"
            )
        return number

    return _number
