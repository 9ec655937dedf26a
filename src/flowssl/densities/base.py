"""What a class part is: the latent half of ``log_joint``.

A method is a flow plus a class part. The class part knows ``log p(z, y=k)`` for latents ``z`` and
can draw latents of a class; everything else follows from these two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

__all__ = ["ClassDensity", "ClassPrior"]


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
        """Return the mean latent of each class, shape (C, D)."""

    def forward(self, z: Tensor) -> Tensor:
        """Return :meth:`log_joint`."""
        return self.log_joint(z)
