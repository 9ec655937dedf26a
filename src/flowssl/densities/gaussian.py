"""Gaussian classes: each class is one latent Gaussian or a small mixture of them.

This is the class density of FlowGMM (Izmailov et al. 2020, eq. 2 and 3).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from flowssl.bijections.base import all_true
from flowssl.densities.base import (
    BuildableClassDensity,
    ClassDensityOptions,
    ClassInit,
    check_temperature,
)
from flowssl.densities.covariances import Widened, build_covariance
from flowssl.densities.prior import ClassPrior


class GaussianClasses(BuildableClassDensity):
    """``p(z, y=k) = p(y=k) sum_m w_km N(z | mu_km, Sigma_km)``.

    Parameters
    ----------
    means : Tensor of shape (C, D) or (C, M, D)
        Initial means of the M Gaussians of each class; M = 1 in the paper.
    prior : ClassPrior
        The class probabilities.
    weights : Tensor of shape (C, M), optional
        Weights of the Gaussians inside a class, not negative, on any scale; equal by default.
        A weight below 1e-6 of its class's is raised to it, so that training can revive it.
    covariance : {"spherical", "diag", "tied", "low_rank", "full"}, default="spherical"
        Kind of the covariances; all are initialized at the identity ("low_rank" 1 % off it).
    covariance_rank : int or None, default=None
        Rank of the "low_rank" covariance, at most D; None is 4, or D where that is smaller.
    learn_means, learn_covariance : bool, default=True
        Whether training changes them. The paper keeps both fixed; learned ones are never worse
        here, as they are initialized from the data.

    Raises
    ------
    ValueError
        If shapes do not fit, the kind of covariance is unknown, or a rank does not apply.

    Examples
    --------
    >>> import torch
    >>> from flowssl.densities import ClassPrior, GaussianClasses
    >>> means = torch.tensor([[-3.0, 0.0], [3.0, 0.0]])
    >>> classes = GaussianClasses(means, ClassPrior(torch.ones(2)), covariance="full")
    >>> classes.log_joint(means).argmax(1).tolist()
    [0, 1]
    >>> classes.sample(torch.tensor([0, 1]), temperature=0.0).tolist()
    [[-3.0, 0.0], [3.0, 0.0]]
    """

    uses: ClassVar[frozenset[str]] = frozenset(
        {"covariance_type", "covariance_rank", "n_components", "learn"}
    )

    def __init__(
        self,
        means: Tensor,
        prior: ClassPrior,
        *,
        weights: Tensor | None = None,
        covariance: str = "spherical",
        covariance_rank: int | None = None,
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
        self.n_classes, self.n_components, self.dim = means.shape
        if weights is None:
            weights = torch.ones(self.n_classes, self.n_components, dtype=torch.float32)
        if weights.shape != means.shape[:2] or not all_true(weights.sum(1) > 0):
            raise ValueError(
                f"weights must have shape {tuple(means.shape[:2])} and a positive sum for each "
                f"class, got shape {tuple(weights.shape)} and sums {weights.sum(-1).tolist()}"
            )
        weights = weights / weights.sum(1, keepdim=True)
        dtype = torch.float32
        self.prior = prior
        self.means = nn.Parameter(means.to(dtype).clone(), requires_grad=learn_means)
        self.logits = nn.Parameter(
            weights.clamp_min(1e-6).log().to(dtype),
            requires_grad=learn_means and self.n_components > 1,
        )
        self.covariance = build_covariance(
            covariance, self.n_classes * self.n_components, self.dim, covariance_rank
        )
        self.covariance.requires_grad_(learn_covariance)

    @classmethod
    def from_init(cls, init: ClassInit, options: ClassDensityOptions) -> Self:
        """Put ``options.n_components`` Gaussians on the means of each class.

        Raises
        ------
        ValueError
            If there are means for another number of Gaussians.
        """
        if init.means.shape[1] != options.n_components:
            raise ValueError(
                f"n_components is {options.n_components}, but there are means for "
                f"{init.means.shape[1]} Gaussians in each class"
            )
        return cls(
            init.means,
            init.prior,
            weights=init.weights,
            covariance=options.covariance_type,
            covariance_rank=options.covariance_rank,
            learn_means=options.learn,
            learn_covariance=options.learn,
        )

    def log_joint(self, z: Tensor) -> Tensor:
        """Return ``log p(z, y=k)``, shape (n, C), nats (eq. 2 with the class prior)."""
        log_prob = self.covariance.log_prob(z, self.means.flatten(0, 1))
        log_prob = log_prob.reshape(len(z), self.n_classes, self.n_components)
        log_prob = (log_prob + self.logits.log_softmax(1)).logsumexp(2)
        return log_prob + self.log_prior()

    def widened(self, factor: float) -> GaussianClasses:
        """Return a copy whose covariances are all times a positive factor."""
        copied = copy.deepcopy(self)
        copied.covariance = Widened(copied.covariance, factor)
        return copied

    def squared_distance(self, z: Tensor) -> Tensor:
        """Return the squared Mahalanobis distance to the nearest Gaussian of any class, (n,)."""
        return self.covariance.distances(z, self.means.flatten(0, 1))[0].amin(1)

    def log_prior(self) -> Tensor:
        """Return ``log p(y=k)``, shape (C,), nats."""
        log_prior: Tensor = self.prior()
        return log_prior

    def class_means(self) -> Tensor:
        """Return the mean latent of each class, shape (C, D)."""
        return (self.logits.softmax(1)[:, :, None] * self.means).sum(1)

    def center_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the means of the Gaussians."""
        yield self.means

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
