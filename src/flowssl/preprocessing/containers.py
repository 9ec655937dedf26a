"""Convert any container of a table to plain columns.

A column is either a float64 vector (numbers, and times in seconds, NaN where missing) or a list of
Python values (categories). A `ColumnType` records in plain strings the type that the column had in
the user's table, so that it can be written to a file and the table rebuilt in another process.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import narwhals as nw
import numpy as np
from narwhals.exceptions import DuplicateError
from narwhals.typing import IntoDataFrame, IntoSeries
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array

from flowssl._field_facts import NOTATION, fact
from flowssl._labels import is_missing
from flowssl._typing import Floats
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Category: TypeAlias = str | bool | int | float
Values: TypeAlias = Floats | list[object]
TableLike: TypeAlias = ArrayLike | Sequence[Sequence[object]] | IntoDataFrame

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

    kind: Literal["numeric", "datetime", "categorical"]
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


def as_table(X: TableLike, estimator: BaseEstimator) -> Table:
    """Convert a container to a `Table`.

    Parameters
    ----------
    X : array-like of shape (n, n_columns) or data frame
        Anything that NumPy or narwhals accepts, except sparse matrices and lazy frames.
    estimator : estimator
        Estimator named in scikit-learn's error messages.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        With scikit-learn's message if X is not two-dimensional, empty, complex or infinite.
    TypeError
        If X is sparse or lazy, or a column holds neither numbers, times nor categories.
    DataError
        If two columns share a name.
    """
    frame = _frame_or_other(X)
    if isinstance(frame, nw.LazyFrame):
        raise TypeError("X is a lazy frame; collect it first, with X.collect().")
    if isinstance(frame, nw.DataFrame):
        return _read_frame(frame)
    return _read_array(X, estimator)


def take_rows(X: TableLike, index: NDArray[np.int64]) -> TableLike:
    """Return some rows of a table: a data frame of the same library, a list or an array.

    Raises
    ------
    DataError
        If two columns share a name.
    """
    frame = _frame_or_other(X)
    if isinstance(frame, nw.DataFrame):
        return cast("IntoDataFrame", frame[index.tolist()].to_native())
    if isinstance(X, list | tuple):
        return [X[row] for row in index.tolist()]
    if issparse(X):  # which `as_table` refuses
        return cast("TableLike", csr_array(X)[index])
    rows: NDArray[np.generic] = np.asarray(X)[index]
    return rows


def _frame_or_other(X: TableLike) -> object:
    """Wrap a data frame; anything else is left as it is."""
    try:
        return nw.from_native(X, pass_through=True)
    except DuplicateError as error:
        raise DataError(f"the columns of X must have different names: {error}") from error


def as_numbers(values: list[object]) -> Floats:
    """Return Python values as a float64 vector, NaN where missing; numeric strings are converted.

    Raises
    ------
    ValueError, TypeError
        If a value is no number, with Python's own message.
    """
    return np.array([math.nan if is_missing(v) else float(v) for v in values])  # type: ignore[arg-type]


def _read_frame(frame: nw.DataFrame[IntoDataFrame]) -> Table:
    for count, what in zip(frame.shape, ("sample", "feature"), strict=True):
        if count == 0:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={frame.shape}) while a minimum of 1 is "
                "required."
            )
    columns = [_read_series(series) for series in frame.iter_columns()]
    if frame.implementation.is_pyarrow():
        table = cast("pa.Table", nw.to_native(frame))
        columns = [
            replace(column, type=replace(column.type, notation=fact(field, NOTATION)))
            for column, field in zip(columns, table.schema, strict=True)
        ]
    container = cast("Container", frame.implementation.name.lower())
    return Table(container, len(frame), columns)


def _read_series(series: nw.Series[IntoSeries]) -> Column:
    dtype = series.dtype
    label: object = series.name  # pandas allows more than strings
    name = label if isinstance(label, str | int) else str(label)
    is_pandas = series.implementation.is_pandas()
    native_dtype = getattr(nw.to_native(series), "dtype", None)
    native = str(native_dtype) if is_pandas else None

    def column(
        kind: Literal["numeric", "datetime", "categorical"],
        values: Values,
        unit: str | None = None,
        zone: str | None = None,
        categories: tuple[Category, ...] | None = None,
    ) -> Column:
        type_ = ColumnType(kind, type(dtype).__name__, native, unit, zone, categories)
        return Column(name, type_, values)

    if dtype.is_numeric():
        numbers = np.asarray(series.cast(nw.Float64).to_numpy(), dtype=np.float64)
        return column("numeric", _finite(numbers, name))
    if isinstance(dtype, nw.Datetime):
        return column("datetime", _seconds(series), dtype.time_unit, dtype.time_zone)
    if isinstance(dtype, nw.Duration):
        return column("datetime", _seconds(series), dtype.time_unit)
    if isinstance(dtype, nw.Date):
        return column("datetime", _seconds(series.cast(nw.Datetime("us"))))
    if isinstance(dtype, nw.Boolean | nw.String):
        return column("categorical", series.to_list())
    if isinstance(dtype, nw.Categorical | nw.Enum):
        # narwhals gives the categories of an Enum, pandas those of every categorical column.
        source = dtype if isinstance(dtype, nw.Enum) else native_dtype if is_pandas else None
        declared = getattr(source, "categories", None)
        values: list[object] = series.to_list()
        if declared is not None and not all(map(is_category, declared)):  # intervals, for example
            declared = [str(category) for category in declared]
            values = [None if is_missing(value) else str(value) for value in values]
        categories = None if declared is None else tuple(map(as_category, declared))
        return column("categorical", values, categories=categories)
    if type(dtype).__name__ in OBJECTS:
        read = _read_objects(name, series.to_list(), parse_strings=False)
        return replace(read, type=replace(read.type, native=native))
    raise TypeError(
        f"column {name!r} of X has the type {dtype}, which is neither a number, a time nor a "
        "category; convert or drop it."
    )


def _seconds(series: nw.Series[IntoSeries]) -> Floats:
    if isinstance(series.dtype, nw.Datetime):
        ticks = series.dt.timestamp("us")
    else:
        ticks = series.dt.total_microseconds()
    values = ticks.cast(nw.Float64).to_numpy() / MICROSECONDS
    values[series.is_null().to_numpy()] = math.nan
    return values


def _read_array(X: TableLike, estimator: BaseEstimator) -> Table:
    if isinstance(X, list | tuple) and np.asarray(X).dtype.kind in "US":
        # NumPy would convert numbers, None and NaN next to strings to strings.
        X = np.asarray(X, dtype=object)
    array = check_array(
        X, dtype=None, ensure_all_finite="allow-nan", estimator=estimator, input_name="X"
    )
    kind = array.dtype.kind
    if kind in "fiu":
        numeric = ColumnType("numeric", "Float64")
        matrix = array.astype(np.float64, copy=False)
        columns = [Column(j, numeric, matrix[:, j]) for j in range(matrix.shape[1])]
        return Table("array", len(matrix), columns, matrix)
    if kind in "Mm":
        time = ColumnType("datetime", "Datetime" if kind == "M" else "Duration", unit="us")
        seconds = _seconds_of_ticks(array.astype(f"{kind}8[us]"))
        columns = [Column(j, time, values) for j, values in enumerate(seconds.T)]
    elif kind == "b":
        boolean = ColumnType("categorical", "Boolean")
        columns = [Column(j, boolean, values.tolist()) for j, values in enumerate(array.T)]
    else:
        text = array.astype(np.str_) if kind == "S" else array
        columns = [
            _read_objects(j, values.tolist(), parse_strings=True) for j, values in enumerate(text.T)
        ]
    return Table("array", len(array), columns)


def _read_objects(name: str | int, values: list[object], *, parse_strings: bool) -> Column:
    present = [value for value in values if not is_missing(value)]
    if present and all(isinstance(value, bool | np.bool_) for value in present):
        return Column(name, ColumnType("categorical", "Boolean"), values)
    if present and all(isinstance(value, date) for value in present):
        return Column(name, ColumnType("datetime", "Datetime", unit="us"), _moments(name, values))
    if parse_strings or not any(isinstance(value, str) for value in present):
        try:
            numbers = as_numbers(values)
        except TypeError as error:
            raise TypeError(f"{error} (column {name!r} of X)") from error
        except ValueError:  # a string that is no number makes the column a category
            if not any(isinstance(value, str) for value in present):
                raise
        else:
            return Column(name, ColumnType("numeric", "Float64"), _finite(numbers, name))
    for value in present:
        if not is_category(value):
            raise TypeError(
                f"argument must be a string or a real number, not {type(value).__name__!r} "
                f"(column {name!r} of X)"
            )
    return Column(name, ColumnType("categorical", "Object"), values)


def _moments(name: str | int, values: list[object]) -> Floats:
    """Return Python dates and times in seconds; NumPy accepts them without a time zone only."""
    if any(getattr(value, "tzinfo", None) is not None for value in values):
        raise TypeError(
            f"column {name!r} of X holds times with a time zone as Python objects; convert it to "
            "the data frame's own type of times."
        )
    moments = [None if is_missing(value) else value for value in values]
    return _seconds_of_ticks(np.array(moments, dtype="M8[us]"))


def _seconds_of_ticks(ticks: NDArray[np.generic]) -> Floats:
    return np.where(np.isnat(ticks), math.nan, ticks.astype(np.int64) / MICROSECONDS)


def _finite(values: Floats, name: str | int) -> Floats:
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
