"""Symmetric matrices that are the same in all but a few directions.

Fewer rows than columns say something about the directions of their span only. Covariances,
whitenings and noise of such rows are multiples of the identity everywhere else, so that they take
the memory and time of the rows, not of a matrix of all columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flowssl._typing import Floats


@dataclass(frozen=True)
class SpanMatrix:
    """The symmetric matrix ``M = U diag(values) U^T + rest (I - U U^T)``.

    Attributes
    ----------
    directions : ndarray of shape (D, r)
        ``U``, with orthonormal columns; r is at most D.
    values : ndarray of shape (r,)
        Eigenvalues along them.
    rest : float
        The eigenvalue along all other directions.
    """

    directions: Floats
    values: Floats
    rest: float

    def map(self, function: Callable[[Floats], Floats]) -> SpanMatrix:
        """Apply a function to all eigenvalues."""
        rest = float(function(np.asarray(self.rest)))
        return SpanMatrix(self.directions, function(self.values), rest)

    def scaled(self, by: float) -> SpanMatrix:
        """Multiply all numbers."""
        return SpanMatrix(self.directions, self.values * by, self.rest * by)

    def times(self, rows: Floats) -> Floats:
        """Return ``rows M`` of rows (n, D)."""
        within = (rows @ self.directions) * (self.values - self.rest)
        return np.asarray(within @ self.directions.T + self.rest * rows)

    def matrix(self) -> Floats:
        """Return the matrix, shape (D, D)."""
        return (self.directions * self.values) @ self.directions.T + self._others(self.rest)

    def inverse(self) -> Floats:
        """Return the inverse, shape (D, D)."""
        return (self.directions / self.values) @ self.directions.T + self._others(1 / self.rest)

    def log_det(self) -> float:
        """Return the logarithm of the determinant, of positive eigenvalues."""
        D, r = self.directions.shape
        return float(np.log(self.values).sum() + (D - r) * np.log(self.rest))

    def _others(self, value: float) -> Floats | float:
        """Return ``value (I - U U^T)``."""
        D, r = self.directions.shape
        if r == D:
            return 0.0
        return value * (np.eye(D) - self.directions @ self.directions.T)
