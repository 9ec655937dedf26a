"""Let some of the rows take part in propagation; the others follow their neighbors among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import StandardScaler

from flowssl._typing import Booleans, Floats, Integers
from flowssl.initialization.graphs import nearest_neighbors

_NEIGHBORS = 10
_QUERIES = 2**16  # rows whose neighbors are searched at a time


@dataclass(frozen=True)
class RowLimits:
    """How many rows take part in a propagation, whose cost grows with the square of their number.

    Parameters
    ----------
    total : int, default=40_000
        Largest number of rows that take part. Of more rows, they are chosen at random: at least
        half of them unlabeled and at least two labels of each class, if there are as many.
    unlabeled : int or None, default=None
        Largest number of unlabeled rows that take part; None sets no separate limit.
    reference : int or None, default=8_192
        Number of rows that take part among which the others search their neighbors; None takes all.

    Raises
    ------
    ValueError
        If a limit is too small.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.initialization import RowLimits
    >>> codes = np.array([0, 1, -1, -1, -1])
    >>> limits = RowLimits(unlabeled=1)
    >>> limits.eligible(codes, np.random.default_rng(0)).tolist()
    [True, True, False, False, True]
    """

    total: int = 40_000
    unlabeled: int | None = None
    reference: int | None = 8_192

    def __post_init__(self) -> None:
        for name, least in (("total", 1), ("unlabeled", 0), ("reference", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}.")

    def eligible(self, codes: Integers, rng: np.random.Generator) -> Booleans:
        """Mark the labeled rows and a random choice of the unlabeled ones, shape (n,).

        Parameters
        ----------
        codes : ndarray of shape (n,)
            Class of each row, -1 for unlabeled.
        rng : numpy.random.Generator
            Source of the choice.
        """
        eligible = np.ones(len(codes), dtype=bool)
        if self.unlabeled is not None:
            eligible[rng.permutation(np.flatnonzero(codes < 0))[self.unlabeled :]] = False
        return eligible

    def choose(self, codes: Integers, rng: np.random.Generator) -> Integers:
        """Choose at most `total` rows; return their ascending indices.

        Parameters
        ----------
        codes : ndarray of shape (n,)
            Class of each row, -1 for unlabeled.
        rng : numpy.random.Generator
            Source of the choice; not used if all rows take part.
        """
        if len(codes) <= self.total:
            return np.arange(len(codes))
        labeled = rng.permutation(np.flatnonzero(codes >= 0))
        unlabeled = rng.permutation(np.flatnonzero(codes < 0))
        given = codes[labeled]
        first = np.concatenate([np.flatnonzero(given == k)[:2] for k in np.unique(given)])
        labeled = np.concatenate([labeled[first], np.delete(labeled, first)])
        labeled = labeled[: max(self.total // 2, self.total - len(unlabeled))]
        return np.sort(np.concatenate([labeled, unlabeled[: self.total - len(labeled)]]))

    def complete(
        self, X: Floats, core: Integers, posteriors: Floats, rng: np.random.Generator
    ) -> Floats:
        """Give the rows that did not take part the mean posteriors of their neighbors.

        Parameters
        ----------
        X : ndarray of shape (n, D)
            All rows.
        core : ndarray of shape (m,)
            Indices of the rows that took part.
        posteriors : ndarray of shape (m, C)
            Their posteriors.
        rng : numpy.random.Generator
            Source of the reference rows; not used if all rows took part.

        Returns
        -------
        ndarray of shape (n, C)
        """
        completed = np.empty((len(X), posteriors.shape[1]))
        completed[core] = posteriors
        others = np.setdiff1d(np.arange(len(X)), core)
        if len(others):
            if self.reference is None:
                reference = np.argsort(core)
            else:
                size = min(self.reference, len(core))
                reference = rng.choice(len(core), size, replace=False)
            completed[others] = follow(X[core[reference]], posteriors[reference], X[others])
        return completed


def canonical_order(X: Floats, codes: Integers) -> Integers:
    """Order of the rows (n, D) by a fixed random projection, ties by class.

    With rows in this order, results do not depend on the order in which they are given.
    """
    direction = np.random.default_rng(0).standard_normal(X.shape[1])
    return np.lexsort((codes, X @ direction))


def follow(X: Floats, posteriors: Floats, queries: Floats) -> Floats:
    """Mean posteriors (q, C) of the ten nearest of the rows `X` (m, D) in standardized columns."""
    scaler = StandardScaler().fit(X)
    scaled = scaler.transform(X)
    means = np.empty((len(queries), posteriors.shape[1]))
    for first in range(0, len(queries), _QUERIES):
        part = slice(first, first + _QUERIES)
        index, _ = nearest_neighbors(scaled, _NEIGHBORS, scaler.transform(queries[part]))
        means[part] = sum(posteriors[column] for column in index.T) / index.shape[1]
    return means
