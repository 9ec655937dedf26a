"""Calibration of class probabilities: temperature scaling, and measures of calibration error.

Posteriors of flows are overconfident in many dimensions (Izmailov et al. 2020, section 6.1 and
appendix G). Dividing the log-odds by a temperature corrects that and does not change the density
p(x).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from flowssl._typing import Floats, Integers

__all__ = ["expected_calibration_error", "fit_temperature", "reliability"]

LOG_TEMPERATURE_RANGE = (-2.0, 6.0)
"""Bounds within which ``log T`` is searched."""


def fit_temperature(log_joint: Floats, targets: Floats, weight: Floats) -> float:
    """Return the T > 0 that minimizes the cross-entropy of ``softmax(log_joint / T)``.

    Parameters
    ----------
    log_joint : ndarray of shape (n, C)
        Nats; only differences within a row matter.
    targets : ndarray of shape (n, C)
        Target class probabilities.
    weight : ndarray of shape (n,)
        Weights of the rows.

    Returns
    -------
    float
        Between exp(-2) and exp(6); 1.0 without rows or with fewer than two classes.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.calibration import fit_temperature
    >>> log_joint = np.array([[0.0, 9.0], [0.0, 9.0], [0.0, 9.0]])
    >>> targets = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    >>> round(fit_temperature(log_joint, targets, np.ones(3)), 1)
    13.0
    """
    if not len(log_joint) or log_joint.shape[1] < 2:
        return 1.0

    def loss(log_temperature: float) -> float:
        log_posterior = log_softmax(log_joint * np.exp(-log_temperature), axis=1)
        return -float(weight @ (targets * log_posterior).sum(1))

    return minimum_of_log(loss)


def minimum_of_log(loss: Callable[[float], float], precision: float = 1e-5) -> float:
    """Return the positive number whose logarithm minimizes a loss, within the bounds above."""
    found = minimize_scalar(
        loss, bounds=LOG_TEMPERATURE_RANGE, method="bounded", options={"xatol": precision}
    )
    return float(np.exp(found.x))


def reliability(proba: Floats, codes: Integers, n_bins: int = 15) -> tuple[Floats, Floats, Floats]:
    """Return the points of a reliability diagram (Guo et al. 2017).

    Parameters
    ----------
    proba : ndarray of shape (n, C)
        Predicted class probabilities.
    codes : ndarray of shape (n,), int64
        True classes.
    n_bins : int, default=15
        Number of bins of equal width over [0, 1].

    Returns
    -------
    confidence, accuracy, fraction : ndarray of shape (n_bins,)
        Mean confidence and accuracy of the rows in each bin (NaN in empty bins), and the fraction
        of all rows that are in it.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.calibration import reliability
    >>> proba = np.array([[0.25, 0.75], [0.25, 0.75], [1.0, 0.0]])
    >>> reliability(proba, np.array([1, 0, 0]), n_bins=2)[1]
    array([       nan, 0.66666667])
    """
    confidence = proba.max(1)
    right = (proba.argmax(1) == codes).astype(np.float64)
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    count = np.bincount(bins, minlength=n_bins).astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(bins, weights=confidence, minlength=n_bins) / count
        accuracy = np.bincount(bins, weights=right, minlength=n_bins) / count
    return mean_confidence, accuracy, count / max(len(codes), 1)


def expected_calibration_error(proba: Floats, codes: Integers, n_bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over the bins (Guo et al. 2017, eq. 3).

    Parameters are those of :func:`reliability`.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.calibration import expected_calibration_error
    >>> proba = np.array([[0.25, 0.75], [0.25, 0.75]])
    >>> expected_calibration_error(proba, np.array([1, 0]))
    0.25
    """
    confidence, accuracy, fraction = reliability(proba, codes, n_bins)
    return float(np.nansum(np.abs(confidence - accuracy) * fraction))
