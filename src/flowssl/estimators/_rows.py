"""The training rows of an estimator in one canonical form.

Rows are sorted and identical rows are merged with their weights added. So the order of the rows
does not matter, a row of weight 2 is the same as the row given twice, and a row of weight 0 is the
same as no row: exactly, not only on average. Categories are the exception: ties for the reference
category are broken by the order of the rows.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from flowssl._labels import EncodedLabels, LabelsLike
from flowssl._typing import Booleans, Floats, Integers
from flowssl.exceptions import FlowSSLWarning
from flowssl.preprocessing.containers import TableLike

ROWS_AT_ONCE = 50_000
"""Rows that are compared or converted together, for the sake of memory."""

LEAST_RATIO = 1e-20
"""Smallest positive weight of a row relative to the largest one."""


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


def counted_rows(X: TableLike, y: LabelsLike, weight: NDArray[np.generic]) -> Integers | None:
    """Return which rows have a weight other than 0; None for all of them.

    None as well where the weights do not fit X and y, which `labeled_rows` then reports.
    """
    counted = np.flatnonzero(weight)
    if weight.ndim != 1 or len(counted) in (0, len(weight)):
        return None
    if not (hasattr(X, "shape") or hasattr(X, "__len__")):  # a lazy frame, for example
        return None
    return counted if len(weight) == _length(X) == _length(y) else None


def check_order(X: TableLike, y: LabelsLike) -> None:
    """Warn if X and y are of pandas and their indices name the same rows in another order.

    Rows are matched by position, as everywhere in scikit-learn.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(X, pandas.DataFrame) or not isinstance(y, pandas.Series):
        return
    of_rows, of_labels = X.index, y.index
    if len(of_rows) != len(of_labels) or of_rows.equals(of_labels):
        return
    if of_rows.is_unique and of_labels.is_unique and of_rows.isin(of_labels).all():
        warnings.warn(
            "the indices of X and y name the same rows in another order. Rows and labels are "
            "matched by position, not by index; if the index is right, give y.loc[X.index]",
            FlowSSLWarning,
            stacklevel=5,
        )


def labeled_rows(
    matrix: Floats, labels: EncodedLabels, given_weight: NDArray[np.generic]
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
        If the numbers of rows differ, rows or columns are too few, or a weight is negative.
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
    weight = _checked_weight(given_weight, len(matrix))
    rows, places = canonical_rows(matrix, labels.codes, weight, len(labels.classes))
    if len(labels.classes) == 1 and (labels.codes < 0).any():
        warnings.warn(
            f"all labeled rows are of class {labels.classes.tolist()[0]!r}. If -1 is a class of yours "
            "and not the mark of an unlabeled row, set unlabeled_value=None (--unlabeled-value none)",
            FlowSSLWarning,
            stacklevel=6,
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


def _checked_weight(given: NDArray[np.generic], n: int) -> Floats:
    """Return weights (n,) as scikit-learn's estimators take them."""
    if given.ndim == 0:
        given = np.full(n, given)
    weight: Floats = check_array(
        given, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
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
    return _of_usual_size(weight)


def _of_usual_size(weight: Floats) -> Floats:
    """Return weights whose sums neither overflow nor vanish, also in single precision.

    Very large and very small ones are divided by their mean, so that rows count once on average.
    """
    most, least = weight.max(), weight[weight > 0].min()
    if least < most * LEAST_RATIO:
        raise ValueError(
            f"sample_weight has positive weights from {least:g} to {most:g}; a weight below "
            f"{LEAST_RATIO:g} times the largest counts for nothing: set it to 0"
        )
    if LEAST_RATIO < most < 1 / LEAST_RATIO:
        return weight
    relative: Floats = np.ldexp(weight, -np.frexp(most)[1])
    relative /= relative.mean()
    return relative
