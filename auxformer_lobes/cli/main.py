"""The `auxformer` command.

A command is a function that is given its parser: its docstring is the help,
and it returns what to run. What that needs is imported when it runs, so that
`--help` answers at once.
"""

import argparse
import inspect
import signal
import sys

from auxformer_lobes.cli.evaluate import evaluate
from auxformer_lobes.cli.extract import extract, merge
from auxformer_lobes.cli.models import export, info, push
from auxformer_lobes.cli.predict import predict
from auxformer_lobes.cli.timeline import timeline
from auxformer_lobes.utils.errors import UserError, one_line_errors

COMMANDS = (
    extract,
    merge,
    predict,
    timeline,
    evaluate,
    export,
    push,
    info,
)


class _Parser(argparse.ArgumentParser):
    """Tells mistakes in one line."""

    def error(self, message):
        """Ends the program, as argparse would, but without the usage."""
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
    with one_line_errors():
        # Schedulers end a job with SIGTERM.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            parser = _Parser(
                prog="auxformer",
                description="Audiovisual emotion recognition with AuxFormer.",
            )
            commands = parser.add_subparsers(
                metavar="COMMAND", required=True, help="with --help, more of it"
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
            options = parser.parse_args(arguments)
            return options.execute(options)
        except KeyboardInterrupt:
            raise UserError(
                "interrupted: what is finished is kept; run it again to go on"
            )
        finally:
            signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
