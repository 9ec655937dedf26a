"""The step from the user's units to numbers that a flow likes, as a bijection.

Because the step is a bijection with a log-determinant, densities stay exact in the user's own
units. It is fitted once on the training rows and then fixed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flowssl.bijections.base import Bijection, check_width

N_QUANTILES = 33
MIN_DISTINCT = 32
HEAVY_TAIL = 8.0
TIED = 1e-9


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
            Training rows; NaN where a number is missing; no constant column.
        heavy_tail : float, default=8.0
            Where tails begin to hurt: a normal column of a million rows stays below 5.

        Returns
        -------
        MonotonicSpline
            In float64.

        Raises
        ------
        ValueError
            If a column does not vary.
        """
        columns = []
        for i, column in enumerate(x.to(torch.float64).unbind(1)):
            ordered = column[~column.isnan()].sort().values
            if len(ordered) == 0 or not ordered[-1] > ordered[0]:
                raise ValueError(f"column {i} does not vary; a map of it has no inverse: drop it")
            columns.append(_column_knots(ordered, heavy_tail))
        size = max(len(knots) for knots, _, _ in columns)
        padded = [_pad(*column, size) for column in columns]
        x_knots, z_knots, slopes = (torch.stack(part) for part in zip(*padded, strict=True))
        return cls(x_knots, z_knots, slopes)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map each column; the log-determinant is the sum of the log-derivatives."""
        z, log_derivative = self.columns(x)
        return z, log_derivative.sum(1)

    def columns(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map each number and return its own log-derivative, both (n, D); NaN stays NaN."""
        check_width(x, self.dim)
        piece = _Piece(self, self.x_knots, x)
        ratio = (x - piece.x0) / piece.width
        xi = ratio.clamp(0.0, 1.0)
        mix = xi * (1 - xi)
        denominator = 1 + piece.bend * mix
        share = (xi.square() + piece.d0 * mix) / denominator + piece.tail(ratio) * (ratio - xi)
        numerator = piece.d1 * xi.square() + 2 * mix + piece.d0 * (1 - xi).square()
        log_derivative = (piece.height / piece.width).log() + (
            numerator / denominator.square()
        ).log()
        return piece.z0 + piece.height * share, log_derivative

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Solve each piece's quadratic (Durkan et al. 2019, eq. 6 to 8)."""
        check_width(z, self.dim)
        piece = _Piece(self, self.z_knots, z)
        ratio = (z - piece.z0) / piece.height
        share = ratio.clamp(0.0, 1.0)
        a = 1 - piece.d0 + share * piece.bend
        b = piece.d0 - share * piece.bend
        root = (b.square() + 4 * a * share).clamp_min(0.0).sqrt()
        xi = 2 * share / (b + root)
        return piece.x0 + piece.width * (xi + (ratio - share) / piece.tail(ratio))

    def extra_repr(self) -> str:
        """Describe the map for ``repr``."""
        return f"dim={self.dim}, knots={self.x_knots.shape[1]}"


class _Piece:
    """The quantities of the piece in which each number lies; names follow Durkan et al. 2019.

    The derivatives are divided by the piece's own slope: every formula then deals with numbers
    near 1, whatever the column's units.
    """

    def __init__(self, spline: MonotonicSpline, knots: Tensor, values: Tensor) -> None:
        index = torch.searchsorted(knots, values.T.contiguous()).sub_(1)
        index = index.clamp_(0, knots.shape[1] - 2)

        def at(table: Tensor, offset: int = 0) -> Tensor:
            return table.gather(1, index + offset).T

        self.x0, self.z0 = at(spline.x_knots), at(spline.z_knots)
        self.width = at(spline.x_knots, 1) - self.x0
        self.height = at(spline.z_knots, 1) - self.z0
        unit = self.width / self.height
        self.d0, self.d1 = at(spline.slopes) * unit, at(spline.slopes, 1) * unit
        self.bend = self.d1 + self.d0 - 2

    def tail(self, ratio: Tensor) -> Tensor:
        """Return the derivative that goes on beyond the end at which a number may lie."""
        return torch.where(ratio < 0, self.d0, self.d1)


