"""Out-of-distribution scores: how unusual a row is under a fitted density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from flowssl._typing import Floats

MAD_OF_NORMAL = 0.6744897501960817


@dataclass(frozen=True)
class OutlierScale:
    """Typical log-densities, by which others are judged.

    Raw likelihoods have no scale that a person could read, and rows can be unusual by being too
    likely as well as too unlikely (Izmailov et al. 2020, appendix F; Nalisnick et al. 2019).

    Attributes
    ----------
    median : float
        Median log-density of rows that were not trained on, nats.
    spread : float
        Robust standard deviation (from the median absolute deviation), nats.
    """

    median: float
    spread: float

    @classmethod
    def fit(cls, log_prob: Floats) -> Self:
        """Measure the scale on log-densities (n,), best of rows that were not trained on."""
        median = float(np.median(log_prob))
        spread = float(np.median(np.abs(log_prob - median))) / MAD_OF_NORMAL
        return cls(median, max(spread, 1e-12))

    def unlikely(self, log_prob: Floats) -> Floats:
        """Return robust standard deviations below the typical log-density, shape (n,)."""
        return (self.median - log_prob) / self.spread

    def atypical(self, log_prob: Floats) -> Floats:
        """Return robust standard deviations off the typical log-density, either way."""
        return np.abs(self.unlikely(log_prob))
