"""Out-of-distribution scores: how unusual a row is under a fitted density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from flowssl._typing import Floats

MAD_OF_NORMAL = 0.6744897501960817
"""Median absolute deviation of the standard normal distribution."""


@dataclass(frozen=True)
class OutlierScale:
    """The distribution of typical log-densities, relative to which rows are scored.

    A likelihood has no scale of its own, and rows can be atypical because they are too likely as
    well as too unlikely (Izmailov et al. 2020, appendix F; Nalisnick et al. 2019).

    Attributes
    ----------
    median : float
        Median log-density of held-out rows, nats.
    spread : float
        Robust standard deviation (from the median absolute deviation), nats.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.inspection import OutlierScale
    >>> scale = OutlierScale.fit(np.array([-12.0, -11.0, -10.0, -9.0, -8.0]))
    >>> scale.unlikely(np.array([-10.0, -40.0])).round(1)
    array([ 0. , 20.2])
    """

    median: float
    spread: float

    @classmethod
    def fit(cls, log_prob: Floats) -> Self:
        """Estimate the scale from log-densities (n,), preferably of held-out rows."""
        median = float(np.median(log_prob))
        spread = float(np.median(np.abs(log_prob - median))) / MAD_OF_NORMAL
        return cls(median, max(spread, 1e-12))

    def unlikely(self, log_prob: Floats) -> Floats:
        """Return by how many robust standard deviations rows lie below the median, shape (n,)."""
        return (self.median - log_prob) / self.spread

    def atypical(self, log_prob: Floats) -> Floats:
        """Return by how many robust standard deviations rows lie off the median, shape (n,)."""
        return np.abs(self.unlikely(log_prob))
