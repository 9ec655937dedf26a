"""The convolutional conditioner of couplings of images.

It has no batch normalization. That of the FlowGMM authors has, so that in training the likelihood
of an image depends on the other images of its batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.utils.checkpoint import checkpoint

from flowssl.bijections.base import layer_device
from flowssl.bijections.networks import Conditioner


class ConvResNet(Conditioner):
    """A residual network of 3 x 3 convolutions whose last layer starts at zero.

    ``x -> conv -> [h + conv(relu(conv(relu(h))))] ... -> relu -> conv`` (Dinh et al. 2017, section
    3.3, without batch normalization). With this a new coupling is the identity. The second
    convolution of each of the B blocks starts ``B ** -0.5`` times smaller than usual, so that
    activations keep their size however many blocks there are.

    Parameters
    ----------
    in_features, out_features : int
        Channels of the input, without the context, and of the output.
    width : int
        Feature maps of the hidden layers.
    n_blocks : int
        Residual blocks B.
    recompute : bool, default=False
        Whether training keeps no activations and computes them again in the backward pass: about a
        third more time, and memory that no longer grows with the depth of the network.
    context_features : int, default=0
        Width K of the context, which is appended to the channels of every pixel.
    generator : torch.Generator, optional
        Source of the initial weights.

    Attributes
    ----------
    in_bfloat16 : bool
        Whether training on a CPU, and only that, computes the network in bfloat16: a coupling with
        a less precise network is as invertible, and the scalar map itself stays in float32. False
        by default; see :func:`flowssl.image_architectures.train_in_bfloat16`.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import ConvResNet
    >>> network = ConvResNet(2, 4, width=8, n_blocks=1)
    >>> network
    ConvResNet(2 -> 4, width=8, n_blocks=1)
    >>> network(torch.rand(5, 2, 6, 6)).shape
    torch.Size([5, 4, 6, 6])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: int,
        n_blocks: int,
        *,
        recompute: bool = False,
        context_features: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(in_features, out_features, context_features)
        self.first = _convolution(in_features + context_features, width, generator)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                (
                    _convolution(width, width, generator),
                    _convolution(width, width, generator, gain=n_blocks**-0.5),
                )
            )
            for _ in range(n_blocks)
        )
        self.last = _convolution(width, out_features, generator, gain=0.0)
        self.recompute = recompute
        self.in_bfloat16 = False

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map images (n, in_features, h, w) and a context (n, K) to (n, out_features, h, w)."""
        if context is not None:
            maps = context[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat((x, maps), dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        if not (self.in_bfloat16 and self.training and x.device.type == "cpu"):
            return self._recomputed(x)  # in the precision that a training in mixed precision sets
        with torch.autocast("cpu", torch.bfloat16):
            return self._recomputed(x)

    def _recomputed(self, x: Tensor) -> Tensor:
        if self.recompute and self.training and torch.is_grad_enabled():
            # Nothing in the network is random, and the generators' states are not ours to restore.
            out: Tensor = checkpoint(
                self._forward, x, use_reentrant=False, preserve_rng_state=False
            )
            return out
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for block in self.blocks:
            inner, outer = block.children()
            h = h + outer(relu(inner(relu(h))))
        out: Tensor = self.last(relu(h))
        return out

    def __repr__(self) -> str:
        sizes = f"width={self.first.out_channels}, n_blocks={len(self.blocks)}"
        return f"ConvResNet({self.input_sizes()} -> {self.out_features}, {sizes})"


def _convolution(
    in_channels: int, out_channels: int, generator: torch.Generator | None, *, gain: float = 1.0
) -> nn.Conv2d:
    """Make a 3 x 3 convolution without drawing from the global random stream."""
    layer = nn.Conv2d(
        in_channels, out_channels, 3, padding=1, device="meta", dtype=torch.float32
    ).to_empty(device=layer_device())
    weight = layer.weight.detach()
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
    # Convolutions on a CPU are fastest with channels last in memory.
    weight = (gain * weight).contiguous(memory_format=torch.channels_last)
    layer.weight = nn.Parameter(weight)
    layer.bias = nn.Parameter(torch.zeros(out_channels, dtype=torch.float32))
    return layer
