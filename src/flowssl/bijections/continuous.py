"""Continuous flows: a row moves along a learned velocity field, and its density with it.

The solver is torchode (Lienen and Günnemann 2022). It chooses the steps of each row by that row
alone, as a density must not depend on the batch; the extra ``flowssl[ode]`` installs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from flowssl.bijections.base import Bijection, check_width
from flowssl.bijections.networks import MLP

if TYPE_CHECKING:
    from torchode import Solution


MAX_EXACT = 16
"""Width up to which the trace is exact by default: it takes one tangent for each dimension."""


class ContinuousFlow(Bijection):
    r"""FFJORD (Grathwohl et al. 2019): ``dx/dt = v(x, t)`` from t = 0, the data, to t = 1.

    ``log |det dz/dx|`` is the integral of the trace of ``dv/dx`` (eq. 2 and 3). The trace is exact
    in few dimensions and else Hutchinson's estimate ``e^T (dv/dx) e`` with a random sign vector
    ``e`` (eq. 7): a fresh one for each call in training, and always the same one afterwards, so
    that a row has one density.

    Parameters
    ----------
    dim : int
        Width D of a row.
    hidden_features : tuple of int, default=(64, 64)
        Hidden widths of the velocity's network, which has tanh units.
    context_features : int, default=0
        Width K of the context that the velocity sees.
    tolerances : tuple of float, default=(3e-3, 1e-5)
        Error, absolute and relative, that a step may have in training and afterwards. In training
        1e-3 takes twice the time, and at 1e-2 the flow begins to learn the solver's errors: two
        circles from ten labels end at .93 nats with 3e-3 and at .98 with 1e-2.
    exact_trace : bool, optional
        By default in up to 16 dimensions.
    generator : torch.Generator, optional
        Source of the initial weights and of the fixed sign vector.
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
        self.context_features = context_features
        self.tolerances = tolerances
        self.exact_trace = dim <= MAX_EXACT if exact_trace is None else exact_trace
        self.conditioner = _Velocity(dim, 1 + context_features, hidden_features, generator)
        signs = 2.0 * torch.randint(0, 2, (dim,), generator=generator) - 1
        self.signs: Tensor
        self.register_buffer("signs", signs.to(torch.get_default_dtype()))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Follow the rows and their density from t = 0 to t = 1."""
        check_width(x, self.dim)
        state = torch.cat((x, x.new_zeros(len(x), 1)), dim=1)
        end = self._solve(state, context, self._tangents(x), backward=False)
        return end[:, : self.dim], end[:, self.dim]

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Follow the rows back from t = 1 to t = 0; good to the tolerance, not to rounding."""
        check_width(z, self.dim)
        return self._solve(z, context, None, backward=True)

    @torch.no_grad()
    def n_evaluations(self, x: Tensor, context: Tensor | None = None) -> int:
        """Return how often the velocity of these rows (n, D) is evaluated on the way to z."""
        check_width(x, self.dim)
        state = torch.cat((x, x.new_zeros(len(x), 1)), dim=1)
        solution = self._solution(state, context, self._tangents(x), backward=False)
        return int(cast(Tensor, solution.stats["n_f_evals"]).max())

    def decayed_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the matrices of the conditioner."""
        return (parameter for parameter in self.conditioner.parameters() if parameter.ndim > 1)

    def _tangents(self, x: Tensor) -> Tensor:
        """Return the vectors along which the velocity is differentiated: (m, 1, D)."""
        if self.exact_trace:
            return torch.eye(self.dim, dtype=x.dtype, device=x.device)[:, None]
        if self.training:
            return torch.randint_like(x[:1], 0, 2)[None] * 2 - 1
        return self.signs[None, None]

    def _solve(
        self, state: Tensor, context: Tensor | None, tangents: Tensor | None, *, backward: bool
    ) -> Tensor:
        if len(state) == 0:
            return state
        solution = self._solution(state, context, tangents, backward=backward)
        if (solution.status != 0).any():
            raise ValueError(
                f"the solver gave up on {int((solution.status != 0).sum())} of {len(state)} rows; "
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
            velocity, moved = self.conditioner(state[:, : self.dim], given, tangents)
            if tangents is None:
                return velocity
            trace = (moved * tangents).sum((0, 2)).expand(len(velocity))
            return torch.cat((velocity, trace[:, None]), dim=1)

        tolerance = self.tolerances[0] if self.training else self.tolerances[1]
        term = torchode.ODETerm(derivative)
        solver = torchode.AutoDiffAdjoint(
            torchode.Dopri5(term=term),
            torchode.IntegralController(atol=tolerance, rtol=tolerance, term=term),
            backprop_through_step_size_control=False,
        )
        times = state.new_tensor([1.0, 0.0] if backward else [0.0, 1.0]).repeat(len(state), 1)
        return solver.solve(torchode.InitialValueProblem(y0=state, t_eval=times))

    def extra_repr(self) -> str:
        """Describe the flow for ``repr``."""
        return f"dim={self.dim}, tolerances={self.tolerances}, exact_trace={self.exact_trace}"


class _Velocity(nn.Module):
    """A network with tanh units, zero at first, and its derivatives along given directions."""

    def __init__(
        self,
        dim: int,
        given_features: int,
        hidden_features: tuple[int, ...],
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        network = MLP(dim + given_features, dim, hidden_features, generator=generator)
        self.layers = nn.ModuleList(layer for layer in network if isinstance(layer, nn.Linear))

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
