"""Find quotes in delimited text that swallow rows: stray ones, and ones that never close.

A quote opens a cell if it is the first character of the cell, blanks aside, and closes it if a
delimiter or the end of the line follows, blanks aside; within the cell a quote is written twice
(RFC 4180). Elsewhere in a cell, as in ``5" pipe``, a quote is a character like any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowssl._typing import Integers

_QUOTE, _NEWLINE = ord('"'), ord("\n")
_LONG, _MANY = 4, 10
_WAY_OUT = 'close it in its line and, if it belongs to the text, put the cell in quotes and write it twice ("")'


class QuoteError(ValueError):
    """A quote is out of place; the message names the line in which it opens."""


@dataclass(frozen=True, eq=False)
class QuotedText:
    """Delimited text whose quotes open and close where they may.

    Attributes
    ----------
    data : bytes
        The text, without blanks before opening quotes, which readers take for parts of cells.
    delimiter : bytes
        One character.
    starts, ends : ndarray of shape (n_cells,), int
        Positions of the opening and closing quotes of the quoted cells.
    """

    data: bytes
    delimiter: bytes
    starts: Integers
    ends: Integers

    def rows_below(self, start: int) -> tuple[Integers, Integers]:
        """Return the line in which each row begins, and its number of cells.

        Parameters
        ----------
        start : int
            Number of lines above the rows. Empty lines are no rows.
        """
        text = np.frombuffer(self.data, np.uint8)
        breaks = self._outside(np.flatnonzero(text == _NEWLINE))
        begins, ends = np.append(0, breaks + 1), np.append(breaks, len(text))
        delimiters = self._outside(np.flatnonzero(text == self.delimiter[0]))
        before = np.searchsorted(delimiters, [begins, ends])
        lines = np.searchsorted(np.flatnonzero(text == _NEWLINE), begins) + 1
        rows = (ends > begins) & (lines > start)
        return lines[rows], (before[1] - before[0] + 1)[rows]

    def _outside(self, positions: Integers) -> Integers:
        """Select the positions that are in no quoted cell."""
        if not len(self.starts):
            return positions
        cell = np.searchsorted(self.starts, positions) - 1
        return positions[(cell < 0) | (positions > self.ends[cell])]

    def refuse_swallowed_rows(self, width: int, belongs: Callable[[int, list[str]], bool]) -> None:
        """Raise `QuoteError` if a quoted cell of several lines holds rows of the table.

        It does if each of its lines, its quotes aside, has as many cells as the table, and there are
        ten lines or more, or the swallowed cells of one of the other columns belong to that column.
        A text of several lines hardly meets both. Empty cells tell only from four lines on.

        Parameters
        ----------
        width : int
            Number of columns of the table.
        belongs : callable
            Whether cells could be in the column at a position.
        """
        if width < 2 or not len(self.starts):
            return
        breaks = np.flatnonzero(np.frombuffer(self.data, np.uint8) == _NEWLINE)
        first, last = np.searchsorted(breaks, self.starts), np.searchsorted(breaks, self.ends)
        for cell in np.flatnonzero(first != last).tolist():
            start, end = int(self.starts[cell]), int(self.ends[cell])
            if self._swallows(start, end, width, belongs):
                raise QuoteError(
                    f"line {first[cell] + 1}: the quote that opens a cell here closes only in "
                    f"line {last[cell] + 1}, and what is between are rows; {_WAY_OUT}."
                )

    def _swallows(
        self, start: int, end: int, width: int, belongs: Callable[[int, list[str]], bool]
    ) -> bool:
        head = self.data[self.data.rfind(b"\n", 0, start) + 1 : start]
        stop = self.data.find(b"\n", end)
        tail = self.data[end + 1 : None if stop < 0 else stop]
        own = head.count(self.delimiter)
        text = (head + self.data[start + 1 : end] + tail).decode(errors="replace")
        delimiter = self.delimiter.decode()
        rows = [[cell.strip() for cell in line.split(delimiter)] for line in text.split("\n")]
        if any(len(row) != width for row in rows):
            return False
        if len(rows) >= _MANY:
            return True
        for place in range(width):
            inside = rows[:-1] if place > own else rows[1:]
            cells = [row[place] for row in inside]
            tells = any(cells) or len(rows) >= _LONG
            if place != own and tells and belongs(place, [cell for cell in cells if cell]):
                return True
        return False


def quoted_text(data: bytes, delimiter: str) -> QuotedText:
    r"""Check that each quote that opens a cell closes it.

    Parameters
    ----------
    data : bytes
        Text with ``\n`` at the ends of lines.
    delimiter : str
        One ASCII character.

    Raises
    ------
    QuoteError
        If a quote never closes, or text follows where it does.
    """
    separator = delimiter.encode()
    text = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(text == _QUOTE)
    if len(quotes) % 2 == 0:
        # Twice a quote within a cell closes and opens it at once, which changes nothing here.
        opening, closing = quotes[::2], quotes[1::2]
        before = np.where(opening > 0, text[opening - 1], _NEWLINE)
        after = np.where(closing + 1 < len(text), text[(closing + 1) % len(text)], _NEWLINE)
        allowed = [separator[0], _NEWLINE, _QUOTE]
        if np.isin(before, allowed).all() and np.isin(after, allowed).all():
            return QuotedText(data, separator, opening[before != _QUOTE], closing[after != _QUOTE])
    return _scanned(data, separator)


def _scanned(data: bytes, delimiter: bytes) -> QuotedText:
    """Go from quoted cell to quoted cell, for texts whose quotes do not simply pair up."""
    blanks = rb" *" if delimiter == b"\t" else rb"[ \t]*"
    separator = re.escape(delimiter)
    opening = re.compile(rb"(?:\A|(?<=[%b\n]))(%b)\"" % (separator, blanks))
    inside = re.compile(rb'[^"]*(?:""[^"]*)*"')
    following = re.compile(rb"%b(?:[%b\n]|\Z)" % (blanks, separator))
    kept: list[bytes] = []
    starts, ends = [], []
    position = removed = 0
    while found := opening.search(data, position):
        closed = inside.match(data, found.end())
        if closed is None or following.match(data, closed.end()) is None:
            raise QuoteError(_misplaced(data, found.end(), closed and closed.end()))
        kept.append(data[position : found.start(1)])
        removed += len(found[1])
        kept.append(data[found.end(1) : closed.end()])
        starts.append(found.end() - 1 - removed)
        ends.append(closed.end() - 1 - removed)
        position = closed.end()
    kept.append(data[position:])
    return QuotedText(b"".join(kept), delimiter, np.array(starts, int), np.array(ends, int))


def _misplaced(data: bytes, opened: int, closed: int | None) -> str:
    """Say where a quote opens and what is wrong with where it closes, if it does."""
    line = data.count(b"\n", 0, opened) + 1
    fault = "never closes"
    if closed is not None:
        fault = f"closes in line {data.count(b'%c' % _NEWLINE, 0, closed) + 1}, with text behind it"
    return f"line {line}: the quote that opens a cell here {fault}; {_WAY_OUT}."
