"""What missing numbers are drawn from: the mixture of Gaussians given the numbers that are there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import log_softmax, logsumexp, ndtri, stdtrit
from scipy.stats import t as student

from flowssl._typing import Booleans, Floats, Integers
from flowssl.bijections import MixtureMap

WIDER = 1.25
"""Factor of the variances: the ratio of the density to the proposal has to stay bounded."""

DEGREES = 3
"""Degrees of freedom of Student's t distribution of a number that is drawn without a look at others,
whose own distribution may have heavy tails."""


@dataclass(frozen=True)
class MixtureProposal:
    """A mixture of J Gaussians of the standardized columns.

    Attributes
    ----------
    log_weights : ndarray of shape (J,)
    means : ndarray of shape (J, D)
    covariances : ndarray of shape (J, D, D)
    """

    log_weights: Floats
    means: Floats
    covariances: Floats

    @classmethod
    def of(cls, mixture: MixtureMap) -> Self:
        """Take the mixture of a map."""
        log_weights, means, factors = (
            part.cpu().numpy() for part in (mixture.log_weights, mixture.means, mixture.factors)
        )
        return cls(log_weights, means, factors @ np.swapaxes(factors, 1, 2))

    @staticmethod
    def alone(uniform: Floats) -> tuple[Floats, Floats]:
        """Return numbers drawn without a look at others, and their log-densities."""
        numbers = stdtrit(DEGREES, uniform)
        return numbers, np.asarray(student.logpdf(numbers, DEGREES))

    def draw(self, z: Floats, drawn: Booleans, uniform: Floats, of_component: Floats) -> Floats:
        """Draw numbers in place, given the others of their row.

        Parameters
        ----------
        z : ndarray of shape (n, D)
            Rows.
        drawn : ndarray of shape (n, D), bool
            What is drawn.
        uniform : ndarray of shape (n, D)
            Points in (0, 1) for the numbers.
        of_component : ndarray of shape (n,)
            Points in (0, 1) for the Gaussian from which a row is drawn.

        Returns
        -------
        ndarray of shape (n,)
            Log-density of what was drawn, nats.
        """
        log_q = np.zeros(len(z))
        patterns, group = np.unique(drawn, axis=0, return_inverse=True)
        for i, pattern in enumerate(patterns):
            if pattern.any():
                rows = np.flatnonzero(group.ravel() == i)
                places = np.flatnonzero(pattern)
                normal = ndtri(uniform[np.ix_(rows, places)])
                numbers, log_q[rows] = self._given(z[rows], places, normal, of_component[rows])
                z[np.ix_(rows, places)] = numbers
        return log_q

    def _given(
        self, z: Floats, places: Integers, normal: Floats, of_component: Floats
    ) -> tuple[Floats, Floats]:
        """Return numbers at some places (n, M), and their log-density (n,), given the others."""
        others = np.setdiff1d(np.arange(z.shape[1]), places)
        offsets, factors, log_shares = [], [], []
        for log_weight, mean, covariance in zip(
            self.log_weights, self.means, self.covariances, strict=True
        ):
            factor = np.linalg.cholesky(covariance[np.ix_(others, others)])
            known = solve_triangular(factor, (z[:, others] - mean[others]).T, lower=True)
            gain = solve_triangular(factor, covariance[np.ix_(others, places)], lower=True)
            rest = covariance[np.ix_(places, places)] - gain.T @ gain
            rest[np.diag_indices_from(rest)] += 1e-9 * covariance[places, places]
            offsets.append(mean[places] + known.T @ gain)
            factors.append(math.sqrt(WIDER) * np.linalg.cholesky(rest))
            log_shares.append(
                log_weight - 0.5 * (known**2).sum(0) - np.log(factor.diagonal()).sum()
            )
        log_share = log_softmax(np.stack(log_shares, axis=1), axis=1)
        chosen = (np.exp(log_share).cumsum(1)[:, :-1] < of_component[:, None]).sum(1)
        numbers = np.stack(offsets, axis=1)[np.arange(len(z)), chosen]
        numbers += np.einsum("nij,nj->ni", np.stack(factors)[chosen], normal)
        log_density = [
            -0.5 * (solve_triangular(factor, (numbers - offset).T, lower=True) ** 2).sum(0)
            - np.log(factor.diagonal()).sum()
            for offset, factor in zip(offsets, factors, strict=True)
        ]
        constant = 0.5 * len(places) * math.log(2 * math.pi)
        log_q = logsumexp(log_share + np.stack(log_density, axis=1), axis=1) - constant
        return numbers, np.asarray(log_q)
