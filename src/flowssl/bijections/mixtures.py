"""The map that turns a mixture of Gaussians into one standard normal distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.special import log_ndtr, ndtri

from flowssl.bijections.base import Bijection, check_shape

LOG_2PI = math.log(2 * math.pi)
SMALLEST_LOG = -700.0
"""Smallest logarithm of a probability that is a float64."""

FAR = 1e4
"""Standard deviations beyond which a quantile is taken from the leading term of its logarithm."""

NEWTON_STEPS = 4
INVERSE_STEPS = 60
CLOSE = 1e-13
"""Error of the latent at which the inverse is found."""

NUMBERS_AT_ONCE = 2_000_000
"""Numbers (rows x Gaussians x columns) that are computed at once."""


class MixtureMap(Bijection):
    r"""Rosenblatt's transformation of a mixture of Gaussians; fixed.

    Column d becomes ``u_d = Phi^-1(F(x_d | x_1 .. x_d-1))`` with F the conditional distribution
    function of the mixture (Rosenblatt 1952, Annals of Mathematical Statistics 23, 470). Rows of
    the mixture become N(0, I), so that a flow which follows begins at the mixture's density. The
    numbers that it sees are of usual size even where columns nearly determine each other, and each
    column still depends on its own one most.

    It is computed in float64 whatever the rows are.

    Parameters
    ----------
    log_weights : Tensor of shape (J,)
        Logarithms of the weights of the Gaussians, which add up to 1.
    means : Tensor of shape (J, D)
        Their means.
    factors : Tensor of shape (J, D, D)
        Lower triangular Cholesky factors of their covariances.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import MixtureMap
    >>> means, factors = torch.tensor([[-2.0], [2.0]]), torch.ones(2, 1, 1)
    >>> mixture = MixtureMap(torch.full((2,), 0.5).log(), means, factors)
    >>> u, log_det = mixture(torch.tensor([[-2.0], [2.0]]))
    >>> [round(value, 3) for value in u.flatten().tolist()]
    [-0.674, 0.674]
    >>> mixture.inverse(u).round(decimals=4).flatten().tolist()
    [-2.0, 2.0]
    """

    def __init__(self, log_weights: Tensor, means: Tensor, factors: Tensor) -> None:
        super().__init__()
        self.log_weights: Tensor
        self.means: Tensor
        self.factors: Tensor
        self.register_buffer("log_weights", log_weights.double())
        self.register_buffer("means", means.double())
        self.register_buffer("factors", factors.double())

    @property
    def dim(self) -> int:
        """Width D of a row."""
        return self.means.shape[1]

    def check_buffers(self) -> None:
        """Refuse factors that are not lower triangular with a positive diagonal."""
        diagonal = self.factors.diagonal(dim1=1, dim2=2)
        if not (diagonal > 0).all() or self.factors.triu(1).any():
            raise ValueError("the factors of a mixture must be lower triangular and positive")
        if not (self.log_weights.logsumexp(0).abs() < 1e-6).all():
            raise ValueError("the weights of a mixture must add up to 1")

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map rows to latents that are N(0, I) where the rows are of the mixture."""
        check_shape(x, self.dim)
        size = max(1, NUMBERS_AT_ONCE // self.means.numel())
        parts = [self._forward(part) for part in torch.split(x.double(), size)]
        u, log_det = (torch.cat(part) for part in zip(*parts, strict=True))
        return u.to(x.dtype), log_det.to(x.dtype)

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        e, log_steps = self._standardized(x)
        log_before = self.log_weights[:, None] + log_steps.cumsum(2) - log_steps
        log_shares = log_before.log_softmax(1)
        u = _normal_quantile(
            (log_shares + log_ndtr(e)).logsumexp(1), (log_shares + log_ndtr(-e)).logsumexp(1)
        )
        log_prob = (self.log_weights + log_steps.sum(2)).logsumexp(1)
        return u, log_prob + 0.5 * (u.square() + LOG_2PI).sum(1)

    def _standardized(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return each number's distance from its conditional mean, in standard deviations.

        Returns
        -------
        e : Tensor of shape (n, J, D)
            The distances.
        log_steps : Tensor of shape (n, J, D)
            Log-densities of each number given those before it, under each Gaussian.
        """
        offset = (x[:, None] - self.means).permute(1, 2, 0)
        e = torch.linalg.solve_triangular(self.factors, offset, upper=False).permute(2, 0, 1)
        scale = self.factors.diagonal(dim1=1, dim2=2)
        return e, -0.5 * (e.square() + LOG_2PI) - scale.log()

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map latents back, column after column."""
        check_shape(z, self.dim)
        size = max(1, NUMBERS_AT_ONCE // self.means.numel())
        return torch.cat([self._inverse(part) for part in torch.split(z.double(), size)]).to(
            z.dtype
        )

    def _inverse(self, u: Tensor) -> Tensor:
        log_shares = self.log_weights.log_softmax(0).expand(len(u), -1)
        columns: list[Tensor] = []
        distances = u.new_zeros(len(u), len(self.means), 0)
        for d in range(self.dim):
            scale = self.factors[:, d, d]
            mean = self.means[:, d] + (distances * self.factors[:, d, :d]).sum(2)
            columns.append(_mixture_quantile(u[:, d], log_shares, mean, scale))
            e = (columns[-1][:, None] - mean) / scale
            distances = torch.cat((distances, e[:, :, None]), dim=2)
            log_shares = (log_shares - 0.5 * e.square() - scale.log()).log_softmax(1)
        return torch.stack(columns, dim=1)

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"n_components={len(self.means)}, dim={self.dim}"


def _normal_quantile(log_below: Tensor, log_above: Tensor) -> Tensor:
    """Return u with ``Phi(u)`` given by its logarithm and that of ``1 - Phi(u)``.

    The smaller one is used, in which the far tails are exact.
    """
    smaller = torch.minimum(log_below, log_above)
    u = torch.where(
        smaller > SMALLEST_LOG,
        ndtri(smaller.clamp_min(SMALLEST_LOG).exp()),
        -(-2 * smaller).clamp_min(1.0).sqrt(),
    )
    near = u > -FAR  # beyond, the first guess is right to 1e-7 and differences of squares are noise
    for _ in range(NEWTON_STEPS):
        log_cdf = log_ndtr(u)
        step = (log_cdf - smaller) / (-0.5 * (u.square() + LOG_2PI) - log_cdf).exp()
        u = torch.where(near, u - step, u)
    return torch.where(log_below <= log_above, u, -u)


def _mixture_quantile(u: Tensor, log_shares: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return x (n,) at which mixtures of one column (n, J) have the normal quantiles u (n,).

    It lies between the smallest and the largest of the Gaussians' own quantiles. Newton's method,
    with a bisection wherever a step leaves the bracket.
    """
    of_each = mean + scale * u[:, None]
    low, high = of_each.amin(1), of_each.amax(1)
    x = best = (log_shares.exp() * of_each).sum(1).clamp(low, high)
    least = torch.full_like(u, math.inf)
    for i in range(INVERSE_STEPS):
        e = (x[:, None] - mean) / scale
        found = _normal_quantile(
            (log_shares + log_ndtr(e)).logsumexp(1), (log_shares + log_ndtr(-e)).logsumexp(1)
        )
        # Row by row, so that none depends on the others of its batch.
        error = (found - u).abs()
        best, least = torch.where(error < least, x, best), torch.minimum(error, least)
        close = least <= CLOSE * (1 + u.abs())
        if bool(close.all()):
            break
        low, high = torch.where(found < u, x, low), torch.where(found > u, x, high)
        log_slope = (log_shares - 0.5 * e.square() - scale.log()).logsumexp(1)
        step = x - (found - u) * (-log_slope - 0.5 * found.square()).exp()
        inside = (step > low) & (step < high) & (i % 3 < 2)  # far tails: slopes are inexact
        x = torch.where(close, best, torch.where(inside, step, 0.5 * (low + high)))
    return best
