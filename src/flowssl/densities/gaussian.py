"""Gaussian classes: each class is one latent Gaussian or a small mixture of them.

This is the class part of FlowGMM (Izmailov et al. 2020, eq. 2 and 3).
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from flowssl.densities.base import BuildableClassDensity, ClassInit, ClassPrior, check_temperature
from flowssl.densities.covariances import COVARIANCES


class GaussianClasses(BuildableClassDensity):
    """``p(z, y=k) = p(y=k) sum_m w_km N(z | mu_km, Sigma_km)``.

    Parameters
    ----------
    means : Tensor of shape (C, D) or (C, M, D)
        Where the M Gaussians of each class start; M = 1 in the paper.
    prior : ClassPrior
        The class probabilities.
    weights : Tensor of shape (C, M), optional
        Weights of the Gaussians inside a class, not negative, on any scale; equal by default.
        A weight below 1e-6 of its class's is raised to it, so that training can revive it.
    covariance : {"spherical", "diag", "tied", "low_rank"}, default="spherical"
        Kind of the covariances; all start at the identity ("low_rank" 1 % off it).
    learn_means, learn_covariance : bool, default=True
        Whether training may move them. The paper keeps both fixed; learned ones are never worse
        here, as they start from the data.

    Raises
    ------
    ValueError
        If shapes do not fit or the kind of covariance is unknown.
    """

    def __init__(
        self,
        means: Tensor,
        prior: ClassPrior,
        *,
        weights: Tensor | None = None,
        covariance: str = "spherical",
        learn_means: bool = True,
        learn_covariance: bool = True,
    ) -> None:
        super().__init__()
        if means.ndim == 2:
            means = means[:, None]
        if means.ndim != 3 or means.shape[0] != len(prior.logits):
            raise ValueError(
                f"means must have shape ({len(prior.logits)}, M, D), got {tuple(means.shape)}"
            )
        if covariance not in COVARIANCES:
            raise ValueError(f"covariance must be one of {sorted(COVARIANCES)}, got {covariance!r}")
        self.n_classes, self.n_components, self.dim = means.shape
        if weights is None:
            weights = torch.ones(self.n_classes, self.n_components)
        if weights.shape != means.shape[:2] or not (weights.sum(1) > 0).all():
            raise ValueError(
                f"weights must have shape {tuple(means.shape[:2])} and a positive sum for each "
                f"class, got shape {tuple(weights.shape)} and sums {weights.sum(-1).tolist()}"
            )
        weights = weights / weights.sum(1, keepdim=True)
        dtype = torch.get_default_dtype()
        self.prior = prior
        self.means = nn.Parameter(means.to(dtype).clone(), requires_grad=learn_means)
        self.logits = nn.Parameter(
            weights.clamp_min(1e-6).log().to(dtype),
            requires_grad=learn_means and self.n_components > 1,
        )
        self.covariance = COVARIANCES[covariance](self.n_classes * self.n_components, self.dim)
        self.covariance.requires_grad_(learn_covariance)

    @classmethod
    def from_init(cls, start: ClassInit) -> Self:
        """Put one Gaussian with a diagonal covariance of its own on each class."""
        return cls(start.means(), start.prior, covariance="diag")

    def log_joint(self, z: Tensor) -> Tensor:
        """Return ``log p(z, y=k)``, shape (n, C), nats (eq. 2 with the class prior)."""
        log_prob = self.covariance.log_prob(z, self.means.flatten(0, 1))
        log_prob = log_prob.reshape(len(z), self.n_classes, self.n_components)
        log_prob = (log_prob + self.logits.log_softmax(1)).logsumexp(2)
        return log_prob + self.log_prior()

    def log_prior(self) -> Tensor:
        """Return ``log p(y=k)``, shape (C,), nats."""
        log_prior: Tensor = self.prior()
        return log_prior

    def class_means(self) -> Tensor:
        """Return the mean latent of each class, shape (C, D)."""
        return (self.logits.softmax(1)[:, :, None] * self.means).sum(1)

    def sample(
        self, y: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw ``z ~ N(mu, T Sigma)`` of each row's class, shape (n, D).

        Raises
        ------
        ValueError
            If the temperature is negative.
        """
        check_temperature(temperature)
        inner = torch.multinomial(
            self.logits.softmax(1)[y], 1, replacement=True, generator=generator
        ).squeeze(1)
        noise = torch.randn(
            len(y), self.dim, dtype=self.means.dtype, device=y.device, generator=generator
        )
        colored = self.covariance.color(noise, y * self.n_components + inner)
        z: Tensor = self.means[y, inner] + temperature**0.5 * colored
        return z
