"""The joint model: a flow and a class part behind one function, ``log_joint``.

Everything that flowssl predicts, scores, samples or trains on is derived from
``log_joint(x) = log p(x, y=k)`` here, once, for every method.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowssl.bijections import Bijection
from flowssl.densities import ClassDensity

__all__ = ["JointModel"]


class JointModel(nn.Module):
    """``p(x, y=k) = p(z, y=k) |det dz/dx|`` with ``z = f(x)`` (Izmailov et al. 2020, eq. 1, 2).

    Parameters
    ----------
    flow : Bijection
        The map f from data to latents.
    class_density : ClassDensity
        The joint density of latents and classes.
    """

    def __init__(self, flow: Bijection, class_density: ClassDensity) -> None:
        super().__init__()
        self.flow = flow
        self.class_density = class_density

    @property
    def n_classes(self) -> int:
        """Number C of classes."""
        n_classes: int = self.class_density.n_classes
        return n_classes

    def forward(self, x: Tensor) -> Tensor:
        """Return :meth:`log_joint`: the path that training takes, on one device or on many."""
        z, log_det = self.flow(x)
        joint: Tensor = self.class_density(z) + log_det[:, None]
        return joint

    def log_joint(self, x: Tensor) -> Tensor:
        """Return ``log p(x, y=k)`` of rows (n, D), shape (n, C), nats."""
        joint: Tensor = self(x)
        return joint

    def log_prob(self, x: Tensor) -> Tensor:
        """Return ``log p(x) = logsumexp_k log p(x, y=k)``, shape (n,), nats (eq. 3)."""
        return self.log_joint(x).logsumexp(1)

    def posterior(self, x: Tensor) -> Tensor:
        """Return ``p(y=k | x)`` by Bayes' rule, shape (n, C) (eq. 5)."""
        return self.log_joint(x).softmax(1)

    def latent(self, x: Tensor) -> Tensor:
        """Return ``z = f(x)``, shape (n, D)."""
        z: Tensor = self.flow(x)[0]
        return z

    def sample(
        self, y: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw one row for each class index in ``y`` (n,), shape (n, D).

        ``temperature`` multiplies the latent covariances: below 1 the rows come closer to their
        class's typical row ``f^-1(mu_k)``.
        """
        return self.flow.inverse(self.class_density.sample(y, temperature, generator))
