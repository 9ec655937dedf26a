"""Scores of a matrix of class probabilities.

Accuracy and balanced accuracy come from the largest probability; the negative log-likelihood is in
nats per row with probabilities floored, so that one wrong class with probability 0 does not make the
mean infinite.
"""

import numpy as np
import numpy.typing as npt

from flowssl.calibration import expected_calibration_error

FLOOR = 1e-6
N_BINS = 15

Probabilities = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def scores(proba: Probabilities, y: Codes) -> dict[str, float]:
    """Accuracy, balanced accuracy, NLL and ECE of `proba` (n, C) against codes `y` (n,)."""
    return {
        "accuracy": accuracy(proba, y),
        "balanced_accuracy": balanced_accuracy(proba, y),
        "nll": negative_log_likelihood(proba, y),
        "ece": expected_calibration_error(proba, y, N_BINS),
    }


def accuracy(proba: Probabilities, y: Codes) -> float:
    """Fraction of rows whose most probable class is the true one."""
    return float(np.mean(proba.argmax(axis=1) == y))


def balanced_accuracy(proba: Probabilities, y: Codes) -> float:
    """Mean recall of the classes that occur."""
    right = proba.argmax(axis=1) == y
    return float(np.mean([right[y == k].mean() for k in np.unique(y)]))


def negative_log_likelihood(proba: Probabilities, y: Codes) -> float:
    """Mean of -log p(true class), nats per row."""
    return float(-np.log(np.maximum(proba[np.arange(len(y)), y], FLOOR)).mean())
