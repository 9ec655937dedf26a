"""The training rows of an estimator in one canonical form.

Rows are sorted and identical rows are merged with their weights added. So the order of the rows
does not matter, a row of weight 2 is the same as the row given twice, and a row of weight 0 is the
same as no row: exactly, not only on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows", "canonical_rows"]

Floats = NDArray[np.float64]


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
    codes: NDArray[np.int64]
    weight: Floats
    n_classes: int

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """Which rows carry a label, shape (n,)."""
        return self.codes >= 0

    def one_hot(self) -> Floats:
        """Return the labels as probabilities, shape (n, C); zeros for unlabeled rows."""
        return np.eye(self.n_classes + 1)[self.codes][:, : self.n_classes]


def canonical_rows(
    matrix: Floats, codes: NDArray[np.int64], weight: Floats, n_classes: int
) -> Rows:
    """Drop rows of weight 0, sort the others and merge identical ones.

    Parameters
    ----------
    matrix : ndarray of shape (n, D)
    codes : ndarray of shape (n,), int64
    weight : ndarray of shape (n,)
        Not negative.
    n_classes : int
    """
    positive = weight > 0
    matrix, codes, weight = matrix[positive], codes[positive], weight[positive]
    # Adding 0 turns -0 into +0, so that equal rows have equal bytes.
    parts = (codes.astype(np.float64)[:, None], matrix + matrix.dtype.type(0))
    key = np.concatenate([np.ascontiguousarray(part).view(np.uint8) for part in parts], axis=1)
    as_bytes = key.view(np.dtype((np.void, key.shape[1]))).ravel()
    order = np.argsort(as_bytes, kind="stable")
    ordered = as_bytes[order]
    new = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    merged = np.bincount(np.cumsum(new) - 1, weights=weight[order]).astype(np.float64)
    kept = order[new]
    return Rows(matrix[kept], codes[kept], merged, n_classes)
