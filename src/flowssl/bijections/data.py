"""The step from the user's units to numbers that a flow likes, as a bijection.

Because the step is a bijection with a log-determinant, densities stay exact in the user's own
units. It is fitted once on the training rows and then fixed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flowssl.bijections.base import Bijection, check_width

__all__ = ["MonotonicSpline"]

N_QUANTILES = 33
MIN_DISTINCT = 32
HEAVY_TAIL = 8.0


class MonotonicSpline(Bijection):
    """A fixed monotone map of each column: a rational-quadratic spline with straight tails.

    Each piece between two knots is the monotone rational quadratic of Durkan et al. 2019
    (eq. 4 to 8), which has a closed inverse. A column with two knots is standardized; a column
    whose knots are its quantiles, mapped to those of N(0, 1), becomes nearly normal whatever its
    tails.

    Parameters
    ----------
    x_knots, z_knots : Tensor of shape (D, K)
        Strictly increasing positions in data and in latent units, one row for each column.
    slopes : Tensor of shape (D, K)
        Positive derivatives dz/dx at the knots. The first and the last go on for ever.
    """

    def __init__(self, x_knots: Tensor, z_knots: Tensor, slopes: Tensor) -> None:
        super().__init__()
        self.x_knots: Tensor
        self.z_knots: Tensor
        self.slopes: Tensor
        self.register_buffer("x_knots", x_knots.contiguous())
        self.register_buffer("z_knots", z_knots.contiguous())
        self.register_buffer("slopes", slopes.contiguous())

    @property
    def dim(self) -> int:
        """Width D of a row."""
        return self.x_knots.shape[0]

    @classmethod
    def fit(cls, x: Tensor, *, heavy_tail: float = HEAVY_TAIL) -> MonotonicSpline:
        """Choose for each column between standardization and quantiles.

        A column is mapped by its quantiles when it has at least 32 distinct values and some value
        lies further than ``heavy_tail`` standard deviations (estimated robustly, from the middle
        80 %) from its median; otherwise it gets mean 0 and variance 1.

        Parameters
        ----------
        x : Tensor of shape (n, D), float64
            Training rows, finite, no constant column.
        heavy_tail : float, default=8.0
            Where tails begin to hurt: a normal column of a million rows stays below 5.

        Returns
        -------
        MonotonicSpline
            In float64.
        """
        columns = [_column_knots(column, heavy_tail) for column in x.to(torch.float64).unbind(1)]
        size = max(len(knots) for knots, _, _ in columns)
        padded = [_pad(*column, size) for column in columns]
        x_knots, z_knots, slopes = (torch.stack(part) for part in zip(*padded, strict=True))
        return cls(x_knots, z_knots, slopes)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map each column; the log-determinant is the sum of the log-derivatives."""
        check_width(x, self.dim)
        piece = _Piece(self, self.x_knots, x)
        ratio = (x - piece.x0) / piece.width
        xi = ratio.clamp(0.0, 1.0)
        mix = xi * (1 - xi)
        denominator = piece.slope + piece.bend * mix
        inside = piece.height * (piece.slope * xi.square() + piece.d0 * mix) / denominator
        z = piece.z0 + inside + piece.tail_slope(ratio) * (ratio - xi) * piece.width
        numerator = piece.d1 * xi.square() + 2 * piece.slope * mix + piece.d0 * (1 - xi).square()
        derivative = piece.slope.square() * numerator / denominator.square()
        return z, derivative.log().sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Solve each piece's quadratic (Durkan et al. 2019, eq. 6 to 8)."""
        check_width(z, self.dim)
        piece = _Piece(self, self.z_knots, z)
        ratio = (z - piece.z0) / piece.height
        y = ratio.clamp(0.0, 1.0) * piece.height
        a = piece.height * (piece.slope - piece.d0) + y * piece.bend
        b = piece.height * piece.d0 - y * piece.bend
        c = -piece.slope * y
        root = (b.square() - 4 * a * c).clamp_min(0.0).sqrt()
        xi = 2 * c / (-b - root)
        beyond = (ratio - ratio.clamp(0.0, 1.0)) * piece.height / piece.tail_slope(ratio)
        return piece.x0 + xi * piece.width + beyond

    def extra_repr(self) -> str:
        """Describe the map for ``repr``."""
        return f"dim={self.dim}, knots={self.x_knots.shape[1]}"


