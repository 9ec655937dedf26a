"""Delimited text into Arrow tables, with errors that name the line.

All cells are read as text; `_text_columns` then decides what the columns hold.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, reduce
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from flowssl._binary_tables import most_bytes
from flowssl._missing_marks import is_number
from flowssl._quotes import QuotedText, QuoteError, quoted_text
from flowssl._terminal import one_line
from flowssl._text_columns import guess_types, without_marks
from flowssl._text_schema import read_by_schema
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from flowssl._text_columns import Place

_DELIMITERS = ",;\t|"
_SNIFFED_LINES = 20
_ENCODINGS = (  # by their byte order marks; that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BLOCK = 1 << 24
# White space, and characters without width that copies from web pages and spreadsheets carry along.
_BLANKS = "\ufeff\u200b\u200e\u200f\u2060" + "".join(filter(str.isspace, map(chr, range(0x3001))))


def read_delimited(
    path: Path,
    delimiter: str | None = None,
    *,
    as_text: Collection[str] = (),
    schema: pa.Schema | None = None,
) -> pa.Table:
    """Read text, gzipped if its name ends in ``.gz``, with column names in the first row.

    Parameters
    ----------
    path : Path
        An existing file that is not empty.
    delimiter : str, optional
        One character; detected among comma, semicolon, tab and bar by default, or named in a first
        line ``sep=;``, as spreadsheets write it.
    as_text : collection of str, default=()
        Names of columns to leave as text.
    schema : pyarrow.Schema, optional
        The columns of an earlier table, whose types these columns get; others stay text. By default
        the cells decide.

    Returns
    -------
    pyarrow.Table
        Cells without blanks around them; empty ones are null. A first column without a name, where
        pandas and R keep row numbers, and an empty last one without a name are left out.

    Raises
    ------
    DataError
        If the file is not text in UTF-8, or in UTF-16 with a byte order mark, a quote is stray or
        never closes, the first row holds only numbers, a row has too many or too few cells, there
        is no row but the first, or a cell is not what the schema has.
    """
    data, delimiter, header, start = _opened(path, delimiter)
    try:
        text = quoted_text(data, delimiter)
        table = _cells(path, text, header, start)
        text.refuse_swallowed_rows(len(header), _membership(table))
    except QuoteError as error:
        raise DataError(f"{path}: {error}") from None

    def place(row: int) -> str:
        return f"{path}: line {text.rows_below(start)[0][row]}"

    _refuse_repeated_header(table, place)
    table = _named_columns(table)

    if schema is not None:
        return read_by_schema(table, as_text, schema, place)
    return guess_types(table, as_text, delimiter, place)


def _opened(path: Path, delimiter: str | None) -> tuple[bytes, str, list[str], int]:
    """Return the text with plain ends of lines, delimiter, column names and lines above the rows."""
    data = _plain_text(path)
    lines = list(islice(_lines(data), _SNIFFED_LINES))
    named = re.fullmatch(r'(?i)"?sep=(.)"?\s*', lines[0]) if lines else None
    n_above = 0
    if named:
        delimiter, lines, n_above = named[1], lines[1:], 1
    delimiter = delimiter or _sniffed(lines)
    below = islice(_lines(data), n_above, None)
    try:
        rows = csv.reader(below, delimiter=delimiter)
        header = [name.strip(_BLANKS) for name in next((row for row in rows if any(row)), [])]
        n_above += rows.line_num
        has_rows = any(line.strip() for line in below)
    except csv.Error as error:
        raise DataError(f"{path}: is not delimited text: {error}.") from error
    _check_header(path, header, has_rows)
    return data, delimiter, header, n_above


def _plain_text(path: Path) -> bytes:
    r"""Read a file as UTF-8 with ``\n`` at the ends of lines."""
    data = _decompressed(path) if path.suffix.lower() == ".gz" else path.read_bytes()
    mark, encoding = next(((m, e) for m, e in _ENCODINGS if data.startswith(m)), (b"", "utf-8"))
    if encoding != "utf-8":
        try:
            data = data.decode(encoding).encode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: is not {encoding.upper()} text: {error.reason}.") from None
    else:
        data = data[len(mark) :]
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DataError(
            f"{path}: line {line} has a zero byte, which text has not; save it as CSV in UTF-8."
        )
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.isascii():
        _check_utf8(path, data)
    return data


def _decompressed(path: Path) -> bytes:
    """Read a compressed file, which may hold far more than its size, in parts."""
    limit, parts, size = most_bytes(path.stat().st_size), [], 0
    with gzip.open(path) as stream:
        while part := stream.read(_BLOCK):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise DataError(
                    f"{path}: has more than {limit / 2**30:,.1f} GiB of text, very many times its "
                    "size; if it is not damaged, write it without compression."
                )
    return b"".join(parts)


def _check_utf8(path: Path, data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: line {line} is not UTF-8 text; save the file again with the encoding UTF-8, "
            "or Unicode."
        ) from None


def _lines(data: bytes) -> Iterator[str]:
    position = 0
    while position < len(data):
        end = data.find(b"\n", position) + 1 or len(data)
        yield data[position:end].decode()
        position = end


def _sniffed(sample: list[str]) -> str:
    """Choose the delimiter that gives rows of one width, and among these the widest."""

    def score(delimiter: str) -> tuple[bool, int]:
        widths = []
        with suppress(csv.Error):  # a cell too long for this reader; the rows above tell
            for row in csv.reader(sample, delimiter=delimiter):
                widths += [len(row)] if row else []
        # The sample may end inside quotes, so its last row does not count.
        return len(set(widths[:-1])) <= 1, widths[0] if widths else 0

    scores = {delimiter: score(delimiter) for delimiter in _DELIMITERS}
    several = [delimiter for delimiter in _DELIMITERS if scores[delimiter][1] > 1]
    return max(several, key=scores.__getitem__, default=",")


def _check_header(path: Path, header: list[str], has_rows: bool) -> None:
    if not header:
        raise DataError(f"{path} is empty.")
    if all(is_number(name) for name in header):
        raise DataError(
            f"{path}: the first row holds only numbers ({', '.join(header[:3])}, ...); "
            "put a row with the names of the columns above it."
        )
    if not has_rows:
        raise DataError(f"{path} has column names but no rows.")


def _cells(path: Path, text: QuotedText, header: list[str], start: int) -> pa.Table:
    """Read all cells as text without blanks around it, null where it is empty."""
    names = [str(place) for place in range(len(header))]
    delimiter = text.delimiter.decode()
    options = {
        "parse_options": pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        "convert_options": pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), check_utf8=False
        ),
    }
    for block in (_BLOCK, len(text.data)):  # a row must fit into a block
        reading = pyarrow.csv.ReadOptions(column_names=names, skip_rows=start, block_size=block)
        try:
            stream = pa.BufferReader(text.data)
            table = pyarrow.csv.read_csv(stream, read_options=reading, **options)
        except pa.ArrowInvalid as error:
            if "straddl" in str(error) and block < len(text.data):
                continue
            raise DataError(f"{path}: {_why(text, start, len(header), error)}") from error
        break
    with ThreadPoolExecutor(pa.cpu_count()) as threads:  # Arrow computes without Python's lock
        columns = list(threads.map(_stripped, table.columns))
    return pa.table(columns, names=header)


def _stripped(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Take blanks off the ends of cells, and make empty ones null."""
    cells = pc.utf8_trim_whitespace(cells)
    if not pc.all(pc.string_is_ascii(cells), min_count=0).as_py():
        cells = pc.utf8_trim(cells, _BLANKS)
    if pc.min(pc.binary_length(cells)).as_py() > 0:
        return cells
    return pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)


