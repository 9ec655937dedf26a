"""Calibration of a fitted density's posterior on validation labels."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
from scipy.special import log_softmax

from flowssl._typing import Floats, Integers, Labels
from flowssl.calibration import LOG_TEMPERATURE_RANGE, fit_temperature, minimum_of_log
from flowssl.estimators._density import FittedDensity
from flowssl.exceptions import FlowSSLWarning

MIN_LABELS = 50
"""Validation labels below which the number that is fitted to them is hardly known."""

PRECISION = 0.02
"""Of the logarithm of a variance; each evaluation runs the rows through the flows."""


def calibrated(
    density: FittedDensity, matrix: Floats, codes: Integers, classes: Labels, method: str
) -> tuple[float, float]:
    """Return the temperature and the variance of the lowest negative log-likelihood.

    One of them is 1. Without an improvement on validation labels, both are.

    Parameters
    ----------
    density : FittedDensity
        With whatever calibration.
    matrix : ndarray of shape (n, D)
        Encoded rows.
    codes : ndarray of shape (n,)
        Their classes; -1 for unlabeled.
    classes : ndarray of shape (C,)
        Names of the classes, for messages.
    method : {"temperature", "variance"}
        What is fitted.

    Raises
    ------
    ValueError
        If no row is labeled, the lengths differ, or the method is unknown or does not apply.
    """
    if method not in ("temperature", "variance"):
        raise ValueError(f"method must be 'temperature' or 'variance', got {method!r}")
    if len(matrix) != len(codes):
        raise ValueError(f"X has {len(matrix)} rows but y has {len(codes)}")
    known = codes >= 0
    if not known.any():
        raise ValueError(
            "y has no labeled row to calibrate with; give validation rows with their labels"
        )
    if len(classes) < 2:
        return 1.0, 1.0
    _warn_of_few(codes[known], classes)
    rows, targets = matrix[known], np.eye(len(classes))[codes[known]]
    if method == "temperature":
        scores = replace(density, variance=1.0).class_scores(rows)
        temperature = fit_temperature(scores, targets, np.ones(len(rows)))
        _warn_of_bound("temperature", temperature)
        return temperature, 1.0
    density.widened(1.0)  # refuses other classes before anything is computed

    def loss(log_variance: float) -> float:
        wide = density.widened(math.exp(log_variance))
        return -float((targets * log_softmax(wide.class_scores(rows), axis=1)).sum())

    variance = minimum_of_log(loss, PRECISION)
    if loss(math.log(variance)) >= loss(0.0):
        return 1.0, 1.0
    _warn_of_bound("variance", variance)
    return 1.0, variance


def _warn_of_few(codes: Integers, classes: Labels) -> None:
    """Warn where validation labels are few, or lack a class."""
    if len(codes) < MIN_LABELS:
        warnings.warn(
            f"only {len(codes)} validation rows are labeled, from which a calibration is hardly "
            f"known; give {MIN_LABELS} or more, better some hundred",
            FlowSSLWarning,
            stacklevel=5,
        )
    missing = np.flatnonzero(np.bincount(codes, minlength=len(classes)) == 0)
    if len(missing):
        names = ", ".join(map(repr, classes[missing[:5]].tolist()))
        warnings.warn(
            f"{len(missing)} of the {len(classes)} classes have no validation label ({names}), so "
            "that their probabilities are calibrated by those of the others",
            FlowSSLWarning,
            stacklevel=5,
        )


def _warn_of_bound(name: str, value: float) -> None:
    """Warn where the fit ends at a bound, as it does if no labeled row is misclassified."""
    low, high = LOG_TEMPERATURE_RANGE
    if not low + 0.1 < math.log(value) < high - 0.1:
        warnings.warn(
            f"the {name} that fits the validation labels best is at the bound of its range, "
            f"{value:.3g}; if the model is right on all of them, give more rows",
            FlowSSLWarning,
            stacklevel=5,
        )
