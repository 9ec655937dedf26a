"""Decide what the columns of a table of text hold: numbers, times, true and false, or text.

Without a schema, a column gets a type if all of its cells, marks of missing values aside, are
written in one way that the type has; what could be read in another way is told in a note. With the
schema of an earlier table, each cell is read by itself, whatever the rest of the file holds.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from flowssl._field_facts import CELLS, FAULT, NOTATION, NOTE
from flowssl._missing_marks import (
    ERRORS_OF_SPREADSHEETS,
    MARKS,
    MARKS_AMONG_NUMBERS,
    NO_LABEL,
    missing_marks,
)
from flowssl._notation import (
    PLAIN,
    Notation,
    notations_of,
    with_ascii_minus,
    without_separators,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

_ZERO_FIRST = r"^[-+]?0\d"
_LONG, _TOO_LONG = r"^[-+]?\d{16,}$", r"^[-+]?\d{19,}$"  # than float64 and int64 hold
_BARE_EXPONENT = r"^[-+]?\d+[eE]\d+$"
_PHONE = r"^\+\d{8,15}$"
_FRACTION = r"\.|[eE][-+]"
_TIME_OF_DAY = r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?$"
_LIKE_A_DURATION = (
    r"^[-+]?(\d+ days?,? ?)?[-+]?\d+:[0-5]\d(:[0-5]\d([.,]\d+)?)?\s?([aApP]\.?[mM]\.?)?$"
)
_ISO_DATE_FIRST = r"^\d{4}-\d{2}-\d{2}"
_LIKE_A_DATE = (
    r"^(\d{1,2}[./-]\d{1,2}[./-]\d{2}(\d{2})?|\d{4}[./-]\d{1,2}[./-]\d{1,2})"
    r"([T ,]+\d{1,2}:\d{2}.*)?$"
)
_LIKE_A_NUMBER = (
    r"^[<>~\x{2264}\x{2265}\x{2248}]?=?\s?"
    r"[-+(\x{2212}\x{2013}]*([A-Z]{1,3}\s|[A-Z]{0,3}\p{Sc})?\s?[-+]?"
    r"(0x[0-9a-fA-F]+|"
    r"[.,]?\p{Nd}[\p{Nd}.,'\s\x{a0}\x{2009}\x{202f}\x{2019}\x{66b}\x{66c}]*([eE][-+]?\d+)?)"
    r"\s?(\p{Sc}|%|[ \x{a0}][a-zA-Z\x{b5}\x{b0}]{1,3}[\x{b2}\x{b3}]?)?[)-]?$"
)
_INEXACT = 1e18  # numbers from here on have the digits of `_TOO_LONG`
_FEW = 1000  # cells that are looked at first: where numbers have fractions, most have
_SHOWN = 60  # characters of a cell in a message
_MOSTLY = 0.5
# Marks that only a column of numbers or times has; others need no note there.
_RARE_MARKS = [*set(MARKS_AMONG_NUMBERS).difference(MARKS), *ERRORS_OF_SPREADSHEETS]

Place: TypeAlias = "Callable[[int], str]"
"""Names the file and the line of a row."""


@dataclass(frozen=True, eq=False)
class _Column:
    """A column that has its type, and what there is to say about it."""

    values: pa.ChunkedArray
    metadata: dict[bytes, str] = field(default_factory=dict)
    ways: Sequence[Notation] = ()
    """For numbers: the notations in which all cells are numbers; empty if plain."""

    def noted(self, note: str) -> _Column:
        """Return the column with one more note, unless it is empty."""
        notes = [text for text in (self.metadata.get(NOTE), note) if text]
        metadata = {**self.metadata, NOTE: "; ".join(notes)} if notes else self.metadata
        return replace(self, metadata=metadata)


def guess_types(
    table: pa.Table, as_text: Collection[str], delimiter: str, place: Place
) -> pa.Table:
    """Give each column of text the type that all of its cells have.

    Parameters
    ----------
    table : pyarrow.Table
        Columns of text without blanks around it, null where a cell is empty.
    as_text : collection of str
        Names of columns to leave as they are.
    delimiter : str
        What separates the cells: where nothing else tells, "1,234" is a thousand between commas.
    place : callable
        Names the file and the line of a row.

    Returns
    -------
    pyarrow.Table
        With notes, faults and notations in the metadata of its fields.
    """

    def typed(name: str, cells: pa.ChunkedArray) -> _Column:
        return _Column(cells, {CELLS: ""}) if name in as_text else _guessed(cells, place)

    with ThreadPoolExecutor(pa.cpu_count()) as threads:  # Arrow computes without Python's lock
        columns = list(threads.map(typed, table.column_names, table.columns))
    numeric = [at for at, column in enumerate(columns) if _is_number(column.values)]
    if any(columns[at].ways for at in numeric):
        decide = _Decision(
            {at: columns[at].ways or _ways(table.column(at)) or [PLAIN] for at in numeric},
            {at: _has(table.column(at), "[.,]") for at in numeric},
            delimiter,
        )
        for at in numeric:
            notation, why = decide(at)
            columns[at] = _written(table.column(at), columns[at], notation, why, place)
    fields = [
        pa.field(name, column.values.type, metadata=column.metadata or None)
        for name, column in zip(table.column_names, columns, strict=True)
    ]
    return pa.table([column.values for column in columns], schema=pa.schema(fields))


def _guessed(cells: pa.ChunkedArray, place: Place) -> _Column:
    present = without_marks(cells)
    if present.null_count == len(present):
        return _Column(pa.chunked_array([pa.nulls(len(cells))]))
    column = _plain_numbers(cells, present, place) or _other_numbers(present)
    column = column or _times(present) or _booleans(present) or _text(cells)
    if pa.types.is_string(column.values.type):
        return column
    rare = pc.unique(cells.filter(pc.is_in(cells, pa.array(_RARE_MARKS)))).to_pylist()
    return column.noted(f"read as missing: {_listed(rare)}" if rare else "")


def without_marks(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Make the marks null that stand for missing values among numbers and times."""
    marks = pc.is_in(cells, pa.array(MARKS_AMONG_NUMBERS))
    if not pc.any(marks).as_py():
        return cells
    return pc.if_else(marks, pa.scalar(None, pa.string()), cells)


