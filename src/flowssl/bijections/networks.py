"""Conditioners: the networks inside coupling layers that choose shift and scale.

A conditioner is any module that maps ``(n, in_features)`` (with the context appended, if there is
one) to ``(n, out_features)``. It need not be invertible.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

NARROW = 128
"""Inputs up to which a layer's bias travels inside its matrix."""


class MLP(nn.Sequential):
    """A fully connected network whose last layer starts at zero.

    With the zero start a coupling layer begins as the identity, so that a new flow computes
    exactly its affine start and training can only improve on it.

    Parameters
    ----------
    in_features, out_features : int
        Widths of the input and of the output.
    hidden_features : tuple of int, default=(128,)
        Widths of the hidden layers. One layer is what the FlowGMM paper states (section 5.1).
    dropout : float, default=0.0
        Probability of dropping a hidden unit while training; without it, flows with few labels
        overfit.
    generator : torch.Generator, optional
        Source of the initial weights; PyTorch's global one by default.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden_features: tuple[int, ...] = (128,),
        *,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        layers: list[nn.Module] = []
        width = in_features
        for hidden in hidden_features:
            kind = nn.Linear if layers else _InputLinear
            layers += [_linear(width, hidden, generator, kind), nn.ReLU(inplace=True)]
            if dropout > 0.0:
                layers.append(_Dropout(dropout))
            width = hidden
        last = _blank_linear(width, out_features)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(*layers, last)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_features) to (n, out_features)."""
        for layer in self:
            x = layer(x)
        return x


class _InputLinear(nn.Linear):
    """A linear layer that is one matrix product where few numbers go to many.

    The bias is one more row of the matrix, met by a column of ones: adding it, and taking its
    gradient, would each be a pass over the wide output. A training step of a flow of 7 couplings
    with 256 hidden units takes .9 of its time with ``nn.Linear`` at D = 21 and 43. Past ``NARROW``
    inputs putting the matrix together costs more than it saves.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_features), in any memory layout, to (n, out_features)."""
        if self.in_features > NARROW:
            # A strided half of a row can send the product to a slow reference kernel.
            return super().forward(x.contiguous())
        return pad(x, (0, 1), value=1.0) @ torch.cat((self.weight.T, self.bias[None]))


class _Dropout(nn.Dropout):
    """Dropout that draws 16 random bits for each unit, from PyTorch's global generator.

    The probability is rounded to a multiple of 2^-16 below 1. On a CPU this takes a quarter of the time of
    ``nn.Dropout``, which is a sixth of a training step of the "table" preset.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop units and scale up the others, in training mode only."""
        if not self.training or x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        dropped = min(round(self.p * 2**16), 2**16 - 1)
        words = torch.empty(x.numel() // 4 + 1, dtype=torch.int64, device=x.device).random_(
            -(2**63), None
        )
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        keep = (bits >= dropped - 2**15).to(x.dtype)
        return x * keep.mul_(2**16 / (2**16 - dropped))


def _blank_linear(
    in_features: int, out_features: int, kind: type[nn.Linear] = nn.Linear
) -> nn.Linear:
    """Make a layer without drawing weights, which would touch the global random stream."""
    return kind(in_features, out_features, device="meta").to_empty(device="cpu")


def _linear(
    in_features: int,
    out_features: int,
    generator: torch.Generator | None,
    kind: type[nn.Linear] = nn.Linear,
) -> nn.Linear:
    layer = _blank_linear(in_features, out_features, kind)
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
