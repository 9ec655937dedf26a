"""Affine coupling layers: the expressive part of a RealNVP flow.

One part of a row passes through unchanged and decides, by a conditioner network, how the other
part is scaled and shifted (Dinh et al. 2017; Izmailov et al. 2020, section 5 and appendix D).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from flowssl.bijections.base import Bijection, check_width
from flowssl.bijections.networks import MLP

LOG_SCALE_BOUND = 3.0
"""Largest \\|log-scale\\| of one coupling: a factor of 20, either way, is never a reason for NaN."""


class Coupling(Bijection):
    """``z_b = x_b * exp(s) + t`` with ``(s, t)`` computed from ``x_a``, ``z_a = x_a``.

    The log-scale is bounded symmetrically by ``s = b * tanh(raw / b)``, which is the identity near
    zero. Subclasses say how a row, or an image, is parted and which network looks at the first
    part; that network is ``conditioner``.
    """

    conditioner: nn.Module

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scale and shift one part of each row."""
        given, changed = self._parts(x)
        log_scale, shift = self._scale_and_shift(given, context)
        changed = torch.addcmul(shift, changed, log_scale.exp())
        return self._join(given, changed), log_scale.flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Undo the scale and the shift, which depend on the unchanged part only."""
        given, changed = self._parts(z)
        log_scale, shift = self._scale_and_shift(given, context)
        return self._join(given, (changed - shift) * (-log_scale).exp())

    def decayed_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the matrices of the conditioner."""
        return (parameter for parameter in self.conditioner.parameters() if parameter.ndim > 1)

    @abstractmethod
    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the conditioner sees and what is scaled and shifted."""

    @abstractmethod
    def _join(self, given: Tensor, changed: Tensor) -> Tensor:
        """Put the two parts together again."""

    def _scale_and_shift(self, given: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the log-scale and the shift of what is changed."""
        raw, shift = self.conditioner(given).to(given.dtype).chunk(2, dim=1)
        return LOG_SCALE_BOUND * torch.tanh(raw / LOG_SCALE_BOUND), shift


class AffineCoupling(Coupling):
    """A coupling of vectors whose two parts are slices of the row.

    The network sees only the inputs that it may use and emits only the outputs that are used.

    Parameters
    ----------
    dim : int
        Width D of a row. With ``dim=1`` nothing is left to condition on and the layer is a
        learned (or context-dependent) scale and shift.
    flip : bool, default=False
        False transforms the second part given the first ``D // 2`` numbers; True the reverse.
        Alternate it between neighbors.
    hidden_features : tuple of int, default=(128,)
        Widths of the conditioner's hidden layers.
    dropout : float, default=0.0
        Dropout inside the conditioner, active in training mode only.
    context_features : int, default=0
        Width K of the context that is appended to the conditioner's input.
    generator : torch.Generator, optional
        Source of the initial weights.
    """

    def __init__(
        self,
        dim: int,
        *,
        flip: bool = False,
        hidden_features: tuple[int, ...] = (128,),
        dropout: float = 0.0,
        context_features: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.flip = flip and dim > 1
        first = dim // 2
        self.widths = [first, dim - first]
        given, changed = (self.widths[1], first) if self.flip else self.widths
        self.context_features = context_features
        self.conditioner = MLP(
            max(given + context_features, 1),
            2 * changed,
            hidden_features,
            dropout=dropout,
            generator=generator,
        )

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        check_width(x, self.dim)
        first, second = torch.split(x, self.widths, dim=1)
        return (second, first) if self.flip else (first, second)

    def _join(self, given: Tensor, changed: Tensor) -> Tensor:
        return torch.cat((changed, given) if self.flip else (given, changed), dim=1)

    def _scale_and_shift(self, given: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.context_features:
            if context is None or context.shape != (given.shape[0], self.context_features):
                found = None if context is None else tuple(context.shape)
                raise ValueError(
                    f"this coupling needs a context of shape ({given.shape[0]}, "
                    f"{self.context_features}), got {found}"
                )
            given = torch.cat((given, context), dim=1)
        elif given.shape[1] == 0:
            given = given.new_ones(given.shape[0], 1)  # a network needs something to look at
        return super()._scale_and_shift(given, context)

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"dim={self.dim}, flip={self.flip}"
