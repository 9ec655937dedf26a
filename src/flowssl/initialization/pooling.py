"""How much to trust each candidate: tempering and log-linear pooling by cross-fitted likelihood.

The only evidence about the classes is a handful of labels, so everything here has a strong
prior: temperatures stay near one, and weights near a soft ranking of the candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from flowssl._typing import Floats, Integers

FLOOR = 0.02  # no candidate is believed beyond FLOOR / C: one wrong label must not ruin it
SOFTNESS = 4.0  # nats of cross-fitted label likelihood that cost a factor e of weight
CUT_POWER = 3.5  # weights fall with this power of the share of neighbors told apart
BLIND_CUT_POWER = 4.0  # the same where no label likelihood can be had
STIFFNESS = 3.0  # pull of the weights toward that ranking, in nats per unit squared and candidate
_TEMPERATURE_PENALTY = 2.0
_CUT_FLOOR = 0.003
_BLIND_CONFIDENCE = 0.9  # mean confidence given to all candidates there, 0 = uniform, 1 = certain
_PRIOR_STEPS = 3
_PRIOR_SCALE = 0.15  # relative divergence of class shares at which half of it is believed
_MATCHING_STEPS = 1000
_MATCHED = 1e-6  # share of all rows by which a class may miss the one that is given
_POSSIBLE = 1e-12  # no row is so sure of a class that given shares could not move it
_INVERSE_TEMPERATURES = np.exp(np.linspace(-1.5, 2.5, 41))


def floored_log(P: Floats, floor: float = FLOOR) -> Floats:
    """Logarithm of posteriors (..., C) kept above floor / C and normalized again."""
    Q = np.maximum(P, floor / P.shape[-1])
    return np.asarray(np.log(Q / Q.sum(axis=-1, keepdims=True)))


def label_log_likelihood(P: Floats, codes: Integers, floor: float = FLOOR) -> float:
    """Sum over rows of the floored log-posterior of the given class, nats."""
    return float(floored_log(P, floor)[np.arange(len(codes)), codes].sum())


def temper(P: Floats, codes: Integers) -> float:
    """Inverse temperature that maximizes the penalized likelihood of the codes."""
    L = np.log(np.maximum(P, 1e-6))
    L -= L.max(axis=1, keepdims=True)  # so that no exponential below overflows
    given = L[np.arange(len(codes)), codes].sum()
    scores = [
        b * given - np.log(np.exp(b * L).sum(axis=1)).sum() - _TEMPERATURE_PENALTY * np.log(b) ** 2
        for b in _INVERSE_TEMPERATURES
    ]
    return float(_INVERSE_TEMPERATURES[int(np.argmax(scores))])


@dataclass(frozen=True)
class Pool:
    """Log-linear pool: log q = sum_j weights_j log softmax(inverse_temperatures_j log p_j)."""

    weights: Floats
    inverse_temperatures: Floats

    def __call__(self, posteriors: Floats) -> Floats:
        """Pooled posteriors (n, C) of the candidates' posteriors (J, n, C)."""
        total = np.zeros(posteriors.shape[1:])
        for w, b, P in zip(self.weights, self.inverse_temperatures, posteriors, strict=True):
            if w > 1e-6:
                total += w * _sharpened(P, b)
        return np.asarray(softmax(total, axis=1))


def _sharpened(P: Floats, b: float) -> Floats:
    return floored_log(softmax(b * np.log(np.maximum(P, 1e-6)), axis=-1), FLOOR / 2)


