"""A fully connected network with dropout whose random numbers all come from a given generator.

PyTorch's own layers draw weights and dropout masks from the global stream. Here neither does, so
that fitting leaves the global stream alone and the same seed gives the same bits.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class DropoutNetwork(nn.Module):
    """Linear layers with ReLU and dropout between them; logits out.

    Parameters
    ----------
    sizes : sequence of int
        Widths from input to output: (D, hidden..., C).
    dropout : float
        Fraction of hidden units that are dropped in training.
    generator : torch.Generator or None
        Source of the initial weights and biases, uniform within 1 / sqrt(inputs), PyTorch's
        default for linear layers. With None, parameters have shapes but no memory (device
        "meta"); ``load_state_dict(..., assign=True)`` then takes a file's tensors as they are.
    """

    def __init__(
        self, sizes: Sequence[int], dropout: float, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.ModuleList(
            # Not filled by PyTorch, which would draw from the global stream.
            nn.utils.skip_init(  # type: ignore[no-untyped-call]
                nn.Linear,
                n_in,
                n_out,
                device="meta" if generator is None else "cpu",
                dtype=torch.float32,
            )
            for n_in, n_out in pairwise(sizes)
        )
        if generator is None:
            return
        with torch.no_grad():
            for layer, n_in in zip(self.layers, sizes, strict=False):
                for parameter in layer.parameters():
                    parameter.uniform_(-(n_in**-0.5), n_in**-0.5, generator=generator)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return logits (n, C) of rows (n, D); with a generator, under a new dropout mask."""
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
            if generator is not None:
                mask = torch.empty_like(x).bernoulli_(1 - self.dropout, generator=generator)
                x = x * mask / (1 - self.dropout)
        logits: Tensor = self.layers[-1](x)
        return logits
