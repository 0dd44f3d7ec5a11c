"""The `auxformer` command.

A command is a function that adds its arguments to a parser and returns what
runs it; its docstring is the help. Heavy imports come when it runs, so that
`--help` answers at once.
"""

import argparse
import atexit
import errno
import gc
import inspect
import os
import signal
import sys
from contextlib import contextmanager

from auxformer_lobes.cli.audit import audit
from auxformer_lobes.cli.compare import compare
from auxformer_lobes.cli.corrupt import corrupt
from auxformer_lobes.cli.evaluate import evaluate
from auxformer_lobes.cli.experiment import experiment
from auxformer_lobes.cli.extract import extract, merge
from auxformer_lobes.cli.init import init
from auxformer_lobes.cli.models import export, info, push
from auxformer_lobes.cli.predict import predict
from auxformer_lobes.cli.timeline import timeline
from auxformer_lobes.cli.web import web
from auxformer_lobes.utils.errors import UserError, one_line_errors

COMMANDS = (
    init,
    audit,
    extract,
    merge,
    predict,
    timeline,
    web,
    corrupt,
    evaluate,
    experiment,
    compare,
    export,
    push,
    info,
)

# At its end, Python would search all that torch has made for garbage: 0.6 s.
atexit.register(gc.freeze)

# Options whose value may start with "-", as a regular expression does.
LITERAL = ("--speaker", "--severity")


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """Raises a `UserError`, in place of the usage and exit code 2."""
        raise UserError(f"{message}: see `{self.prog} --help`")


def main(arguments=None):
    """Runs the `auxformer` command.

    Arguments
    ---------
    arguments : list of str
        Those of the command line by default.

    Returns
    -------
    int or None
        The exit code.
    """
    if arguments is None:
        arguments = sys.argv[1:]
    with one_line_errors():
        parser = _make_parser()
        options, others = parser.parse_known_args(_join_literals(arguments))
        if "others" in options:  # a command that passes options on
            options.others = others
        elif others:
            parser.error(f"unrecognized arguments: {' '.join(others)}")
    with (
        one_line_errors(debug="debug" in options),
        _safe_output(),
        _interruptible(),
    ):
        return options.execute(options)


def _join_literals(arguments):
    """Writes `--option value` as `--option=value`, which argparse splits."""
    joined = []
    for word in arguments:
        if joined and joined[-1] in LITERAL and not word.startswith("--"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _make_parser():
    parser = _Parser(
        prog="auxformer",
        description="Audiovisual emotion recognition with AuxFormer.",
        epilog="`auxformer COMMAND --help` describes a command.",
    )
    _add_debug(parser)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    for command in COMMANDS:
        text = inspect.getdoc(command)
        command_parser = commands.add_parser(
            command.__name__,
            help=text.partition("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command_parser.set_defaults(execute=command(command_parser))
        _add_debug(command_parser)
    return parser


def _add_debug(parser):
    parser.add_argument(
        "--debug",
        action="store_true",
        # The command's default would overrule what comes before the command.
        default=argparse.SUPPRESS,
        help="print the traceback of an error",
    )


@contextmanager
def _safe_output():
    """Prints names in any encoding; ends in order where nobody reads.

    A full disk is an error of one line.
    """
    streams = [s for s in (sys.stdout, sys.stderr) if s]  # None if closed
    for stream in streams:
        # Of names that are not UTF-8, or not of the terminal's encoding.
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
        for stream in streams:
            stream.flush()
    except BrokenPipeError:  # of `| head`, for one
        # Python flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise UserError(
            f"{error.strerror}: make room for the output, and for temporary "
            "files (TMPDIR)"
        )


@contextmanager
def _interruptible():
    """Ends a command in order on Ctrl-C, and on signals that end it.

    SIGTERM, as schedulers send, and SIGHUP of a terminal that is closed, unless
    it is ignored, as under nohup.
    """
    before = {
        each: signal.signal(each, signal.default_int_handler)
        for each in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(each) != signal.SIG_IGN
    }
    try:
        yield
    except KeyboardInterrupt:
        raise UserError(
            "interrupted: what is finished is kept; run it again to continue"
        )
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


if __name__ == "__main__":
    sys.exit(main())