def _why(text: QuotedText, start: int, width: int, error: ValueError) -> str:
    lines, widths = text.rows_below(start)
    for row in np.flatnonzero(widths != width)[:1]:
        advice = f"cells that hold {text.delimiter.decode()!r} need quotes"
        if widths[row] < width:
            advice = "write the delimiter for empty cells, too, or leave the line out"
        elif row == 0:
            advice += ", and nothing may stand above the names of the columns"
        s = "" if widths[row] == 1 else "s"
        t = "" if width == 1 else "s"
        return (
            f"line {lines[row]} has {widths[row]} cell{s} where the header names {width} column{t}; "
            f"{advice}."
        )
    return f"cannot be read: {one_line(error)}"


def _membership(table: pa.Table) -> Callable[[int, list[str]], bool]:
    """Return whether cells could be in a column, given its position.

    They could if they are in it elsewhere, or are numbers as most of it is.
    """
    levels = cache(lambda place: pc.unique(table.column(place)).drop_null())

    def belongs(place: int, cells: list[str]) -> bool:
        if pc.all(pc.is_in(pa.array(cells, pa.string()), levels(place)), min_count=0).as_py():
            return True
        numbers = pc.match_substring_regex(without_marks(levels(place)), r"^[-+]?\d*[.,]?\d+$")
        return all(map(is_number, cells)) and 2 * (pc.sum(numbers).as_py() or 0) > len(numbers)

    return belongs


def _refuse_repeated_header(table: pa.Table, place: Place) -> None:
    """Raise `DataError` for a row that has the names of the columns, of files put together."""
    if table.num_columns < 2:
        return
    same = [
        pc.equal(cells, name)
        for name, cells in zip(table.column_names, table.columns, strict=True)
        if name
    ]
    row = pc.index(reduce(pc.and_, same), True).as_py() if same else -1
    if row >= 0:
        raise DataError(
            f"{place(row)} repeats the names of the columns; leave it out or, if it is a row like others, "
            "name the columns otherwise."
        )


def _named_columns(table: pa.Table) -> pa.Table:
    """Leave out row numbers, in a first column without a name, and an empty column at the end."""
    if table.column_names[0] == "":
        table = table.remove_column(0)
    last = table.num_columns - 1
    if last > 0 and table.column_names[last] == "" and not table.column(last).drop_null():
        table = table.remove_column(last)
    return table
