"""Neighbor graphs: built from rows, used to spread labels, to smooth and to compare posteriors."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from flowssl._typing import Floats, Integers

_N_NEIGHBORS = 10
_TREE_COLUMNS = 8  # up to this many columns a k-d tree is faster than matrix products
_BLOCK_ENTRIES = 2**24  # distances in memory at a time: 64 MiB in float32
_MAX_ITERATIONS = 200
_TOLERANCE = 1e-6  # of the squared residual, relative to the squared seeds


def nearest_neighbors(
    X: Floats, n_neighbors: int, queries: Floats | None = None
) -> tuple[Integers, Floats]:
    """Find the nearest rows of `X` by Euclidean distance, in bounded memory.

    Parameters
    ----------
    X : ndarray of shape (n, D)
        Rows among which neighbors are searched.
    n_neighbors : int
        Number of neighbors k; fewer where there are fewer rows.
    queries : ndarray of shape (q, D) or None, default=None
        Rows whose neighbors are searched; None takes those of `X`, each without itself.

    Returns
    -------
    index : ndarray of shape (q, k)
        Rows of `X`, nearest first.
    distance : ndarray of shape (q, k)
        Their distances, in float32 precision beyond eight columns.
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
    for first in range(0, len(B), block):
        part = B[first : first + block]
        d2 = 2 * part @ A.T
        np.subtract(square, d2, out=d2)  # squared distances, less the squared norm of the query
        rows = np.arange(len(part))
        if own:
            d2[rows, rows + first] = np.inf
        best = _least(d2, k)
        value = np.take_along_axis(d2, best, axis=1)
        order = np.argsort(value, axis=1, kind="stable")
        index[first : first + block] = np.take_along_axis(best, order, axis=1)
        value = np.take_along_axis(value, order, axis=1)
        value = value + np.einsum("ij,ij->i", part, part)[:, None]
        distance[first : first + block] = np.sqrt(np.maximum(value, 0))
    return index, distance


def _least(values: NDArray[np.floating], k: int) -> Integers:
    """Return the columns (q, k) of the least values (q, n) of each row, in any order."""
    size = max(1, _BLOCK_ENTRIES // 16 // values.shape[1])  # a partition indexes every value
    parts = [values[first : first + size] for first in range(0, len(values), size)]
    return np.concatenate([np.argpartition(part, k - 1, axis=1)[:, :k] for part in parts])


def neighbor_graph(X: Floats, n_neighbors: int = _N_NEIGHBORS) -> sp.csr_array:
    """Build the symmetrically normalized neighbor graph with locally scaled Gaussian weights.

    Rows i and j are connected if either is among the other's neighbors, with weight
    exp(-d_ij^2 / (s_i s_j)), where s_i is the distance to the seventh neighbor (Zelnik-Manor and
    Perona, 2004). Eigenvalues lie in [-1, 1].
    """
    n = len(X)
    if n < 2:
        return sp.csr_array((n, n))
    index, distance = nearest_neighbors(X, n_neighbors)
    k = index.shape[1]
    scale = distance[:, min(6, k - 1)]
    # Identical rows are at distance zero: any positive scale gives them weight one.
    spread = float(X.std())
    scale = np.maximum(scale, 1e-6 * (spread if spread > 0 else 1.0))
    weight = np.exp(-(distance**2) / (scale[:, None] * scale[index]))
    rows = np.repeat(np.arange(n), k)
    W = sp.csr_array((np.maximum(weight, 1e-12).ravel(), (rows, index.ravel())), shape=(n, n))
    W = W.maximum(W.T)
    root = sp.diags_array(1 / np.sqrt(W.sum(axis=1)))
    return (root @ W @ root).tocsr()


def diffuse(graph: sp.csr_array, seeds: Floats, alpha: float) -> Floats:
    """Solve (I - alpha G) F = `seeds` (n, K) on the graph G by conjugate gradients.

    This is the label spreading of Zhou et al. (2004), solved instead of iterated; `alpha` is in
    [0, 1). Negative rounding errors are set to zero.
    """
    F = seeds.copy()
    residual = alpha * (graph @ F)
    direction, energy = residual.copy(), (residual**2).sum(axis=0)
    tiny = np.finfo(float).tiny
    limit = _TOLERANCE * (seeds**2).sum(axis=0)
    for _ in range(_MAX_ITERATIONS):
        if (energy <= limit).all():
            break
        product = direction - alpha * (graph @ direction)
        step = energy / ((direction * product).sum(axis=0) + tiny)
        F += step * direction
        residual -= step * product
        previous, energy = energy, (residual**2).sum(axis=0)
        direction = residual + energy / (previous + tiny) * direction
    return np.asarray(np.maximum(F, 0))


def smooth(posteriors: Floats, graph: sp.csr_array, strength: float) -> Floats:
    """Average posteriors P (n, C) over neighbors: iterate H <- a G H + (1 - a) P to 1 %.

    `strength` a is in [0, 1). The rows of the result sum to one.
    """
    H = posteriors
    steps = 0 if strength == 0 else int(np.ceil(np.log(1e-2) / np.log(strength)))
    for _ in range(steps):
        H = strength * (graph @ H) + (1 - strength) * posteriors
    return np.asarray(H / H.sum(axis=1, keepdims=True))


def neighbor_disagreement(posteriors: Floats, graph: sp.csr_array) -> float:
    """Fraction of neighbors that are assigned to different classes, relative to random pairs.

    Classes that follow the clusters of the data disagree on few edges: without labels, this ranks
    candidates nearly as well as their accuracy does. A candidate that assigns all rows to one
    class has no disagreement, but not because of any cluster; it gets 1, like random classes.
    """
    if graph.nnz == 0:
        return 0.0
    best = posteriors.argmax(axis=1)
    frequencies = np.bincount(best) / len(best)
    if frequencies.max() == 1:
        return 1.0
    rows = np.repeat(np.arange(len(best)), np.diff(graph.indptr))
    observed = (best[rows] != best[graph.indices]).mean()
    return float(observed / (1 - (frequencies**2).sum() + 1e-3))
