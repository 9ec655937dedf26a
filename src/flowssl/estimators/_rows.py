"""The training rows of an estimator in one canonical form.

Rows are sorted and identical rows are merged with their weights added. So the order of the rows
does not matter, a row of weight 2 is the same as the row given twice, and a row of weight 0 is the
same as no row: exactly, not only on average. Categories are the exception: ties for the reference
category are broken by the order of the rows.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from flowssl._labels import EncodedLabels, LabelsLike
from flowssl._typing import Booleans, Floats, Integers
from flowssl.exceptions import FlowSSLWarning
from flowssl.preprocessing.containers import TableLike

ROWS_AT_ONCE = 50_000
"""Rows that are compared or converted together, for the sake of memory."""


@dataclass(frozen=True)
class Rows:
    """Distinct training rows.

    Attributes
    ----------
    matrix : ndarray of shape (n, D)
        Encoded rows; NaN for missing numbers.
    codes : ndarray of shape (n,), int64
        Class of each row, -1 for unlabeled.
    weight : ndarray of shape (n,)
        Positive weights.
    n_classes : int
        Number C of classes.
    """

    matrix: Floats
    codes: Integers
    weight: Floats
    n_classes: int

    @property
    def labeled(self) -> Booleans:
        """Which rows carry a label, shape (n,)."""
        return self.codes >= 0

    def one_hot(self) -> Floats:
        """Return the labels as probabilities, shape (n, C); zeros for unlabeled rows."""
        return np.eye(self.n_classes + 1)[self.codes][:, : self.n_classes]


def counted_rows(X: TableLike, y: LabelsLike, sample_weight: ArrayLike | None) -> Integers | None:
    """Return which rows have a weight other than 0; None for all of them.

    None as well where the weights do not fit X and y, which `labeled_rows` then reports.
    """
    weight = np.asarray(1.0 if sample_weight is None else sample_weight)
    counted = np.flatnonzero(weight)
    if weight.ndim != 1 or len(counted) in (0, len(weight)):
        return None
    if not (hasattr(X, "shape") or hasattr(X, "__len__")):  # a lazy frame, for example
        return None
    return counted if len(weight) == _length(X) == _length(y) else None


def labeled_rows(
    matrix: Floats, labels: EncodedLabels, sample_weight: ArrayLike | None
) -> tuple[Rows, Integers]:
    """Join encoded rows (n, D), their labels and weights, if a density can be fitted to them.

    Returns
    -------
    rows : Rows
        The distinct rows, m of them.
    places : ndarray of shape (n,), int64
        Which of them each given row is.

    Raises
    ------
    ValueError
        If the numbers of rows differ, rows or columns are too few, a weight is negative, or a
        class has only rows of weight 0.
    """
    if len(labels.codes) != len(matrix):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: "
            f"{[len(matrix), len(labels.codes)]}"
        )
    if len(matrix) < 2:
        raise ValueError(
            f"a density needs at least 2 rows of a weight other than 0, got n_samples = {len(matrix)}"
        )
    if matrix.shape[1] == 0:
        raise ValueError("every column of X is constant: there is nothing to learn from")
    weight = _checked_weight(sample_weight, len(matrix))
    rows, places = canonical_rows(matrix, labels.codes, weight, len(labels.classes))
    if len(labels.classes) == 1 and (labels.codes < 0).any():
        warnings.warn(
            f"all labeled rows are of class {labels.classes[0]!r}. If -1 is a class of yours "
            "and not the mark of an unlabeled row, set unlabeled_value=None",
            FlowSSLWarning,
            stacklevel=5,
        )
    known = rows.labeled
    present = np.bincount(rows.codes[known], rows.weight[known], minlength=rows.n_classes) > 0
    if not present.all():
        raise ValueError(
            f"classes {labels.classes[~present].tolist()} have only rows of weight 0; give "
            "them a weight or leave their rows out"
        )
    return rows, places


def canonical_rows(
    matrix: Floats, codes: Integers, weight: Floats, n_classes: int
) -> tuple[Rows, Integers]:
    """Sort rows and merge identical ones.

    Parameters
    ----------
    matrix : ndarray of shape (n, D)
    codes : ndarray of shape (n,), int64
    weight : ndarray of shape (n,)
        Those of merged rows are added.
    n_classes : int

    Returns
    -------
    rows : Rows
        The distinct rows.
    places : ndarray of shape (n,), int64
        Which of them each given row is.
    """
    as_bytes = _as_bytes(matrix, codes)
    order = np.argsort(as_bytes, kind="stable")
    new = np.ones(len(order), dtype=bool)
    for first in range(1, len(order), ROWS_AT_ONCE):
        part = as_bytes[order[first - 1 : first + ROWS_AT_ONCE]]
        new[first : first + ROWS_AT_ONCE] = part[1:] != part[:-1]
    del as_bytes
    group = np.cumsum(new) - 1
    merged = np.bincount(group, weights=weight[order]).astype(np.float64)
    places = np.empty(len(order), dtype=np.int64)
    places[order] = group
    kept = order[new]
    return Rows(matrix[kept], codes[kept], merged, n_classes), places


def _as_bytes(matrix: Floats, codes: Integers) -> NDArray[np.void]:
    """Return the bytes of each row (n, D) after those of its class, shape (n,)."""
    of_code, of_row = 8, matrix.shape[1] * matrix.itemsize
    key = np.empty((len(matrix), of_code + of_row), dtype=np.uint8)
    key[:, :of_code] = codes.astype(np.float64)[:, None].view(np.uint8)
    for first in range(0, len(matrix), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        # Adding 0 turns -0 into +0, so that equal rows have equal bytes.
        rows = np.ascontiguousarray(matrix[part] + matrix.dtype.type(0))
        key[part, of_code:] = rows.view(np.uint8)
    return key.view(np.dtype((np.void, key.shape[1]))).ravel()


def _length(rows: TableLike | LabelsLike) -> int:
    """Return the number of rows of an array, a frame or a list."""
    shape = getattr(rows, "shape", None)
    return int(shape[0]) if shape else len(rows)  # type: ignore[arg-type]  # a sequence, then


def _checked_weight(sample_weight: ArrayLike | None, n: int) -> Floats:
    """Return weights (n,) as scikit-learn's estimators take them."""
    if sample_weight is None:
        return np.ones(n)
    if isinstance(sample_weight, int | float | np.number) or (
        isinstance(sample_weight, np.ndarray) and sample_weight.ndim == 0
    ):
        sample_weight = np.full(n, sample_weight)
    weight: Floats = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weight.shape != (n,):
        raise ValueError(
            f"sample_weight must have one number for each of {n} rows, shape ({n},); got shape "
            f"{weight.shape}"
        )
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    if (weight < 0).any():
        raise ValueError(
            f"Negative values in data passed to `sample_weight`: the smallest is {weight.min()}"
        )
    return weight
