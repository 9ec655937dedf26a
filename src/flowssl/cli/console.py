"""Output of the commands: tables with color on a terminal, plain aligned text in a pipe.

Results go to standard output, remarks and errors to standard error, so that a pipe or a
redirection only ever gets results.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


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
            print(text, file=sys.stderr)

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
            A line above.
        """
        if not rows:
            return
        if sys.stdout.isatty():
            _write_rich(header, rows, title)
        else:
            _write_plain(header, rows, title)


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
