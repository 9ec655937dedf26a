"""Gaussians of the columns of a table, from which missing values are drawn given the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from flowssl._records import TensorKind
from flowssl._spans import SpanMatrix
from flowssl._typing import Floats, Integers
from flowssl.exceptions import ModelFileError

SHRINKAGE = 0.1
"""Weight of the identity in the covariance of standardized columns."""

LEAST_SQUARE = 1e-12
"""Squared singular values below it are rounding errors of directions that are not there."""


@dataclass(frozen=True)
class Triangle:
    """A lower triangular square root of a covariance.

    Attributes
    ----------
    factor : ndarray of shape (M, M)
        With a positive diagonal.
    """

    factor: Floats

    def scaled(self, by: float) -> Triangle:
        """Multiply all numbers."""
        return Triangle(self.factor * by)

    def times(self, rows: Floats) -> Floats:
        """Give standard normal rows (n, M) the covariance."""
        return rows @ self.factor.T

    def log_det(self) -> float:
        """Return the logarithm of the determinant."""
        return float(np.log(self.factor.diagonal()).sum())


class Proposal(ABC):
    """A Gaussian of standardized columns, mean zero."""

    @abstractmethod
    def conditional(self, z: Floats, missing: Integers) -> tuple[Floats, Triangle | SpanMatrix]:
        """Return the distribution of missing columns (M,) of rows (n, D) given all others.

        Returns
        -------
        mean : ndarray of shape (n, M)
        root : Triangle or SpanMatrix
            Square root of the covariance (M, M).
        """

    @abstractmethod
    def log_prob(self, z: Floats) -> Floats:
        """Return the log-density of complete rows (n, D), shape (n,), nats."""

    @abstractmethod
    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the fitted arrays by name."""


@dataclass(frozen=True)
class FullProposal(Proposal):
    """The Gaussian of a covariance matrix.

    Attributes
    ----------
    covariance : ndarray of shape (D, D)
        Positive definite.
    """

    covariance: Floats

    def conditional(self, z: Floats, missing: Integers) -> tuple[Floats, Triangle | SpanMatrix]:
        """Condition by a factorization for each pattern of missing columns."""
        observed = np.setdiff1d(np.arange(z.shape[1]), missing)
        cross = self.covariance[np.ix_(missing, observed)]
        gain = np.linalg.solve(self.covariance[np.ix_(observed, observed)], cross.T).T
        covariance = self.covariance[np.ix_(missing, missing)] - gain @ cross.T
        factor = np.linalg.cholesky(covariance).astype(np.float64)
        return z[:, observed] @ gain.T, Triangle(factor)

    @cached_property
    def _lower(self) -> Floats:
        """The Cholesky factor of the covariance, shape (D, D)."""
        return np.asarray(np.linalg.cholesky(self.covariance))

    def log_prob(self, z: Floats) -> Floats:
        """Return the log-density by the factor of the covariance."""
        lower = self._lower
        white = solve_triangular(lower, z.T, lower=True)
        log_det = 2 * np.log(lower.diagonal()).sum()
        return _log_normal(np.square(white).sum(0), float(log_det), len(lower))

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the covariance."""
        return {"covariance": self.covariance}


@dataclass(frozen=True)
class SpanProposal(Proposal):
    """The Gaussian of rows that are fewer than the columns, without a matrix of all columns.

    Its covariance is ``F^T F + delta I`` and its precision, by Woodbury's identity,
    ``(I - H^T H) / delta`` with ``H = L^-1 F`` and ``L L^T = F F^T + delta I``. Given all others,
    the missing columns have the inverse of their block of it as covariance.

    Attributes
    ----------
    factor : ndarray of shape (m, D)
        ``F``; m is less than D, and ``delta`` is `SHRINKAGE`.
    """

    factor: Floats

    @cached_property
    def _whitened(self) -> Floats:
        """``H``, shape (m, D)."""
        return np.asarray(np.linalg.solve(self._lower, self.factor))

    @cached_property
    def _lower(self) -> Floats:
        """``L``, shape (m, m)."""
        F = self.factor
        return np.asarray(np.linalg.cholesky(F @ F.T + SHRINKAGE * np.eye(len(F))))

    def conditional(self, z: Floats, missing: Integers) -> tuple[Floats, Triangle | SpanMatrix]:
        """Condition in the span of the rows or of the missing columns, whichever is smaller."""
        H = self._whitened[:, missing]
        directions, squares = _right_singular(H)
        covariance = SpanMatrix(directions, SHRINKAGE / (1 - squares), SHRINKAGE)
        of_others = np.where(np.isnan(z), 0.0, z)
        of_others[:, missing] = 0.0
        mean = covariance.times(of_others @ self._whitened.T @ H / SHRINKAGE)
        return mean, covariance.map(np.sqrt)

    def log_prob(self, z: Floats) -> Floats:
        """Return the log-density in the span of the rows."""
        m, D = self.factor.shape
        within = np.square(z @ self._whitened.T).sum(1)
        log_det = 2 * np.log(self._lower.diagonal()).sum() + (D - m) * np.log(SHRINKAGE)
        return _log_normal((np.square(z).sum(1) - within) / SHRINKAGE, float(log_det), D)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the factor."""
        return {"factor": self.factor}


