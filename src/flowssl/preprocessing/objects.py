"""Read columns of Python objects: numbers, times, or categories."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from flowssl._label_vectors import is_missing
from flowssl._missing_marks import MARKS_AMONG_NUMBERS
from flowssl._typing import Floats
from flowssl.preprocessing.containers import (
    MICROSECONDS,
    Column,
    ColumnType,
    check_finite,
    is_category,
)


def read_objects(name: str | int, values: list[object], *, parse_strings: bool) -> Column:
    """Read a column of Python objects.

    Parameters
    ----------
    name : str or int
        Its name.
    values : list
        n values; None, NaN, NaT and pd.NA are missing.
    parse_strings : bool
        Whether strings that are numbers are numbers, as in scikit-learn's arrays.

    Raises
    ------
    TypeError, ValueError
        If they are neither numbers, times, durations nor categories; the column is named.
    """
    present = [value for value in values if not is_missing(value)]
    if present and all(isinstance(value, bool | np.bool_) for value in present):
        return Column(name, ColumnType("categorical", "Boolean"), values)
    if present and all(isinstance(value, date) for value in present):
        seconds = _ticks(name, values, "M8[us]")
        return Column(name, ColumnType("datetime", "Datetime", unit="us"), seconds)
    if present and all(isinstance(value, timedelta | np.timedelta64) for value in present):
        seconds = _ticks(name, values, "m8[us]")
        return Column(name, ColumnType("datetime", "Duration", unit="us"), seconds)
    if parse_strings or not any(isinstance(value, str) for value in present):
        try:
            numbers = as_numbers(values)
        except ValueError:  # a string that is no number makes the column a category
            pass
        else:
            return Column(name, ColumnType("numeric", "Float64"), check_finite(numbers, name))
    for value in present:
        if not is_category(value):
            raise TypeError(
                f"argument must be a string or a real number, not {type(value).__name__!r} "
                f"(column {name!r} of X)"
            )
    return Column(name, ColumnType("categorical", "Object"), values)


def as_numbers(values: list[object]) -> Floats:
    """Return Python values as a float64 vector, NaN where missing; numeric strings are converted.

    Numbers beyond float64 become infinite, which `check_finite` refuses.

    Raises
    ------
    ValueError
        If a value is no number; it names the row and the value.
    """
    return _converted(values, _number, "a number")


def as_seconds(values: list[object], *, has_zone: bool) -> Floats:
    """Return Python values as seconds since 1970 (in UTC), NaN where missing; text is ISO 8601.

    Raises
    ------
    ValueError
        If a value is no time, or has a time zone and should not, or the other way round; it names
        the row and the value.
    """

    def seconds(value: object) -> float:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
        if isinstance(moment, date) and not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day)
        if not isinstance(moment, datetime) or (moment.tzinfo is not None) != has_zone:
            raise ValueError
        utc = moment.astimezone(UTC).replace(tzinfo=None) if has_zone else moment
        return float(np.datetime64(utc, "us").astype(np.int64)) / MICROSECONDS

    return _converted(values, seconds, f"a time with{'' if has_zone else 'out'} a time zone")


def seconds_of_ticks(ticks: NDArray[np.generic]) -> Floats:
    """Return datetime64 or timedelta64 in microseconds as seconds, NaN for NaT."""
    return np.where(np.isnat(ticks), math.nan, ticks.astype(np.int64) / MICROSECONDS)


def _converted(values: list[object], convert: Callable[[object], float], what: str) -> Floats:
    numbers = np.full(len(values), math.nan)
    for row, value in enumerate(values):
        if is_missing(value) or (isinstance(value, str) and value.strip() in MARKS_AMONG_NUMBERS):
            continue
        try:
            numbers[row] = convert(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{value!r} in row {row} (counted from 0) is not {what}") from error
    return numbers


def _number(value: object) -> float:
    if isinstance(value, str) and "_" in value:  # which Python allows among digits
        raise ValueError
    if isinstance(value, bytes):  # which Python reads as text
        raise TypeError
    try:
        return float(value)  # type: ignore[arg-type]  # what it refuses is reported
    except OverflowError:  # of Python's integers and fractions, which have no limit
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]


def _ticks(name: str | int, values: list[object], dtype: str) -> Floats:
    """Return Python times in seconds; NumPy accepts them without a time zone only."""
    if any(getattr(value, "tzinfo", None) is not None for value in values):
        raise TypeError(
            f"column {name!r} of X holds times with a time zone as Python objects; convert it to "
            "the data frame's own type of times."
        )
    moments = [None if is_missing(value) else value for value in values]
    return seconds_of_ticks(np.array(moments, dtype=dtype))
