"""Spaces: the rows of a table under one scaling of the columns, prepared without labels.

No single scaling suits every table: pixels and principal components need their own units,
measurements need standardized columns, heavy tails need ranks. A :class:`Space` holds what does not
depend on the labels: covariance, neighbor graph and the components of a Gaussian mixture.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from flowssl._typing import Booleans, Floats
from flowssl.initialization.graphs import neighbor_graph

_MIXTURE_ROWS = 6_000
_MIXTURE_COLUMNS = 24
_SAME_SCALE = 1.5  # ratio of the columns' standard deviations up to which RAW adds nothing
_RANK_ENTRIES = 4_000_000
_MAX_RANK_SCORE = 3.5  # bound of the normal scores, in standard deviations


class Scaling(StrEnum):
    """How the columns of a space are scaled."""

    STANDARD = "standard"
    """Zero mean and unit variance."""

    RAW = "raw"
    """The columns' own units, divided by the largest standard deviation."""

    RANK = "rank"
    """Normal scores of the ranks."""


@dataclass(frozen=True)
class Space:
    """The rows under one scaling, with what is known about them before any label.

    Covariance and mixture are computed when they are first used.

    Attributes
    ----------
    scaling : Scaling
        Scaling of the columns.
    X : ndarray of shape (n, D)
        Centered and scaled rows.
    graph : sparse array of shape (n, n)
        Symmetrically normalized neighbor graph of the columns `compared`.
    weight : ndarray of shape (n,)
        Row weights.
    compared : ndarray of shape (D,), bool
        Columns that neighbor graph and mixture use; binary columns are left out.
    n_components : int
        Number of components of the mixture.
    seed : int
        Seed of the mixture.
    """

    scaling: Scaling
    X: Floats
    graph: sp.csr_array
    weight: Floats
    compared: Booleans
    n_components: int
    seed: int

    @cached_property
    def coordinates(self) -> Floats:
        """The rows in an orthonormal basis of their span, shape (n, R) with R = min(n, D).

        For rules that a rotation does not change, which then cost as much as there are rows and
        not columns. Of more rows than columns these are the rows themselves.
        """
        n, D = self.X.shape
        if n >= D:
            return self.X
        triangle: Floats = np.asarray(np.linalg.qr(self.X.T, mode="r"))
        return triangle.T

    @cached_property
    def scatter(self) -> Floats:
        """Weighted covariance (R, R) of the coordinates about the origin."""
        Z = self.coordinates
        return np.asarray((Z * self.weight[:, None]).T @ Z / len(Z))

    @cached_property
    def shrinkage(self) -> float:
        """OAS shrinkage of the covariance of all columns toward a multiple of the identity."""
        return oas_shrinkage(self.scatter, *self.X.shape)

    @cached_property
    def components(self) -> Floats:
        """Responsibilities (n, M) of the components of a Gaussian mixture."""
        return _mixture_components(self.X[:, self.compared], self.n_components, self.seed)


def oas_shrinkage(covariance: Floats, n: int, dim: int) -> float:
    """Oracle approximating shrinkage of a covariance of n rows (Chen et al., 2010).

    It may be given as (R, R), in a basis of the span of the rows, of ``dim`` columns.
    """
    D = dim
    mean = np.trace(covariance) / D
    spread = float((covariance**2).mean())
    if len(covariance) < D:
        spread *= (len(covariance) / D) ** 2
    denominator = (n + 1) * (spread - mean**2 / D)
    return float(min(1.0, (spread + mean**2) / denominator)) if denominator > 0 else 1.0


def prepare_spaces(
    X: Floats, n_components: int, weight: Floats, rng: np.random.Generator
) -> tuple[Space, ...]:
    """Build the spaces of a table; the standardized one comes first.

    RAW is left out where the columns have nearly the same scale, RANK where the table is so large
    that a third neighbor graph would take too long.

    Parameters
    ----------
    X : ndarray of shape (n, D)
        Finite rows.
    n_components : int
        Number of components of each space's mixture.
    weight : ndarray of shape (n,)
        Row weights.
    rng : numpy.random.Generator
        Source of the mixtures' seed.
    """
    raw = X - X.mean(axis=0)
    scale = raw.std(axis=0)
    standard = raw / np.where(scale > 0, scale, 1)
    top = scale.max()
    seed = int(rng.integers(2**31))
    scaled = {Scaling.STANDARD: standard}
    low, high = np.quantile(scale, [0.05, 0.95])
    if high > _SAME_SCALE * low:
        scaled[Scaling.RAW] = raw / (top if top > 0 else 1.0)
    if X.size <= _RANK_ENTRIES:
        scaled[Scaling.RANK] = _normal_scores(X)
    compared = _compared_columns(X)
    return tuple(
        Space(scaling, Z, neighbor_graph(Z[:, compared]), weight, compared, n_components, seed)
        for scaling, Z in scaled.items()
    )


def _compared_columns(X: Floats) -> Booleans:
    """Mark the columns of more than two values; all columns if fewer than two have as many.

    A binary column splits any neighbor graph into components, whether or not the classes follow
    it. The linear candidates use it all the same.
    """
    lowest, highest = X.min(axis=0), X.max(axis=0)
    compared = ((lowest != X) & (highest != X)).any(axis=0)
    return compared if compared.sum() >= 2 else np.ones(X.shape[1], dtype=bool)


def _normal_scores(X: Floats) -> Floats:
    """Replace columns by normal quantiles of their mid-ranks, scaled to unit variance."""
    ranks = rankdata(X, axis=0)
    Z = np.clip(ndtri((ranks - 0.5) / len(X)), -_MAX_RANK_SCORE, _MAX_RANK_SCORE)
    Z = Z - Z.mean(axis=0)
    scale = Z.std(axis=0)
    return np.asarray(Z / np.where(scale > 0, scale, 1))


def _mixture_components(X: Floats, n_components: int, seed: int) -> Floats:
    """Responsibilities (n, M) of a full-covariance mixture, fitted to at most 6,000 rows."""
    n, D = X.shape
    if D > _MIXTURE_COLUMNS and n > _MIXTURE_COLUMNS:
        X = PCA(_MIXTURE_COLUMNS, random_state=seed).fit_transform(X)
    chosen = np.random.default_rng(seed).permutation(n)[:_MIXTURE_ROWS]
    M = min(n_components, max(1, n // 10))
    mixture = _Mixture(M, reg_covar=1e-3, max_iter=40, random_state=seed)
    return np.asarray(mixture.fit(X[chosen]).predict_proba(X)) if n > 1 else np.ones((n, 1))


class _Mixture(GaussianMixture):  # type: ignore[misc]  # scikit-learn ships no types
    """A mixture that does not warn where it has not converged: it is good enough for a candidate.

    A filter of warnings would be one for all threads of the process.
    """

    @property
    def converged_(self) -> bool:
        """Whether the mixture is good enough."""
        return True

    @converged_.setter
    def converged_(self, value: bool) -> None:
        """Ignore what scikit-learn finds."""
