"""Gaussian mixtures of weighted rows, their number of Gaussians chosen by held-out rows.

Scikit-learn's mixtures take no sample weights, by which a row of weight 2 is the row twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.cluster import KMeans

from flowssl._typing import Booleans, Floats
from flowssl.bijections import MixtureMap

COMPONENTS = (2, 5, 10, 20, 40)
"""Numbers of Gaussians that are tried after a single one."""

ROWS_PER_COLUMN = 3
"""Rows per column that each Gaussian needs: a covariance of fewer hardly has an inverse."""

MAX_ITERATIONS = 100
TOLERANCE = 1e-3
"""Gain of the log-likelihood, nats per row, below which the iterations end."""

REGULARIZATION = 1e-6
"""Added to the variances in whitened units."""

LEAST_VARIANCE = 1e-10
"""Smallest variance of a direction, relative to that of a column."""

GIVEN_UP = 2
"""Larger numbers of Gaussians in a row that are worse before no further one is tried."""


@dataclass(frozen=True)
class Mixture:
    """A mixture of J Gaussians in D columns.

    Attributes
    ----------
    weights : ndarray of shape (J,)
    means : ndarray of shape (J, D)
    factors : ndarray of shape (J, D, D)
        Lower triangular Cholesky factors of the covariances.
    """

    weights: Floats
    means: Floats
    factors: Floats

    def log_joint(self, z: Floats) -> Floats:
        """Return the log-density of rows (n, D) and Gaussians, shape (n, J), nats."""
        parts = [
            -0.5 * (solve_triangular(factor, (z - mean).T, lower=True) ** 2).sum(0)
            - np.log(factor.diagonal()).sum()
            for mean, factor in zip(self.means, self.factors, strict=True)
        ]
        constant = 0.5 * z.shape[1] * np.log(2 * np.pi)
        return np.asarray(np.stack(parts, axis=1) + np.log(self.weights) - constant)

    def score(self, z: Floats, weight: Floats) -> float:
        """Return the mean log-density of rows (n, D), nats."""
        return float(np.average(logsumexp(self.log_joint(z), axis=1), weights=weight))

    def mapped(self, matrix: Floats, shift: Floats) -> Mixture:
        """Return the mixture of rows that are ``matrix @ z + shift``."""
        turned = np.swapaxes(matrix @ self.factors, 1, 2)
        lower = np.swapaxes(np.linalg.qr(turned, mode="r"), 1, 2)
        signs = np.sign(np.diagonal(lower, axis1=1, axis2=2))
        return Mixture(self.weights, self.means @ matrix.T + shift, lower * signs[:, None])

    def to_map(self) -> MixtureMap:
        """Return the map that turns the mixture into N(0, I)."""
        arrays = (np.log(self.weights), self.means, self.factors)
        return MixtureMap(*map(torch.from_numpy, arrays))


def fit_mixture(z: Floats, weight: Floats, held_out: Booleans, seed: int) -> Mixture:
    """Fit mixtures and return the one that is best on the held-out rows.

    Parameters
    ----------
    z : ndarray of shape (n, D)
        Rows without missing values.
    weight : ndarray of shape (n,)
        Their weights.
    held_out : ndarray of shape (n,), bool
        Rows that are not fitted.
    seed : int
        Of the clusters from which each mixture begins.
    """
    rows, mass = z[~held_out], weight[~held_out] / weight[~held_out].mean()
    mean = np.average(rows, axis=0, weights=mass)
    covariance = np.atleast_2d(np.cov(rows.T, aweights=mass, bias=True))
    values, vectors = np.linalg.eigh(covariance)
    scale = np.sqrt(np.maximum(values, LEAST_VARIANCE * covariance.diagonal().max()))
    whitened, others = ((part - mean) @ vectors / scale for part in (rows, z[held_out]))
    found, worse = _expectation_maximization(whitened, mass, 1, seed), 0
    best = found.score(others, weight[held_out])
    for n_components in COMPONENTS:
        if n_components * ROWS_PER_COLUMN * z.shape[1] > len(rows):
            break
        candidate = _expectation_maximization(whitened, mass, n_components, seed)
        score = candidate.score(others, weight[held_out])
        worse = 0 if score > best else worse + 1
        if score > best:
            best, found = score, candidate
        if worse == GIVEN_UP:
            break
    return found.mapped(vectors * scale, mean)


def _expectation_maximization(z: Floats, mass: Floats, n_components: int, seed: int) -> Mixture:
    """Fit a mixture from clusters on (Dempster, Laird and Rubin 1977)."""
    if n_components == 1:
        return _maximized(z, mass[:, None])
    clusters = KMeans(n_components, n_init=1, random_state=seed).fit(z, sample_weight=mass)
    mixture = _maximized(z, np.eye(n_components)[clusters.labels_] * mass[:, None])
    before = -np.inf
    for _ in range(MAX_ITERATIONS):
        log_joint = mixture.log_joint(z)
        log_prob = logsumexp(log_joint, axis=1, keepdims=True)
        likelihood = float(np.average(log_prob[:, 0], weights=mass))
        if likelihood - before < TOLERANCE:
            break
        before = likelihood
        mixture = _maximized(z, np.exp(log_joint - log_prob) * mass[:, None])
    return mixture


def _maximized(z: Floats, shares: Floats) -> Mixture:
    """Return the mixture of largest likelihood given the mass (n, J) of each row and Gaussian."""
    totals = shares.sum(0) + 10 * np.finfo(np.float64).eps
    means = shares.T @ z / totals[:, None]
    factors = np.empty((len(totals), z.shape[1], z.shape[1]))
    for j, mean in enumerate(means):
        offset = z - mean
        covariance = (shares[:, j, None] * offset).T @ offset / totals[j]
        covariance[np.diag_indices_from(covariance)] += REGULARIZATION
        factors[j] = np.linalg.cholesky(covariance)
    return Mixture(totals / totals.sum(), means, factors)
