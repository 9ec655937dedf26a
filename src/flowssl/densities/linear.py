"""Linear classes: one Gaussian for all latents, and a softmax on them that predicts the class.

This is the class density of the deep invertible generalized linear model, DIGLM (Nalisnick et al.
2019, "Hybrid models with deep and invertible features").
"""

from __future__ import annotations

import math
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from flowssl.densities.base import (
    BuildableClassDensity,
    ClassDensityOptions,
    ClassInit,
    check_temperature,
)

LOG_2PI = math.log(2 * math.pi)
N_PRIOR_DRAWS = 4096
N_MODE_STEPS = 50

MAX_ROUNDS = 100_000
"""Rounds of rejection sampling at most: the weights of a file may be anything."""


class LinearClasses(BuildableClassDensity):
    """``p(z, y=k) = N(z | 0, I) softmax_k(W z + b)`` (Nalisnick et al. 2019, section 3.1).

    The density of the latents does not depend on the label, and classes are separated by linear
    boundaries. Weighting ``log p(x)`` against ``log p(y | x)`` is left to the objective.

    Parameters
    ----------
    weight : Tensor of shape (C, D)
        Initial W.
    bias : Tensor of shape (C,)
        Initial b.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> import torch
    >>> from flowssl.densities import LinearClasses
    >>> classes = LinearClasses(torch.tensor([[-2.0], [2.0]]), torch.zeros(2))
    >>> classes.log_joint(torch.tensor([[-1.0], [1.0]])).argmax(1).tolist()
    [0, 1]
    """

    whitens_classes: ClassVar[bool] = False
    has_prior: ClassVar[bool] = False

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        if weight.ndim != 2 or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"weight must have shape (C, D) and bias (C,), got {tuple(weight.shape)} and "
                f"{tuple(bias.shape)}"
            )
        self.n_classes, self.dim = weight.shape
        dtype = torch.float32
        self.weight = nn.Parameter(weight.to(dtype).clone())
        self.bias = nn.Parameter(bias.to(dtype).clone())

    @classmethod
    def from_init(cls, init: ClassInit, options: ClassDensityOptions) -> Self:
        """Begin with the posterior of class Gaussians that share one covariance; no option is read.

        The latents as a whole have the unit covariance, which is that of the means and that within
        the classes, S, together: ``W = M S^-1``, ``b_k = log p(y=k) - m_k S^-1 m_k / 2``.

        Raises
        ------
        ValueError
            If classes have several means.
        """
        means = init.single_means()
        prior = init.prior().detach().to(means)
        eye = torch.eye(means.shape[1], dtype=means.dtype)
        # At least a tenth stays within the classes, however sharp the soft labels are.
        values, vectors = torch.linalg.eigh(eye - (means.T * prior.exp()) @ means)
        inverse = vectors / values.clamp(0.1, 1.0) @ vectors.T
        weight = means @ inverse
        return cls(weight, prior - 0.5 * (weight * means).sum(1))

    def log_joint(self, z: Tensor) -> Tensor:
        """Return ``log p(z, y=k)``, shape (n, C), nats."""
        log_normal = -0.5 * (z.square().sum(1) + self.dim * LOG_2PI)
        return log_normal[:, None] + self._logits(z).log_softmax(1)

    def _logits(self, z: Tensor) -> Tensor:
        return z @ self.weight.T + self.bias

    def squared_distance(self, z: Tensor) -> Tensor:
        """Return ``|z|^2``, shape (n,): the latents of all classes together are N(0, I)."""
        return z.square().sum(1)

    def log_prior(self) -> Tensor:
        """Return ``log p(y=k) = log E softmax_k(W z + b)``, shape (C,), nats.

        It has no closed form: this is the mean over 4,096 fixed draws and their negatives, accurate
        to about 1 %.
        """
        # Drawn on the CPU, so that the prior is the same on every device.
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(
            N_PRIOR_DRAWS, self.dim, generator=generator, dtype=torch.float64, device="cpu"
        ).to(self.weight)
        log_softmax = self._logits(torch.cat((z, -z))).log_softmax(1)
        return log_softmax.logsumexp(0) - math.log(2 * N_PRIOR_DRAWS)

    def class_means(self) -> Tensor:
        """Return the most probable latent of each class, shape (C, D)."""
        y = torch.arange(self.n_classes, device=self.weight.device)
        return self._modes(y, 1.0)

    def sample(
        self, y: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw from ``p(z | y) ~ N(z | 0, T I) softmax_y(W z + b)`` by rejection, shape (n, D).

        The logarithm of the softmax lies below its tangent at the class's mode, and a Gaussian
        times the tangent's exponential is a Gaussian around the mode: the proposal.

        Raises
        ------
        ValueError
            If the temperature is negative, or hardly any proposal is accepted.
        """
        check_temperature(temperature)
        modes = self._modes(torch.arange(self.n_classes, device=y.device), temperature)
        z = modes[y]
        tangent, slope = self._log_partition(modes)
        waiting = torch.arange(len(y), device=y.device) if temperature > 0 else y[:0]
        for _ in range(MAX_ROUNDS):
            if not len(waiting):
                break
            classes = y[waiting]
            noise = torch.randn(
                len(waiting), self.dim, dtype=z.dtype, device=z.device, generator=generator
            )
            proposal = modes[classes] + temperature**0.5 * noise
            below = tangent[classes] + (slope[classes] * (proposal - modes[classes])).sum(1)
            chance = (below - self._logits(proposal).logsumexp(1)).exp()
            coin = torch.rand(len(waiting), dtype=z.dtype, device=z.device, generator=generator)
            accepted = coin < chance
            z = z.index_copy(0, waiting[accepted], proposal[accepted])
            waiting = waiting[~accepted]
        if len(waiting):
            raise ValueError(
                f"no latent was accepted for {len(waiting)} of {len(y)} rows in {MAX_ROUNDS:,} "
                "rounds: the weights of the classes are too large"
            )
        return z

    def _log_partition(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``logsumexp(W z + b)`` (n,) and its gradient (n, D)."""
        logits = self._logits(z)
        return logits.logsumexp(1), logits.softmax(1) @ self.weight

    def _modes(self, y: Tensor, temperature: float) -> Tensor:
        """Find where ``-|z|^2 / (2 T) + log softmax_y`` is largest, by Newton's method.

        The function is strictly concave; steps that overshoot are halved.
        """
        z = self.weight.new_zeros(len(y), self.dim)
        if temperature == 0:
            return z
        eye = torch.eye(self.dim, dtype=z.dtype, device=z.device) / temperature

        def height(z: Tensor) -> Tensor:
            inside = self._logits(z).log_softmax(1).gather(1, y[:, None]).squeeze(1)
            return inside - 0.5 * z.square().sum(1) / temperature

        for _ in range(N_MODE_STEPS):
            p = self._logits(z).softmax(1)
            mean = p @ self.weight
            gradient = self.weight[y] - mean - z / temperature
            curvature = torch.einsum("nc,cd,ce->nde", p, self.weight, self.weight)
            curvature = curvature - mean[:, :, None] * mean[:, None, :] + eye
            step = torch.linalg.solve(curvature, gradient)
            before = height(z)
            for _ in range(N_MODE_STEPS):
                worse = height(z + step) < before
                if not worse.any():
                    break
                step = torch.where(worse[:, None], 0.5 * step, step)
            z = z + step
        return z