def fit_proposal(z: Floats) -> Proposal:
    """Fit the Gaussian to standardized rows (n, D); NaN for missing values."""
    observed = ~np.isnan(z)
    z = np.where(observed, z, 0.0)
    n, dim = z.shape
    if n < dim:
        # Each column keeps its variance, whatever it misses.
        scale = np.sqrt((1 - SHRINKAGE) / np.maximum(observed.sum(axis=0), 1))
        return SpanProposal(z * scale)
    if observed.all():
        pairs: Floats | float = float(n)
    else:
        pairs = np.maximum(observed.T.astype(float) @ observed, 1.0)
    covariance = z.T @ z / pairs
    covariance *= 1 - SHRINKAGE
    covariance[np.diag_indices_from(covariance)] += SHRINKAGE
    if not observed.all():  # pairwise counts can break positive definiteness
        values, vectors = np.linalg.eigh(covariance)
        covariance = (vectors * values.clip(1e-3)) @ vectors.T
    return FullProposal(covariance)


def read_proposal(arrays: Mapping[str, NDArray[np.generic]]) -> Proposal:
    """Rebuild the Gaussian from its ``to_arrays``, whose shapes have been checked.

    Raises
    ------
    ModelFileError
        If the covariance is none.
    """
    if "factor" in arrays:
        return SpanProposal(arrays["factor"].astype(np.float64))
    covariance = arrays["covariance"].astype(np.float64)
    if not (np.allclose(covariance, covariance.T) and _is_definite(covariance)):
        raise ModelFileError("its covariance is not symmetric and positive definite")
    return FullProposal(covariance)


def _log_normal(squared: Floats, log_det: float, dim: int) -> Floats:
    """Return the log-density of a Gaussian from squared Mahalanobis distances (n,)."""
    return np.asarray(-0.5 * (squared + log_det + dim * np.log(2 * np.pi)))


def _is_definite(covariance: Floats) -> bool:
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return False
    return True


def proposal_tensors(arrays: Mapping[str, NDArray[np.generic]], dim: int) -> dict[str, TensorKind]:
    """Return the kind and shape that each tensor of a file's Gaussian of D columns must have."""
    if "factor" in arrays:
        return {"factor": ("f", (min(len(arrays["factor"]), dim - 1), dim))}
    return {"covariance": ("f", (dim, dim))}


def _right_singular(H: Floats) -> tuple[Floats, Floats]:
    """Return the right singular vectors (M, k) of a matrix (m, M) and their squared values (k,)."""
    m, M = H.shape
    if m >= M:
        squares, directions = np.linalg.eigh(H.T @ H)
        return directions, squares.clip(0)
    squares, left = np.linalg.eigh(H @ H.T)
    there = squares > LEAST_SQUARE
    return H.T @ (left[:, there] / np.sqrt(squares[there])), squares[there]
