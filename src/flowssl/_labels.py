"""Encode class labels as integers, and decode them.

A label vector of any type and container becomes an array of classes (sorted, dtype kept) and an
integer code for each row, -1 for unlabeled rows. This is the only module that decides what marks an
unlabeled row.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from numbers import Number
from operator import eq

import numpy as np
from numpy.typing import ArrayLike

from flowssl._label_vectors import LabelsLike as LabelsLike  # of the functions below
from flowssl._label_vectors import LabelVector, where
from flowssl._missing_marks import missing_marks
from flowssl._plain_values import plain_values
from flowssl._typing import Booleans, Integers, Labels
from flowssl.exceptions import FlowSSLWarning


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

    def with_classes_of(self, rows: Integers) -> EncodedLabels:
        """Return the labels with those classes only that some rows have; others are unlabeled.

        Raises
        ------
        ValueError
            If none of these rows is labeled.
        """
        present = np.zeros(len(self.classes), dtype=bool)
        of_rows = self.codes[rows]
        present[of_rows[of_rows >= 0]] = True
        if not present.any():
            raise ValueError("y holds no labeled row of a weight other than 0; give one a weight.")
        # The code -1 of an unlabeled row selects the last entry.
        code_of = np.append(np.where(present, np.cumsum(present) - 1, -1), -1)
        return EncodedLabels(code_of[self.codes], self.classes[present])


def encode_labels(
    y: LabelsLike, unlabeled_value: object = "auto", *, known: Collection[object] = ()
) -> EncodedLabels:
    """Encode labels as indices into the sorted classes, and -1 for unlabeled rows.

    Parameters
    ----------
    y : list, ndarray, pandas or polars Series, or pyarrow array of length n
        Labels that can be sorted: strings, numbers, bools, dates. Masked values are missing. A
        column of shape (n, 1) is accepted with a `DataConversionWarning`, as in scikit-learn.
    unlabeled_value : object, default="auto"
        Marker of unlabeled rows. "auto": -1, NaN, None, pd.NA and NaT, the conventions of
        scikit-learn and data frames; in text also empty and blank labels, "-1", "nan", "NA" and the
        other marks of `flowssl._missing_marks`, with a warning of how many. None: every row is
        labeled and -1 is an ordinary class. Any other value is the only marker, for example "?" or
        0; `np.nan` and `pd.NA` stand for every kind of missing value. A list, tuple, set or array
        holds several markers; None in it stands for missing values.
    known : collection, default=()
        Classes of a fitted model, which are never marks.

    Returns
    -------
    EncodedLabels
        `classes` keeps the dtype of `y`, like scikit-learn's `classes_`: a float array of integral
        labels with NaN as marker stays float. Integers stay integers in containers that hold both
        integers and missing values (lists with None, pandas "Int64", polars, pyarrow). Object
        arrays of numbers, bools or dates get the dtype of these; whole decimal numbers become
        integers.

    Raises
    ------
    ValueError
        If no row is labeled, if y has missing values that are not the marker, or if labels are
        continuous, infinite, complex, unhashable, of types that cannot be sorted together or
        written to a file, or multi-output.
    """
    vector, markers = LabelVector.read(y), _Markers.of(unlabeled_value)
    present, missing = vector.present, vector.missing
    if missing.any() and not markers.missing:
        raise ValueError(
            f"Input y contains NaN, None or another missing value in {missing.sum()} of "
            f"{len(missing)} rows, and unlabeled_value={unlabeled_value!r} does not mark them as "
            "unlabeled. Use unlabeled_value='auto', add None to a list of markers, or drop these "
            "rows."
        )
    marked = markers.marked(present)
    texts = markers.marks(present[~marked], known)
    if texts:
        by_text = _in(present, texts)
        marked |= by_text
        _warn_of_marks(texts, int(by_text.sum()))
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


def is_unlabeled(
    y: LabelsLike, unlabeled_value: object = "auto", *, known: Collection[object] = ()
) -> Booleans:
    """Mark the unlabeled rows.

    Parameters
    ----------
    y : list, ndarray, pandas or polars Series, or pyarrow array of length n
        Labels.
    unlabeled_value : object, default="auto"
        Marker of unlabeled rows; see `encode_labels`.
    known : collection, default=()
        Classes of a fitted model, which are never marks.

    Returns
    -------
    ndarray of shape (n,), bool
        True where a row is unlabeled; all False for `unlabeled_value=None`.
    """
    vector, markers = LabelVector.read(y), _Markers.of(unlabeled_value)
    unlabeled = vector.missing if markers.missing else np.zeros_like(vector.missing)
    marked = markers.marked(vector.present)
    texts = markers.marks(vector.present[~marked], known)
    unlabeled[~vector.missing] = marked | _in(vector.present, texts) if texts else marked
    return unlabeled


def positions(labels: Labels, classes: Labels) -> Integers:
    """Return the position of each of the labels (m,) among the classes, -1 where it is none."""
    if classes.dtype.kind in "Mm" and labels.dtype.kind == classes.dtype.kind:
        labels = labels.astype(classes.dtype)
    place = {label: code for code, label in enumerate(classes.tolist())}
    return np.asarray([place.get(label, -1) for label in labels.tolist()], dtype=np.int64)


def check_same_type(labels: Labels, predicted: Labels) -> None:
    """Refuse to compare text with labels of another type, which never are equal.

    Raises
    ------
    ValueError
        If either the labels or the predictions are text, and the others are not.
    """
    given = labels, predicted
    if all(map(len, given)) and len({isinstance(some.tolist()[0], str) for some in given}) > 1:
        raise ValueError(
            f"the labels {labels[:3].tolist()} ... and the predictions {predicted[:3].tolist()} ... "
            "are of different types; give labels of the type of fit."
        )


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
    given = np.asarray(plain_values(labels))
    if classes.dtype.kind in "Mm" and given.dtype == object:
        given = given.astype(classes.dtype)
    given = np.repeat(given, n) if given.ndim == 0 else given.ravel()
    codes = positions(given, classes)
    if (codes < 0).any():
        unknown = given[codes < 0].tolist()[0]
        raise ValueError(f"{unknown!r} is not one of the classes {classes.tolist()}")
    return codes


@dataclass(frozen=True)
class _Markers:
    """What marks an unlabeled row.

    Attributes
    ----------
    values : tuple
        Values that do, missing ones apart.
    missing : bool
        Whether missing values do.
    automatic : bool
        Whether the usual marks in text do.
    """

    values: tuple[object, ...]
    missing: bool
    automatic: bool

    @classmethod
    def of(cls, unlabeled_value: object) -> _Markers:
        """Read the parameter ``unlabeled_value``."""
        if isinstance(unlabeled_value, str) and unlabeled_value == "auto":
            return cls((-1,), missing=True, automatic=True)
        if unlabeled_value is None:
            return cls((), missing=False, automatic=False)
        several = markers_of(unlabeled_value)
        try:  # like labels, so that dates and decimal numbers are what they are among these
            present = [LabelVector.read([value]).present for value in several]
        except ValueError as error:
            raise ValueError(
                f"unlabeled_value={unlabeled_value!r} cannot mark rows among labels: {error}"
            ) from error
        values = tuple(value for found in present for value in found)
        return cls(values, missing=len(values) < len(several), automatic=False)

    def marked(self, present: Labels) -> Booleans:
        """Mark which of the values that are not missing equal a marker, shape (n_present,)."""
        marked = np.zeros(len(present), dtype=bool)
        for marker in self.values:
            if present.dtype.kind in "biufc":
                if isinstance(marker, Number | np.number | np.bool_):
                    marked |= np.asarray(present == marker, dtype=bool)
            elif present.dtype.kind in "Mm":
                marked |= np.asarray(present == _as_time(marker, present.dtype), dtype=bool)
            elif present.dtype == object or isinstance(marker, str):
                marked |= where(present.tolist(), partial(eq, marker))
        return marked

    def marks(self, present: Labels, known: Collection[object]) -> frozenset[str]:
        """Return the texts among labels of text that are usual marks of a missing value."""
        if not self.automatic or present.dtype.kind not in "OU":
            return frozenset()
        try:
            levels = set(present.tolist())
        except TypeError:  # not hashable; `_unique` refuses such labels with a message
            return frozenset()
        if not all(isinstance(level, str) for level in levels):
            return frozenset()
        return missing_marks(levels, labels=True, known=known)


def markers_of(unlabeled_value: object) -> list[object]:
    """Return the markers that an ``unlabeled_value`` other than "auto" and None stands for."""
    if isinstance(unlabeled_value, list | tuple | set | frozenset):
        return list(unlabeled_value)
    if np.ndim(unlabeled_value) and hasattr(unlabeled_value, "tolist"):  # type: ignore[arg-type]
        return list(unlabeled_value.tolist())
    return [unlabeled_value]


def _as_time(marker: object, dtype: np.dtype[np.generic]) -> Labels:
    """Return a marker among dates; NaT, which equals nothing, for one that is no date."""
    if isinstance(marker, np.datetime64 | np.timedelta64):
        return np.asarray(marker).astype(dtype)
    return np.asarray("NaT", dtype=dtype)


def _in(present: Labels, texts: Collection[str]) -> Booleans:
    return where(present.tolist(), lambda value: value in texts)


def _warn_of_marks(texts: frozenset[str], n_rows: int) -> None:
    shown = ", ".join(repr(str(text)) for text in sorted(texts)[:5])
    warnings.warn(
        f"{n_rows} of the labels ({shown}) count as unlabeled: such texts mark missing values. If "
        "one of them is a class, say what marks an unlabeled row, for example "
        "unlabeled_value='?', or unlabeled_value=None if every row is labeled.",
        FlowSSLWarning,
        stacklevel=4,
    )


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
    if classes.dtype.kind == "O" and not all(isinstance(label, str) for label in classes):
        raise ValueError(
            f"y holds integers of more than 64 bits, such as {max(classes)}; convert y to text."
        )
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
        markers = "-1, NaN, None, pd.NA and, in text, marks such as '' and 'NA' are unlabeled rows"
        way_out = "label at least one row, or pass unlabeled_value=None if -1 is a class"
    else:
        markers = f"unlabeled_value={unlabeled_value!r} marks an unlabeled row"
        way_out = "label at least one row, or pass another unlabeled_value"
    return f"y holds no labeled row: all {n_rows} rows are unlabeled. {markers}; {way_out}."
