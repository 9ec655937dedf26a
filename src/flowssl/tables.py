"""Tables on disk: CSV, TSV, Parquet, Feather, Arrow, NPZ and NPY in, CSV and Parquet out.

Whatever the format, a table is read as one ``pyarrow.Table``, which the estimators accept like
pandas and polars frames. Every failure is a `DataError` of one line that names the file, the cause
and the way out.
"""

from __future__ import annotations

import csv
import io
import re
import tokenize
import zlib
from collections import Counter
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast
from zipfile import BadZipFile

from flowssl._files import atomic_path
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection
    from types import ModuleType

    import numpy as np
    import pyarrow as pa
    from narwhals.typing import IntoDataFrame

__all__ = ["read_table", "write_csv", "write_table"]

# Exceptions that damaged files raise. Arrow's own are ValueErrors and OSErrors; a forged length
# gives a MemoryError, an archive marked as encrypted a RuntimeError.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    MemoryError,
    RuntimeError,
    BadZipFile,
    csv.Error,
    tokenize.TokenError,
    zlib.error,
)
# Endings of delimited text; the delimiter of a CSV is detected.
_TEXT_DELIMITERS = {".csv": None, ".csv.gz": None, ".tsv": "\t", ".tsv.gz": "\t"}
_ARRAY_KEYS = (("X", "y"), ("X_train", "y_train"), ("X_test", "y_test"))


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
        raise DataError(f"{path}: cannot be read as {_ending(path)}: {_one_line(error)}") from error
    return _checked(path, table)


def write_table(frame: IntoDataFrame, path: str | os.PathLike[str]) -> None:
    """Write a table as CSV or Parquet; an existing file stays intact until the new one is complete.

    Parameters
    ----------
    frame : data frame
        Any eager frame that narwhals knows: pyarrow, pandas, polars, ...
    path : str or path-like
        Its ending decides: ``.csv``, ``.tsv``, ``.parquet`` or ``.pq``.

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
    check_writable(path)
    table = _plain(frame)
    try:
        with atomic_path(path) as temporary:
            if _ending(path) in (".parquet", ".pq"):
                from pyarrow import parquet

                parquet.write_table(table, temporary)
            else:
                with temporary.open("wb") as stream:
                    write_csv(table, stream, delimiter="\t" if _ending(path) == ".tsv" else ",")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be written: {_one_line(error)}") from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise `DataError` if `write_table` has no format or no directory for this path."""
    path = Path(path)
    known = (".csv", ".tsv", ".parquet", ".pq")
    if _ending(path) not in known:
        raise DataError(
            f"{path}: cannot tell the format to write from the ending {_ending(path)!r}; "
            f"known are {', '.join(known)}."
        )
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no directory {path.parent}; create it first.")


