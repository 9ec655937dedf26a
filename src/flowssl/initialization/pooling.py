"""Combine candidates: tempering and log-linear pooling by cross-fitted label likelihood.

The only evidence about the classes is a handful of labels, so everything here is strongly
regularized: temperatures stay near one, and weights near a soft ranking of the candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from flowssl._typing import Booleans, Floats, Integers

FLOOR = 0.02  # probabilities are kept above FLOOR / C, so that one wrong label has a bounded cost
SOFTNESS = 4.0  # nats of cross-fitted label likelihood that reduce a weight by a factor of e
DISAGREEMENT_POWER = 3.5  # weights fall with this power of the neighbor disagreement
BLIND_DISAGREEMENT_POWER = 4.0  # the same where no label can be evaluated
STIFFNESS = 3.0  # quadratic penalty of the weights around that ranking, in nats per candidate
_TEMPERATURE_PENALTY = 2.0
_MIN_DISAGREEMENT = 0.003
_BLIND_CONFIDENCE = 0.9  # common mean confidence of candidates there, 0 = uniform, 1 = certain
_PRIOR_STEPS = 3
_PRIOR_SCALE = 0.15  # relative divergence of class frequencies that is applied by half
_MATCHING_STEPS = 1000
_MATCHED = 1e-6  # tolerance of class frequencies
_POSSIBLE = 1e-12  # least probability of a class before it is rescaled
_INVERSE_TEMPERATURES = np.exp(np.linspace(-1.5, 2.5, 41))


def floored_log(P: Floats, floor: float = FLOOR) -> Floats:
    """Logarithm of posteriors (..., C), kept above floor / C and normalized again."""
    Q = np.maximum(P, floor / P.shape[-1])
    return np.asarray(np.log(Q / Q.sum(axis=-1, keepdims=True)))


def label_log_likelihood(P: Floats, codes: Integers, floor: float = FLOOR) -> float:
    """Sum over rows (m,) of the floored log-posterior of the given class, in nats."""
    return float(floored_log(P, floor)[np.arange(len(codes)), codes].sum())


def mean_label_log_likelihood(P: Floats, codes: Integers) -> float:
    """Mean of the same, in nats per label; NaN without labels."""
    return label_log_likelihood(P, codes) / len(codes) if len(codes) else float("nan")


def temper(P: Floats, codes: Integers) -> float:
    """Inverse temperature that maximizes the penalized likelihood of the codes (m,) under P."""
    L = np.log(np.maximum(P, 1e-6))
    L -= L.max(axis=1, keepdims=True)  # so that no exponential below overflows
    given = L[np.arange(len(codes)), codes].sum()
    scores = [
        b * given - np.log(np.exp(b * L).sum(axis=1)).sum() - _TEMPERATURE_PENALTY * np.log(b) ** 2
        for b in _INVERSE_TEMPERATURES
    ]
    return float(_INVERSE_TEMPERATURES[int(np.argmax(scores))])


def raise_to(P: Floats, inverse_temperature: float) -> Floats:
    """Raise posteriors (n, C) to a power and normalize them."""
    Q = np.exp(inverse_temperature * floored_log(P, 1e-6))
    return np.asarray(Q / Q.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Pool:
    """Log-linear pool: log q = sum_j weights_j log softmax(inverse_temperatures_j log p_j) + const.

    Attributes
    ----------
    weights : ndarray of shape (J,)
        Non-negative weights of the candidates.
    inverse_temperatures : ndarray of shape (J,)
        Exponents that calibrate the candidates one by one.
    """

    weights: Floats
    inverse_temperatures: Floats

    def __call__(self, posteriors: Floats) -> Floats:
        """Pooled posteriors (n, C) of the candidates' posteriors (J, n, C)."""
        total = np.zeros(posteriors.shape[1:])
        for w, b, P in zip(self.weights, self.inverse_temperatures, posteriors, strict=True):
            if w > 1e-6:
                total += w * _calibrated_log(P, b)
        return np.asarray(softmax(total, axis=1))


def _calibrated_log(P: Floats, b: float) -> Floats:
    return floored_log(softmax(b * np.log(np.maximum(P, 1e-6)), axis=-1), FLOOR / 2)


def fit_pool(cross_fitted: Floats, codes: Integers, disagreements: Floats) -> Pool:
    """Fit a pool to labels that the candidates have not seen.

    A first guess of the weights is proportional to exp(likelihood / SOFTNESS) /
    disagreement^DISAGREEMENT_POWER. The weights maximize the label likelihood of the pool less a
    quadratic penalty on their distance from that guess.

    Parameters
    ----------
    cross_fitted : ndarray of shape (J, m, C)
        The candidates' cross-fitted posteriors of m labeled rows.
    codes : ndarray of shape (m,)
        Classes of these rows.
    disagreements : ndarray of shape (J,)
        Neighbor disagreement of each candidate.
    """
    J, m, _ = cross_fitted.shape
    inverse = np.array([temper(P, codes) for P in cross_fitted])
    L = np.stack([_calibrated_log(P, b) for P, b in zip(cross_fitted, inverse, strict=True)])
    own = L[:, np.arange(m), codes]
    ranking = own.sum(axis=1) / SOFTNESS
    guess = softmax(ranking - DISAGREEMENT_POWER * np.log(disagreements + _MIN_DISAGREEMENT))

    def loss(w: Floats) -> tuple[float, Floats]:
        S = np.tensordot(w, L, 1)
        logs = logsumexp(S, axis=1)
        expected = (np.exp(S - logs[:, None])[None] * L).sum(axis=(1, 2))
        pull = w - guess
        value = (logs - own.T @ w).sum() + STIFFNESS * J * (pull @ pull)
        return float(value), expected - own.sum(axis=1) + 2 * STIFFNESS * J * pull

    best = minimize(loss, guess, jac=True, method="L-BFGS-B", bounds=[(0, None)] * J)
    return Pool(np.asarray(best.x), inverse)


