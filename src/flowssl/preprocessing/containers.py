"""Tables as plain columns, and the types that these had.

A column is either a float64 vector (numbers, and times in seconds, NaN where missing) or a list of
Python values (categories). A `ColumnType` records in plain strings the type that the column had in
the user's table, so that it can be written to a file and the table rebuilt in another process.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import narwhals as nw
import numpy as np
from narwhals.exceptions import DuplicateError
from narwhals.typing import IntoDataFrame
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse

from flowssl._arrow import readable_table
from flowssl._plain_values import plain_values
from flowssl._typing import Floats
from flowssl.exceptions import DataError

Category: TypeAlias = str | bool | int | float
Values: TypeAlias = Floats | list[object]
TableLike: TypeAlias = ArrayLike | Sequence[Sequence[object]] | IntoDataFrame

Kind: TypeAlias = Literal["numeric", "datetime", "categorical"]
Container: TypeAlias = Literal["array", "pandas", "polars", "pyarrow", "modin", "cudf"]

DTYPES = frozenset(
    [
        "Int8",
        "Int16",
        "Int32",
        "Int64",
        "Int128",
        "UInt8",
        "UInt16",
        "UInt32",
        "UInt64",
        "UInt128",
        "Float16",
        "Float32",
        "Float64",
        "Decimal",
        "Boolean",
        "String",
        "Categorical",
        "Enum",
        "Date",
        "Datetime",
        "Duration",
        "Object",
        "Unknown",
    ]
)
"""Names of the narwhals data types that a column may have."""

MICROSECONDS = 1_000_000
"""Microseconds per second."""

OBJECTS = ("Object", "Unknown")
"""Names of the narwhals data types of columns that hold Python objects."""


@dataclass(frozen=True)
class ColumnType:
    """The type of a column in the user's table.

    Parameters
    ----------
    kind : {"numeric", "datetime", "categorical"}
        How it is modeled; dates, times of day and durations are all "datetime".
    dtype : str
        Name of the narwhals data type, such as "Int64"; "Float64", "Boolean", "Datetime",
        "Duration" or "Object" in an array.
    native : str or None, default=None
        The data type's name in pandas, where several share one narwhals type.
    unit, zone : str or None, default=None
        Time unit and time zone of a "datetime" column.
    categories : tuple or None, default=None
        All declared categories, seen or not, in their order.
    notation : str or None, default=None
        How the numbers were written in a file of text; None is the plain way, with decimal points.
    """

    kind: Kind
    dtype: str
    native: str | None = None
    unit: str | None = None
    zone: str | None = None
    categories: tuple[Category, ...] | None = None
    notation: str | None = None


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table: its name, type, and n values."""

    name: str | int
    type: ColumnType
    values: Values


@dataclass(frozen=True, eq=False)
class Table:
    """A table as plain columns.

    Parameters
    ----------
    container : {"array", "pandas", "polars", "pyarrow", "modin", "cudf"}
        An array, or the library of the data frame.
    n_rows : int
        Number of rows.
    columns : list of Column
        In the table's order.
    matrix : ndarray of shape (n_rows, n_columns) or None
        All columns at once, where the table is a numeric array.
    """

    container: Container
    n_rows: int
    columns: list[Column]
    matrix: Floats | None = None


def take_rows(X: TableLike, index: NDArray[np.int64]) -> TableLike:
    """Return some rows of a table: a data frame of the same library, a list or an array.

    Raises
    ------
    DataError
        If two columns share a name.
    """
    frame = frame_or_other(X)
    if isinstance(frame, nw.DataFrame):
        if frame.implementation.is_pyarrow():
            frame = nw.from_native(readable_table(nw.to_native(frame)))
        return cast("IntoDataFrame", frame[index.tolist()].to_native())
    if isinstance(X, list | tuple):
        return [X[row] for row in index.tolist()]
    if issparse(X):
        return cast("TableLike", csr_array(X)[index])
    rows: NDArray[np.generic] = np.asarray(plain_values(X))[index]
    return rows


def frame_or_other(X: TableLike) -> object:
    """Wrap a data frame; anything else is left as it is.

    Raises
    ------
    DataError
        If two columns share a name.
    """
    try:
        return nw.from_native(X, pass_through=True)
    except DuplicateError as error:
        raise DataError(f"the columns of X must have different names: {error}") from error


def check_finite(values: Floats, name: str | int) -> Floats:
    """Return the numbers of a column, if none is infinite."""
    if np.isinf(values).any():
        raise ValueError(
            "Input X contains infinity or a value too large for dtype('float64'). "
            f"It is in column {name!r}."
        )
    return values


def is_category(value: object) -> bool:
    """Return whether a value can be a category: a string, bool, integer or finite float."""
    if isinstance(value, float | np.floating):
        return math.isfinite(value)
    return isinstance(value, str | int | np.integer | np.bool_)


def as_category(value: object) -> Category:
    """Return a category, which may be a NumPy scalar, as Python's own type."""
    category: Category = value.item() if isinstance(value, np.generic) else value  # type: ignore[assignment]
    return category