class _Piece:
    """The quantities of the piece in which each number lies; names follow Durkan et al. 2019."""

    def __init__(self, spline: MonotonicSpline, knots: Tensor, values: Tensor) -> None:
        index = torch.searchsorted(knots, values.T.contiguous()).sub_(1)
        index = index.clamp_(0, knots.shape[1] - 2)

        def at(table: Tensor, offset: int = 0) -> Tensor:
            return table.gather(1, index + offset).T

        self.x0, self.z0, self.d0 = at(spline.x_knots), at(spline.z_knots), at(spline.slopes)
        self.d1 = at(spline.slopes, 1)
        self.width = at(spline.x_knots, 1) - self.x0
        self.height = at(spline.z_knots, 1) - self.z0
        self.slope = self.height / self.width
        self.bend = self.d1 + self.d0 - 2 * self.slope

    def tail_slope(self, ratio: Tensor) -> Tensor:
        """Return the derivative that goes on beyond the end at which a number may lie."""
        return torch.where(ratio < 0, self.d0, self.d1)


def _column_knots(column: Tensor, heavy_tail: float) -> tuple[Tensor, Tensor, Tensor]:
    low, median, high = column.quantile(column.new_tensor([0.1, 0.5, 0.9]), interpolation="linear")
    spread = (high - low) / 2.563  # the middle 80 % of N(0, 1) is 2.563 wide
    extent = (column - median).abs().max()
    if extent <= heavy_tail * spread or len(column.unique()) < MIN_DISTINCT:
        std, mean = torch.std_mean(column, correction=0)
        knots = torch.stack((mean - std, mean + std))
        return knots, column.new_tensor([-1.0, 1.0]), (1 / std).repeat(2)
    return _quantile_knots(column)


def _quantile_knots(column: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n = len(column)
    normal = torch.distributions.Normal(0.0, 1.0, validate_args=False)
    edge = normal.icdf(column.new_tensor(n / (n + 1.0)))
    z = torch.linspace(-1.0, 1.0, min(N_QUANTILES, max(3, n // 8)), dtype=column.dtype) * edge
    level = normal.cdf(z)
    level[0], level[-1] = 0.0, 1.0
    x = column.quantile(level)
    # Tied quantiles (many equal values) share one knot, at the mean of their latent positions.
    tolerance = 1e-9 * (x[-1] - x[0])
    group = torch.cat((x.new_zeros(1), (x.diff() > tolerance).cumsum(0))).long()
    count = torch.bincount(group).to(x.dtype)
    x = x.new_zeros(len(count)).index_add_(0, group, x) / count
    z = z.new_zeros(len(count)).index_add_(0, group, z) / count
    return x, z, _monotone_slopes(x, z)


def _monotone_slopes(x: Tensor, z: Tensor) -> Tensor:
    """Harmonic means of neighboring secants (Fritsch and Butland 1984); secants at the ends."""
    secant = z.diff() / x.diff()
    middle = 2 / (1 / secant[:-1] + 1 / secant[1:])
    return torch.cat((secant[:1], middle, secant[-1:]))


def _pad(x: Tensor, z: Tensor, slopes: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lengthen a column's knots along its straight upper tail, which leaves the map unchanged."""
    steps = torch.arange(1, size - len(x) + 1, dtype=x.dtype)
    step = x[-1] - x[-2]
    tail = slopes[-1].expand(len(steps))
    z_more = z[-1] + steps * step * slopes[-1]
    return torch.cat((x, x[-1] + steps * step)), torch.cat((z, z_more)), torch.cat((slopes, tail))