def blind_pool(posteriors: Floats, disagreements: Floats) -> Pool:
    """Weigh candidates (J, n, C) by neighbor disagreement alone, where no label can be evaluated.

    All candidates get the same mean confidence, so that none dominates by its temperature.
    """
    inverse = np.array([_match_confidence(P) for P in posteriors])
    ranking = -BLIND_DISAGREEMENT_POWER * np.log(disagreements + _MIN_DISAGREEMENT)
    return Pool(softmax(ranking), inverse)


def _match_confidence(P: Floats) -> float:
    """Inverse temperature at which the mean largest probability is the common confidence."""
    C = P.shape[1]
    target = 1 / C + (1 - 1 / C) * _BLIND_CONFIDENCE
    L = np.log(np.maximum(P[:: max(1, len(P) // 2000)], 1e-6))
    low, high = -2.0, 4.0
    for _ in range(25):
        middle = (low + high) / 2
        if softmax(np.exp(middle) * L, axis=1).max(axis=1).mean() < target:
            low = middle
        else:
            high = middle
    return float(np.exp(low))


def fit_tempered_pool(
    cross_fitted: Floats, posteriors: Floats, given: Integers, evaluated: Booleans
) -> tuple[Pool, Floats, Floats]:
    """Pool candidates by the labels alone, without neighbor disagreement, and temper the result.

    Parameters
    ----------
    cross_fitted : ndarray of shape (J, m, C)
        The candidates' cross-fitted posteriors of the labeled rows.
    posteriors : ndarray of shape (J, n, C)
        Their posteriors of all rows.
    given : ndarray of shape (m,)
        Classes of the labeled rows.
    evaluated : ndarray of shape (m,), bool
        Labels that the pool is fitted to.

    Returns
    -------
    pool : Pool
    pooled_cross_fitted : ndarray of shape (m, C)
        NaN for labels that are not evaluated.
    pooled : ndarray of shape (n, C)
    """
    known, codes = cross_fitted[:, evaluated], given[evaluated]
    pool = fit_pool(known, codes, np.ones(len(cross_fitted)))
    P = pool(known)
    b = temper(P, codes)
    pooled_cross_fitted = np.full(cross_fitted.shape[1:], np.nan)
    pooled_cross_fitted[evaluated] = raise_to(P, b)
    return pool, pooled_cross_fitted, raise_to(pool(posteriors), b)


def mix_with_uniform(P: Floats, n_evaluated: int) -> Floats:
    """Mix posteriors (n, C) with uniform ones by the error rate that few labels cannot exclude.

    The prior Beta(1/2, 3/2) expects an error rate of 1/4 and counts like two labels; after m
    labels that were all predicted correctly it still expects 1 / (2 m + 4). A temperature cannot
    express this: a cluster with a wrong class is confidently wrong as a whole.
    """
    error = 0.5 / (n_evaluated + 2)
    return np.asarray((1 - error) * P + error / P.shape[1])


def shift_prior(P: Floats, label_frequencies: Floats) -> Floats:
    """Move posteriors (n, C) from the labels' class frequencies toward those among all rows.

    Three steps of Saerens et al. (2002), tempered: labels are often drawn in equal numbers
    whatever the frequency of the classes, but small apparent imbalances are mostly noise of the
    posteriors, and at convergence the frequencies would drift.
    """
    C = P.shape[1]
    if C < 2:
        return P
    believed = np.maximum(label_frequencies, 1e-6)
    moved = P
    for _ in range(_PRIOR_STEPS):
        found = np.maximum(moved.mean(axis=0), 1e-6)
        divergence = max(float((found * np.log(found / believed)).sum()) / np.log(C), 0.0)
        moved = P * (found / believed) ** (divergence / (divergence + _PRIOR_SCALE))
        moved = moved / moved.sum(axis=1, keepdims=True)
    return np.asarray(moved)


def match_prior(P: Floats, prior: Floats, weight: Floats) -> Floats:
    """Scale posteriors (n, C) class by class until their weighted mean is the prior (C,).

    Known class frequencies locate a boundary better than a few labels do. This is the matrix
    scaling of Sinkhorn (1967), with rows weighted by `weight` (n,).
    """
    P = np.maximum(P, _POSSIBLE)
    factors, moved = np.ones(P.shape[1]), P
    for _ in range(_MATCHING_STEPS):
        found = np.average(moved, axis=0, weights=weight)
        if np.abs(found - prior).max() < _MATCHED:
            break
        factors = factors * prior / found
        factors /= factors.max()
        moved = P * factors
        moved = moved / moved.sum(axis=1, keepdims=True)
    return np.asarray(moved)
