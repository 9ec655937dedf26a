"""What a bijection is here, and how bijections are composed.

A bijection carries data ``x`` to latents ``z`` and returns the log-determinant of its Jacobian
with them, so that densities follow from the change of variables
``log p(x) = log p(z) + log |det dz/dx|`` (Izmailov et al. 2020, eq. 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import cast, overload

import torch
from torch import Tensor, nn


class Bijection(nn.Module, ABC):
    """An invertible, differentiable map of rows with a tractable log-determinant.

    Bijections keep no state between calls: no shapes, no batch statistics, no log-determinants.
    A row's image and log-determinant do not depend on the other rows of its batch.
    """

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents.

        Parameters
        ----------
        x : Tensor of shape (n, D)
            Rows; ``n`` may be 0.
        context : Tensor of shape (n, K), optional
            What the map is conditioned on; ignored by maps without a conditioner.

        Returns
        -------
        z : Tensor of shape (n, D)
            Latents.
        log_det : Tensor of shape (n,)
            ``log |det dz/dx|`` of each row, nats.
        """

    @abstractmethod
    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map latents of shape (n, D) back to data of shape (n, D)."""

    def decayed_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that weight decay shrinks: those of child bijections."""
        yield from _decayed_in(self)


class Chain(Bijection):
    """The composition of bijections, applied from first to last.

    ``chain[:3]`` is the chain of the first three, sharing their parameters; ``chain[i]`` is one of
    them. The empty chain is the identity.

    Parameters
    ----------
    *bijections : Bijection
        The maps, in the order in which data pass through them.
    """

    def __init__(self, *bijections: Bijection) -> None:
        super().__init__()
        self.bijections = nn.ModuleList(bijections)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents; the log-determinants add up."""
        log_det = x.new_zeros(x.shape[0])
        for bijection in self:
            x, step = bijection(x, context)
            log_det = log_det + step
        return x, log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map latents back to data, last bijection first."""
        for bijection in reversed(list(self)):
            z = bijection.inverse(z, context)
        return z

    def __len__(self) -> int:
        return len(self.bijections)

    def __iter__(self) -> Iterator[Bijection]:
        for bijection in self.bijections:
            yield cast(Bijection, bijection)  # ModuleList forgets the element type

    @overload
    def __getitem__(self, index: int) -> Bijection: ...
    @overload
    def __getitem__(self, index: slice) -> Chain: ...
    def __getitem__(self, index: int | slice) -> Bijection | Chain:
        members = list(self)
        return Chain(*members[index]) if isinstance(index, slice) else members[index]


def _decayed_in(module: nn.Module) -> Iterator[nn.Parameter]:
    for child in module.children():
        if isinstance(child, Bijection):
            yield from child.decayed_parameters()
        else:
            yield from _decayed_in(child)


def check_width(x: Tensor, dim: int) -> None:
    """Raise ``ValueError`` unless ``x`` has shape (n, dim)."""
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"expected rows of {dim} numbers, shape (n, {dim}), got {tuple(x.shape)}")


def rows_of(value: Tensor, x: Tensor) -> Tensor:
    """Repeat a scalar log-determinant for each row of ``x`` without copying it."""
    return value.to(x.dtype).expand(x.shape[0])


def orthogonal(dim: int, generator: torch.Generator | None) -> Tensor:
    """Draw a rotation matrix (dim, dim) from the uniform (Haar) measure, in float64."""
    gaussian = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    rotation: Tensor = q * r.diagonal().sign()
    return rotation
