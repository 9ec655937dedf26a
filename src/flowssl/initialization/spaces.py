"""Views of a table in which neighbors and linear rules are looked for, prepared without labels.

No single scale of the columns suits every table: pixels and principal components want their own
units, measurements want standardized columns, heavy tails want ranks. Each view becomes a
:class:`Space` with all that does not depend on the labels: its covariance, its neighbor graph
and the components of a Gaussian mixture.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from flowssl._typing import Floats, Integers

_N_NEIGHBORS = 10
_TREE_COLUMNS = 8  # up to here a k-d tree beats matrix products
_BLOCK_ENTRIES = 2**24  # distances held at a time: 64 MiB in float32
_MIXTURE_ROWS = 6_000
_MIXTURE_COLUMNS = 24
_SAME_SCALE = 1.5  # ratio of the columns' spreads up to which own units add nothing
_RANK_ENTRIES = 4_000_000
_MAX_RANK_SCORE = 3.5  # quantile-normal columns end here, in standard deviations


@dataclass(frozen=True)
class Space:
    """One view of the rows and what can be known about it before any label.

    What some views are not asked for is worked out when it is.

    Attributes
    ----------
    name : str
        "raw", "standard" or "rank".
    X : ndarray (n, D)
        Centered rows in the units of this view.
    graph : sparse array (n, n)
        Symmetrically normalized neighbor graph, see `neighbor_graph`; categories, columns of two
        values, do not count in it, nor in the mixture.
    weight : ndarray (n,)
        Row weights with mean one.
    compared : ndarray (D,)
        Which columns of `X` are no categories.
    n_components : int
        Components of the mixture.
    seed : int
        Of the mixture.
    """

    name: str
    X: Floats
    graph: sp.csr_array
    weight: Floats
    compared: NDArray[np.bool_]
    n_components: int
    seed: int

    @cached_property
    def scatter(self) -> Floats:
        """Weighted covariance (D, D) of all rows about the origin."""
        return np.asarray((self.X * self.weight[:, None]).T @ self.X / len(self.X))

    @cached_property
    def shrinkage(self) -> float:
        """OAS shrinkage of the covariance toward a multiple of the identity."""
        return oas_shrinkage(self.scatter, len(self.X))

    @cached_property
    def components(self) -> Floats:
        """Responsibilities (n, M) of the components of a Gaussian mixture."""
        return _mixture_components(self.X[:, self.compared], self.n_components, self.seed)


def nearest_neighbors(
    X: Floats, n_neighbors: int, queries: Floats | None = None
) -> tuple[Integers, Floats]:
    """Find indices and Euclidean distances of the nearest rows of `X`, nearest first.

    Without `queries` these are the neighbors of the rows of `X` themselves, each without itself.
    Memory is bounded whatever the number of rows.
    """
    own = queries is None
    Q = X if queries is None else queries
    k = min(n_neighbors, len(X) - own)
    if X.shape[1] <= _TREE_COLUMNS:
        finder = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(X)
        distance, index = finder.kneighbors(None if own else Q)
        return index.astype(np.int64), distance
    A = np.ascontiguousarray(X, dtype=np.float32)
    B = np.ascontiguousarray(Q, dtype=np.float32)
    square = np.einsum("ij,ij->i", A, A)
    index = np.empty((len(Q), k), dtype=np.int64)
    distance = np.empty((len(Q), k))
    block = max(1, _BLOCK_ENTRIES // len(A))
    for start in range(0, len(B), block):
        part = B[start : start + block]
        d2 = square - 2 * part @ A.T
        rows = np.arange(len(part))
        if own:
            d2[rows, rows + start] = np.inf
        best = np.argpartition(d2, k - 1, axis=1)[:, :k]
        value = np.take_along_axis(d2, best, axis=1)
        order = np.argsort(value, axis=1, kind="stable")
        index[start : start + block] = np.take_along_axis(best, order, axis=1)
        value = np.take_along_axis(value, order, axis=1)
        value = value + np.einsum("ij,ij->i", part, part)[:, None]
        distance[start : start + block] = np.sqrt(np.maximum(value, 0))
    return index, distance


def neighbor_graph(X: Floats, n_neighbors: int = _N_NEIGHBORS) -> sp.csr_array:
    """Symmetrically normalized neighbor graph with locally scaled Gaussian weights.

    Rows i and j are joined with weight exp(-d_ij^2 / (s_i s_j)), s_i the distance to the seventh
    neighbor (Zelnik-Manor and Perona, 2004), if either is among the other's neighbors.
    Eigenvalues lie in [-1, 1].
    """
    n = len(X)
    if n < 2:
        return sp.csr_array((n, n))
    index, distance = nearest_neighbors(X, n_neighbors)
    k = index.shape[1]
    scale = distance[:, min(6, k - 1)]
    # Copies of one row are at distance zero: any positive scale gives them weight one.
    spread = float(X.std())
    scale = np.maximum(scale, 1e-6 * (spread if spread > 0 else 1.0))
    weight = np.exp(-(distance**2) / (scale[:, None] * scale[index]))
    rows = np.repeat(np.arange(n), k)
    W = sp.csr_array((np.maximum(weight, 1e-12).ravel(), (rows, index.ravel())), shape=(n, n))
    W = W.maximum(W.T)
    root = sp.diags_array(1 / np.sqrt(W.sum(axis=1)))
    return (root @ W @ root).tocsr()


def oas_shrinkage(covariance: Floats, n: int) -> float:
    """Oracle approximating shrinkage of a covariance (D, D) of n rows (Chen et al., 2010)."""
    D = len(covariance)
    mean = np.trace(covariance) / D
    spread = float((covariance**2).mean())
    denominator = (n + 1) * (spread - mean**2 / D)
    return float(min(1.0, (spread + mean**2) / denominator)) if denominator > 0 else 1.0


def prepare_spaces(
    X: Floats, n_components: int, weight: Floats, rng: np.random.Generator
) -> tuple[Space, ...]:
    """Build the views of a table `X` (n, D): standardized columns, own units, normal scores.

    The standardized view comes first. Own units are left out where they are nearly the same,
    normal scores where the table is so large that a third graph would take too long.
    """
    raw = X - X.mean(axis=0)
    scale = raw.std(axis=0)
    standard = raw / np.where(scale > 0, scale, 1)
    top = scale.max()
    seed = int(rng.integers(2**31))
    views = {"standard": standard}
    low, high = np.quantile(scale, [0.05, 0.95])
    if high > _SAME_SCALE * low:
        views["raw"] = raw / (top if top > 0 else 1.0)
    if X.size <= _RANK_ENTRIES:
        views["rank"] = _normal_scores(X)
    compared = _graded_columns(X)
    return tuple(
        Space(name, V, neighbor_graph(V[:, compared]), weight, compared, n_components, seed)
        for name, V in views.items()
    )


def _graded_columns(X: Floats) -> NDArray[np.bool_]:
    """Tell which columns make rows neighbors: those of more than two values, if there are two.

    A category cuts any neighbor graph into pieces, whether or not classes follow it; linear
    candidates see it all the same.
    """
    lowest, highest = X.min(axis=0), X.max(axis=0)
    graded = ((lowest != X) & (highest != X)).any(axis=0)
    return graded if graded.sum() >= 2 else np.ones(X.shape[1], dtype=bool)


def _normal_scores(X: Floats) -> Floats:
    """Take standard normal quantiles of the columns' ranks, ties at their middle, unit variance."""
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
    mixture = GaussianMixture(M, reg_covar=1e-3, max_iter=40, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # any state of it serves
        return np.asarray(mixture.fit(X[chosen]).predict_proba(X)) if n > 1 else np.ones((n, 1))
