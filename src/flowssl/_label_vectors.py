"""Read a label vector of any container: which rows have a value, and the values."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set, ValuesView
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

import narwhals as nw
import numpy as np
from narwhals.typing import IntoSeries
from numpy.typing import ArrayLike

from flowssl._plain_values import plain_values
from flowssl._typing import Booleans, Labels

if TYPE_CHECKING:
    from types import ModuleType

LabelsLike: TypeAlias = ArrayLike | Sequence[object] | IntoSeries
"""A list, NumPy array, pandas or polars Series, or pyarrow array of labels."""

_KINDS_OF_LABELS = (str, bool, int, float, np.bool_, np.number)


@dataclass(frozen=True, eq=False)
class LabelVector:
    """Labels as NumPy holds them, apart from the missing ones.

    Attributes
    ----------
    present : ndarray of shape (n_present,)
        The values that are not missing, in the order of the rows.
    missing : ndarray of shape (n,), bool
        Which rows are None, NaN, NaT, pd.NA or masked.
    """

    present: Labels
    missing: Booleans

    @classmethod
    def read(cls, y: LabelsLike) -> LabelVector:
        """Read labels.

        Raises
        ------
        ValueError
            If they are not a vector, or of a type that a class cannot be of.
        """
        if y is None:
            raise ValueError("fit requires y to be passed, but the target y is None.")
        series = _as_series(y)
        if isinstance(y, np.ma.MaskedArray) and y.ndim == 1:
            missing = np.ma.getmaskarray(y).copy()
            present = np.asarray(y.data)[~missing]
        elif series is not None:
            null = series.is_null()
            # Nulls are removed before the conversion, which would turn integers into floats.
            present, missing = series.filter(~null).to_numpy(), null.to_numpy().copy()
        else:
            present = _as_vector(y)
            missing = np.zeros(len(present), dtype=bool)
        if present.dtype.kind == "T":  # NumPy's texts of variable length
            present = present.astype(object)
        absent = _absent(present)
        missing[~missing] = absent
        return cls(_plain(present[~absent] if absent.any() else present), missing)


def is_missing(value: object) -> bool:
    """Whether a Python object is None, NaN, NaT, pd.NA or masked."""
    if value is None or value is np.ma.masked or value is _pandas_na():
        return True
    # Only NaN and NaT differ from themselves; comparing arrays gives an array.
    differs: object = value != value
    return isinstance(differs, bool | np.bool_) and bool(differs)


def _pandas() -> ModuleType | None:
    """Pandas if it is loaded: without it no value can be one of its objects."""
    return sys.modules.get("pandas")


def _pandas_na() -> object:
    return getattr(_pandas(), "NA", None)


def _as_series(y: LabelsLike) -> nw.Series[IntoSeries] | None:
    """Wrap a Series of a data frame library; None for anything else."""
    pandas = _pandas()
    if pandas is not None and isinstance(y, pandas.Index | pandas.api.extensions.ExtensionArray):
        y = pandas.Series(y)
    arrow = sys.modules.get("pyarrow")
    if arrow is not None and isinstance(y, arrow.Table):
        y = y.to_pandas()  # a column vector, or too many columns
    if arrow is not None and isinstance(y, arrow.Array):
        y = arrow.chunked_array([y])
    if arrow is not None and isinstance(y, arrow.ChunkedArray):
        from flowssl._arrow import readable

        y = readable(y, "the labels y")
    series = nw.from_native(y, series_only=True, pass_through=True)
    if not isinstance(series, nw.Series):
        return None
    if isinstance(series.dtype, nw.Datetime) and series.dtype.time_zone is not None:
        raise ValueError(
            "y holds times with a time zone as labels; convert them to text, for example with "
            "y.astype(str)."
        )
    return series


def _as_vector(y: LabelsLike) -> Labels:
    if isinstance(y, Mapping | Set | Iterator | ValuesView):
        raise ValueError(
            f"y should be a 1d array, got a {type(y).__name__}; pass a list with one label for each "
            "row of X, in the order of the rows."
        )
    values = plain_values(y)
    is_sequence = isinstance(values, Sequence) and not isinstance(values, str | bytes)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"y should be a 1d array, got rows of different lengths: {error}"
        ) from error
    if is_sequence and array.dtype.kind in "USf":
        # NumPy would turn None and NaN among strings into "None" and "nan", and bools beside NaN
        # into numbers.
        objects = np.asarray(values, dtype=object)
        if array.dtype.kind != "f" or _holds_bools(objects):
            array = objects
    if array.ndim == 2 and array.shape[1] > 1:
        raise ValueError(
            f"y should be a 1d array, got an array of shape {array.shape} instead. If its columns "
            "are the classes (one-hot), pass the position or the name of each row's class: "
            "y.argmax(axis=1)."
        )
    if array.ndim != 1:
        from sklearn.utils.validation import column_or_1d

        array = column_or_1d(y if array.ndim == 0 else array, warn=True)
    return array


def _holds_bools(values: Labels) -> bool:
    return values.ndim == 1 and all(
        isinstance(value, bool | np.bool_) or is_missing(value) for value in values.tolist()
    )


def _absent(values: Labels) -> Booleans:
    """Mark the missing values of an array."""
    if values.dtype.kind in "fMm":
        return np.asarray(np.isnan(values), dtype=bool)
    if values.dtype != object:
        return np.zeros(len(values), dtype=bool)
    return where(values.tolist(), is_missing)


def where(values: list[object], holds: Callable[[object], bool]) -> Booleans:
    """Mark the values for which `holds(value)` is true; it is called once per distinct value."""
    try:
        hits = {value for value in set(values) if holds(value)}
    except TypeError:  # not hashable; such labels are refused with a message
        return np.fromiter(map(holds, values), dtype=bool, count=len(values))
    if not hits:
        return np.zeros(len(values), dtype=bool)
    return np.fromiter((value in hits for value in values), dtype=bool, count=len(values))


def _plain(present: Labels) -> Labels:
    """Return dates and whole decimal numbers as NumPy's own types, which files can hold.

    Raises
    ------
    ValueError
        If a label is of a type that cannot be a class.
    """
    if present.dtype.kind in "SV":
        raise ValueError(
            f"y holds {'bytes' if present.dtype.kind == 'S' else 'records'} as labels; convert them "
            "to text, for example with np.char.decode(y)."
        )
    if present.dtype.kind == "f" and present.itemsize > 8:  # a long double, which no file holds
        return present.astype(np.float64)
    if present.dtype != object:
        return present
    values = present.tolist()
    kinds = set(map(type, values))
    if kinds and all(issubclass(kind, datetime) for kind in kinds):
        if any(value.tzinfo is not None for value in values):
            raise ValueError("y holds times with a time zone as labels; convert them to text.")
        return np.asarray(values, dtype="M8[us]")
    if kinds and all(issubclass(kind, date) and not issubclass(kind, datetime) for kind in kinds):
        return np.asarray(values, dtype="M8[D]")
    if kinds and all(issubclass(kind, np.datetime64 | np.timedelta64) for kind in kinds):
        return np.asarray(values)
    if Decimal in kinds:
        if any(isinstance(v, Decimal) and (not v.is_finite() or v != int(v)) for v in values):
            raise ValueError(
                "y holds decimal.Decimal numbers with a fraction; convert labels to text, for "
                "example with [str(label) for label in y]. A number to predict is not a class."
            )
        whole = np.empty(len(values), dtype=object)
        whole[:] = [int(v) if isinstance(v, Decimal) else v for v in values]
        return whole
    other = [kind for kind in kinds if not issubclass(kind, _KINDS_OF_LABELS)]
    if other:
        raise ValueError(
            "y must hold labels that are text, numbers, bools or dates, and that can be hashed and "
            f"sorted together; got the types {sorted(kind.__name__ for kind in kinds)}. Convert y to "
            "one of these, for example with [str(label) for label in y]."
        )
    return present
