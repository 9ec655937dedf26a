"""What a class part is: the latent half of ``log_joint``.

A method is a flow plus a class part. The class part knows ``log p(z, y=k)`` for latents ``z`` and
can draw latents of a class; everything else follows from these two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from flowssl.architectures import Architecture


def check_temperature(temperature: float) -> None:
    """Raise ``ValueError`` unless a temperature is 0 or more."""
    if not temperature >= 0:
        raise ValueError(f"temperature must be at least 0, got {temperature}")


class ClassPrior(nn.Module):
    """Log-probabilities of the classes before a row is seen.

    Parameters
    ----------
    probabilities : Tensor of shape (C,)
        Positive weights; they are normalized.
    learn : bool, default=False
        Whether training may change them.

    Raises
    ------
    ValueError
        If the weights are not a vector of positive, finite numbers.
    """

    def __init__(self, probabilities: Tensor, *, learn: bool = False) -> None:
        super().__init__()
        positive = torch.isfinite(probabilities) & (probabilities > 0)
        if probabilities.ndim != 1 or not positive.all():
            raise ValueError(f"class priors must be positive, got {probabilities.tolist()}")
        logits = probabilities.log().to(torch.get_default_dtype())
        self.logits = nn.Parameter(logits, requires_grad=learn)

    def forward(self) -> Tensor:
        """Return ``log p(y=k)``, shape (C,), nats."""
        return self.logits.log_softmax(0)


@dataclass(frozen=True)
class ClassInit:
    """What a class part begins from: latents with soft labels, before any training.

    Attributes
    ----------
    latents : Tensor of shape (n, D), float64
        Latents of the affine start.
    share : Tensor of shape (n, C), float64
        How much of each row belongs to each class, sample weights included; each class has some.
    prior : ClassPrior
        The class probabilities.
    architecture : Architecture
        Shape of the networks, for a class part that has some.
    generator : torch.Generator
        Source of randomness.
    """

    latents: Tensor
    share: Tensor
    prior: ClassPrior
    architecture: Architecture
    generator: torch.Generator

    def means(self) -> Tensor:
        """Return the mean latent of each class, shape (C, D)."""
        return self.share.T @ self.latents / self.share.sum(0)[:, None]


class ClassDensity(nn.Module, ABC):
    """A joint density of latents and classes."""

    n_classes: int
    dim: int

    @abstractmethod
    def log_joint(self, z: Tensor) -> Tensor:
        """Return ``log p(z, y=k)`` for every class.

        Parameters
        ----------
        z : Tensor of shape (n, D)

        Returns
        -------
        Tensor of shape (n, C)
            Nats.
        """

    @abstractmethod
    def sample(
        self, y: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw one latent for each class index in ``y`` (n,); returns (n, D).

        ``temperature`` multiplies the covariance: ``z ~ N(mu_k, T Sigma_k)``
        (Izmailov et al. 2020, section 6.3).
        """

    @abstractmethod
    def log_prior(self) -> Tensor:
        """Return ``log p(y=k)``, shape (C,), nats."""

    @abstractmethod
    def class_means(self) -> Tensor:
        """Return the latent at the center of each class, shape (C, D)."""

    def forward(self, z: Tensor) -> Tensor:
        """Return :meth:`log_joint`."""
        return self.log_joint(z)


class BuildableClassDensity(ClassDensity):
    """A class density that can be built from soft labels: what the registry of class parts holds."""

    whitens_classes: ClassVar[bool] = True
    """Whether latents begin with unit covariance inside the classes, or else all together."""

    @classmethod
    @abstractmethod
    def from_init(cls, start: ClassInit) -> Self:
        """Build the density with which training begins."""
