"""How much to trust each candidate: tempering and log-linear pooling by cross-fitted likelihood.

The only evidence about the classes is a handful of labels, so everything here has a strong
prior: temperatures stay near one, and weights near a soft ranking of the candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax

from flowssl.initialization.spaces import Floats, Integers

__all__ = ["Pool", "fit_pool", "floored_log", "label_log_likelihood", "temper"]

FLOOR = 0.02  # no candidate is believed beyond FLOOR / C: one wrong label must not ruin it
SOFTNESS = 4.0  # nats of cross-fitted label likelihood that cost a factor e of weight
STIFFNESS = 3.0  # pull of the weights toward that ranking, in nats per unit squared and candidate
_TEMPERATURE_PENALTY = 2.0
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
    scores = [
        log_softmax(b * L, axis=1)[np.arange(len(codes)), codes].sum()
        - _TEMPERATURE_PENALTY * np.log(b) ** 2
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


def fit_pool(posteriors: Floats, codes: Integers) -> Pool:
    """Pool for candidates with cross-fitted posteriors (J, m, C) on rows of known codes (m,).

    Candidates start from weights proportional to exp(likelihood / SOFTNESS); the weights then
    maximize the label likelihood of the pool under a quadratic pull back to that start.
    Without rows all candidates weigh the same.
    """
    J, m, _ = posteriors.shape
    if m == 0:
        return Pool(np.full(J, 1 / J), np.ones(J))
    inverse = np.array([temper(P, codes) for P in posteriors])
    L = np.stack([_sharpened(P, b) for P, b in zip(posteriors, inverse, strict=True)])
    own = L[:, np.arange(m), codes]
    start = softmax(own.sum(axis=1) / SOFTNESS)

    def loss(w: Floats) -> tuple[float, Floats]:
        S = np.tensordot(w, L, 1)
        logs = logsumexp(S, axis=1)
        expected = (np.exp(S - logs[:, None])[None] * L).sum(axis=(1, 2))
        pull = w - start
        value = (logs - own.T @ w).sum() + STIFFNESS * J * (pull @ pull)
        return float(value), expected - own.sum(axis=1) + 2 * STIFFNESS * J * pull

    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * J)
    return Pool(np.asarray(best.x), inverse)
