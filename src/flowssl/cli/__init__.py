"""The command ``flowssl``: from data with a few labels to a saved model.

`main` reads the command line, runs one command and turns errors into one plain line and an exit
code. Heavy modules are imported when a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from flowssl.cli.console import Console, complain, reason
from flowssl.cli.parser import build_parser
from flowssl.cli.places import check_standard_output
from flowssl.exceptions import FlowSSLWarning, TrainingDivergedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from types import FrameType

__all__ = ["main"]


_BY_SIGNAL = 128  # is added to the signal's number, as shells have it
_BROKEN_PIPE = _BY_SIGNAL + 13


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
        that diverged and for errors of flowssl itself; 130 after Ctrl-C, 143 after SIGTERM.
    """
    try:
        words = sys.argv[1:] if argv is None else argv
        arguments = build_parser(words).parse_args(words)
    except SystemExit as stop:  # --help, --version, or an error that argparse has reported
        return int(stop.code or 0)
    with warnings.catch_warnings(), _ending_by_signals():
        if not arguments.debug:
            _plain_warnings(arguments.quiet)
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    try:
        check_standard_output(arguments)
        code: int = arguments.run(arguments, Console(arguments.quiet))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _fail("interrupted.", _BY_SIGNAL + signal.SIGINT)
    except _Ended as ended:
        return _fail(f"ended by {ended.signal.name}.", _BY_SIGNAL + ended.signal)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _drop_output()
        return _BROKEN_PIPE
    except (ImportError, OSError, ValueError) as error:  # DataError, ModelFileError among them
        if arguments.debug:
            raise
        _drop_output()
        return _fail(reason(error), 2)
    except (MemoryError, TrainingDivergedError) as error:
        if arguments.debug:
            raise
        return _fail(reason(error) or "out of memory.", 1)
    except Exception as error:  # the last resort: no traceback unless asked for
        if arguments.debug:
            raise
        kind = type(error).__name__
        return _fail(f"{kind}: {reason(error)} (add --debug to see where it happened)", 1)


def _fail(message: str, code: int) -> int:
    complain(f"flowssl: {message}")
    return code


def _drop_output() -> None:
    """Drop what standard output has not taken, so that the interpreter does not try again."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):  # it is full, its reader is gone, or it is closed
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Ended(BaseException):
    """A signal asks the process to end; like Ctrl-C no `Exception`, and temporary files go."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)


@contextmanager
def _ending_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into exceptions; a signal that is ignored, as by nohup, stays so."""
    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    taken = []
    if threading.current_thread() is threading.main_thread():
        taken = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise _Ended(number)


def _plain_warnings(quiet: bool) -> None:
    """Show flowssl's own warnings as one line each, without the line of code that gave them."""

    def show(message: Warning | str, *details: object, **more: object) -> None:
        complain(f"flowssl: warning: {' '.join(str(message).split())}")

    warnings.simplefilter("ignore")
    if not quiet:
        warnings.simplefilter("always", FlowSSLWarning)
    warnings.showwarning = show