def _plain_numbers(
    cells: pa.ChunkedArray, present: pa.ChunkedArray, place: Place
) -> _Column | None:
    """Read numbers as programs write them."""
    try:
        pc.cast(present, pa.float64())
    except pa.ArrowInvalid:
        return None
    return _numbers(cells, present, place)


def _other_numbers(present: pa.ChunkedArray) -> _Column | None:
    """Recognize numbers as people write them; which, depends on the other columns, too."""
    if not _has(present.drop_null()[:1], _LIKE_A_NUMBER):
        return None
    ways = _ways(present)
    return _Column(pc.cast(present[:0], pa.float64()), ways=ways) if ways else None


def _ways(cells: pa.ChunkedArray) -> list[Notation]:
    levels = pc.unique(without_marks(cells)).drop_null()
    return notations_of(with_ascii_minus(levels))


class _Decision:
    """How the numbers of each column are written, which other columns may tell.

    Parameters
    ----------
    ways : dict
        For each column, by its position, the notations in which all of its cells are numbers.
    separated : dict
        For each column whether it has points or commas.
    delimiter : str
        What separates the cells of the file.
    """

    def __init__(
        self, ways: dict[int, Sequence[Notation]], separated: dict[int, bool], delimiter: str
    ) -> None:
        self._ways = ways
        self._separated = separated
        self._delimiter = delimiter
        self._certain = {
            ways[at][0].decimal
            for at in ways
            if separated[at] and len({way.decimal for way in ways[at]}) == 1
        }
        # Separators of thousands that some column cannot be read without.
        self._groups = {way[0].group for way in ways.values() if all(n.group for n in way)}

    def __call__(self, at: int) -> tuple[Notation, str]:
        """Return the notation of a column and, where its cells leave it open, why this one."""
        ways = self._ways[at]
        is_open = len({way.decimal for way in ways}) > 1
        if not is_open:
            decimal, why = ways[0].decimal, ""
        elif len(self._certain) == 1:
            (decimal,) = self._certain
            why = f"as other columns have decimal {'points' if decimal == '.' else 'commas'}"
        else:
            likely_comma = self._delimiter != "," and ways[0].decimal == ","
            decimal = "," if likely_comma else "."
            other = "," if decimal == "." else "."
            why = f"though {other!r} may be its decimal point; write it without separators of thousands"
        possible = [way for way in ways if way.decimal == decimal]
        groups = self._groups or ({"."} if decimal == "," else set())
        notation = next((way for way in possible if way.group in groups), possible[0])
        is_usual = notation == PLAIN and "," not in self._certain
        return notation, why if is_open and self._separated[at] and not is_usual else ""


def _written(
    cells: pa.ChunkedArray, column: _Column, notation: Notation, why: str, place: Place
) -> _Column:
    """Read numbers that are written in a notation; note an example of what is not plain."""
    present = with_ascii_minus(without_marks(cells))
    plain = without_separators(present, notation)
    changed = pc.and_kleene(pc.is_valid(plain), pc.not_equal(plain, present))
    row = pc.index(changed, True).as_py()
    if row >= 0 or column.ways:
        note = column.metadata.get(NOTE, "")
        column = _numbers(cells, plain, place)
        if pa.types.is_string(column.values.type):
            return column
        column = column.noted(note)
    if notation.sign == "%":
        column = replace(column, values=pc.divide(pc.cast(column.values, pa.float64()), 100.0))
    if row >= 0 or why:
        if why:  # an example that is read in another way, not one whose sign alone is taken off
            row = pc.index(pc.match_substring_regex(present, "[.,]"), True).as_py()
        value = column.values[row].as_py()
        reading = f"{shown(cells[row].as_py())} is read as {value:.15g}"
        column = column.noted(f"{reading}, {why}" if why else reading)
    if (text := notation.to_text()) is not None:
        column = replace(column, metadata={**column.metadata, NOTATION: text})
    return column


