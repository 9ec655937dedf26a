"""Encode class labels as integers, and decode them.

A label vector of any type and container becomes an array of classes (sorted, dtype kept) and an
integer code for each row, -1 for unlabeled rows. This is the only module that decides what marks an
unlabeled row.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import TypeAlias

import narwhals as nw
import numpy as np
from narwhals.typing import IntoSeries
from numpy.typing import ArrayLike

from flowssl._typing import Booleans, Integers, Labels

LabelsLike: TypeAlias = ArrayLike | Sequence[object] | IntoSeries
"""A list, NumPy array, pandas or polars Series, or pyarrow array of labels."""


@dataclass(frozen=True, eq=False)
class EncodedLabels:
    """Labels as integer codes.

    Parameters
    ----------
    codes : ndarray of shape (n,), int64
        Index into `classes` for a labeled row, -1 for an unlabeled one.
    classes : ndarray of shape (n_classes,)
        Distinct labels of the labeled rows in ascending order.
    """

    codes: Integers
    classes: Labels

    def decode(self, codes: Integers) -> Labels:
        """Return the labels of integer codes.

        Parameters
        ----------
        codes : ndarray of int
            Values from 0 to n_classes - 1, any shape.

        Returns
        -------
        ndarray of the same shape, with the dtype of `classes`.

        Raises
        ------
        ValueError
            If a code is not an index into `classes`; this includes -1, the code of unlabeled rows.
        """
        last = len(self.classes) - 1
        if codes.size and not (codes.min() >= 0 and codes.max() <= last):
            raise ValueError(
                f"codes must lie between 0 and {last}, got values from {codes.min()} to "
                f"{codes.max()}; leave unlabeled rows (-1) out before decoding."
            )
        labels: Labels = self.classes[codes]
        return labels


def encode_labels(y: LabelsLike, unlabeled_value: object = "auto") -> EncodedLabels:
    """Encode labels as indices into the sorted classes, and -1 for unlabeled rows.

    Parameters
    ----------
    y : list, ndarray, pandas or polars Series, or pyarrow array of length n
        Labels of any hashable type whose values can be sorted: strings, numbers, bools, dates. A
        column of shape (n, 1) is accepted with a `DataConversionWarning`, as in scikit-learn.
    unlabeled_value : object, default="auto"
        Marker of unlabeled rows. "auto": -1 (as a number, never the string "-1"), NaN, None, pd.NA
        and NaT, the conventions of scikit-learn and data frames. None: every row is labeled and -1
        is an ordinary class. Any other value is the only marker, for example "?" or 0; `np.nan` and
        `pd.NA` stand for every kind of missing value.

    Returns
    -------
    EncodedLabels
        `classes` keeps the dtype of `y`, like scikit-learn's `classes_`: a float array of integral
        labels with NaN as marker stays float. Integers stay integers in containers that hold both
        integers and missing values (lists with None, pandas "Int64", polars, pyarrow). Object
        arrays of numbers or bools get the dtype of these.

    Raises
    ------
    ValueError
        If no row is labeled, if y has missing values that are not the marker, or if labels are
        continuous, infinite, complex, unhashable, of types that cannot be sorted together, or
        multi-output.
    """
    present, missing = _present_values(y)
    if missing.any() and not _marks_missing(unlabeled_value):
        raise ValueError(
            f"Input y contains NaN, None or another missing value in {missing.sum()} of "
            f"{len(missing)} rows, and unlabeled_value={unlabeled_value!r} does not mark them as "
            "unlabeled. Use unlabeled_value='auto', or drop these rows."
        )
    marked = _marked(present, unlabeled_value)
    labeled = present[~marked]
    if not len(labeled):
        raise ValueError(_no_label_message(len(missing), unlabeled_value))
    classes, codes_of_labeled = _unique(labeled)
    _check_classes(classes)
    if isinstance(y, list | tuple) and all(isinstance(label, str) for label in classes):
        classes = np.asarray(classes, dtype=np.str_)

    codes = np.full(len(missing), -1, dtype=np.int64)
    codes[np.flatnonzero(~missing)[~marked]] = codes_of_labeled
    return EncodedLabels(codes=codes, classes=classes)


def codes_of(labels: ArrayLike | object, classes: Labels, n: int) -> Integers:
    """Return the index of each label among the classes.

    Parameters
    ----------
    labels : label or array-like
        One label for each row, or a single label for all rows.
    classes : ndarray of shape (n_classes,)
        Known labels.
    n : int
        Number of rows that a single label stands for; ignored if `labels` is an array.

    Returns
    -------
    ndarray of shape (n,) or (len(labels),), int64

    Raises
    ------
    ValueError
        If a label is not one of the classes.
    """
    given = np.asarray(labels)
    given = np.repeat(given, n) if given.ndim == 0 else given.ravel()
    place = {label: code for code, label in enumerate(classes.tolist())}
    unknown = [label for label in given.tolist() if label not in place]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not one of the classes {classes.tolist()}")
    return np.asarray([place[label] for label in given.tolist()], dtype=np.int64)


def is_unlabeled(y: LabelsLike, unlabeled_value: object = "auto") -> Booleans:
    """Mark the unlabeled rows.

    Parameters
    ----------
    y : list, ndarray, pandas or polars Series, or pyarrow array of length n
        Labels.
    unlabeled_value : object, default="auto"
        Marker of unlabeled rows; see `encode_labels`.

    Returns
    -------
    ndarray of shape (n,), bool
        True where a row is unlabeled; all False for `unlabeled_value=None`.
    """
    present, missing = _present_values(y)
    unlabeled = missing if _marks_missing(unlabeled_value) else np.zeros_like(missing)
    unlabeled[~missing] = _marked(present, unlabeled_value)
    return unlabeled


def is_missing(value: object) -> bool:
    """Whether a Python object is None, NaN, NaT or pd.NA."""
    if value is None or value is _pandas_na():
        return True
    # Only NaN and NaT differ from themselves; comparing arrays gives an array.
    differs: object = value != value
    return isinstance(differs, bool | np.bool_) and bool(differs)


def _pandas_na() -> object:
    """pd.NA if pandas is loaded, else None: without pandas no value can be pd.NA."""
    return getattr(sys.modules.get("pandas"), "NA", None)


def _marks_missing(unlabeled_value: object) -> bool:
    if isinstance(unlabeled_value, str):
        return unlabeled_value == "auto"
    return unlabeled_value is not None and is_missing(unlabeled_value)


def _present_values(y: LabelsLike) -> tuple[Labels, Booleans]:
    """Return the values that are not missing (n_present,) and a mask of the missing ones (n,)."""
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None.")
    series = nw.from_native(y, series_only=True, pass_through=True)
    if isinstance(series, nw.Series):
        null = series.is_null()
        # Nulls are removed before the conversion, which would turn integers into floats.
        present, missing = series.filter(~null).to_numpy(), null.to_numpy().copy()
    else:
        present = _as_vector(y)
        missing = np.zeros(len(present), dtype=bool)
    if present.dtype.kind in "fMm":
        absent = np.isnan(present)
    elif present.dtype == object:
        absent = _where(present.tolist(), is_missing)
    else:
        return present, missing
    missing[~missing] = absent
    return present[~absent], missing


def _as_vector(y: LabelsLike) -> Labels:
    values = y.to_pylist() if hasattr(y, "to_pylist") else y  # pyarrow.Array
    array = np.asarray(values)
    if isinstance(values, list | tuple) and array.dtype.kind in "US":
        # NumPy would turn None and NaN among strings into "None" and "nan".
        array = np.asarray(values, dtype=object)
    if array.ndim != 1:
        from sklearn.utils.validation import column_or_1d

        array = column_or_1d(y if array.ndim == 0 else array, warn=True)
    return array


def _marked(present: Labels, unlabeled_value: object) -> Booleans:
    """Mark which of the values that are not missing equal the marker, shape (n_present,)."""
    is_auto = isinstance(unlabeled_value, str) and unlabeled_value == "auto"
    if not is_auto and is_missing(unlabeled_value):
        return np.zeros(len(present), dtype=bool)
    marker = -1 if is_auto else unlabeled_value
    if present.dtype.kind in "biufc":
        if not isinstance(marker, Number | np.number | np.bool_):
            return np.zeros(len(present), dtype=bool)
        return np.asarray(present == marker, dtype=bool)
    if is_auto and present.dtype != object:
        return np.zeros(len(present), dtype=bool)
    return _where(present.tolist(), lambda value: bool(value == marker))


def _where(values: list[object], holds: Callable[[object], bool]) -> Booleans:
    """Mark the values for which `holds(value)` is true; it is called once per distinct value."""
    try:
        hits = {value for value in set(values) if holds(value)}
    except TypeError:  # not hashable; `_unique` refuses such labels with a message
        return np.fromiter(map(holds, values), dtype=bool, count=len(values))
    if not hits:
        return np.zeros(len(values), dtype=bool)
    return np.fromiter((value in hits for value in values), dtype=bool, count=len(values))


def _unique(labels: Labels) -> tuple[Labels, Integers]:
    """Return the sorted distinct labels and the index of each row's label among them."""
    if labels.dtype.kind in "biufcMm":
        classes, codes = np.unique(labels, return_inverse=True)
        return classes, codes.astype(np.int64, copy=False)
    # A dictionary is ten times as fast as sorting a million strings.
    values = labels.tolist()
    try:
        distinct = sorted(set(values))
    except TypeError as error:
        types = sorted({type(value).__name__ for value in values})
        raise ValueError(
            "y must hold labels that can be hashed and sorted together, such as all strings or "
            f"all numbers; got the types {types}. Convert y to one type, for example to str."
        ) from error
    index = {label: code for code, label in enumerate(distinct)}
    codes = np.fromiter(map(index.__getitem__, values), dtype=np.int64, count=len(values))
    if labels.dtype != object:
        return np.asarray(distinct, dtype=labels.dtype), codes
    if all(isinstance(label, Number | np.number | np.bool_) for label in distinct):
        return np.asarray(distinct), codes
    classes = np.empty(len(distinct), dtype=object)
    classes[:] = distinct
    return classes, codes


def _check_classes(classes: Labels) -> None:
    """Refuse targets that are not classes, with scikit-learn's messages."""
    if classes.dtype.kind == "c":
        raise ValueError("Complex data not supported: y must hold class labels.")
    if classes.dtype.kind != "f":
        return
    from sklearn.utils import assert_all_finite
    from sklearn.utils.multiclass import check_classification_targets

    assert_all_finite(classes, input_name="y")
    if (classes != np.trunc(classes.astype(np.float64))).any():
        check_classification_targets(classes)


def _no_label_message(n_rows: int, unlabeled_value: object) -> str:
    if not n_rows:
        return "y is empty: at least one labeled row is needed."
    if isinstance(unlabeled_value, str) and unlabeled_value == "auto":
        markers = "-1 (in numeric labels), NaN, None and pd.NA mark an unlabeled row"
        way_out = "label at least one row, or pass unlabeled_value=None if -1 is a class"
    else:
        markers = f"unlabeled_value={unlabeled_value!r} marks an unlabeled row"
        way_out = "label at least one row, or pass another unlabeled_value"
    return f"y holds no labeled row: all {n_rows} rows are unlabeled. {markers}; {way_out}."
