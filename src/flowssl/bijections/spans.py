"""Bijections of rows of which there are fewer than columns: a basis of their span comes first."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowssl.bijections.base import ORTHOGONALITY_ERROR, Bijection, check_shape, rows_of


class SpanReflection(Bijection):
    """A fixed map after which the rows of a span differ in the first columns only.

    ``z = a (I - 2 P P^T) (x - m)``, a reflection in the span of the r columns of ``P``, which takes
    r D numbers instead of the D D of a rotation (a block Householder matrix; Schreiber and Parlett
    1988). :meth:`of_span` chooses ``P``.

    ``P`` is rounded to float32, and the log-determinant of the rounded reflection is kept with it; the
    inverse is solved for. The map and its exact inverse are then the same in any precision.

    Parameters
    ----------
    mirror : Tensor of shape (D, r)
        ``P``, with orthonormal columns up to rounding.
    shift : Tensor of shape (D,)
        ``m``.
    scale : float
        ``a``, positive.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import SpanReflection
    >>> direction = torch.tensor([[0.6], [0.0], [0.8]])
    >>> layer = SpanReflection.of_span(direction, torch.zeros(3), 1.0)
    >>> z, _ = layer(torch.tensor([[3.0, 0.0, 4.0]]))
    >>> [round(value, 4) + 0.0 for value in z[0].tolist()]
    [-5.0, 0.0, 0.0]
    """

    def __init__(self, mirror: Tensor, shift: Tensor, scale: float) -> None:
        super().__init__()
        self.dim, self.width = mirror.shape
        rounded = mirror.to(torch.float32)
        exact = torch.eye(self.width, dtype=torch.float64) - 2 * _gram(rounded.double())
        log_det = torch.linalg.slogdet(exact).logabsdet
        self.mirror: Tensor
        self.shift: Tensor
        self.log_scale: Tensor
        self.log_det: Tensor
        self.register_buffer("mirror", rounded)
        self.register_buffer("shift", shift.to(torch.float32, copy=True))
        self.register_buffer("log_scale", torch.tensor(math.log(scale), dtype=torch.float32))
        self.register_buffer("log_det", log_det.to(torch.float32))

    @classmethod
    def of_span(cls, directions: Tensor, shift: Tensor, scale: float) -> SpanReflection:
        """Return the map whose first r columns span the given orthonormal directions (D, r)."""
        basis = symmetric_basis(directions)
        width = basis.shape[1]
        cosines, vectors = torch.linalg.eigh(basis[:width])
        basis[:width].diagonal().add_(1)
        mirror = (basis @ vectors) * (2 + 2 * cosines.clamp_min(0)).rsqrt()
        return cls(mirror, shift, scale)

    def check_buffers(self) -> None:
        """Refuse a mirror that is not orthonormal, or another log-determinant than its own."""
        error = (_gram(self.mirror) - torch.eye(self.width, dtype=self.mirror.dtype)).abs()
        if (
            error.amax() > ORTHOGONALITY_ERROR
            or self.log_det.abs() > ORTHOGONALITY_ERROR * self.width
        ):
            raise ValueError("the mirror of a reflection is not orthonormal")

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Shift, reflect and scale."""
        check_shape(x, self.dim)
        x = x - self.shift
        reflected = torch.addmm(x, x @ self.mirror, self.mirror.T, alpha=-2)
        log_det = self.log_det + self.dim * self.log_scale
        return reflected * self.log_scale.exp(), rows_of(log_det, x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Scale, reflect and shift back."""
        check_shape(z, self.dim)
        z = z * (-self.log_scale).exp()
        # (I - 2 P P^T)^-1 = I + 2 P (I - 2 P^T P)^-1 P^T, which is I - 2 P P^T but for rounding.
        gram = _gram(self.mirror)
        inner = torch.eye(self.width, dtype=z.dtype, device=z.device) - 2 * gram
        within = torch.linalg.solve(inner, (z @ self.mirror).T).T
        return torch.addmm(z, within, self.mirror.T, alpha=2) + self.shift

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"dim={self.dim}, width={self.width}"


class Leading(Bijection):
    """A bijection of the first r columns; the others stay as they are.

    Parameters
    ----------
    inner : Bijection
        Of rows of r columns.
    width : int
        Number r of columns.
    dim : int
        Width D of a row, at least r.

    Raises
    ------
    ValueError
        If ``width`` is more than ``dim``.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import Leading, LULinear
    >>> layer = Leading(LULinear(2 * torch.eye(1)), 1, 3)
    >>> layer(torch.ones(1, 3))[0].tolist()
    [[2.0, 1.0, 1.0]]
    """

    def __init__(self, inner: Bijection, width: int, dim: int) -> None:
        super().__init__()
        if width > dim:
            raise ValueError(f"rows of {dim} columns have no first {width}")
        self.inner = inner
        self.width = width
        self.dim = dim

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map the first columns."""
        check_shape(x, self.dim)
        z, log_det = self.inner(x[:, : self.width].contiguous(), context)
        return torch.cat((z, x[:, self.width :]), dim=1), log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map the first columns back."""
        check_shape(z, self.dim)
        x = self.inner.inverse(z[:, : self.width].contiguous(), context)
        return torch.cat((x, z[:, self.width :]), dim=1)

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"width={self.width}, dim={self.dim}"


def symmetric_basis(directions: Tensor) -> Tensor:
    """Return an orthonormal basis (D, r) of the same span, in float64, for a reflection.

    Its first r rows are symmetric and positive semidefinite: the reflection in the span of what
    they and the first r unit vectors add up to exchanges these vectors and the basis, with their
    signs reversed.
    """
    directions = directions.to(torch.float64)
    left, _, right = torch.linalg.svd(directions[: directions.shape[1]])
    basis: Tensor = directions @ (right.T @ left.T)
    head = basis[: directions.shape[1]]
    head.copy_((head + head.T) / 2)
    return basis


def _gram(mirror: Tensor) -> Tensor:
    return mirror.T @ mirror
