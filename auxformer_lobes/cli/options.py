"""Options that commands share."""

import argparse
import math

from auxformer_lobes.utils.cpus import cpus


def add_model(parser):
    """Adds the options of a model and how it runs.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        The command's.
    """
    parser.add_argument(
        "--source",
        required=True,
        metavar="MODEL",
        help="folder made by `auxformer export`, or USER/NAME on the Hugging "
        "Face Hub",
    )
    add_download(parser)
    parser.add_argument(
        "--trust_source",
        action="store_true",
        help="allow the model to run its own code",
    )
    add_device(parser)
    parser.add_argument(
        "--batch_size",
        type=number_from(1),
        default=8,
        metavar="N",
        help="clips per batch (default: %(default)s)",
    )
    parser.add_argument(
        "--audio_track",
        type=number_from(1),
        metavar="N",
        help="audio track to use, from 1 (default: the file's default track, "
        "or else the first that is not silent)",
    )


def add_window(parser):
    """Adds the options of a timeline.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        The command's.
    """
    parser.add_argument(
        "--window",
        type=number_from(0.1, float),
        default=2.0,
        metavar="S",
        help="length of a window, s (default: %(default)s)",
    )
    parser.add_argument(
        "--hop",
        type=number_from(0.01, float),
        default=0.5,
        metavar="S",
        help="from one window to the next, s (default: %(default)s)",
    )


def add_download(parser):
    """Adds the options of downloads from the Hub.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        The command's.
    """
    parser.add_argument(
        "--savedir",
        metavar="FOLDER",
        help="where to keep downloads (default: the Hub's cache)",
    )
    parser.add_argument(
        "--revision",
        metavar="NAME",
        help="branch, tag or commit on the Hub (default: main)",
    )


def add_device(parser):
    """Adds the option of the device.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        The command's.
    """
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="device of the networks: cpu, cuda:0, ... "
        "(default: a GPU if there is one)",
    )


def add_num_workers(parser):
    """Adds the option of worker processes.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        The command's.
    """
    parser.add_argument(
        "--num_workers",
        type=number_from(0),
        default=cpus(),
        metavar="N",
        help="processes that read files (default: %(default)s, one per CPU)",
    )


def run_opts(options):
    """SpeechBrain's `run_opts`.

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
    """Loads the model.

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

    recognizer = AudioVisualEmotionRecognizer.from_hparams(
        options.source,
        options.savedir,
        run_opts(options),
        options.revision,
        options.trust_source,
    )
    recognizer.reader.audio_track = options.audio_track
    return recognizer


def number_from(minimum, kind=int):
    """The `type` of an option: a finite number of at least `minimum`.

    Arguments
    ---------
    minimum : int or float
        The least value allowed.
    kind : type
        int, or float.

    Returns
    -------
    callable
        Text → number.

    Example
    -------
    >>> number_from(1)("8")
    8
    """

    def _number(text):
        try:
            number = kind(text)
        except ValueError:
            number = math.nan
        # In this order, since NaN compares false.
        if not minimum <= number < math.inf:
            raise argparse.ArgumentTypeError(
                f"{text} is not a number from {minimum}"
            )
        return number

    return _number
