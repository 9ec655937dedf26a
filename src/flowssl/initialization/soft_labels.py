"""The result of propagation: soft labels of all rows and how they were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from flowssl._persistence import JSON
from flowssl._typing import Floats, Integers
from flowssl.initialization.pooling import floored_log, mean_label_log_likelihood


@dataclass(frozen=True)
class SoftLabels:
    """Class probabilities of all rows, as `flowssl.initialization.propagate` finds them.

    A label is *evaluated* if the candidates are fitted without it as well and if the labels they
    then know reach its row. The only label of a class or of a region is not, nor are the labels
    that do not take part where rows are more than `RowLimits` allows.

    Attributes
    ----------
    posteriors : ndarray of shape (n, C)
        Class probabilities of the rows; those of labeled rows are not replaced by the labels.
    candidates : tuple of str
        Names of the J candidates, "scaling: method".
    weights : ndarray of shape (J,)
        Weights of the candidates in the log-linear pool.
    label_log_likelihoods : ndarray of shape (J,)
        Cross-fitted log-likelihood of the labels under each candidate, nats per label; NaN if no
        label is evaluated.
    smoothing_weights : ndarray of shape (3,)
        Weights of the pool smoothed on the neighbor graph with strengths 0, 0.8 and 0.95.
    label_log_likelihood : float
        Cross-fitted log-likelihood of the labels under the result, nats per label; NaN if no label
        is evaluated.
    cross_fitted : ndarray of shape (m, C)
        Posteriors of the m labeled rows, in row order, by pools of candidates that were fitted
        without their labels; only the smoothing weights and a temperature are fitted to them. They
        assume the labels' class frequencies. NaN for labels that are not evaluated.
    baseline : Pipeline
        Logistic regression on the labels alone, in standardized columns.
    baseline_label_log_likelihood : float
        Its cross-fitted log-likelihood of the labels, nats per label.
    baseline_cross_fitted : ndarray of shape (m, C)
        Its cross-fitted posteriors of the labeled rows; NaN for labels that are never left out.
    label_gain, label_gain_error : float
        Mean gain of the result over the baseline in label log-likelihood, nats per label, and its
        standard error.

    Examples
    --------
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> from flowssl.initialization import propagate
    >>> X, y = make_moons(200, random_state=0)
    >>> soft = propagate(X, hide_labels(y, per_class=5, random_state=0), 2, random_state=0)
    >>> soft.misleads
    False
    >>> soft.summary()["candidates"][0]["name"]
    'standard: logistic'
    """

    posteriors: Floats
    candidates: tuple[str, ...]
    weights: Floats
    label_log_likelihoods: Floats
    smoothing_weights: Floats
    label_log_likelihood: float
    cross_fitted: Floats
    baseline: Pipeline
    baseline_label_log_likelihood: float
    baseline_cross_fitted: Floats
    label_gain: float
    label_gain_error: float

    @property
    def misleads(self) -> bool:
        """Whether the labels alone predict held-out labels better, by two standard errors.

        Two rather than one because a few labels are a weak test: in cases where they were 1.7
        standard errors against the result, it was still right on 10 % more of the rows than the
        labels alone.
        """
        return self.label_gain < -2 * self.label_gain_error

    def summary(self) -> dict[str, JSON]:
        """Weights and scores without the posteriors, ready for JSON: NaN becomes None.

        Returns
        -------
        dict
            "candidates", a list of dicts with "name", "weight" and "label_log_likelihood";
            "label_log_likelihood"; and "baseline_label_log_likelihood".
        """
        scores = zip(self.candidates, self.weights, self.label_log_likelihoods, strict=True)
        return {
            "candidates": [
                {"name": name, "weight": float(weight), "label_log_likelihood": _finite(score)}
                for name, weight, score in scores
            ],
            "label_log_likelihood": _finite(self.label_log_likelihood),
            "baseline_label_log_likelihood": _finite(self.baseline_label_log_likelihood),
        }


class Evaluation(NamedTuple):
    """How well cross-fitted posteriors predict labels, next to those of the baseline.

    Attributes
    ----------
    log_likelihood, baseline_log_likelihood : float
        Mean floored log-posterior of the labels, nats; NaN without labels.
    gain, gain_error : float
        Mean of their difference, and its standard error.
    """

    log_likelihood: float
    baseline_log_likelihood: float
    gain: float
    gain_error: float


def evaluate(cross_fitted: Floats, baseline: Floats, codes: Integers) -> Evaluation:
    """Evaluate posteriors (m, C) and those of the baseline on labels `codes` (m,)."""
    gain = gain_error = float("nan")
    if len(codes):
        difference = floored_log(cross_fitted) - floored_log(baseline)
        each = difference[np.arange(len(codes)), codes]
        gain, gain_error = float(each.mean()), float(each.std() / np.sqrt(len(each)))
    return Evaluation(
        mean_label_log_likelihood(cross_fitted, codes),
        mean_label_log_likelihood(baseline, codes),
        gain,
        gain_error,
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
