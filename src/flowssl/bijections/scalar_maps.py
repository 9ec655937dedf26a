"""Scalar maps: how a coupling changes each number, given the parameters that a network chose."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from flowssl.bijections.rational_quadratic import RationalQuadratic

SMALLEST = 1e-3
"""Smallest width and height of a spline's bin, as fractions of its interval, and smallest slope."""


class ScalarMap(ABC):
    """A family of increasing maps of one number to one number.

    With all parameters 0 it must be the identity: networks start with zeros, and a new coupling is
    then the identity. A scalar map has no weights and no state.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import AffineMap, ScalarMap, SplineMap
    >>> x = torch.tensor([[0.5, -2.0]])
    >>> for scalar_map in (AffineMap(), SplineMap()):
    ...     z, _ = scalar_map.forward(x, torch.zeros(1, scalar_map.n_parameters, 2))
    ...     print(isinstance(scalar_map, ScalarMap), torch.allclose(z, x))
    True True
    True True
    """

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Number P of parameters of each number."""

    @abstractmethod
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Map numbers.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Numbers.
        parameters : Tensor of shape (n, P, ...)
            Their parameters, any real numbers.

        Returns
        -------
        z : Tensor of shape (n, ...)
            The images of the numbers.
        log_derivative : Tensor of shape (n, ...)
            ``log dz/dx`` of each number, nats.
        """

    @abstractmethod
    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        """Map numbers (n, ...) back, given the same parameters (n, P, ...)."""


