"""A class density of the first latents only, as in the semi-conditional flow.

With few labels, low-dimensional class information keeps a generative classifier from overfitting
(Atanov et al. 2019, section 3.2 and table 3).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowssl.densities.base import ClassDensity

LOG_2PI = math.log(2 * math.pi)


class SemiConditionalClasses(ClassDensity):
    """``p(z, y=k) = p(z_f, y=k) N(z_aux | 0, I)`` with ``z = (z_f, z_aux)``.

    The density of the auxiliary latents ``z_aux`` is evaluated once for a row, not once for each
    class (eq. 3).

    Parameters
    ----------
    inner : ClassDensity
        The class density of the first latents, ``z_f``.
    dim : int
        Number D of all latents, at least that of ``inner``; ``z_aux`` may be empty.

    Raises
    ------
    ValueError
        If ``inner`` is wider than the latents.

    Examples
    --------
    >>> import torch
    >>> from flowssl.densities import ClassPrior, GaussianClasses, SemiConditionalClasses
    >>> inner = GaussianClasses(torch.eye(2), ClassPrior(torch.ones(2)))
    >>> classes = SemiConditionalClasses(inner, dim=5)
    >>> [part.shape[1] for part in classes.split(torch.zeros(1, 5))]
    [2, 3]
    """

    def __init__(self, inner: ClassDensity, dim: int) -> None:
        super().__init__()
        if inner.dim > dim:
            raise ValueError(
                f"the class density takes {inner.dim} latents, but there are only {dim}"
            )
        self.inner = inner
        self.dim = dim
        self.n_classes = inner.n_classes

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``z_f`` and ``z_aux`` of latents (n, D)."""
        z_f, z_aux = torch.split(z, [self.inner.dim, self.dim - self.inner.dim], dim=1)
        return z_f, z_aux

    def log_joint(self, z: Tensor) -> Tensor:
        """Return ``log p(z, y=k)``, shape (n, C), nats."""
        z_f, z_aux = self.split(z)
        rest = -0.5 * (z_aux.square().sum(1) + z_aux.shape[1] * LOG_2PI)
        return self.inner.log_joint(z_f) + rest[:, None]

    def squared_distance(self, z: Tensor) -> Tensor:
        """Return the squared distance to the nearest Gaussian of all latents, shape (n,)."""
        z_f, z_aux = self.split(z)
        return self.inner.squared_distance(z_f) + z_aux.square().sum(1)

    def log_prior(self) -> Tensor:
        """Return ``log p(y=k)``, shape (C,), nats."""
        return self.inner.log_prior()

    def class_means(self) -> Tensor:
        """Return the latent at the center of each class, shape (C, D)."""
        means = self.inner.class_means()
        return torch.cat((means, means.new_zeros(len(means), self.dim - self.inner.dim)), dim=1)

    def sample(
        self, y: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw ``z_f`` of each row's class and ``z_aux ~ N(0, T I)``, shape (n, D)."""
        z_f = self.inner.sample(y, temperature, generator)
        z_aux = torch.randn(
            len(y),
            self.dim - self.inner.dim,
            dtype=z_f.dtype,
            device=z_f.device,
            generator=generator,
        )
        return torch.cat((z_f, temperature**0.5 * z_aux), dim=1)
