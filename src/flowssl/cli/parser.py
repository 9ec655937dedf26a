"""The parser of ``flowssl``. Nothing heavy is imported: ``--help`` must answer at once."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from flowssl.cli.console import complain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowssl.cli.console import Console

COMMANDS = (
    "fit",
    "predict",
    "score",
    "sample",
    "evaluate",
    "calibrate",
    "info",
    "report",
    "demo",
)
"""The commands in the order of the help, each a module of this package (see `Command`)."""


class Command(Protocol):
    """What the module of a command has.

    Attributes
    ----------
    SUMMARY : str
        What it does, for the list of commands: a phrase in the imperative, without a final stop.
    DETAILS : str
        Further sentences for its own help.
    """

    SUMMARY: str
    DETAILS: str

    def add_arguments(self, parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
        """Add its arguments; ``words`` are the command line, on which they may depend."""

    def run(self, arguments: argparse.Namespace, console: Console) -> int:
        """Run it and return the exit code."""


class _Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        complain(f"{self.prog}: {message} (see {self.prog} --help)")
        raise SystemExit(2)


class _Version(argparse.Action):
    """Print the version; it is looked up only on request."""

    def __call__(self, parser: argparse.ArgumentParser, *details: object) -> None:
        import flowssl

        print(f"flowssl {flowssl.__version__}")
        raise SystemExit(0)


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser of ``flowssl`` with all its commands.

    Parameters
    ----------
    words : sequence of str
        The command line: the options of ``fit`` depend on its ``--method``.

    Returns
    -------
    argparse.ArgumentParser
        The parsed arguments hold the command's function as ``run``, the command line as ``words``,
        and ``quiet`` and ``debug``.
    """
    parser = _Parser(
        prog="flowssl",
        description="Learn to classify from a few labeled rows and many unlabeled ones.",
        epilog="'flowssl COMMAND --help' lists the options of a command; try 'flowssl demo'.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    _add_common(parser, default=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        command = cast(Command, import_module(f"flowssl.cli.{name}"))
        summary = command.SUMMARY
        description = f"{summary[0].upper()}{summary[1:]}. {command.DETAILS}".strip()
        sub = commands.add_parser(name, help=summary, description=description)
        command.add_arguments(sub, words)
        sub.set_defaults(run=command.run, words=tuple(words))
        _add_common(sub, default=argparse.SUPPRESS)
    return parser


def _add_common(parser: argparse.ArgumentParser, default: bool | str) -> None:
    group = parser.add_argument_group("messages")
    group.add_argument(
        "-q", "--quiet", action="store_true", default=default, help="write only results and errors"
    )
    group.add_argument(
        "--debug", action="store_true", default=default, help="show tracebacks and all warnings"
    )
