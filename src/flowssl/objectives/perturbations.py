"""Perturbed copies of rows: noise in training, and views for consistency terms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from flowssl._random import randn_like

Perturbation = Callable[[Tensor], Tensor]
"""Maps rows (n, D) to a perturbed copy of the same shape and device. In a training, random numbers
come from a generator of its own, outside of one from PyTorch's global generator of that device."""


@dataclass(frozen=True)
class GaussianNoise:
    """The perturbation that adds N(0, std^2) noise.

    Attributes
    ----------
    std : float
        Standard deviation, in the flow's (standardized) units.

    Examples
    --------
    >>> import torch
    >>> from flowssl.objectives import GaussianNoise
    >>> GaussianNoise(0.1)(torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """

    std: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return noisy rows (n, D)."""
        return x + self.std * randn_like(x)


@dataclass(frozen=True)
class ShapedNoise:
    """The perturbation that adds N(0, F F^T) noise.

    Attributes
    ----------
    factor : Tensor of shape (D, D)
        F, in the flow's (standardized) units.

    Examples
    --------
    >>> import torch
    >>> from flowssl.objectives import ShapedNoise
    >>> noise = ShapedNoise(torch.diag(torch.tensor([0.5, 0.0])))
    >>> noise(torch.zeros(5, 2))[:, 1].tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """

    factor: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return noisy rows (n, D)."""
        return torch.addmm(x, randn_like(x), self.factor.to(x).T)

    def __repr__(self) -> str:
        """Show the largest and the smallest standard deviation over all directions."""
        width = torch.linalg.svdvals(self.factor)
        return f"ShapedNoise({float(width[0]):.6g} to {float(width[-1]):.6g})"


@dataclass(frozen=True)
class SpanNoise:
    """The perturbation that adds Gaussian noise of one width in all but a few directions.

    It is ``ShapedNoise`` of the factor ``U diag(widths) U^T + rest (I - U U^T)``, in the memory and
    time of the few directions.

    Attributes
    ----------
    directions : Tensor of shape (D, r)
        Orthonormal directions ``U``.
    widths : Tensor of shape (r,)
        Standard deviations along them, in the flow's (standardized) units.
    rest : float
        Standard deviation along all others.

    Examples
    --------
    >>> import torch
    >>> from flowssl.objectives import SpanNoise
    >>> noise = SpanNoise(torch.tensor([[1.0], [0.0]]), torch.tensor([0.5]), 0.0)
    >>> noise(torch.zeros(5, 2))[:, 1].tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """

    directions: Tensor
    widths: Tensor
    rest: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return noisy rows (n, D)."""
        noise = randn_like(x)
        directions = self.directions.to(x)
        within = (noise @ directions) * (self.widths.to(x) - self.rest)
        return torch.addmm(x + self.rest * noise, within, directions.T)

    def __repr__(self) -> str:
        """Show the largest and the smallest standard deviation over all directions."""
        widths = [*self.widths.tolist(), self.rest]
        return f"SpanNoise({max(widths):.6g} to {min(widths):.6g})"
