"""Read columns of text by the schema of an earlier table, each cell by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from flowssl._field_facts import CELLS, KEPT_MARKS, NOTATION, NOTE, fact
from flowssl._missing_marks import MARKS, NO_LABEL
from flowssl._notation import PLAIN, Notation, with_ascii_minus, without_separators
from flowssl._text_columns import shown, without_marks
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from flowssl._text_columns import Place

_TRUE, _FALSE = ["true", "1", "1.0"], ["false", "0", "0.0"]


def read_by_schema(
    table: pa.Table, as_text: Collection[str], schema: pa.Schema, place: Place
) -> pa.Table:
    """Convert columns of text to the types of a schema.

    Parameters
    ----------
    table : pyarrow.Table
        Columns of text without blanks around it, null where a cell is empty.
    as_text : collection of str
        Names of columns to leave as they are; so are those that are not in the schema.
    schema : pyarrow.Schema
        Names and types; the metadata of a field may have the notation of its numbers.
    place : callable
        Names the file and the line of a row.

    Raises
    ------
    DataError
        If a cell is no finite number, or no time, where the schema has one.
    """
    fields, columns = [], []
    for name, cells in zip(table.column_names, table.columns, strict=True):
        values, field = cells, pa.field(name, pa.string(), metadata={CELLS: ""})
        if name in schema.names and name not in as_text:
            values, field = _by_field(cells, schema.field(name), place)
        columns.append(values)
        fields.append(field)
    return pa.table(columns, schema=pa.schema(fields))


def _by_field(
    cells: pa.ChunkedArray, field: pa.Field, place: Place
) -> tuple[pa.ChunkedArray, pa.Field]:
    kind, metadata = field.type, field.metadata or {}
    if pa.types.is_boolean(kind):
        values, note = _booleans(without_marks(cells))
        metadata = {**metadata, NOTE: note} if note else metadata
    elif pa.types.is_floating(kind) or pa.types.is_integer(kind):
        notation = Notation.from_text(fact(field, NOTATION))
        what = f"a number like {notation.example}"
        values = _convert_all(
            without_marks(cells), lambda part: _numbers(part, notation), field.name, what, place
        )
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zone = getattr(kind, "tz", None)
        what = "a time with a time zone" if zone else "a date or a time without time zone"
        values = _convert_all(
            without_marks(cells),
            lambda part: pc.cast(part, pa.timestamp("us", zone)),
            field.name,
            f"{what} as in ISO 8601",
            place,
        )
    else:
        kept = (fact(field, KEPT_MARKS) or "").split("\n")
        marks = [mark for mark in (*MARKS, *NO_LABEL) if mark not in kept]
        values = pc.if_else(pc.is_in(cells, pa.array(marks)), pa.scalar(None, pa.string()), cells)
    return values, pa.field(field.name, values.type, metadata=metadata or None)


def _convert_all(
    cells: pa.ChunkedArray,
    convert: Callable[[pa.ChunkedArray], pa.ChunkedArray],
    name: str,
    what: str,
    place: Place,
) -> pa.ChunkedArray:
    """Convert cells; if some cannot be converted, raise `DataError` for the first."""
    try:
        return convert(cells)
    except ValueError:  # Arrow's errors are, too
        low, high = 0, len(cells)  # the first fault is at or behind low and before high
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(cells.slice(low, middle - low))
            low = middle
        except ValueError:
            high = middle
    raise DataError(
        f"{place(low)}: {shown(cells[low].as_py())} in column {name!r} is not {what}, which the model "
        "was fitted on; leave the cell empty if its value is missing."
    )


def _numbers(cells: pa.ChunkedArray, notation: Notation) -> pa.ChunkedArray:
    """Convert numbers of a notation; ValueError if a cell is no finite number."""
    if notation == PLAIN:
        try:
            values = pc.cast(cells, pa.float64())
        except pa.ArrowInvalid:
            values = pc.cast(with_ascii_minus(cells), pa.float64())
    else:
        cells = with_ascii_minus(cells)
        if pc.all(pc.match_substring_regex(cells, notation.pattern)).as_py() is False:
            raise ValueError("not a number in this notation")
        values = pc.cast(without_separators(cells, notation), pa.float64())
        values = pc.divide(values, 100.0) if notation.sign == "%" else values
    if pc.any(pc.is_inf(values)).as_py():
        raise ValueError("infinite")
    return values


def _booleans(cells: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    """Read true and false; anything else is missing, with a note."""
    lower = pc.utf8_lower(cells)
    is_true, is_false = (pc.is_in(lower, pa.array(words)) for words in (_TRUE, _FALSE))
    known = pc.or_(is_true, is_false)
    stray = pc.unique(cells.filter(pc.invert(known)).drop_null()).to_pylist()
    note = f"{shown(stray[0])} is neither true nor false and counts as missing" if stray else ""
    return pc.if_else(known, is_true, pa.scalar(None, pa.bool_())), note
