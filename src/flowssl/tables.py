"""Tables on disk: CSV, TSV, Parquet, Feather, Arrow, NPZ and NPY in, CSV and Parquet out.

Whatever the format, a table is read as one ``pyarrow.Table``, which the estimators accept like
pandas and polars frames. Every failure is a `DataError` of one line that names the file, the cause
and the way out.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from flowssl._arrow import is_text
from flowssl._binary_tables import read_feather, read_npy, read_npz, read_parquet
from flowssl._files import atomic_path
from flowssl._terminal import one_line
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection
    from types import ModuleType

    import pyarrow as pa
    from narwhals.typing import IntoDataFrame

__all__ = ["read_table", "write_csv", "write_table"]

# What damaged files of text raise, compressed ones among them; Arrow's errors are ValueErrors and
# OSErrors.
_UNREADABLE = (OSError, EOFError, ValueError, LookupError, MemoryError, RuntimeError, zlib.error)
# Endings of delimited text; the delimiter of a CSV is detected.
_TEXT_DELIMITERS = {".csv": None, ".csv.gz": None, ".tsv": "\t", ".tsv.gz": "\t"}
_PARQUET = (".parquet", ".pq")
# Text that spreadsheets take for a formula, after blanks that some of them remove, and what is none.
_FORMULA = r"^(\s*[=+\-@＝＋－＠]|[\t\r\n])"
_SIGNED_NUMBER = r"^[+-](\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def read_table(
    path: str | os.PathLike[str],
    *,
    as_text: Collection[str] = (),
    schema: pa.Schema | None = None,
) -> pa.Table:
    r"""Read a table in the format that the ending of the file name says.

    Parameters
    ----------
    path : str or path-like
        One of

        - ``.csv``, ``.csv.gz``, ``.tsv``, ``.tsv.gz``: text whose first row names the columns;
          the delimiter of a CSV is detected among comma, semicolon, tab and bar.
        - ``.parquet``, ``.pq``, ``.feather``, ``.arrow``, ``.ipc``.
        - ``.npz``: a matrix ``X`` of numbers and, optionally, labels ``y`` and
          ``feature_names`` (or ``X_train`` and ``y_train``; otherwise ``X_test`` and ``y_test``).
          Without names the columns are ``x0``, ``x1``, ...; the labels become the column ``y``.
        - ``.npy``: a matrix of numbers.
    as_text : collection of str, default=()
        Columns of a text file whose cells stay as they are written, such as labels and ids.
    schema : pyarrow.Schema, optional
        Types that columns of a text file must have; others stay text. By default the cells decide.

    Returns
    -------
    pyarrow.Table
        At least one row, distinct column names. Half-precision arrays are read as float32. Where
        the cells of a text file left a choice, its field's metadata have a "note".

    Raises
    ------
    DataError
        If there is no such file, its ending is unknown, it is not in the format of its ending,
        it has no rows, columns share a name, or a row or cell of a text file does not fit.
    ImportError
        If pyarrow is not installed (``pip install 'flowssl[tables]'``).

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from flowssl.tables import read_table
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "flowers.csv"
    ...     _ = path.write_text("length;kind\n1,5;iris\n?;\n")
    ...     table = read_table(path)
    >>> table.to_pydict()
    {'length': [1.5, None], 'kind': ['iris', None]}
    """
    path = Path(path)
    _check_readable(path)
    _arrow()
    is_text = _ending(path) in _TEXT_DELIMITERS
    try:
        table = _read_text(path, as_text, schema) if is_text else _READERS[_ending(path)](path)
    except DataError:
        raise
    except _UNREADABLE as error:
        raise DataError(f"{path}: cannot be read as {_ending(path)}: {one_line(error)}") from error
    return _checked(path, table)


def write_table(
    frame: IntoDataFrame, path: str | os.PathLike[str], *, safe_csv: bool = False
) -> None:
    """Write a table as CSV or Parquet; an existing file stays intact until the new one is complete.

    Parameters
    ----------
    frame : data frame
        Any eager frame that narwhals knows: pyarrow, pandas, polars, ...
    path : str or path-like
        Its ending decides: ``.csv``, ``.tsv``, ``.parquet`` or ``.pq``.
    safe_csv : bool, default=False
        As ``safe`` of `write_csv`; Parquet has no need of it.

    Raises
    ------
    DataError
        If the ending is none of these, or the file cannot be written.
    ImportError
        If pyarrow is not installed (``pip install 'flowssl[tables]'``).

    Examples
    --------
    >>> import pandas as pd
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from flowssl.tables import write_table
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "flowers.csv"
    ...     write_table(pd.DataFrame({"length": [1.5, None], "kind": ["iris", "rose"]}), path)
    ...     print(path.read_text(), end="")
    length,kind
    1.5,"iris"
    ,"rose"
    """
    path = Path(path)
    check_format(path)
    table = _plain(frame)
    try:
        with atomic_path(path) as temporary:
            if is_parquet(path):
                from pyarrow import parquet

                parquet.write_table(table, temporary)
            else:
                delimiter = "\t" if _ending(path) == ".tsv" else ","
                with temporary.open("wb") as stream:
                    write_csv(table, stream, delimiter=delimiter, safe=safe_csv)
    except (OSError, ValueError) as error:
        raise DataError(_not_written(path, error)) from error


def is_parquet(path: str | os.PathLike[str]) -> bool:
    """Return whether `write_table` would write Parquet to a path, and not text."""
    return _ending(Path(path)) in _PARQUET


def write_csv(
    frame: IntoDataFrame, stream: IO[bytes], *, delimiter: str = ",", safe: bool = False
) -> None:
    r"""Write a data frame to an open binary stream as UTF-8 CSV with a row of column names.

    Parameters
    ----------
    frame : data frame
        Any eager frame that narwhals knows. Missing values become empty cells; floating-point
        numbers keep all their digits.
    stream : binary stream
        Open for writing; it stays open.
    delimiter : str, default=","
        One character.
    safe : bool, default=False
        Whether text that a spreadsheet would take for a formula gets an apostrophe in front: cells
        and column names that begin with ``=``, ``+``, ``-``, ``@``, a tab or a line break, and are
        not numbers. It is off by default, because the text is then no longer that of the data.

    Raises
    ------
    DataError
        If a column holds lists or records.

    Examples
    --------
    >>> import io
    >>> import pandas as pd
    >>> from flowssl.tables import write_csv
    >>> stream = io.BytesIO()
    >>> write_csv(pd.DataFrame({"a": [0.1, 2.5], "b": [1, 2]}), stream)
    >>> stream.getvalue()
    b'a,b\n0.1,1\n2.5,2\n'
    >>> stream = io.BytesIO()
    >>> write_csv(pd.DataFrame({"a": ["=1+1", "-3"]}), stream, safe=True)
    >>> stream.getvalue()
    b'"a"\n"\'=1+1"\n"-3"\n'
    """
    from pyarrow import csv as arrow_csv

    table = _plain(frame)
    for field in table.schema:
        if _arrow().types.is_nested(field.type):
            raise DataError(
                f"column {field.name!r} holds values of type {field.type}, which CSV has no form "
                "for; leave it out, or write Parquet."
            )
    if safe:
        table = _without_formulas(table)
    header = io.StringIO()  # by the standard library: Arrow puts every name in quotes
    csv.writer(
        header,
        delimiter=delimiter,
        lineterminator="\n",
        # Safe names, too: a spreadsheet that cuts at semicolons would else find formulas in them.
        quoting=csv.QUOTE_ALL if safe else csv.QUOTE_MINIMAL,
    ).writerow(table.column_names)
    stream.write(header.getvalue().encode())
    options = arrow_csv.WriteOptions(include_header=False, delimiter=delimiter)
    arrow_csv.write_csv(table, stream, options)


def check_format(path: str | os.PathLike[str]) -> None:
    """Raise `DataError` if `write_table` has no format for the ending of a path."""
    path, known = Path(path), (".csv", ".tsv", *_PARQUET)
    if _ending(path) not in known:
        raise DataError(
            f"{path}: cannot tell the format to write from the ending {_ending(path)!r}; "
            f"known are {', '.join(known)}."
        )


def _not_written(path: Path, error: OSError | ValueError) -> str:
    """Return one line for an error of writing; those of `atomic_path` name the path already."""
    if not isinstance(error, OSError):
        return f"{path}: cannot be written: {one_line(error)}"
    return f"{path}: {error.strerror}" if error.strerror else one_line(error)


def _without_formulas(table: pa.Table) -> pa.Table:
    """Put an apostrophe before text that a spreadsheet would take for a formula.

    The first letters are those of OWASP's page on CSV injection, their full-width forms among them.
    """
    pa = _arrow()
    columns = [
        _without_formulas_in(column) if is_text(column.type) else column for column in table.columns
    ]
    names = _without_formulas_in(pa.chunked_array([pa.array(table.column_names, pa.string())]))
    return pa.Table.from_arrays(columns, names=names.to_pylist())


def _without_formulas_in(text: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    formula = pc.and_not(
        pc.match_substring_regex(text, _FORMULA), pc.match_substring_regex(text, _SIGNED_NUMBER)
    )
    return pc.if_else(formula, pc.utf8_replace_slice(text, 0, 0, "'"), text)


def _check_readable(path: Path) -> None:
    """Raise `DataError` unless there is a file with content and a known ending."""
    ending = _ending(path)
    known = (*_TEXT_DELIMITERS, *_READERS)
    if ending not in known:
        raise DataError(
            f"{path}: cannot tell the format from the ending {ending!r}; "
            f"known are {', '.join(known)}."
        )
    if not path.exists():
        raise DataError(f"{path}: no such file.")
    if not path.is_file():
        raise DataError(f"{path} is not a file.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty.")


def _checked(path: Path, table: pa.Table) -> pa.Table:
    """Return the table if it has rows, and each column its own name."""
    names = table.column_names
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"{path}: two or more columns are called {', '.join(map(repr, twice))}; "
            "give each column its own name."
        )
    if "" in names:
        raise DataError(f"{path}: column {names.index('') + 1} has no name; give it one.")
    if table.num_rows == 0:
        raise DataError(f"{path} has column names but no rows.")
    return table


def _read_text(path: Path, as_text: Collection[str], schema: pa.Schema | None) -> pa.Table:
    from flowssl._delimited import read_delimited

    delimiter = _TEXT_DELIMITERS[_ending(path)]
    return read_delimited(path, delimiter, as_text=as_text, schema=schema)


def _plain(frame: IntoDataFrame) -> pa.Table:
    """Return a frame as an Arrow table without dictionaries and views, which CSV cannot hold."""
    import narwhals as nw

    pa = _arrow()
    table = nw.from_native(frame, eager_only=True).to_arrow()
    return table.cast(pa.schema([pa.field(f.name, _plain_type(f.type)) for f in table.schema]))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    pa = _arrow()
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(kind) else kind


def _ending(path: Path) -> str:
    """Return ".csv", or ".csv.gz" for a compressed file."""
    suffixes = path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:]
    return "".join(suffixes).lower()


def _arrow() -> ModuleType:
    try:
        import pyarrow
        import pyarrow.compute
    except ImportError as error:
        raise ImportError(
            "reading and writing tables needs pyarrow; "
            "install it with: pip install 'flowssl[tables]'"
        ) from error
    return cast("ModuleType", pyarrow)


_READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".feather": read_feather,
    ".arrow": read_feather,
    ".ipc": read_feather,
    ".npz": read_npz,
    ".npy": read_npy,
}
