"""Tables in binary files: Parquet, Feather, Arrow, NPZ and NPY.

What a file announces is compared with its size before memory is taken, and what was read is checked
before it is used, as the libraries that read these formats trust them.
"""

from __future__ import annotations

import math
import re
import struct
import tokenize
import warnings
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from flowssl._terminal import one_line
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    import pyarrow as pa

_ARRAY_KEYS = (("X", "y"), ("X_train", "y_train"), ("X_test", "y_test"))
# What damaged files raise. Arrow's own errors are ValueErrors, OSErrors, LookupErrors, TypeErrors,
# MemoryErrors and RuntimeErrors (NotImplementedError among them).
_UNREADABLE = (
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    SystemError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
)
_GROWTH = 500
"""How many times its file's size a table may take in memory, if it takes more than `_SMALL`.

Deflate reaches 1,032 and run lengths any number: a small file could fill the memory.
"""
_SMALL = 2**28
_MAX_COLUMNS = 100_000
_SHOWN = 20  # keys in a message
_ARROW_FILE = b"ARROW1"
_PARQUET = b"PAR1"


def read_parquet(path: Path) -> pa.Table:
    """Read a Parquet file.

    Raises
    ------
    DataError
        If it is damaged, or would take very much more memory than its size.
    """
    from pyarrow import parquet

    # Not the path: from "year=2020/a.parquet" Arrow would add a column "year".
    with _plain_errors(path), path.open("rb") as stream:
        size = path.stat().st_size
        head = stream.read(4)
        stream.seek(max(0, size - 8))
        (length,) = struct.unpack("<I", stream.read(4).rjust(4, b"\0"))
        if head != _PARQUET or stream.read() != _PARQUET or length + 12 > size:
            raise DataError(f"{path}: is not a whole Parquet file; copy or write it again.")
        file = parquet.ParquetFile(stream, page_checksum_verification=True)
        facts = file.metadata
        groups = [facts.row_group(place) for place in range(facts.num_row_groups)]
        n_rows = [group.num_rows for group in groups]
        if min(n_rows, default=0) < 0 or sum(n_rows) != facts.num_rows:
            raise DataError(
                f"{path}: is damaged: it announces {facts.num_rows:,} rows and has {sum(n_rows):,}."
            )
        _check_growth(path, 8 * facts.num_rows * max(1, facts.num_columns), size)
        return _checked(path, file.read())


def read_feather(path: Path) -> pa.Table:
    """Read a Feather file, or an Arrow file or stream.

    Raises
    ------
    DataError
        If it is damaged, or would take very much more memory than its size.
    """
    import pyarrow as pa
    from pyarrow import feather

    with _plain_errors(path), path.open("rb") as stream:
        head = stream.read(6)
        stream.seek(0)
        if head == _ARROW_FILE or head[:4] == b"FEA1":
            return _checked(path, feather.read_table(stream, memory_map=False))
        return _checked(path, pa.ipc.open_stream(stream).read_all())


def read_npy(path: Path) -> pa.Table:
    """Read an array of NumPy.

    Raises
    ------
    DataError
        If it is damaged, or not a matrix of numbers.
    """
    with _plain_errors(path), path.open("rb") as stream:
        return _from_matrix(path, _array(path, stream, path.stat().st_size), None, None)


