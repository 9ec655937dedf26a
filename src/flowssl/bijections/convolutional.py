"""Couplings of images, by checkerboard or by channel, and the convolutional network inside them.

The network has no batch normalization: the authors' has, so that in training the likelihood of an
image depends on the others in its batch. Here it never does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.utils.checkpoint import checkpoint

from flowssl.bijections.coupling import Coupling
from flowssl.bijections.images import Shape, check_shape


class ConvResNet(nn.Module):
    """A residual network of 3 x 3 convolutions whose last layer starts at zero.

    ``x -> conv -> [h + conv(relu(conv(relu(h))))] ... -> relu -> conv`` (Dinh et al. 2017, section
    3.3, without batch normalization). The zero start makes a coupling the identity. The second
    convolution of each of the B blocks starts ``B ** -0.5`` times smaller than usual, so that
    activations keep their size however many blocks there are.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    width : int
        Feature maps inside.
    n_blocks : int
        Residual blocks B.
    recompute : bool, default=False
        Whether training keeps no activations and computes them again in the backward pass: about a
        third more time, and memory that no longer grows with the depth of the network.
    generator : torch.Generator, optional
        Source of the initial weights.

    Attributes
    ----------
    in_bfloat16 : bool
        Whether training on a CPU, and only that, computes the network in bfloat16: a coupling is as
        invertible with a coarser network, and the scaling itself stays in float32. False at first;
        see :func:`flowssl.image_architectures.train_in_bfloat16`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        n_blocks: int,
        *,
        recompute: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.first = _convolution(in_channels, width, generator)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                (
                    _convolution(width, width, generator),
                    _convolution(width, width, generator, gain=n_blocks**-0.5),
                )
            )
            for _ in range(n_blocks)
        )
        self.last = _convolution(width, out_channels, generator, gain=0.0)
        self.recompute = recompute
        self.in_bfloat16 = False

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, in_channels, h, w) to (n, out_channels, h, w)."""
        x = x.contiguous(memory_format=torch.channels_last)
        coarse = self.in_bfloat16 and self.training and x.device.type == "cpu"
        with torch.autocast(x.device.type, torch.bfloat16, enabled=coarse):
            return self._recomputed(x)

    def _recomputed(self, x: Tensor) -> Tensor:
        if self.recompute and self.training and torch.is_grad_enabled():
            out: Tensor = checkpoint(self._forward, x, use_reentrant=False)
            return out
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for block in self.blocks:
            inner, outer = block.children()
            h = h + outer(relu(inner(relu(h))))
        out: Tensor = self.last(relu(h))
        return out


class ChannelCoupling(Coupling):
    """A coupling of images whose two parts are halves of the channels.

    After a squeeze that brings the diagonals of 2 x 2 blocks first, halves of the channels are the
    two colors of a checkerboard, at a quarter of the cost.

    Parameters
    ----------
    shape : tuple of int
        Channels (at least 2), height and width.
    flip : bool, default=False
        False transforms the second half given the first; True the reverse.
    width, n_blocks : int
        Size of the network; see :class:`ConvResNet`.
    recompute : bool, default=False
        See :class:`ConvResNet`.
    generator : torch.Generator, optional
        Source of the initial weights.

    Raises
    ------
    ValueError
        If there is one channel only.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        flip: bool = False,
        width: int,
        n_blocks: int,
        recompute: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        channels = shape[0]
        if channels < 2:
            raise ValueError(
                "a coupling of channels needs at least 2 of them, got 1; squeeze first"
            )
        self.shape = shape
        self.flip = flip
        self.channels = [channels // 2, channels - channels // 2]
        given, changed = self.channels[::-1] if flip else self.channels
        self.conditioner = ConvResNet(
            given, 2 * changed, width, n_blocks, recompute=recompute, generator=generator
        )

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        check_shape(x, self.shape)
        first, second = torch.split(x, self.channels, dim=1)
        return (second, first) if self.flip else (first, second)

    def _join(self, given: Tensor, changed: Tensor) -> Tensor:
        return torch.cat((changed, given) if self.flip else (given, changed), dim=1)

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"shape={self.shape}, flip={self.flip}"


class CheckerboardCoupling(Coupling):
    """A coupling of images whose two parts are the colors of a checkerboard.

    The network sees the image with the pixels of one color set to 0, and scales and shifts those.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width.
    flip : bool, default=False
        False keeps the color of the top left pixel; True changes it.
    width, n_blocks : int
        Size of the network; see :class:`ConvResNet`.
    recompute : bool, default=False
        See :class:`ConvResNet`.
    generator : torch.Generator, optional
        Source of the initial weights.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        flip: bool = False,
        width: int,
        n_blocks: int,
        recompute: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        channels, height, wide = shape
        self.shape = shape
        self.flip = flip
        even = (torch.arange(height)[:, None] + torch.arange(wide)) % 2 == 0
        self.changed: Tensor
        self.register_buffer("changed", even if flip else ~even, persistent=False)
        self.conditioner = ConvResNet(
            channels, 2 * channels, width, n_blocks, recompute=recompute, generator=generator
        )

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        check_shape(x, self.shape)
        return x.masked_fill(self.changed, 0.0), x

    def _join(self, given: Tensor, changed: Tensor) -> Tensor:
        # The log-scale and the shift are 0 on the other color: there, the image has not changed.
        return changed

    def _scale_and_shift(self, given: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        log_scale, shift = super()._scale_and_shift(given, context)
        return log_scale.where(self.changed, 0.0), shift.where(self.changed, 0.0)

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"shape={self.shape}, flip={self.flip}"


def _convolution(
    in_channels: int, out_channels: int, generator: torch.Generator | None, *, gain: float = 1.0
) -> nn.Conv2d:
    """Make a 3 x 3 convolution without drawing from the global random stream."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, device="meta").to_empty(device="cpu")
    weight = layer.weight.detach()
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
    # Channels last in memory is what convolutions on a CPU are fastest with.
    weight = (gain * weight).contiguous(memory_format=torch.channels_last)
    layer.weight = nn.Parameter(weight)
    layer.bias = nn.Parameter(torch.zeros(out_channels))
    return layer