def write_csv(frame: IntoDataFrame, stream: IO[bytes], *, delimiter: str = ",") -> None:
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

    Examples
    --------
    >>> import io
    >>> import pandas as pd
    >>> from flowssl.tables import write_csv
    >>> stream = io.BytesIO()
    >>> write_csv(pd.DataFrame({"a": [0.1, 2.5], "b": [1, 2]}), stream)
    >>> stream.getvalue()
    b'a,b\n0.1,1\n2.5,2\n'
    """
    from pyarrow import csv as arrow_csv

    table = _plain(frame)
    header = io.StringIO()  # by the standard library: Arrow puts every name in quotes
    csv.writer(header, delimiter=delimiter, lineterminator="\n").writerow(table.column_names)
    stream.write(header.getvalue().encode())
    options = arrow_csv.WriteOptions(include_header=False, delimiter=delimiter)
    arrow_csv.write_csv(table, stream, options)


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


def _read_parquet(path: Path) -> pa.Table:
    from pyarrow import parquet

    # Not the path: from "year=2020/a.parquet" Arrow would add a column "year".
    with path.open("rb") as stream:
        return _without_index(parquet.read_table(stream))


def _read_feather(path: Path) -> pa.Table:
    from pyarrow import feather

    with path.open("rb") as stream:
        return _without_index(feather.read_table(stream, memory_map=False))


def _without_index(table: pa.Table) -> pa.Table:
    # pandas keeps an index that is not 0, 1, 2, ... in columns of these names.
    index = [name for name in table.column_names if re.fullmatch(r"__index_level_\d+__", name)]
    return table.drop_columns(index) if index else table


def _read_npy(path: Path) -> pa.Table:
    import numpy as np

    return _from_matrix(path, np.load(path, allow_pickle=False), None, None)


def _read_npz(path: Path) -> pa.Table:
    import numpy as np

    # Our own stream: np.load leaves the file open when the archive is damaged.
    with path.open("rb") as stream:
        arrays = np.load(stream, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise DataError(f"{path}: holds one array, not an archive; rename it to end in .npy.")
        for x_key, y_key in _ARRAY_KEYS:
            if x_key in arrays:
                y, names = arrays.get(y_key), arrays.get("feature_names")
                return _from_matrix(path, arrays[x_key], y, names)
    wanted = "; ".join(f"{x} and {y}" for x, y in _ARRAY_KEYS)
    raise DataError(
        f"{path}: has no matrix under a known key ({wanted}); "
        f"its keys: {', '.join(arrays.files) or 'none'}."
    )


def _from_matrix(
    path: Path, X: np.ndarray, y: np.ndarray | None, names: np.ndarray | None
) -> pa.Table:
    import numpy as np

    pa = _arrow()
    if X.ndim != 2:
        raise DataError(
            f"{path}: X has the shape {X.shape}; it must have two dimensions, rows and columns."
        )
    if X.dtype.kind not in "biuf":
        raise DataError(f"{path}: X holds {X.dtype}, not numbers; save it with a numeric dtype.")
    # Arrow knows neither half precision well nor another machine's byte order.
    kind = np.dtype("f4") if X.dtype == np.float16 else X.dtype.newbyteorder("=")
    kind = np.dtype("u1") if X.dtype.kind == "b" else kind
    columns = [pa.array(column) for column in np.ascontiguousarray(X.T, dtype=kind)]
    headings = _headings(names, X.shape[1])
    if y is not None:
        if y.size != len(X) or y.dtype.kind not in "biufSU":
            raise DataError(
                f"{path}: y holds {y.size} values of type {y.dtype} for {len(X)} rows of X; "
                "it must hold one number or string per row."
            )
        labels = y.reshape(-1).astype(str) if y.dtype.kind in "SU" else y.reshape(-1)
        columns.append(pa.array(labels, from_pandas=True))  # NaN becomes missing
        headings.append("y")
    return pa.Table.from_arrays(columns, names=headings)


def _headings(names: np.ndarray | None, width: int) -> list[str]:
    if names is not None and names.dtype.kind == "U" and names.shape == (width,):
        given = [str(name) for name in names]
        if len({*given, "", "y"}) == width + 2:
            return given
    return [f"x{place}" for place in range(width)]


def _plain(frame: IntoDataFrame) -> pa.Table:
    """Return a frame as an Arrow table without dictionary columns, which CSV cannot hold."""
    import narwhals as nw

    pa = _arrow()
    table = nw.from_native(frame, eager_only=True).to_arrow()
    fields = [
        pa.field(f.name, f.type.value_type) if pa.types.is_dictionary(f.type) else f
        for f in table.schema
    ]
    return table.cast(pa.schema(fields))


def _ending(path: Path) -> str:
    """Return ".csv", or ".csv.gz" for a compressed file."""
    suffixes = path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:]
    return "".join(suffixes).lower()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


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
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".feather": _read_feather,
    ".arrow": _read_feather,
    ".ipc": _read_feather,
    ".npz": _read_npz,
    ".npy": _read_npy,
}
