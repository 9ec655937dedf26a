"""Continuous flows: a row moves along a learned velocity field, and its density with it.

The solver is torchode (Lienen and Günnemann 2022), which the extra ``flowssl[ode]`` installs. It
chooses the steps of each row from that row alone, so that densities do not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from flowssl._random import randint
from flowssl.bijections.base import Bijection, check_context, check_shape
from flowssl.bijections.networks import MLP, matrices

if TYPE_CHECKING:
    from torchode import Solution


MAX_STEPS = 1000
"""Steps of the solver at most; a trained flow takes some tens, one of absurd weights any number."""

MAX_EXACT = 16
"""Width up to which the trace is exact by default: it takes one tangent for each dimension."""


class ContinuousFlow(Bijection):
    r"""FFJORD (Grathwohl et al. 2019): ``dx/dt = v(x, t)`` from t = 0, the data, to t = 1.

    ``log |det dz/dx|`` is the integral of the trace of ``dv/dx`` (eq. 2 and 3). The trace is exact
    in few dimensions. In many it is Hutchinson's estimate ``e^T (dv/dx) e`` with a random sign
    vector ``e`` (eq. 7): a new one for each call in training, and a fixed one in evaluation, so
    that the density of a row is always the same.

    Parameters
    ----------
    dim : int
        Width D of a row.
    hidden_features : tuple of int, default=(64, 64)
        Hidden widths of the network of the velocity, which has tanh units.
    context_features : int, default=0
        Width K of the context, an input of the velocity. Without one, a context is refused.
    tolerances : tuple of float, default=(3e-3, 1e-5)
        Largest error of a step, absolute and relative, in training and in evaluation. In training,
        1e-3 takes twice the time, and with 1e-2 the flow begins to learn the errors of the solver:
        the negative log-likelihood of two circles from ten labels is 0.93 nats with 3e-3 and 0.98
        with 1e-2.
    exact_trace : bool, optional
        Whether the trace is exact; by default in up to 16 dimensions.
    generator : torch.Generator, optional
        Source of the initial weights and of the fixed sign vector.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import ContinuousFlow
    >>> flow = ContinuousFlow(2, hidden_features=(8,))
    >>> flow
    ContinuousFlow(dim=2, hidden_features=(8,), tolerances=(0.003, 1e-05), exact_trace=True)
    >>> z, log_det = flow.eval()(torch.ones(1, 2))  # a new flow is the identity
    >>> z.tolist(), log_det.tolist()
    ([[1.0, 1.0]], [0.0])
    """

    def __init__(
        self,
        dim: int,
        *,
        hidden_features: tuple[int, ...] = (64, 64),
        context_features: int = 0,
        tolerances: tuple[float, float] = (3e-3, 1e-5),
        exact_trace: bool | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.hidden_features = hidden_features
        self.context_features = context_features
        self.tolerances = tolerances
        self.exact_trace = dim <= MAX_EXACT if exact_trace is None else exact_trace
        self.velocity = _Velocity(dim, 1 + context_features, hidden_features, generator)
        signs = 2 * torch.randint(0, 2, (dim,), generator=generator) - 1
        self.signs: Tensor
        self.register_buffer("signs", signs.to(torch.float32))

    def check_buffers(self) -> None:
        """Refuse signs other than 1 and -1."""
        if not (self.signs.abs() == 1).all():
            raise ValueError("the signs of a continuous flow must be 1 or -1")

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Follow the rows and their density from t = 0 to t = 1."""
        check_shape(x, self.dim)
        state = torch.cat((x, x.new_zeros(len(x), 1)), dim=1)
        end = self._solve(state, context, self._tangents(x), backward=False)
        return end[:, : self.dim], end[:, self.dim]

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Follow the rows back from t = 1 to t = 0; exact up to the tolerance, not to rounding."""
        check_shape(z, self.dim)
        return self._solve(z, context, None, backward=True)

    @torch.no_grad()
    def n_evaluations(self, x: Tensor, context: Tensor | None = None) -> int:
        """Return how often mapping these rows (n, D) evaluates the velocity."""
        check_shape(x, self.dim)
        check_context(context, len(x), self.context_features)
        state = torch.cat((x, x.new_zeros(len(x), 1)), dim=1)
        solution = self._solution(state, context, self._tangents(x), backward=False)
        return int(cast(Tensor, solution.stats["n_f_evals"]).max())

    def decayed_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the matrices of the velocity's network."""
        return matrices(self.velocity)

    def _tangents(self, x: Tensor) -> Tensor:
        """Return the vectors along which the velocity is differentiated: (m, 1, D)."""
        if self.exact_trace:
            return torch.eye(self.dim, dtype=x.dtype, device=x.device)[:, None]
        if self.training:
            coins: Tensor = randint(0, 2, (1, 1, self.dim), x.device)
            return 2 * coins.to(x.dtype) - 1
        return self.signs[None, None]

    def _solve(
        self, state: Tensor, context: Tensor | None, tangents: Tensor | None, *, backward: bool
    ) -> Tensor:
        check_context(context, len(state), self.context_features)
        if len(state) == 0:
            return state
        solution = self._solution(state, context, tangents, backward=backward)
        if (solution.status != 0).any():
            raise ValueError(
                f"the solver failed on {int((solution.status != 0).sum())} of {len(state)} rows; "
                "raise the tolerances or look for extreme values in the data"
            )
        end: Tensor = solution.ys[:, -1]
        return end

    def _solution(
        self, state: Tensor, context: Tensor | None, tangents: Tensor | None, *, backward: bool
    ) -> Solution:
        import torchode

        def derivative(t: Tensor, state: Tensor) -> Tensor:
            given = t[:, None] if context is None else torch.cat((t[:, None], context), dim=1)
            velocity: Tensor
            velocity, moved = self.velocity(state[:, : self.dim], given, tangents)
            if tangents is None:
                return velocity
            trace = (moved * tangents).sum((0, 2)).expand(len(velocity))
            return torch.cat((velocity, trace[:, None]), dim=1)

        tolerance = self.tolerances[0] if self.training else self.tolerances[1]
        term = torchode.ODETerm(derivative)
        solver = torchode.AutoDiffAdjoint(
            torchode.Dopri5(term=term),
            torchode.IntegralController(atol=tolerance, rtol=tolerance, term=term),
            max_steps=MAX_STEPS,
            backprop_through_step_size_control=False,
        )
        times = state.new_tensor([1.0, 0.0] if backward else [0.0, 1.0]).repeat(len(state), 1)
        return solver.solve(torchode.InitialValueProblem(y0=state, t_eval=times))

    def __repr__(self) -> str:
        given = f", context_features={self.context_features}" if self.context_features else ""
        return (
            f"ContinuousFlow(dim={self.dim}{given}, hidden_features={self.hidden_features}, "
            f"tolerances={self.tolerances}, exact_trace={self.exact_trace})"
        )


class _Velocity(nn.Module):
    """A network with tanh units that starts at zero, and its derivatives along given directions."""

    def __init__(
        self,
        dim: int,
        given_features: int,
        hidden_features: tuple[int, ...],
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        network = MLP(dim + given_features, dim, hidden_features, generator=generator)
        self.layers = nn.ModuleList(
            layer for layer in network.layers if isinstance(layer, nn.Linear)
        )

    def forward(self, x: Tensor, given: Tensor, tangents: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the velocity (n, D) and its derivatives along the tangents, (m, n, D)."""
        value = torch.cat((x, given), dim=1)
        moved = x.new_zeros(0)
        for i, layer in enumerate(self.layers):
            linear = cast(nn.Linear, layer)
            if i:
                value = value.tanh()
            if tangents is not None:
                if i:
                    moved = moved * (1 - value.square())
                    moved = moved @ linear.weight.T
                else:
                    moved = tangents @ linear.weight[:, : x.shape[1]].T
            value = linear(value)
        return value, moved