@dataclass(frozen=True)
class AffineMap(ScalarMap):
    r"""``z = x exp(s) + t``, the scalar map of RealNVP (Dinh et al. 2017, eq. 4).

    The log-scale is bounded symmetrically by ``s = b tanh(raw / b)``, which is close to ``raw``
    near zero.

    Parameters
    ----------
    bound : float, default=3.0
        Bound b of \|s\|: a factor of 20, either way, never overflows.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import AffineMap
    >>> parameters = torch.tensor([[[100.0], [5.0]]])  # raw log-scale and shift of one number
    >>> z, log_derivative = AffineMap().forward(torch.tensor([[1.0]]), parameters)
    >>> round(z.item(), 2), log_derivative.item()
    (25.09, 3.0)
    """

    bound: float = 3.0

    @property
    def n_parameters(self) -> int:
        """Two: the log-scale, before it is bounded, and the shift."""
        return 2

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift."""
        log_scale, shift = self._log_scale_and_shift(parameters)
        return torch.addcmul(shift, x, log_scale.exp()), log_scale

    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        """Undo the shift, then the scale."""
        log_scale, shift = self._log_scale_and_shift(parameters)
        return (z - shift) * (-log_scale).exp()

    def _log_scale_and_shift(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = parameters.unbind(1)
        return self.bound * torch.tanh(raw / self.bound), shift


AFFINE = AffineMap()
"""The default of couplings."""


@dataclass(frozen=True)
class SplineMap(ScalarMap):
    """A monotone rational-quadratic spline on [-b, b] and the identity outside.

    Durkan et al. (2019), section 3.1 and appendix A.1, with their defaults. The parameters are K
    widths and K heights of the bins before the softmax, and K - 1 slopes at the knots between them
    before the softplus; the slopes at the ends are 1, as those of the tails.

    Parameters
    ----------
    n_bins : int, default=8
        Bins K.
    bound : float, default=3.0
        Half width b of the spline, in units of ``x``: inputs should have variances of about 1.

    Raises
    ------
    ValueError
        If ``n_bins`` is not from 1 to 999: a bin takes at least 1 / 1000 of the interval.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import SplineMap
    >>> spline = SplineMap(n_bins=4)
    >>> x = torch.tensor([[-5.0, 0.3, 2.0]])
    >>> parameters = torch.linspace(-1, 1, 3 * spline.n_parameters).reshape(1, -1, 3)
    >>> z, log_derivative = spline.forward(x, parameters)
    >>> z[0, 0].item(), log_derivative[0, 0].item()  # outside: the identity
    (-5.0, 0.0)
    >>> torch.allclose(spline.inverse(z, parameters), x, atol=1e-5)
    True
    """

    n_bins: int = 8
    bound: float = 3.0

    def __post_init__(self) -> None:
        if not 1 <= self.n_bins < 1000:
            raise ValueError(f"n_bins must be from 1 to 999, got {self.n_bins}")

    @property
    def n_parameters(self) -> int:
        """Three for each bin but one: widths, heights and inner slopes."""
        return 3 * self.n_bins - 1

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate the spline."""
        x_knots, z_knots, slopes = self._knots(parameters)
        return _bin(x, x_knots, (x_knots, z_knots, slopes)).forward(x)

    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        """Solve the quadratic equation of the bin of each number."""
        x_knots, z_knots, slopes = self._knots(parameters)
        return _bin(z, z_knots, (x_knots, z_knots, slopes)).inverse(z)

    def _knots(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return positions in x and in z and slopes of the knots, each (n, K + 1, ...)."""
        sizes = [self.n_bins, self.n_bins, self.n_bins - 1]
        widths, heights, raw = torch.split(parameters, sizes, dim=1)
        # With raw = 0 the slope is 1: softplus(log(e^(1 - m) - 1)) = 1 - m.
        shift = math.log(math.expm1(1 - SMALLEST))
        slopes = SMALLEST + softplus(raw + shift)
        end = torch.ones_like(parameters[:, :1])
        return self._positions(widths), self._positions(heights), torch.cat((end, slopes, end), 1)

    def _positions(self, raw: Tensor) -> Tensor:
        sizes = SMALLEST + (1 - SMALLEST * self.n_bins) * raw.softmax(1)
        inner = sizes[:, :-1].cumsum(1)
        first, last = torch.zeros_like(raw[:, :1]), torch.ones_like(raw[:, :1])
        return self.bound * (2 * torch.cat((first, inner, last), 1) - 1)


@dataclass(frozen=True)
class ComposedMap(ScalarMap):
    """Two scalar maps, one after the other.

    Parameters
    ----------
    first, second : ScalarMap
        In the order in which numbers pass through them. A spline followed by an affine map moves
        and scales numbers beyond the spline's interval, too.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import AffineMap, ComposedMap, SplineMap
    >>> both = ComposedMap(SplineMap(n_bins=4), AffineMap())
    >>> both.n_parameters
    13
    >>> x = torch.tensor([[-0.5]])
    >>> parameters = torch.linspace(-1, 1, 13).reshape(1, 13, 1)
    >>> z, _ = both.forward(x, parameters)
    >>> torch.allclose(both.inverse(z, parameters), x, atol=1e-6)
    True
    """

    first: ScalarMap
    second: ScalarMap

    @property
    def n_parameters(self) -> int:
        """Those of both, the first map's first."""
        return self.first.n_parameters + self.second.n_parameters

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the first map, then the second."""
        of_first, of_second = self._parts(parameters)
        between, log_derivative = self.first.forward(x, of_first)
        z, step = self.second.forward(between, of_second)
        return z, log_derivative + step

    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        """Undo the second map, then the first."""
        of_first, of_second = self._parts(parameters)
        return self.first.inverse(self.second.inverse(z, of_second), of_first)

    def _parts(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        sizes = [self.first.n_parameters, self.second.n_parameters]
        of_first, of_second = torch.split(parameters, sizes, dim=1)
        return of_first, of_second


def _bin(values: Tensor, knots: Tensor, tables: tuple[Tensor, Tensor, Tensor]) -> RationalQuadratic:
    """Return the bins between whose knots the values lie; the tails belong to the outer bins."""
    left = (values[:, None] >= knots[:, 1:-1]).sum(1, keepdim=True)
    ends = [table.gather(1, left + i).squeeze(1) for table in tables for i in (0, 1)]
    return RationalQuadratic(*ends)
