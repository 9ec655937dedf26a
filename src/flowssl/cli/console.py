"""Output of the commands: tables with color on a terminal, plain aligned text in a pipe.

Results go to standard output, remarks and errors to standard error, so that a pipe or a
redirection only ever gets results. All text that is shown goes through `printable`: a file's names
cannot control the terminal.
"""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from flowssl._terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowssl._persistence import JSON


def complain(text: str) -> None:
    """Write a line to standard error; nothing, where it is closed or full."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(_shown(text, sys.stderr), file=sys.stderr)


def reason(error: BaseException) -> str:
    """Return the message of an error as one line; an error of the system begins with its file."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(text.split())


def option(name: str, value: str) -> str:
    """Return an option with its value as it is typed in a shell, also for a value like ``-x``."""
    joint = "=" if value.startswith("-") and value != "-" else " "
    return f"{name}{joint}{shlex.quote(value)}"


def shortened(names: Sequence[str], most: int = 10) -> str:
    """List at most so many names, and say how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


@dataclass(frozen=True)
class Console:
    """Standard output and standard error of one command.

    Attributes
    ----------
    quiet : bool
        Whether to leave out remarks; results and errors are still written.
    """

    quiet: bool = False

    def remark(self, text: str) -> None:
        """Write a line to standard error."""
        if not self.quiet:
            complain(text)

    def lines(self, text: str) -> None:
        """Write lines of text to standard output."""
        for line in text.removesuffix("\n").split("\n"):
            print(_shown(line, sys.stdout))

    def json(self, value: JSON) -> None:
        """Write JSON to standard output, with escapes for all that is not printable ASCII."""
        print(json.dumps(value, indent=2).replace("\x7f", r"\u007f"))

    def facts(self, facts: Sequence[tuple[str, str]], title: str = "") -> None:
        """Write names and values in two columns."""
        self.table((), facts, title)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
        """Write a table, its first column to the left and, under a header, the others to the right.

        Parameters
        ----------
        header : sequence of str
            Names of the columns; empty for a table without a header.
        rows : sequence of sequence of str
            The cells.
        title : str
            A line above, of the program's own words.
        """
        if not rows or sys.stdout is None:
            return
        header = [_shown(name, sys.stdout) for name in header]
        rows = [[_shown(cell, sys.stdout) for cell in row] for row in rows]
        if sys.stdout.isatty():
            _write_rich(header, rows, title)
        else:
            _write_plain(header, rows, title)


def _shown(text: str, stream: TextIO) -> str:
    """Return text as one line that a stream can take, whatever its encoding."""
    encoding = getattr(stream, "encoding", None) or "utf-8"  # a stream of a notebook has none
    return printable(text).encode(encoding, "backslashreplace").decode(encoding)


def _write_plain(header: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    if title:
        print(title)
    lines = [header, *rows] if header else list(rows)
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    for line in lines:
        cells = [
            cell.rjust(width) if header and place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _write_rich(header: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    from rich import box
    from rich.console import Console as Terminal
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_header=bool(header),
        show_edge=False,
        pad_edge=False,
    )
    for place, _ in enumerate(rows[0]):
        name = Text(header[place]) if header else ""
        style = "cyan" if place == 0 else ""
        table.add_column(
            name, style=style, justify="right" if header and place else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*map(Text, row))  # Text: a "[" in a column's name is not markup
    Terminal().print(table)
