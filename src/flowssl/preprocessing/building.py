"""Rebuild a table, in the container and with the column types that it was read from."""

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import narwhals as nw
import numpy as np
from narwhals.typing import IntoDataFrame, IntoSeries
from numpy.typing import NDArray

from flowssl._typing import Floats
from flowssl.preprocessing.containers import MICROSECONDS, OBJECTS, ColumnType, Container, Values

Backend: TypeAlias = Literal["polars", "pyarrow", "modin", "cudf"]

_MOST = 9.2e18  # ticks that 64 bits hold
_YEARS = (-62_135_596_800e6, 253_402_300_799e6)  # of four digits, in microseconds since 1970


def build_table(
    container: Container, columns: Sequence[tuple[str | int, ColumnType, Values]]
) -> NDArray[np.generic] | IntoDataFrame:
    """Rebuild a table from its decoded columns.

    Parameters
    ----------
    container : {"array", "pandas", "polars", "pyarrow", "modin", "cudf"}
        An array, or the library of the data frame.
    columns : sequence of (name, ColumnType, values)
        Values as `as_table` gives them. Integers are rounded and kept in their type's range.

    Returns
    -------
    ndarray or data frame
        A float64 array if all columns are numeric, a bool or datetime64 array if all are that,
        else an object array; or a data frame with the types of the original one.
    """
    if container == "array":
        return _build_array([(type_, values) for _, type_, values in columns])
    if container == "pandas":
        import pandas as pd

        series = [_pandas_series(type_, values) for _, type_, values in columns]
        frame = pd.concat(series, axis="columns")
        frame.columns = [name for name, _, _ in columns]
        rebuilt: IntoDataFrame = frame
        return rebuilt
    built = [_series(str(name), type_, values, container) for name, type_, values in columns]
    rebuilt = nw.concat([s.to_frame() for s in built], how="horizontal").to_native()
    return rebuilt


def _build_array(columns: Sequence[tuple[ColumnType, Values]]) -> NDArray[np.generic]:
    types = {type_.dtype for type_, _ in columns}
    if all(type_.kind == "numeric" for type_, _ in columns):
        return np.column_stack([np.asarray(values, dtype=np.float64) for _, values in columns])
    if types <= {"Datetime", "Duration"} and len(types) == 1:
        return np.column_stack([_ticks(type_, np.asarray(values)) for type_, values in columns])
    if types == {"Boolean"} and not any(None in values for _, values in columns):
        return np.column_stack([np.asarray(values, dtype=bool) for _, values in columns])
    array = np.empty((len(columns[0][1]), len(columns)), dtype=object)
    for j, (type_, values) in enumerate(columns):
        array[:, j] = _ticks(type_, np.asarray(values)) if type_.kind == "datetime" else values
    return array


def _pandas_series(type_: ColumnType, values: Values) -> object:
    import pandas as pd

    if type_.kind == "datetime":
        series = pd.Series(_ticks(type_, np.asarray(values)))
        if type_.zone is not None:
            series = series.dt.tz_localize("UTC")
        return series if type_.native == "object" else series.astype(type_.native)
    if type_.kind == "numeric":
        numbers, integral = _in_range(type_, np.asarray(values))
        native = type_.native or "float64"
        # NumPy's integers have no missing value; those of pandas and Arrow have.
        cannot_hold = integral and "[" not in native and native[0] in "iu"
        if native == "object" or (cannot_hold and np.isnan(numbers).any()):
            native = "float64"
        try:
            return pd.Series(numbers).astype(native)
        except (NotImplementedError, TypeError):  # decimals and nulls of Arrow
            return pd.Series(numbers)
    if type_.categories is not None:
        return pd.Series(
            pd.Categorical(values, categories=type_.categories, ordered=type_.dtype == "Enum")
        )
    incomplete_bools = type_.native == "bool" and any(value is None for value in values)
    if incomplete_bools:
        return pd.Series(values, dtype="object")
    is_arrow_dictionary = type_.dtype == "Categorical"
    try:
        return pd.Series(values, dtype="category" if is_arrow_dictionary else type_.native)
    except TypeError:  # JSON and run-end encoded text of Arrow
        return pd.Series(values, dtype="object")


