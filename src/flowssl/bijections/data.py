"""Maps of single columns, from the user's units to numbers of usual size.

They are bijections with log-determinants, so that densities are exact in the user's own units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flowssl.bijections.base import Bijection, check_shape
from flowssl.bijections.rational_quadratic import RationalQuadratic

N_QUANTILES = 33
"""Knots of a column that is mapped by its quantiles."""

MIN_DISTINCT = 32
"""Distinct values that a column needs to be mapped by its quantiles."""

HEAVY_TAIL = 8.0
"""Robust standard deviations from the median beyond which a column has heavy tails."""

TIED = 1e-9
"""Quantiles nearer than this fraction of the median gap are equal."""


LEAST_GAP = 1e-290
"""Nearer quantiles are equal, too: a slope would overflow."""


class MonotonicSpline(Bijection):
    """A fixed monotone map of each column: a rational-quadratic spline with linear tails.

    Between two knots it is the monotone rational quadratic of Durkan et al. (2019, eq. 4 to 8),
    which has an inverse in closed form. With two knots it standardizes a column; with knots at the
    quantiles of the column, mapped to those of N(0, 1), it makes a column with any tails nearly
    normal.

    Parameters
    ----------
    x_knots, z_knots : Tensor of shape (D, K)
        Strictly increasing positions in data and in latent units, one row for each column.
    slopes : Tensor of shape (D, K)
        Positive derivatives dz/dx at the knots. The first and the last are those of the tails.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import MonotonicSpline
    >>> spline = MonotonicSpline.fit(torch.tensor([[1.0], [3.0], [5.0]]))
    >>> z, log_det = spline(torch.tensor([[3.0]], dtype=torch.float64))
    >>> z.item()
    0.0
    """

    def __init__(self, x_knots: Tensor, z_knots: Tensor, slopes: Tensor) -> None:
        super().__init__()
        self.x_knots: Tensor
        self.z_knots: Tensor
        self.slopes: Tensor
        self.register_buffer("x_knots", x_knots.contiguous())
        self.register_buffer("z_knots", z_knots.contiguous())
        self.register_buffer("slopes", slopes.contiguous())

    def check_buffers(self) -> None:
        """Refuse knots that do not increase, and slopes that are not positive."""
        shape = self.x_knots.shape
        if len(shape) != 2 or shape[1] < 2 or {self.z_knots.shape, self.slopes.shape} != {shape}:
            raise ValueError("the knots and slopes of a spline must have one shape, (D, K >= 2)")
        if not ((self.x_knots.diff() > 0).all() and (self.z_knots.diff() > 0).all()):
            raise ValueError("the knots of a spline must increase")
        if not (self.slopes > 0).all():
            raise ValueError("the slopes of a spline must be positive")

    @property
    def dim(self) -> int:
        """Width D of a row."""
        return self.x_knots.shape[0]

    @classmethod
    def fit(cls, x: Tensor, *, heavy_tail: float = HEAVY_TAIL) -> MonotonicSpline:
        """Choose for each column between standardization and quantiles.

        A column is mapped by its quantiles if it has at least 32 distinct values and its largest
        distance from the median is more than ``heavy_tail`` standard deviations, which are
        estimated from the middle 80 % of its values. Otherwise it gets mean 0 and variance 1.

        Parameters
        ----------
        x : Tensor of shape (n, D), float64
            Training rows; NaN where a value is missing; no constant column.
        heavy_tail : float, default=8.0
            Standard deviations beyond which a tail is heavy; in a million rows of a normal column
            the largest distance is about 5.

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
                raise ValueError(f"column {i} does not vary, and its map has no inverse: drop it")
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
        return self._pieces(x, self.x_knots).forward(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map each column back."""
        return self._pieces(z, self.z_knots).inverse(z)

    def _pieces(self, values: Tensor, knots: Tensor) -> RationalQuadratic:
        """Return the pieces between whose knots (D, K) the values (n, D) lie."""
        check_shape(values, self.dim)
        left = torch.searchsorted(knots, values.T.contiguous()).sub_(1)
        left = left.clamp_(0, knots.shape[1] - 2)
        tables = (self.x_knots, self.z_knots, self.slopes)
        ends = [table.gather(1, left + i).T for table in tables for i in (0, 1)]
        return RationalQuadratic(*ends)

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"dim={self.dim}, knots={self.x_knots.shape[1]}"


class SoftTails(Bijection):
    """The identity up to a threshold and logarithmic growth beyond it, in each column.

    ``z = x`` where ``|x| <= c`` and ``sign(x) (c + asinh(|x| - c))`` elsewhere. A value far outside
    the range of the training rows is mapped to a number of usual size, so that neither the density
    nor the log-odds of its row depend on how a network extrapolates. The tails of the density
    become heavy instead of Gaussian.

    Parameters
    ----------
    dim : int
        Width D of a row.
    threshold : float, default=4.0
        The threshold c, in standard deviations: 6 of 100,000 values of a normal column exceed it.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import SoftTails
    >>> z, _ = SoftTails(2, threshold=4.0)(torch.tensor([[1.0, 1000.0]]))
    >>> [round(value, 2) for value in z[0].tolist()]
    [1.0, 11.6]
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
        check_shape(x, self.dim)
        inside = x.clamp(-self.threshold, self.threshold)
        beyond = x - inside
        return inside + beyond.asinh(), -0.5 * torch.log1p(beyond.square())

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Stretch the tails again."""
        check_shape(z, self.dim)
        inside = z.clamp(-self.threshold, self.threshold)
        return inside + (z - inside).sinh()

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"dim={self.dim}, threshold={self.threshold}"


def _column_knots(ordered: Tensor, heavy_tail: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return knots and slopes of a column, given its values in increasing order."""
    low, median, high = _quantiles(ordered, ordered.new_tensor([0.1, 0.5, 0.9]))
    spread = (high - low) / 2.563  # the middle 80 % of N(0, 1) is 2.563 wide
    extent = torch.maximum(ordered[-1] - median, median - ordered[0])
    n_distinct = int((ordered.diff() > 0).sum()) + 1
    if extent > heavy_tail * spread and n_distinct >= MIN_DISTINCT:
        return _quantile_knots(ordered)
    # Moments in units of the range: neither a large mean nor the units of the column cost digits.
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
    # Gaps are compared with their median, not with the range, which one outlier can determine.
    gap = x.diff()
    tied = gap <= (TIED * gap[gap > 0].median()).clamp_min(LEAST_GAP)
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
    """Append knots on the upper tail of a column, which is linear: the map does not change."""
    # In steps of the range: one as short as the last gap could be lost in rounding.
    steps = (x[-1] - x[0]) * torch.arange(1, size - len(x) + 1, dtype=x.dtype, device=x.device)
    tail = slopes[-1].expand(len(steps))
    return (
        torch.cat((x, x[-1] + steps)),
        torch.cat((z, z[-1] + steps * slopes[-1])),
        torch.cat((slopes, tail)),
    )
