"""The interface of bijections, and their composition.

A bijection maps data ``x`` to latents ``z`` and returns the log-determinant of its Jacobian with
them; densities follow from the change of variables
``log p(x) = log p(z) + log |det dz/dx|`` (Izmailov et al. 2020, eq. 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from textwrap import indent
from typing import cast, overload

import torch
from torch import Tensor, nn

ORTHOGONALITY_ERROR = 1e-4
"""Largest error of an entry of ``W^T W``, where W has orthonormal columns in float32."""


class Bijection(nn.Module, ABC):
    """An invertible, differentiable map of rows with a tractable log-determinant.

    Bijections keep no state between calls: no shapes, no batch statistics, no log-determinants.
    The latent and the log-determinant of a row do not depend on the other rows of its batch.

    A context is used or refused by maps with a conditioner (see :class:`Coupling`). Maps without
    one, such as linear maps, ignore it, so that a :class:`Chain` can pass one context to all of
    its members.

    Examples
    --------
    >>> import math
    >>> import torch
    >>> from flowssl.bijections import Bijection
    >>> class Double(Bijection):
    ...     def forward(self, x, context=None):
    ...         return 2 * x, torch.full_like(x[:, 0], x.shape[1] * math.log(2))
    ...
    ...     def inverse(self, z, context=None):
    ...         return z / 2
    >>> z, log_det = Double()(torch.ones(1, 3))
    >>> z.tolist(), round(log_det.item(), 3)
    ([[2.0, 2.0, 2.0]], 2.079)
    """

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents.

        Parameters
        ----------
        x : Tensor of shape (n, D)
            Rows; ``n`` may be 0.
        context : Tensor of shape (n, K), optional
            What the map is conditioned on.

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

    def check_buffers(self) -> None:
        """Refuse fixed numbers with which the map has no inverse: a file may hold any.

        By default there is nothing to check. Learned parameters give an inverse whatever they are.

        Raises
        ------
        ValueError
            If a buffer is not what the constructor makes.
        """
        return

    def decayed_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that weight decay shrinks: by default, those of inner bijections.

        Weight decay pulls parameters towards zero, which is a sensible prior for the matrices of
        networks and for nothing else: linear maps, scales and shifts start from the data.
        """
        for bijection in _inner_bijections(self):
            yield from bijection.decayed_parameters()


class Chain(Bijection):
    """The composition of bijections, applied from first to last.

    ``chain[:3]`` is the chain of the first three, sharing their parameters; ``chain[i]`` is one of
    them. The empty chain is the identity.

    Parameters
    ----------
    *bijections : Bijection
        The maps, in the order in which data pass through them.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import ActNorm, Chain, Rotation
    >>> chain = Chain(ActNorm(2), Rotation(2, generator=torch.Generator().manual_seed(0)))
    >>> x = torch.tensor([[3.0, 4.0]])
    >>> z, log_det = chain(x)
    >>> torch.allclose(chain.inverse(z), x), abs(log_det.item()) < 1e-5
    (True, True)
    >>> chain
    Chain(
      (0): ActNorm(dim=2)
      (1): Rotation(dim=2)
    )
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

    def __repr__(self) -> str:
        lines = [indent(f"({i}): {bijection!r}", "  ") for i, bijection in enumerate(self)]
        return "\n".join(["Chain(", *lines, ")"]) if lines else "Chain()"


def check_shape(x: Tensor, *shape: int) -> None:
    """Raise ``ValueError`` unless ``x`` has the shape ``(n, *shape)``."""
    if x.shape[1:] != torch.Size(shape):
        expected = ", ".join(("n", *map(str, shape)))
        raise ValueError(f"expected a batch of shape ({expected}), got {tuple(x.shape)}")


def check_context(context: Tensor | None, n: int, context_features: int) -> None:
    """Raise ``ValueError`` unless a context is (n, K), or absent where K is 0."""
    if context is None and context_features == 0:
        return
    if context is None or context.shape != (n, context_features):
        found = None if context is None else tuple(context.shape)
        if context_features == 0:
            raise ValueError(
                f"this map takes no context, got one of shape {found}; build it with "
                "context_features, or call it without a context"
            )
        raise ValueError(
            f"this map needs a context of shape ({n}, {context_features}), got {found}"
        )


def all_true(condition: Tensor) -> bool:
    """Return whether a condition is true everywhere; on the device "meta" there are no numbers."""
    return condition.is_meta or bool(condition.all())


def layer_device() -> str:
    """Return where new layers are made: the CPU, or "meta" inside ``torch.device("meta")``.

    There a model has shapes and takes no memory, which is how a model file is checked.
    """
    return "meta" if torch.get_default_device().type == "meta" else "cpu"


def rows_of(value: Tensor, x: Tensor) -> Tensor:
    """Repeat a scalar log-determinant for each row of ``x`` without copying it."""
    return value.to(x.dtype).expand(x.shape[0])


def orthogonal(dim: int, generator: torch.Generator | None) -> Tensor:
    """Draw a rotation matrix (dim, dim) from the uniform (Haar) measure, in float64."""
    gaussian = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    rotation: Tensor = q * r.diagonal().sign()
    return rotation


def _inner_bijections(module: nn.Module) -> Iterator[Bijection]:
    """Yield the outermost bijections inside a module."""
    for child in module.children():
        if isinstance(child, Bijection):
            yield child
        else:
            yield from _inner_bijections(child)
