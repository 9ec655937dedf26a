"""Thresholds of outlier scores with a stated rate of false alarms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from flowssl._typing import Booleans, Floats

MAX_KEPT = 10_000
"""Held-out scores that a model keeps; the spread of a rate of .05 from so many is .002."""


@dataclass(frozen=True)
class OODThreshold:
    """A score above which a row is called unusual, with its rate of false alarms.

    The threshold is a conformal quantile (Vovk et al. 2005): whatever the distribution of the
    scores, a fresh row of the kind of those it was chosen on exceeds it with a probability of at
    most ``alpha``, on average over such choices. The rate of one choice varies around that by
    ``spread``.

    Attributes
    ----------
    method : str
        The score, a method of ``ood_score``.
    alpha : float
        The false-alarm rate that was asked for.
    value : float
        The threshold; rows above it are unusual.
    rate : float
        Expected false-alarm rate, at most ``alpha`` and less by no more than 1 / (n_rows + 1).
    spread : float
        Standard deviation of the false-alarm rate over sets of ``n_rows`` rows.
    n_rows : int
        Rows whose scores chose the threshold.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.inspection import OODThreshold
    >>> threshold = OODThreshold.fit(np.arange(99.0), alpha=0.05, method="unlikely")
    >>> threshold.value, round(threshold.rate, 3), round(threshold.spread, 3)
    (94.0, 0.05, 0.022)
    >>> threshold.exceeded(np.array([94.0, 94.5]))
    array([False,  True])
    """

    method: str
    alpha: float
    value: float
    rate: float
    spread: float
    n_rows: int

    @classmethod
    def fit(cls, scores: Floats, alpha: float, method: str) -> Self:
        """Choose the threshold by scores (n,) of rows that were not trained on.

        Raises
        ------
        ValueError
            If alpha is not between 0 and 1, or so small that n scores say nothing about it.
        """
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
        n = len(scores)
        # Without the margin, rounding could ask for one row too many.
        rank = math.ceil((n + 1) * (1 - alpha) - 1e-9)
        if rank > n:
            raise ValueError(
                f"alpha={alpha} needs at least {math.ceil(1 / alpha - 1 - 1e-9)} rows, and there "
                f"are {n}: no threshold has so few false alarms for certain. Give more rows X that "
                f"were not trained on, or an alpha of at least {1 / (n + 1):.2g}"
            )
        rate = (n + 1 - rank) / (n + 1)
        return cls(
            method=method,
            alpha=float(alpha),
            value=float(np.partition(scores, rank - 1)[rank - 1]),
            rate=rate,
            spread=math.sqrt(rate * (1 - rate) / (n + 2)),
            n_rows=n,
        )

    def exceeded(self, scores: Floats) -> Booleans:
        """Return which of the scores (n,) are above the threshold."""
        return scores > self.value


def usual_scores(scores: Floats, weight: Floats) -> Floats:
    """Return sorted scores (m,) with the distribution of weighted ones (n,), to be kept.

    They are the scores themselves, unless weights differ or there are more than `MAX_KEPT`: then
    they are as many quantiles.
    """
    order = np.argsort(scores)
    m = min(len(scores), MAX_KEPT)
    if m == len(scores) and np.ptp(weight) == 0:
        return scores[order]
    cumulative = weight[order].cumsum()
    levels = (np.arange(m) + 0.5) / m * cumulative[-1]
    quantiles: Floats = scores[order][np.searchsorted(cumulative, levels).clip(max=len(scores) - 1)]
    return quantiles
