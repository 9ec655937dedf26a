"""Read the columns of data frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import narwhals as nw
import numpy as np
from narwhals.typing import IntoDataFrame, IntoSeries

from flowssl._arrow import readable
from flowssl._field_facts import NOTATION, fact
from flowssl._label_vectors import is_missing
from flowssl._typing import Floats
from flowssl.preprocessing.containers import (
    MICROSECONDS,
    OBJECTS,
    Column,
    ColumnType,
    Container,
    Kind,
    Table,
    Values,
    as_category,
    check_finite,
    is_category,
)
from flowssl.preprocessing.levels import text_of
from flowssl.preprocessing.objects import read_objects

if TYPE_CHECKING:
    import pyarrow as pa


def read_frame(frame: nw.DataFrame[IntoDataFrame], kinds: Sequence[Kind]) -> Table:
    """Read a data frame.

    Parameters
    ----------
    frame : data frame
    kinds : sequence of {"numeric", "datetime", "categorical"}
        Kinds of the columns in fit: where it was "categorical", the values are read as they are,
        whatever their type is now.
    """
    for count, what in zip(frame.shape, ("sample", "feature"), strict=True):
        if count == 0:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={frame.shape}) while a minimum of 1 is "
                "required."
            )
    columns = [
        _read_series(series, as_levels=position < len(kinds) and kinds[position] == "categorical")
        for position, series in enumerate(frame.iter_columns())
    ]
    if frame.implementation.is_pyarrow():
        fields = cast("pa.Table", nw.to_native(frame)).schema
        columns = [
            replace(column, type=replace(column.type, notation=fact(field, NOTATION)))
            for column, field in zip(columns, fields, strict=True)
        ]
    container = cast("Container", frame.implementation.name.lower())
    return Table(container, len(frame), columns)


def _read_series(given: nw.Series[IntoSeries], *, as_levels: bool) -> Column:
    label: object = given.name  # pandas allows more than strings
    name = label if isinstance(label, str | int) else str(label)
    native_dtype = getattr(nw.to_native(given), "dtype", None)
    is_pandas = given.implementation.is_pandas()
    native = str(native_dtype) if is_pandas else None
    if is_pandas and native is not None and native.startswith("interval"):
        texts: list[object] = [None if is_missing(value) else str(value) for value in given]
        return Column(name, ColumnType("categorical", "Object", "object"), texts)
    series = _plain(given, name)
    dtype = series.dtype

    def column(
        kind: Kind,
        values: Values,
        unit: str | None = None,
        zone: str | None = None,
    ) -> Column:
        return Column(name, ColumnType(kind, type(dtype).__name__, native, unit, zone), values)

    if isinstance(dtype, nw.Categorical | nw.Enum):
        # narwhals gives the categories of an Enum, pandas those of every categorical column.
        source = dtype if isinstance(dtype, nw.Enum) else native_dtype if is_pandas else None
        read = column("categorical", series.to_list())
        return _with_declared(read, getattr(source, "categories", None))
    if isinstance(dtype, nw.Boolean | nw.String) or as_levels:
        return column("categorical", series.to_list())
    if dtype.is_numeric():
        return column("numeric", check_finite(_numbers(series), name))
    if isinstance(dtype, nw.Datetime):
        return column("datetime", _seconds(series), dtype.time_unit, dtype.time_zone)
    if isinstance(dtype, nw.Duration):
        return column("datetime", _seconds(series), dtype.time_unit)
    if isinstance(dtype, nw.Date):
        return column("datetime", _seconds(series.cast(nw.Datetime("us"))))
    if type(dtype).__name__ in OBJECTS:
        read = read_objects(name, series.to_list(), parse_strings=False)
        return replace(read, type=replace(read.type, native=native))
    raise TypeError(
        f"column {name!r} of X has the type {dtype}, which is neither a number, a time nor a "
        "category; convert or drop it."
    )


def _plain(series: nw.Series[IntoSeries], name: str | int) -> nw.Series[IntoSeries]:
    """Return a series whose type narwhals reads, or refuse it by its name."""
    column: Any = nw.to_native(series)  # of pandas or pyarrow, which have no common type
    dtype = getattr(column, "dtype", None)
    if series.implementation.is_pandas():
        if str(dtype).startswith("period"):
            return _wrapped(column.dt.to_timestamp())
        if not hasattr(dtype, "pyarrow_dtype"):
            return series
        column = column.array.__arrow_array__()
    elif not series.implementation.is_pyarrow():
        return series
    return _wrapped(readable(column, f"column {name!r} of X"))


def _wrapped(column: IntoSeries) -> nw.Series[IntoSeries]:
    return nw.from_native(column, series_only=True)


def _with_declared(column: Column, declared: Sequence[object] | None) -> Column:
    """Add the categories that a column's type lists, all of a kind that a file can hold."""
    if declared is None:
        return column
    if all(map(is_category, declared)):
        categories = tuple(map(as_category, declared))
        return replace(column, type=replace(column.type, categories=categories))
    values: list[object] = [  # intervals, for example
        None if is_missing(value) else _text(value, column.name) for value in column.values
    ]
    categories = tuple(_text(category, column.name) for category in declared)
    return replace(column, type=replace(column.type, categories=categories), values=values)


def _text(value: object, name: str | int) -> str:
    try:
        return text_of(value)
    except TypeError as error:
        raise TypeError(f"{error} (column {name!r} of X)") from error


def _numbers(series: nw.Series[IntoSeries]) -> Floats:
    if series.implementation.is_pyarrow():
        # narwhals casts safely, which refuses integers beyond 2^53.
        column: Any = nw.to_native(series)
        numbers = column.cast("float64", safe=False).to_numpy()
    else:
        numbers = series.cast(nw.Float64).to_numpy()
    return np.asarray(numbers, dtype=np.float64)


def _seconds(series: nw.Series[IntoSeries]) -> Floats:
    if isinstance(series.dtype, nw.Datetime):
        ticks = series.dt.timestamp("us")
    else:
        ticks = series.dt.total_microseconds()
    values = _numbers(ticks) / MICROSECONDS
    values[series.is_null().to_numpy()] = math.nan
    return values