def _series(
    name: str, type_: ColumnType, values: Values, backend: Backend
) -> nw.Series[IntoSeries]:
    if type_.kind == "categorical":
        dtype = _narwhals_dtype(type_)
        if dtype == nw.Boolean():
            return nw.new_series(name, list(values), dtype, backend=backend)
        text = [None if value is None else str(value) for value in values]
        return nw.new_series(name, text, nw.String(), backend=backend).cast(dtype)
    if type_.kind == "datetime":
        is_duration = type_.dtype == "Duration"
        ticks = nw.new_series(
            name,
            _ticks(type_, np.asarray(values)),
            nw.Duration("us") if is_duration else nw.Datetime("us"),
            backend=backend,
        )
        if type_.zone is not None:
            ticks = ticks.dt.replace_time_zone("UTC")
        return ticks.cast(_narwhals_dtype(type_))
    numbers, _ = _in_range(type_, np.asarray(values))
    dtype = _narwhals_dtype(type_)
    if np.isnan(numbers).any():  # null, not NaN
        optional = [None if math.isnan(number) else number for number in numbers.tolist()]
        return nw.new_series(name, optional, nw.Float64(), backend=backend).cast(dtype)
    return nw.new_series(name, numbers, nw.Float64(), backend=backend).cast(dtype)


def _narwhals_dtype(type_: ColumnType) -> nw.dtypes.DType:
    if type_.dtype == "Datetime":
        return nw.Datetime(type_.unit, type_.zone)  # type: ignore[arg-type]
    if type_.dtype == "Duration":
        return nw.Duration(type_.unit)  # type: ignore[arg-type]
    if type_.dtype == "Enum" and type_.categories is None:
        return nw.String()  # they were too many to keep
    if type_.dtype == "Enum":
        return nw.Enum([str(category) for category in type_.categories or ()])
    if type_.dtype in (*OBJECTS, "Decimal"):
        return nw.String() if type_.kind == "categorical" else nw.Float64()
    dtype: nw.dtypes.DType = getattr(nw, type_.dtype)()
    return dtype


def _ticks(type_: ColumnType, seconds: Floats) -> NDArray[np.generic]:
    """Return seconds as datetime64 or timedelta64 in microseconds, NaT for NaN.

    They are rounded to the unit of the type and kept within what it, and the calendar of years of
    four digits, can hold.
    """
    code = "m8[us]" if type_.dtype == "Duration" else "M8[us]"
    present = ~np.isnan(seconds)
    ticks = np.full(len(seconds), "NaT", dtype=code)
    step = {"s": 1_000_000, "ms": 1000}.get(type_.unit or "us", 1)
    whole = np.round(seconds[present] * MICROSECONDS / step) * step
    low, high = _YEARS if type_.dtype != "Duration" else (-_MOST, _MOST)
    if type_.unit == "ns":
        low, high = -_MOST / 1000, _MOST / 1000
    ticks[present] = np.clip(whole, low, high).astype(np.int64).astype(code)
    return ticks


def _in_range(type_: ColumnType, numbers: Floats) -> tuple[Floats, bool]:
    """Return numbers as the type can hold them, and whether it is a type of integers."""
    if not type_.dtype.startswith(("Int", "UInt")):
        return numbers, False
    limits = np.iinfo(type_.dtype.lower() if not type_.dtype.endswith("128") else "int64")
    # The largest float64 that a 64-bit integer can hold is below its largest value.
    high = math.nextafter(float(limits.max), 0.0) if limits.bits == 64 else float(limits.max)
    return np.clip(np.round(numbers), float(limits.min), high), True
