"""Named flows of images: the papers' multi-scale presets and a small one for two CPU cores.

A preset lists scales; ``build_image_flow`` turns it into a chain from rows of levels to latents,
the deepest scale first. Maps of channels start from a batch of images where one is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from flowssl.bijections import (
    ActNorm,
    AffineCoupling,
    Bijection,
    Chain,
    ChannelCoupling,
    CheckerboardCoupling,
    ConvResNet,
    FactorOut,
    Logit,
    LULinear,
    PerPixel,
    Reshape,
    Squeeze,
)
from flowssl.bijections.base import orthogonal
from flowssl.bijections.images import Shape

__all__ = [
    "IMAGE_ARCHITECTURES",
    "ImageArchitecture",
    "Scale",
    "build_image_flow",
    "check_image",
    "has_fast_bfloat16",
    "train_in_bfloat16",
]

LEAST_VARIANCE = 1e-6
"""Variance to which a whitening stretches a direction at most; images have constant borders."""


@dataclass(frozen=True)
class Scale:
    """What happens at one resolution, between two factor-outs.

    Attributes
    ----------
    width : int
        Feature maps of the couplings' networks.
    n_blocks : int
        Residual blocks in each.
    checkerboard : int
        Checkerboard couplings, at first.
    squeeze : bool
        Whether 2 x 2 blocks are then gathered into channels.
    channel : int
        Channel couplings after that.
    widening : int
        Factor of the width after the squeeze.
    """

    width: int
    n_blocks: int
    checkerboard: int = 0
    squeeze: bool = True
    channel: int = 0
    widening: int = 1


@dataclass(frozen=True)
class ImageArchitecture:
    """The shape of an image flow.

    Attributes
    ----------
    scales : tuple of Scale
        From the finest to the deepest; half of the channels leaves after each but the last.
    mixing : {"none", "glow", "linear"}
        What stands before each channel coupling. "none": nothing, couplings change opposite
        halves. "glow": ActNorm and a 1 x 1 convolution that starts as a rotation. "linear": a
        1 x 1 convolution with shift, which at each scale starts by whitening the channels.
    dense : int
        Couplings of the deepest scale as one vector, with networks of one hidden layer: each sees
        the whole image.
    dense_width : int
        Their hidden units.
    normalize : bool
        Whether latents are scaled and shifted one by one in the end (ActNorm).
    """

    scales: tuple[Scale, ...]
    mixing: Literal["none", "glow", "linear"] = "none"
    dense: int = 0
    dense_width: int = 256
    normalize: bool = False

    @property
    def multiple(self) -> int:
        """What height and width must be multiples of."""
        return int(2 ** sum(scale.squeeze for scale in self.scales))

    def deepest(self, shape: Shape) -> Shape:
        """Return the shape in which an image arrives at the end of the deepest scale."""
        for i, scale in enumerate(self.scales):
            channels, height, width = shape if i == 0 else ((shape[0] + 1) // 2, *shape[1:])
            shape = (channels, height, width)
            if scale.squeeze:
                shape = (4 * channels, height // 2, width // 2)
        return shape


IMAGE_ARCHITECTURES: dict[str, ImageArchitecture] = {
    # FlowGMM, section 5.3 and appendix E, as the authors' code has it: two scales, 3 couplings by
    # checkerboard and 3 by channel, then 4 by checkerboard; 8 blocks, 64 maps, after the squeeze
    # 128.
    "paper-realnvp": ImageArchitecture(
        (
            Scale(64, 8, checkerboard=3, channel=3, widening=2),
            Scale(128, 8, checkerboard=4, squeeze=False),
        )
    ),
    # Glow's step (Kingma and Dhariwal 2018), 8 of them at each of two scales.
    "glow": ImageArchitecture(
        (Scale(96, 1, channel=8), Scale(128, 1, channel=8)), mixing="glow", normalize=True
    ),
    # For two CPU cores: no couplings at full size, few blocks, global couplings at the end.
    "small": ImageArchitecture(
        (Scale(32, 1, channel=4), Scale(64, 1, channel=4)),
        mixing="linear",
        dense=4,
        normalize=True,
    ),
}
"""Presets by name."""


def check_image(name: str, shape: Shape) -> ImageArchitecture:
    """Return the preset of that name, if it fits images of that shape.

    Raises
    ------
    ValueError
        If there is no such preset, or the channels are not 1 or 3, or the squeezes of the preset
        do not divide height and width.
    """
    if name not in IMAGE_ARCHITECTURES:
        known = ", ".join(["auto", *IMAGE_ARCHITECTURES])
        raise ValueError(f"architecture for images must be one of {known}; got {name!r}")
    architecture = IMAGE_ARCHITECTURES[name]
    channels, height, width = shape
    if channels not in (1, 3):
        raise ValueError(f"images have 1 channel (gray) or 3 (color), got {channels}")
    multiple = architecture.multiple
    if min(height, width) < multiple or height % multiple or width % multiple:
        padded = [multiple * max(1, math.ceil(side / multiple)) for side in (height, width)]
        raise ValueError(
            f"architecture {name!r} halves images {int(math.log2(multiple))} times: height and "
            f"width must be multiples of {multiple}, got {height} x {width}; pad the images to "
            f"{padded[0]} x {padded[1]}"
        )
    return architecture


def build_image_flow(
    architecture: ImageArchitecture,
    shape: Shape,
    *,
    x: Tensor | None = None,
    recompute: bool = False,
    generator: torch.Generator | None = None,
) -> Chain:
    """Build a flow from rows of levels, in [0, 256], to latents.

    Parameters
    ----------
    architecture : ImageArchitecture
        Its shape.
    shape : tuple of int
        Channels, height and width of the images.
    x : Tensor of shape (n, D), optional
        Images (some hundreds) from which the linear maps and ActNorms start; without any they
        start as rotations and identities.
    recompute : bool, default=False
        Whether training recomputes the networks' activations to save memory.
    generator : torch.Generator, optional
        Source of initial weights and rotations.

    Returns
    -------
    Chain
        In the default dtype; every coupling starts as the identity.
    """
    builder = _Builder(architecture, recompute, generator)
    layers: list[Bijection] = [Reshape(shape), Logit()]
    for layer in layers:
        x = _passed(layer, x)
    tail, x = builder.scale(0, shape, x)
    layers += tail
    if architecture.normalize:
        layers.append(_started(ActNorm(math.prod(shape)), x))
    return Chain(*layers)


def has_fast_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16: convolutions are then about five times faster."""
    # Older versions of PyTorch cannot tell.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16", False))