def fit_pool(posteriors: Floats, codes: Integers, cuts: Floats) -> Pool:
    """Pool for candidates with cross-fitted posteriors (J, m, C) on rows of known codes (m,).

    Candidates start from weights proportional to exp(likelihood / SOFTNESS) / cut^CUT_POWER,
    where `cuts` (J,) are the shares of neighbors they tell apart (see `neighbor_cut`); the
    weights then maximize the label likelihood of the pool under a quadratic pull to that start.
    """
    J, m, _ = posteriors.shape
    inverse = np.array([temper(P, codes) for P in posteriors])
    L = np.stack([_sharpened(P, b) for P, b in zip(posteriors, inverse, strict=True)])
    own = L[:, np.arange(m), codes]
    start = softmax(own.sum(axis=1) / SOFTNESS - CUT_POWER * np.log(cuts + _CUT_FLOOR))

    def loss(w: Floats) -> tuple[float, Floats]:
        S = np.tensordot(w, L, 1)
        logs = logsumexp(S, axis=1)
        expected = (np.exp(S - logs[:, None])[None] * L).sum(axis=(1, 2))
        pull = w - start
        value = (logs - own.T @ w).sum() + STIFFNESS * J * (pull @ pull)
        return float(value), expected - own.sum(axis=1) + 2 * STIFFNESS * J * pull

    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * J)
    return Pool(np.asarray(best.x), inverse)


def blind_pool(posteriors: Floats, cuts: Floats) -> Pool:
    """Pool for candidates (J, n, C) without any row of known code: smoothness alone decides.

    All candidates are brought to the same mean confidence, so that none dominates by its
    temperature.
    """
    inverse = np.array([_match_confidence(P) for P in posteriors])
    return Pool(softmax(-BLIND_CUT_POWER * np.log(cuts + _CUT_FLOOR)), inverse)


def _match_confidence(P: Floats) -> float:
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


def doubted(P: Floats, n_judged: int) -> Floats:
    """Mix posteriors (n, C) with uniform ones by the doubt that so few judging labels leave.

    A prior that expects a quarter of errors and is worth two labels, Beta(1/2, 3/2), still expects
    1 / (2 m + 4) after m labels that were all told right. Temperatures cannot say this: a wrong
    cluster is wrong as a whole, and sure of it.
    """
    doubt = 0.5 / (n_judged + 2)
    return np.asarray((1 - doubt) * P + doubt / P.shape[1])


def neighbor_cut(P: Floats, graph: sp.csr_array) -> float:
    """Share of neighbors given different classes, relative to rows paired at random.

    Classes that follow the clusters of the data cut few edges: without labels this ranks
    candidates nearly as well as their accuracy does. One class for all rows cuts none, but for no
    cluster's sake: 1, as of classes at random.
    """
    if graph.nnz == 0:
        return 0.0
    best = P.argmax(axis=1)
    shares = np.bincount(best) / len(best)
    if shares.max() == 1:
        return 1.0
    rows = np.repeat(np.arange(len(best)), np.diff(graph.indptr))
    return float((best[rows] != best[graph.indices]).mean() / (1 - (shares**2).sum() + 1e-3))


def shift_prior(P: Floats, label_shares: Floats) -> Floats:
    """Move posteriors (n, C) from the labels' class shares toward those among all rows.

    Three steps of Saerens et al. (2002), tempered: labels are often drawn in equal numbers
    whatever the classes' frequency, but small apparent imbalances are mostly noise of the
    posteriors, and run to convergence the shares drift.
    """
    C = P.shape[1]
    if C < 2:
        return P
    believed = np.maximum(label_shares, 1e-6)
    moved = P
    for _ in range(_PRIOR_STEPS):
        found = np.maximum(moved.mean(axis=0), 1e-6)
        divergence = max(float((found * np.log(found / believed)).sum()) / np.log(C), 0.0)
        moved = P * (found / believed) ** (divergence / (divergence + _PRIOR_SCALE))
        moved = moved / moved.sum(axis=1, keepdims=True)
    return np.asarray(moved)


def match_prior(P: Floats, prior: Floats, weight: Floats) -> Floats:
    """Scale posteriors (n, C) class by class until their mean over the rows is the prior (C,).

    Known shares say where a boundary lies better than a few labels do. This is the matrix scaling
    of Sinkhorn (1967), rows weighted by `weight` (n,).
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
