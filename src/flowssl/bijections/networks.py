"""Conditioners: the networks inside couplings that choose the parameters of the scalar map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from flowssl._random import generator_on
from flowssl.bijections.base import layer_device

NARROW = 128
"""Inputs up to which a layer's bias travels inside its matrix."""


class Conditioner(nn.Module, ABC):
    """A network for a coupling: from the kept part, and a context, to parameters.

    It need not be invertible. Its last layer should start at zero: a new coupling is then the
    identity. It must not mix the rows of a batch.

    Attributes
    ----------
    in_features, out_features : int
        Columns, or channels, of the input and of the output.
    context_features : int
        Width K of the context; 0 for a network that takes none.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import AffineMap, Conditioner, Coupling, Halves
    >>> class Linear(Conditioner):
    ...     def __init__(self, in_features, out_features):
    ...         super().__init__(in_features, out_features)
    ...         self.weight = torch.nn.Parameter(torch.zeros(in_features, out_features))
    ...
    ...     def forward(self, x, context=None):
    ...         return x @ self.weight
    >>> z, log_det = Coupling(Halves((2,)), AffineMap(), Linear(1, 2))(torch.ones(1, 2))
    >>> z.tolist(), log_det.tolist()
    ([[1.0, 1.0]], [0.0])
    """

    def __init__(self, in_features: int, out_features: int, context_features: int = 0) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.context_features = context_features

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map (n, in_features, ...) and a context (n, K) to (n, out_features, ...)."""

    def input_sizes(self) -> str:
        """Return the width of the input for ``repr``: "3", or "3 + 2" with a context of 2."""
        context = f" + {self.context_features}" if self.context_features else ""
        return f"{self.in_features}{context}"


class MLP(Conditioner):
    """A fully connected network whose last layer starts at zero.

    A new coupling is therefore the identity, and a new flow computes exactly its affine
    initialization.

    Parameters
    ----------
    in_features, out_features : int
        Widths of the input, without the context, and of the output. A network without any input
        gives constants.
    hidden_features : tuple of int, default=(128,)
        Widths of the hidden layers. One layer is what the FlowGMM paper uses (section 5.1).
    dropout : float, default=0.0
        Probability of dropping a hidden unit in training; without it, flows with few labels
        overfit.
    context_features : int, default=0
        Width K of the context, which is appended to the input.
    generator : torch.Generator, optional
        Source of the initial weights; PyTorch's global one by default.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import MLP
    >>> network = MLP(3, 4, (16, 16), context_features=2)
    >>> network
    MLP(3 + 2 -> 16 -> 16 -> 4)
    >>> network(torch.ones(7, 3), torch.ones(7, 2)).shape
    torch.Size([7, 4])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden_features: tuple[int, ...] = (128,),
        *,
        dropout: float = 0.0,
        context_features: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(in_features, out_features, context_features)
        self.hidden_features = hidden_features
        self.dropout = dropout
        layers: list[nn.Module] = []
        width = max(in_features + context_features, 1)  # see `forward`
        for hidden in hidden_features:
            kind = nn.Linear if layers else _InputLinear
            layers += [_linear(width, hidden, generator, kind), nn.ReLU(inplace=True)]
            if dropout > 0.0:
                layers.append(_Dropout(dropout))
            width = hidden
        last = _blank_linear(width, out_features)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map (n, in_features) and a context (n, K) to (n, out_features)."""
        if context is not None:
            x = torch.cat((x, context), dim=1)
        elif self.in_features == 0:
            x = x.new_ones(x.shape[0], 1)  # a linear layer needs at least one input
        out: Tensor = self.layers(x)
        return out

    def __repr__(self) -> str:
        sizes = " -> ".join(
            (self.input_sizes(), *map(str, self.hidden_features), str(self.out_features))
        )
        return f"MLP({sizes}, dropout={self.dropout})" if self.dropout else f"MLP({sizes})"


def matrices(module: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of a network that are matrices or kernels, not biases."""
    return (parameter for parameter in module.parameters() if parameter.ndim > 1)


class _InputLinear(nn.Linear):
    """A linear layer whose bias is part of the matrix product, for few inputs and many outputs.

    The bias is one more row of the matrix, and the input has one more column, of ones: adding the
    bias, and computing its gradient, would each be a pass over the wide output. A training step of
    a flow of 7 couplings with 256 hidden units takes 0.9 of the time that it takes with
    ``nn.Linear`` at D = 21 and 43. With more than ``NARROW`` inputs, building the matrix costs more
    than it saves.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_features), in any memory layout, to (n, out_features)."""
        if self.in_features > NARROW:
            # A strided half of a row can send the product to a slow reference kernel.
            return super().forward(x.contiguous())
        return pad(x, (0, 1), value=1.0) @ torch.cat((self.weight.T, self.bias[None]))


class _Dropout(nn.Dropout):
    """Dropout that draws 16 random bits for each unit, from the generator of `flowssl._random`.

    The probability is rounded to a multiple of 2^-16 below 1. On a CPU this takes a quarter of the
    time of ``nn.Dropout``, which is a sixth of that of a training step of the "table" preset.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop units and scale up the others, in training mode only."""
        return x * self._factors(x) if self.training else x

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _factors(self, x: Tensor) -> Tensor:
        """Return zeros for dropped units and the same number above 1 for the others."""
        generator = generator_on(x.device)
        if x.device.type != "cpu":
            return torch.empty_like(x).bernoulli_(1 - self.p, generator=generator).div_(1 - self.p)
        dropped = min(round(self.p * 2**16), 2**16 - 1)
        words = torch.empty(x.numel() // 4 + 1, dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None, generator=generator)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        keep = (bits >= dropped - 2**15).to(x.dtype)
        return keep.mul_(2**16 / (2**16 - dropped))


def _blank_linear(
    in_features: int, out_features: int, kind: type[nn.Linear] = nn.Linear
) -> nn.Linear:
    """Make a layer without drawing weights, which would touch the global random stream."""
    layer = kind(in_features, out_features, device="meta", dtype=torch.float32)
    return layer.to_empty(device=layer_device())


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
