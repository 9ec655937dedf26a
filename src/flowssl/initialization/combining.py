"""Combine candidates in two levels: a pool of them, then a pool of that pool smoothed on graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from flowssl._typing import Booleans, Floats, Integers
from flowssl.initialization.candidates import Candidate, Kind
from flowssl.initialization.graphs import neighbor_disagreement, smooth
from flowssl.initialization.known_labels import KnownLabels
from flowssl.initialization.pooling import (
    Pool,
    blind_pool,
    fit_pool,
    fit_tempered_pool,
    mix_with_uniform,
    shift_prior,
)
from flowssl.initialization.spaces import Space

SMOOTHING = (0.0, 0.8, 0.95)
_GRAPH_PRIOR = 0.02  # weight of a space's graph in addition to that of its graph candidates


@dataclass(frozen=True)
class Combiner:
    """The first level: pools candidates and smooths the pool.

    Attributes
    ----------
    spaces : sequence of Space
        Spaces whose graphs smooth the pool; neighbor disagreement is that in the first.
    candidates : sequence of Candidate
        J candidates with cross-fitted posteriors.
    given : ndarray of shape (m,)
        Classes of the labeled rows.
    disagreements : ndarray of shape (J,)
        Neighbor disagreement of the candidates.
    """

    spaces: Sequence[Space]
    candidates: Sequence[Candidate]
    given: Integers
    disagreements: Floats

    @classmethod
    def of(
        cls, spaces: Sequence[Space], candidates: Sequence[Candidate], given: Integers
    ) -> Combiner:
        """Compute the candidates' neighbor disagreement."""
        graph = spaces[0].graph
        found = [neighbor_disagreement(candidate.posteriors, graph) for candidate in candidates]
        return cls(spaces, candidates, given, np.array(found))

    def __call__(self, posteriors: Floats, evaluated: Booleans) -> tuple[Pool, Floats]:
        """Weigh the candidates by some labels and pool their posteriors.

        Parameters
        ----------
        posteriors : ndarray of shape (J, n, C)
            The candidates' posteriors, fitted to all labels or to those outside a fold.
        evaluated : ndarray of shape (m,), bool
            Labels that decide the weights; neighbor disagreement decides alone if there are none.

        Returns
        -------
        pool : Pool
        stages : ndarray of shape (3, n, C)
            The pooled posteriors, smoothed with each of the strengths `SMOOTHING`.
        """
        if evaluated.any():
            cross_fitted = np.stack([c.cross_fitted[evaluated] for c in self.candidates])
            pool = fit_pool(cross_fitted, self.given[evaluated], self.disagreements)
        else:
            pool = blind_pool(posteriors, self.disagreements)
        pooled, graph = pool(posteriors), self.mean_graph(pool.weights)
        return pool, np.stack([smooth(pooled, graph, strength) for strength in SMOOTHING])

    def mean_graph(self, weights: Floats) -> sp.csr_array:
        """Average the spaces' graphs, weighted by the weights (J,) of their graph candidates."""
        trust = np.array(
            [_GRAPH_PRIOR + self._graph_weight(space, weights) for space in self.spaces]
        )
        graph = self.spaces[0].graph * (trust[0] / trust.sum())
        for space, t in zip(self.spaces[1:], trust[1:], strict=True):
            graph = graph + space.graph * (t / trust.sum())
        return graph.tocsr()

    def _graph_weight(self, space: Space, weights: Floats) -> float:
        pairs = zip(weights.tolist(), self.candidates, strict=True)
        return float(
            sum(w for w, c in pairs if c.kind is Kind.GRAPH and c.scaling is space.scaling)
        )


def combine_stages(
    cross_fitted: Floats, stages: Floats, labels: KnownLabels, evaluated: Booleans
) -> tuple[Pool, Floats, Floats]:
    """Do the second level: pool the smoothing strengths and allow for how few labels there are.

    Parameters
    ----------
    cross_fitted : ndarray of shape (3, m, C)
        For each strength, posteriors of the labeled rows by fits without their labels.
    stages : ndarray of shape (3, n, C)
        For each strength, posteriors of all rows.
    labels : KnownLabels
        The m labels.
    evaluated : ndarray of shape (m,), bool
        Labels that decide the weights; all strengths count alike if there are none.

    Returns
    -------
    pool : Pool
    pooled_cross_fitted : ndarray of shape (m, C)
        NaN for labels that are not evaluated.
    pooled : ndarray of shape (n, C)
    """
    if evaluated.any():
        pool, pooled_cross_fitted, pooled = fit_tempered_pool(
            cross_fitted, stages, labels.given, evaluated
        )
        if labels.class_prior is None:
            pooled = shift_prior(pooled, labels.counts / len(labels.rows))
    else:
        pool = blind_pool(stages, np.ones(len(stages)))
        pooled_cross_fitted, pooled = np.full(cross_fitted.shape[1:], np.nan), pool(stages)
    return pool, pooled_cross_fitted, mix_with_uniform(pooled, int(evaluated.sum()))
