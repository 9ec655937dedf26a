"""The monotone rational quadratic between two knots (Durkan et al. 2019, eq. 4 to 8)."""

from __future__ import annotations

import torch
from torch import Tensor


class RationalQuadratic:
    """The increasing rational quadratics from ``(x0, z0)`` to ``(x1, z1)``, one for each number.

    Beyond either knot the map continues as a straight line with the slope of that knot. Names follow
    Durkan et al. (2019). The slopes are divided by that of the secant, so that every formula deals
    with numbers near 1 in any units of ``x``.

    Parameters
    ----------
    x0, x1, z0, z1 : Tensor of shape (n, ...)
        Positions of the knots, in x and in z.
    slope0, slope1 : Tensor of shape (n, ...)
        Positive derivatives dz/dx at the knots.
    """

    def __init__(
        self, x0: Tensor, x1: Tensor, z0: Tensor, z1: Tensor, slope0: Tensor, slope1: Tensor
    ) -> None:
        self.x0, self.z0 = x0, z0
        self.width, self.height = x1 - x0, z1 - z0
        unit = self.width / self.height
        self.d0, self.d1 = slope0 * unit, slope1 * unit
        self.bend = self.d1 + self.d0 - 2

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image of each number (eq. 4) and its log-derivative (eq. 5)."""
        ratio = (x - self.x0) / self.width
        xi = ratio.clamp(0.0, 1.0)
        mix = xi * (1 - xi)
        denominator = 1 + self.bend * mix
        inside = (xi.square() + self.d0 * mix) / denominator
        fraction = inside + self._tail(ratio) * (ratio - xi)
        numerator = self.d1 * xi.square() + 2 * mix + self.d0 * (1 - xi).square()
        log_derivative = (self.height / self.width).log() + (numerator / denominator.square()).log()
        return self.z0 + self.height * fraction, log_derivative

    def inverse(self, z: Tensor) -> Tensor:
        """Solve the quadratic equation of each number (eq. 6 to 8)."""
        ratio = (z - self.z0) / self.height
        fraction = ratio.clamp(0.0, 1.0)
        a = 1 - self.d0 + fraction * self.bend
        b = self.d0 - fraction * self.bend
        root = (b.square() + 4 * a * fraction).clamp_min(0.0).sqrt()
        xi = 2 * fraction / (b + root)
        return self.x0 + self.width * (xi + (ratio - fraction) / self._tail(ratio))

    def _tail(self, ratio: Tensor) -> Tensor:
        """Return the slope of the line beyond the nearer knot."""
        return torch.where(ratio < 0, self.d0, self.d1)