def read_npz(path: Path) -> pa.Table:
    """Read a matrix and, if they are there, labels and names from an archive of NumPy.

    Raises
    ------
    DataError
        If it is damaged, would take very much more memory than its size, or lacks the matrix.
    """
    with _plain_errors(path), path.open("rb") as stream:
        if stream.read(6) == b"\x93NUMPY":
            raise DataError(f"{path}: holds one array, not an archive; rename it to end in .npy.")
        with zipfile.ZipFile(stream) as archive:
            entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            if len(entries) < len(archive.infolist()):
                raise DataError(f"{path}: has two arrays of one name.")
            for keys in _ARRAY_KEYS:
                if keys[0] in entries:
                    arrays = {
                        key: _member(path, archive, entries[key])
                        for key in (*keys, "feature_names")
                        if key in entries
                    }
                    y, names = arrays.get(keys[1]), arrays.get("feature_names")
                    return _from_matrix(path, arrays[keys[0]], y, names)
    known = "; ".join(f"{x} and {y}" for x, y in _ARRAY_KEYS)
    raise DataError(
        f"{path}: has no matrix under a known key ({known}); "
        f"its keys: {', '.join(map(ascii, [*entries][:_SHOWN])) or 'none'}."
    )


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into `DataError`."""
    try:
        yield
    except DataError:
        raise
    except _UNREADABLE as error:
        kind = path.suffix.lower()
        raise DataError(f"{path}: cannot be read as {kind}: {one_line(error)}") from error


def most_bytes(file_size: int) -> int:
    """Return how much memory the content of a file may take."""
    return max(_SMALL, _GROWTH * file_size)


def _check_growth(path: Path, n_bytes: int, file_size: int) -> None:
    if n_bytes > most_bytes(file_size):
        raise DataError(
            f"{path}: would take {n_bytes / 2**30:,.1f} GiB, more than {_GROWTH} times its size; "
            "if it is not damaged, write it without compression and dictionaries."
        )


def _checked(path: Path, table: pa.Table) -> pa.Table:
    """Return a table whose every value has been checked, without the index of pandas."""
    # A column of nulls or of run lengths has rows that take no memory.
    _check_growth(path, 8 * table.num_rows * max(1, table.num_columns), path.stat().st_size)
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            column.validate(full=True)
        except ValueError as error:  # Arrow's
            raise DataError(f"{path}: column {name!r} is damaged: {one_line(error)}") from error
    table.validate()
    # pandas keeps an index that is not 0, 1, 2, ... in columns of these names.
    index = [name for name in table.column_names if re.fullmatch(r"__index_level_\d+__", name)]
    return table.drop_columns(index) if index else table


def _member(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """Read an array of an archive."""
    _check_growth(path, entry.file_size, entry.compress_size)
    with archive.open(entry) as stream:
        return _array(path, stream, entry.file_size)


def _array(path: Path, stream: IO[bytes], n_bytes: int) -> np.ndarray:
    """Read one array, whose header must agree with the bytes that follow."""
    import numpy as np

    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):  # 3.0 is for names of fields, which a matrix has not
        raise DataError(f"{path}: has an array in the form {version[0]}.{version[1]}, not 1 or 2.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, on files of Python 2
        if version == (1, 0):
            shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, by_columns, dtype = np.lib.format.read_array_header_2_0(stream)
    if dtype.hasobject:
        raise DataError(f"{path}: holds pickled objects, which are not read; save numbers or text.")
    wanted, found = math.prod(shape) * dtype.itemsize, n_bytes - stream.tell()
    if wanted != found or min(shape, default=0) < 0 or not dtype.itemsize:
        raise DataError(
            f"{path}: is damaged: an array of shape {shape} and type {dtype} takes {wanted:,} bytes, "
            f"and there are {found:,}."
        )
    values = np.frombuffer(stream.read(wanted), dtype=dtype)
    return values.reshape(shape, order="F" if by_columns else "C")


def _from_matrix(
    path: Path, X: np.ndarray, y: np.ndarray | None, names: np.ndarray | None
) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    if X.ndim != 2 or not X.shape[1]:
        raise DataError(
            f"{path}: X has the shape {X.shape}; it must have two dimensions, rows and columns."
        )
    if X.shape[1] > _MAX_COLUMNS:
        raise DataError(
            f"{path}: X has {X.shape[1]:,} columns and {X.shape[0]:,} rows, and at most "
            f"{_MAX_COLUMNS:,} columns are read; is it transposed?"
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