class SoftTails(Bijection):
    """The identity up to a threshold, and as slow as a logarithm beyond it, in each column.

    ``z = x`` where ``|x| <= c`` and ``sign(x) (c + asinh(|x| - c))`` elsewhere. A number that lies
    far outside the training rows then stays a number of usual size, so that neither the density
    nor the log-odds of its row depends on how a network extrapolates. The density's tails become
    heavy instead of Gaussian.

    Parameters
    ----------
    dim : int
        Width D of a row.
    threshold : float, default=4.0
        Where the tails begin, in standard deviations: 6 numbers in 100,000 of a normal column.
    """

    def __init__(self, dim: int, threshold: float = 4.0) -> None:
        super().__init__()
        self.dim = dim
        self.threshold = threshold

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compress the tails of each column."""
        z, log_derivative = self.columns(x)
        return z, log_derivative.sum(1)

    def columns(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map each number and return its own log-derivative, both (n, D); NaN stays NaN."""
        check_width(x, self.dim)
        inside = x.clamp(-self.threshold, self.threshold)
        beyond = x - inside
        return inside + beyond.asinh(), -0.5 * torch.log1p(beyond.square())

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Stretch the tails again."""
        check_width(z, self.dim)
        inside = z.clamp(-self.threshold, self.threshold)
        return inside + (z - inside).sinh()


def _column_knots(ordered: Tensor, heavy_tail: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return knots and slopes of a column whose numbers come sorted."""
    low, median, high = _quantiles(ordered, ordered.new_tensor([0.1, 0.5, 0.9]))
    spread = (high - low) / 2.563  # the middle 80 % of N(0, 1) is 2.563 wide
    extent = torch.maximum(ordered[-1] - median, median - ordered[0])
    n_distinct = int((ordered.diff() > 0).sum()) + 1
    if extent > heavy_tail * spread and n_distinct >= MIN_DISTINCT:
        return _quantile_knots(ordered)
    # Moments in units of the range: neither a large mean nor the column's units cost digits.
    x = ordered[[0, -1]]
    std, mean = torch.std_mean((ordered - x[0]) / (x[1] - x[0]), correction=0)
    z = torch.stack((-mean, 1 - mean)) / std
    return x, z, _monotone_slopes(x, z)


def _quantile_knots(ordered: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n = len(ordered)
    edge = torch.special.ndtri(ordered.new_tensor(n / (n + 1.0)))
    z = edge * torch.linspace(
        -1.0, 1.0, min(N_QUANTILES, max(3, n // 8)), dtype=edge.dtype, device=edge.device
    )
    level = torch.special.ndtr(z)
    level[0], level[-1] = 0.0, 1.0
    x = _quantiles(ordered, level)
    # Tied quantiles (many equal values) share one knot, at the mean of their latent positions.
    # The measure of "tied" is a usual gap, not the range, which one far outlier decides.
    gap = x.diff()
    tied = gap <= TIED * gap[gap > 0].median()
    group = torch.cat((tied.new_zeros(1), ~tied)).cumsum(0)
    count = torch.bincount(group).to(x.dtype)
    x = x.new_zeros(len(count)).index_add_(0, group, x) / count
    z = z.new_zeros(len(count)).index_add_(0, group, z) / count
    return x, z, _monotone_slopes(x, z)


def _quantiles(ordered: Tensor, level: Tensor) -> Tensor:
    """Interpolate quantiles linearly; ``torch.quantile`` refuses more than 16 million numbers."""
    position = level * (len(ordered) - 1)
    index = position.long().clamp_max(len(ordered) - 2)
    return torch.lerp(ordered[index], ordered[index + 1], position - index)


def _monotone_slopes(x: Tensor, z: Tensor) -> Tensor:
    """Harmonic means of neighboring secants (Fritsch and Butland 1984); secants at the ends."""
    secant = z.diff() / x.diff()
    middle = 2 / (1 / secant[:-1] + 1 / secant[1:])
    return torch.cat((secant[:1], middle, secant[-1:]))


def _pad(x: Tensor, z: Tensor, slopes: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lengthen a column's knots along its straight upper tail, which leaves the map unchanged."""
    # By the whole range: a step as short as the last gap could be lost in rounding.
    steps = (x[-1] - x[0]) * torch.arange(1, size - len(x) + 1, dtype=x.dtype, device=x.device)
    tail = slopes[-1].expand(len(steps))
    return (
        torch.cat((x, x[-1] + steps)),
        torch.cat((z, z[-1] + steps * slopes[-1])),
        torch.cat((slopes, tail)),
    )