def train_in_bfloat16(flow: Bijection) -> None:
    """Let training on a CPU compute the convolutional networks in bfloat16, if that is fast.

    Prediction is not touched, and neither are the scalings, the linear maps and the class
    densities.
    """
    if has_fast_bfloat16():
        for module in flow.modules():
            if isinstance(module, ConvResNet):
                module.in_bfloat16 = True


class _Builder:
    """Builds the scales of a flow, one inside the other."""

    def __init__(
        self,
        architecture: ImageArchitecture,
        recompute: bool,
        generator: torch.Generator | None,
    ) -> None:
        self.architecture = architecture
        self.recompute = recompute
        self.generator = generator

    def scale(
        self, index: int, shape: Shape, x: Tensor | None
    ) -> tuple[list[Bijection], Tensor | None]:
        """Return the layers of a scale and all deeper ones, and what comes out of them."""
        scale = self.architecture.scales[index]
        width = scale.width
        layers: list[Bijection] = [
            self._coupling(CheckerboardCoupling, shape, i, width, scale.n_blocks)
            for i in range(scale.checkerboard)
        ]
        if scale.squeeze:
            squeeze = Squeeze(shape)
            layers.append(squeeze)
            x, shape = _passed(squeeze, x), squeeze.squeezed
            width *= scale.widening
        for i in range(scale.channel):
            mixing = self._mixing(shape, i, x)
            for layer in mixing:
                x = _passed(layer, x)
            coupling = self._coupling(ChannelCoupling, shape, i, width, scale.n_blocks)
            layers += [*mixing, coupling]
        if index + 1 == len(self.architecture.scales):
            flat = Reshape(shape, flatten=True)
            return [*layers, flat, *self._dense(math.prod(shape))], _passed(flat, x)
        kept = (shape[0] + 1) // 2
        inside, deep = self.scale(index + 1, (kept, *shape[1:]), None if x is None else x[:, :kept])
        layers.append(FactorOut(Chain(*inside), shape))
        if x is None or deep is None:
            return layers, None
        return layers, torch.cat((deep, x[:, kept:].flatten(1)), dim=1)

    def _coupling(
        self,
        kind: type[CheckerboardCoupling] | type[ChannelCoupling],
        shape: Shape,
        index: int,
        width: int,
        n_blocks: int,
    ) -> Bijection:
        """Return a coupling; neighbors change opposite parts."""
        return kind(
            shape,
            flip=index % 2 == 1,
            width=width,
            n_blocks=n_blocks,
            recompute=self.recompute,
            generator=self.generator,
        )

    def _mixing(self, shape: Shape, index: int, x: Tensor | None) -> list[Bijection]:
        """Return what stands before a channel coupling."""
        if self.architecture.mixing == "none":
            return []
        channels = shape[0]
        if self.architecture.mixing == "glow":
            norm = ActNorm(channels)
            if x is not None:
                norm.initialize(PerPixel(norm, shape).pixels(x))
            rotation = LULinear(orthogonal(channels, self.generator))
            return [PerPixel(norm, shape), PerPixel(rotation, shape)]
        weight, bias = torch.eye(channels), torch.zeros(channels)
        if index == 0 and x is not None:
            weight, bias = _whitening(PerPixel(Chain(), shape).pixels(x))
        return [PerPixel(LULinear(weight, bias), shape)]

    def _dense(self, dim: int) -> list[Bijection]:
        """Return the couplings of the deepest scale as one vector."""
        return [
            AffineCoupling(
                dim,
                flip=i % 2 == 1,
                hidden_features=(self.architecture.dense_width,),
                generator=self.generator,
            )
            for i in range(self.architecture.dense)
        ]


def _passed(layer: Bijection, x: Tensor | None) -> Tensor | None:
    """Pass a batch, if there is one, through a layer."""
    if x is None:
        return None
    with torch.no_grad():
        out: Tensor = layer(x)[0]
    return out


def _started(norm: ActNorm, x: Tensor | None) -> ActNorm:
    """Start an ActNorm from rows, if there are any."""
    if x is not None:
        norm.initialize(x)
    return norm


def _whitening(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the symmetric matrix and the shift that give rows (n, c) mean 0 and covariance I."""
    mean = rows.mean(0)
    centered = (rows - mean).to(torch.float64)
    values, vectors = torch.linalg.eigh(centered.T @ centered / len(rows))
    weight = (vectors / values.clamp_min(LEAST_VARIANCE).sqrt()) @ vectors.T
    return weight, -weight @ mean.to(torch.float64)
