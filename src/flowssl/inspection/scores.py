"""Scores of how unusual a row is: the registry of methods of ``ood_score``.

To add a score, write a function of `RowFigures` and add its line to ``OOD_SCORES``; ``ood_score``,
its thresholds and its tables then have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

import numpy as np

from flowssl._typing import Floats
from flowssl.inspection.outliers import OutlierScale


class RowDensity(Protocol):
    """What scores ask of a density of encoded rows (n, D)."""

    def log_prob(self, matrix: Floats) -> Floats:
        """Return ``log p(x)``, shape (n,), nats."""

    def log_background(self, matrix: Floats) -> Floats:
        """Return the log-density of one Gaussian of all training rows, shape (n,), nats."""

    def log_clusters(self, matrix: Floats) -> Floats:
        """Return the log-density of a mixture of many small clusters, shape (n,), nats."""

    def distance(self, matrix: Floats) -> Floats:
        """Return the scaled distance to the nearest Gaussian of any class, shape (n,)."""

    def unusual_states(self, matrix: Floats) -> Floats:
        """Return minus the log-density of the statistics of images, shape (n,), nats."""


@dataclass(frozen=True)
class RowFigures:
    """What is known about some rows; figures are computed when a score first asks for them.

    Attributes
    ----------
    density : RowDensity
        The fitted density.
    matrix : ndarray of shape (n, D)
        Encoded rows.
    scale : OutlierScale
        The log-densities of usual rows.
    """

    density: RowDensity
    matrix: Floats
    scale: OutlierScale

    @cached_property
    def log_prob(self) -> Floats:
        """``log p(x)``, shape (n,), nats."""
        return self.density.log_prob(self.matrix)


def unlikely(rows: RowFigures) -> Floats:
    """Return by how many robust standard deviations log p(x) lies below that of usual rows."""
    return rows.scale.unlikely(rows.log_prob)


def atypical(rows: RowFigures) -> Floats:
    """Return the deviation of log p(x) in either direction (Nalisnick et al. 2019)."""
    return rows.scale.atypical(rows.log_prob)


def ratio(rows: RowFigures) -> Floats:
    """Return ``log q(x) - log p(x)``, nats, with one Gaussian of all training rows as q.

    What makes all rows likely or unlikely, whatever their class, cancels (Ren et al. 2019). With
    Gaussian classes it is the relative Mahalanobis distance of Ren et al. (2021).
    """
    return rows.density.log_background(rows.matrix) - rows.log_prob


def clusters(rows: RowFigures) -> Floats:
    """Return how far rows lie from all small groups of training rows, nats per column."""
    return np.asarray(-rows.density.log_clusters(rows.matrix) / rows.matrix.shape[1])


def distance(rows: RowFigures) -> Floats:
    """Return the latent distance to the nearest Gaussian of any class, about 1 for usual rows."""
    return rows.density.distance(rows.matrix)


def states(rows: RowFigures) -> Floats:
    """Return minus the log-density of the statistics of images (Morningstar et al. 2021), nats."""
    return rows.density.unusual_states(rows.matrix)


OOD_SCORES: Mapping[str, Callable[[RowFigures], Floats]] = MappingProxyType(
    {
        "unlikely": unlikely,
        "atypical": atypical,
        "ratio": ratio,
        "clusters": clusters,
        "distance": distance,
        "states": states,
    }
)
"""The scores by name; the larger, the more unusual."""
