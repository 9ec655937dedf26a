"""The command ``flowssl``: from data with a few labels to a saved model.

`main` reads the command line, runs one command and turns errors into one plain line and an exit
code. Heavy modules are imported when a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

from flowssl.cli.console import Console
from flowssl.cli.parser import build_parser
from flowssl.exceptions import FlowSSLWarning, TrainingDivergedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]


_BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        0 if all went well; 2 for bad input, with one line on standard error; 1 for a training
        that diverged and for errors of flowssl itself; 130 after Ctrl-C.
    """
    try:
        words = sys.argv[1:] if argv is None else argv
        arguments = build_parser(words).parse_args(words)
    except SystemExit as stop:  # --help, --version, or an error that argparse has reported
        return int(stop.code or 0)
    with warnings.catch_warnings():
        if not arguments.debug:
            _plain_warnings(arguments.quiet)
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    try:
        code: int = arguments.run(arguments, Console(arguments.quiet))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)  # 128 + SIGINT
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except (ImportError, OSError, ValueError) as error:  # DataError, ModelFileError among them
        if arguments.debug:
            raise
        return _fail(str(error), 2)
    except (MemoryError, TrainingDivergedError) as error:
        if arguments.debug:
            raise
        return _fail(str(error) or "out of memory.", 1)
    except Exception as error:  # the last resort: no traceback unless asked for
        if arguments.debug:
            raise
        kind = type(error).__name__
        return _fail(f"{kind}: {error} (add --debug to see where it happened)", 1)


def _fail(message: str, code: int) -> int:
    print("flowssl:", " ".join(message.split()), file=sys.stderr)
    return code


def _plain_warnings(quiet: bool) -> None:
    """Show flowssl's own warnings as one line each, without the line of code that gave them."""

    def show(message: Warning | str, *details: object, **more: object) -> None:
        print("flowssl: warning:", " ".join(str(message).split()), file=sys.stderr)

    warnings.simplefilter("ignore")
    if not quiet:
        warnings.simplefilter("always", FlowSSLWarning)
    warnings.showwarning = show
