"""Delimited text into Arrow tables, with errors that name the line.

The delimiter and decimal commas are detected in the first lines; Arrow then reads the file. If it
fails, a second pass with the standard library finds the line at fault.
"""

from __future__ import annotations

import csv
import gzip
import re
from contextlib import contextmanager
from itertools import islice
from typing import IO, TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_DELIMITERS = ",;\t|"
_SNIFFED_LINES = 20
# Arrow's own marks of a missing number, a blank, and the "?" of the UCI repository. They apply to
# columns of numbers only: "NA" in a column of text may be Namibia.
_MISSING_NUMBERS = [
    "",
    "?",
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "#NA",
    "NaN",
    "nan",
    "-NaN",
    "-nan",
    "NULL",
    "null",
    " ",
]


def read_delimited(path: Path, delimiter: str | None = None) -> pa.Table:
    """Read UTF-8 text, gzipped if its name ends in ``.gz``, with column names in the first row.

    Parameters
    ----------
    path : Path
        An existing file that is not empty.
    delimiter : str, optional
        One character; detected among comma, semicolon, tab and bar by default.

    Returns
    -------
    pyarrow.Table
        Empty cells are null in columns of text as in columns of numbers. A first column without a
        name, where pandas and R keep row numbers, is left out.

    Raises
    ------
    DataError
        If the file is not UTF-8 text, its first row holds only numbers, a row has too many or too
        few cells, or there is no row but the first.
    """
    with _lines(path) as lines:
        sample = list(islice(lines, _SNIFFED_LINES))
    delimiter = delimiter or _sniffed(sample)
    with _lines(path) as lines:
        rows = csv.reader(lines, delimiter=delimiter)
        header = [name.strip() for name in next((row for row in rows if row), [])]
        header_lines = rows.line_num
        has_rows = any(rows)
    _check_header(path, header, has_rows)
    options = {
        "read_options": pyarrow.csv.ReadOptions(column_names=header, skip_rows=header_lines),
        "parse_options": pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        "convert_options": pyarrow.csv.ConvertOptions(
            null_values=_MISSING_NUMBERS,
            decimal_point="," if _has_decimal_commas(sample, delimiter) else ".",
        ),
    }
    with _opened(path) as stream:
        try:
            table = pyarrow.csv.read_csv(stream, **options)
        except ValueError as error:
            raise DataError(_why(path, delimiter, len(header), error)) from error
    return _with_nulls(path, table.remove_column(0) if header[0] == "" else table)


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[str]]:
    """Give the lines as text, without the byte order mark that Excel writes."""

    def decoded() -> Iterator[str]:
        for number, line in enumerate(stream, start=1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise DataError(_not_utf8(path, f"line {number}")) from None

    with _opened(path) as stream:
        try:
            yield decoded()
        except csv.Error as error:
            raise DataError(f"{path}: is not delimited text: {error}.") from error


def _not_utf8(path: Path, place: str) -> str:
    return f"{path}: {place} is not UTF-8 text; save the file again with the encoding UTF-8."


def _sniffed(sample: list[str]) -> str:
    """Choose the delimiter that gives rows of one width, and among these the widest."""

    def score(delimiter: str) -> tuple[bool, int]:
        widths = [len(row) for row in csv.reader(sample, delimiter=delimiter) if row]
        # The sample may end inside quotes, so its last row does not count.
        return len(set(widths[:-1])) <= 1, widths[0] if widths else 0

    scores = {delimiter: score(delimiter) for delimiter in _DELIMITERS}
    several = [delimiter for delimiter in _DELIMITERS if scores[delimiter][1] > 1]
    return max(several, key=scores.__getitem__, default=",")


def _has_decimal_commas(sample: list[str], delimiter: str) -> bool:
    if delimiter == ",":
        return False
    cells = [cell.strip() for row in csv.reader(sample[1:], delimiter=delimiter) for cell in row]
    return any(re.fullmatch(r"[-+]?\d*,\d+", cell) for cell in cells) and not any(
        re.fullmatch(r"[-+]?\d*\.\d+", cell) for cell in cells
    )


def _check_header(path: Path, header: list[str], has_rows: bool) -> None:
    if not header:
        raise DataError(f"{path} is empty.")
    if all(_is_number(name) for name in header):
        raise DataError(
            f"{path}: the first row holds only numbers ({', '.join(header[:3])}, ...); "
            "put a row with the names of the columns above it."
        )
    if not has_rows:
        raise DataError(f"{path} has column names but no rows.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _why(path: Path, delimiter: str, width: int, error: ValueError) -> str:
    with _lines(path) as lines:
        rows = csv.reader(lines, delimiter=delimiter)
        for row in rows:
            if row and len(row) != width:
                return (
                    f"{path}: line {rows.line_num} has {len(row)} cells where the header names "
                    f"{width} columns; cells that hold the delimiter need quotes."
                )
    return f"{path}: cannot be read: {' '.join(str(error).split())}"


def _with_nulls(path: Path, table: pa.Table) -> pa.Table:
    for place, field in enumerate(table.schema):
        if pa.types.is_binary(field.type):  # what Arrow makes of text that is not UTF-8
            raise DataError(_not_utf8(path, f"column {field.name!r}"))
        if pa.types.is_string(field.type):
            column = table.column(place)
            is_blank = pa.compute.equal(column, "")
            null = pa.scalar(None, pa.string())
            table = table.set_column(place, field.name, pa.compute.if_else(is_blank, null, column))
    return table