def _numbers(cells: pa.ChunkedArray, plain: pa.ChunkedArray, place: Place) -> _Column:
    """Convert plain numbers to integers if all are, else to float64; codes stay text."""
    try:
        values = pc.cast(plain, pa.int64())
    except pa.ArrowInvalid:
        values = pc.cast(plain, pa.float64())
    codes = [(_ZERO_FIRST, "begins with a zero, as codes do")]
    if not pa.types.is_integer(values.type):
        row = pc.index(pc.is_inf(values), True).as_py()
        if row >= 0:
            fault = f"{place(row)}: {shown(cells[row].as_py())} is no finite number"
            return _Column(values, {FAULT: fault})
        if pc.max(pc.abs(values)).as_py() >= _INEXACT:
            codes.append((_TOO_LONG, "has more digits than a number keeps"))
        if not _has(plain[:_FEW], _FRACTION) and not _has(plain, _FRACTION):
            codes.append((_BARE_EXPONENT, "looks like a code"))
            if _all(plain, _PHONE):
                codes.append((_PHONE, "looks like a phone number"))
    elif not _is_exact(values):
        codes.append((_LONG, "has more digits than a number keeps"))
    for pattern, reason in codes:
        found = plain.filter(pc.match_substring_regex(plain, pattern))
        if len(found):
            return _text(cells, f"it stays text: {shown(found[0].as_py())} {reason}")
    return _Column(values)


def _is_exact(integers: pa.ChunkedArray) -> bool:
    """Whether float64, which models compute with, holds each of the integers exactly."""
    floats = pc.cast(integers, pa.float64(), safe=False)
    same = pc.equal(pc.cast(floats, pa.int64(), safe=False), integers)
    return bool(pc.all(same).as_py())


def _times(present: pa.ChunkedArray) -> _Column | None:
    """Read dates and times as ISO 8601 has them."""
    if not _has(present.drop_null()[:1], _ISO_DATE_FIRST):
        if _all(present, _TIME_OF_DAY):
            return _Column(_times_of_day(present))
        return None
    for kind in (
        pa.date32(),
        *(pa.timestamp(u, z) for z in (None, "UTC") for u in ("s", "us", "ns")),
    ):
        try:
            return _Column(pc.cast(present, kind))
        except pa.ArrowInvalid:
            continue
    return None


def _times_of_day(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    # Arrow casts no text to a time of day.
    moments = pc.binary_join_element_wise("1970-01-01", cells, " ")
    return pc.cast(pc.cast(moments, pa.timestamp("us")), pa.time64("us"))


def _booleans(present: pa.ChunkedArray) -> _Column | None:
    if not _all(present, "^(?i:true|false)$"):
        return None
    return _Column(pc.equal(pc.utf8_lower(present), "true"))


def _text(cells: pa.ChunkedArray, note: str = "") -> _Column:
    """Leave text, without its marks of missing values; note what looks like another type."""
    column = _Column(cells).noted(note or _resemblance(cells))
    is_mark = pc.is_in(cells, pa.array([*MARKS, *NO_LABEL]))
    if not pc.any(is_mark).as_py():
        return column
    found = pc.unique(cells.filter(is_mark)).to_pylist()
    marks = sorted(missing_marks(pc.unique(cells).drop_null().to_pylist()))
    for mark in found:
        n_rows = pc.sum(pc.equal(cells, mark)).as_py()
        if mark in marks:
            column = column.noted(f"{mark!r} is read as missing (rows: {n_rows:,})")
        else:
            column = column.noted(f"{mark!r} is a value like others; leave missing ones empty")
    null = pa.scalar(None, pa.string())
    kept = pc.if_else(pc.is_in(cells, pa.array(marks, pa.string())), null, cells)
    return replace(column, values=kept)


def _resemblance(cells: pa.ChunkedArray) -> str:
    """Say that text looks like dates, times or numbers, if most of it does."""
    present = without_marks(cells).drop_null()
    likely = (
        (_LIKE_A_DATE, "date", "2020-12-31"),
        (_LIKE_A_DURATION, "time", "3600, in seconds or another unit"),
        (_LIKE_A_NUMBER, "number", "1234.5"),
    )
    for pattern, what, plain in likely:
        is_like = pc.match_substring_regex(present, pattern)
        n_like = pc.sum(is_like).as_py() or 0
        if n_like <= _MOSTLY * len(present):
            continue
        if n_like < len(present):
            stray = present.filter(pc.invert(is_like))[0].as_py()
            return (
                f"it stays text, because {shown(stray)} is not a {what}; leave missing cells empty"
            )
        example = _listed(pc.unique(present)[:2].to_pylist())
        return f"it stays text: write all of its {what}s like {plain}, not like {example}"
    return ""


def _listed(cells: Sequence[str]) -> str:
    return " and ".join(map(shown, cells))


def shown(cell: str) -> str:
    """Return a cell for a message, in quotes and not too long."""
    return repr(cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}...")


def _is_number(values: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_integer(values.type) or pa.types.is_floating(values.type))


def _has(cells: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(cells, pattern)).as_py())


def _all(cells: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(cells, pattern)).as_py())
