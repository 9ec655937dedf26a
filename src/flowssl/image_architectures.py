"""Presets of multi-scale flows of images: those of the papers, and a small one for two CPU cores.

An architecture lists the layers (:mod:`flowssl.layers`) of each scale. ``build_image_flow`` turns it
into a chain from rows of pixel values to latents, those of the deepest scale first. Linear maps of
channels are initialized from a batch of images, if one is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from flowssl.bijections import (
    ActNorm,
    Bijection,
    Chain,
    Checkerboard,
    ConvResNet,
    Coupling,
    FactorOut,
    Halves,
    Logit,
    Reshape,
    Squeeze,
)
from flowssl.bijections.images import Shape
from flowssl.layers import (
    ImageLayer,
    Layer,
    channel_act_norm,
    channel_map,
    channel_rotation,
    channel_whitening,
    couplings,
    image_couplings,
    interleave,
    squeeze,
)

__all__ = [
    "IMAGE_ARCHITECTURES",
    "ImageArchitecture",
    "build_image_flow",
    "train_in_bfloat16",
]


@dataclass(frozen=True)
class ImageArchitecture:
    """The layers of a multi-scale flow of images.

    Attributes
    ----------
    scales : tuple of tuple of ImageLayer
        Layers of each scale, the finest first. After each scale but the last, half of the channels
        becomes latents.
    dense : tuple of Layer, default=()
        Layers of the deepest scale as one vector: each sees the whole image.
    normalize : bool, default=False
        Whether the latents are scaled and shifted one by one in the end (ActNorm).

    Examples
    --------
    >>> from flowssl.bijections import Halves
    >>> from flowssl.image_architectures import ImageArchitecture
    >>> from flowssl.layers import couplings, image_couplings, squeeze
    >>> scale = (squeeze, *image_couplings(2, Halves, width=8, n_blocks=1))
    >>> architecture = ImageArchitecture((scale, scale), dense=couplings(2, (16,)))
    >>> architecture.multiple, architecture.deepest((1, 8, 8))
    (4, (8, 2, 2))
    """

    scales: tuple[tuple[ImageLayer, ...], ...]
    dense: tuple[Layer, ...] = ()
    normalize: bool = False

    @property
    def multiple(self) -> int:
        """What height and width must be multiples of."""
        return int(2 ** sum(map(_squeezes, self.scales)))

    def deepest(self, shape: Shape) -> Shape:
        """Return the shape of an image at the end of the deepest scale."""
        channels, height, width = shape
        for i, scale in enumerate(self.scales):
            channels = channels if i == 0 else _kept(channels)
            halvings = _squeezes(scale)
            channels *= 4**halvings
            height, width = height // 2**halvings, width // 2**halvings
        return channels, height, width


def _squeezes(scale: tuple[ImageLayer, ...]) -> int:
    """Return how often a scale halves height and width."""
    return sum(layer is squeeze for layer in scale)


def _kept(channels: int) -> int:
    """Return how many channels go on to the next scale."""
    return (channels + 1) // 2


def _glow(n_couplings: int, *, width: int) -> tuple[ImageLayer, ...]:
    """Return a scale of Glow: a squeeze, and before each coupling a scaling and a rotation."""
    mixing = (channel_act_norm, channel_rotation)
    layers = image_couplings(n_couplings, Halves, width=width, n_blocks=1)
    return (squeeze, *mixing, *interleave(layers, *mixing))


def _whitened(n_couplings: int, *, width: int) -> tuple[ImageLayer, ...]:
    """Return a scale with a linear map of the channels before each coupling, first a whitening."""
    layers = image_couplings(n_couplings, Halves, width=width, n_blocks=1)
    return (squeeze, channel_whitening, *interleave(layers, channel_map))


IMAGE_ARCHITECTURES: dict[str, ImageArchitecture] = {
    # FlowGMM, section 5.3 and appendix E, as in the code of the authors: two scales, the first with
    # 3 checkerboard couplings and 3 of the channels, the second with 4 checkerboard couplings; 8
    # blocks, 64 feature maps, 128 after the squeeze.
    "paper-realnvp": ImageArchitecture(
        (
            (
                *image_couplings(3, Checkerboard, width=64, n_blocks=8),
                squeeze,
                *image_couplings(3, Halves, width=128, n_blocks=8),
            ),
            image_couplings(4, Checkerboard, width=128, n_blocks=8),
        )
    ),
    # Two scales with 8 steps of Glow each (Kingma and Dhariwal 2018).
    "glow": ImageArchitecture((_glow(8, width=96), _glow(8, width=128)), normalize=True),
    # For two CPU cores: no couplings at full resolution, few blocks, couplings of the whole image.
    "small": ImageArchitecture(
        (_whitened(4, width=32), _whitened(4, width=64)),
        dense=couplings(4, (256,)),
        normalize=True,
    ),
}
"""Presets by name."""


def check_image(name: str, shape: Shape) -> ImageArchitecture:
    """Return the preset of that name, if images of that shape can pass through it.

    Raises
    ------
    ValueError
        If there is no such preset, the channels are not 1 or 3, or height and width cannot be
        halved as often as the preset does it.
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
    """Build a flow from rows of pixel values in [0, 256] to latents.

    Parameters
    ----------
    architecture : ImageArchitecture
        Its layers.
    shape : tuple of int
        Channels, height and width of the images.
    x : Tensor of shape (n, D), optional
        Images (some hundreds) from which linear maps of channels and ActNorms are initialized.
        Without any they start as rotations and identities.
    recompute : bool, default=False
        Whether training computes the activations of the networks twice to save memory.
    generator : torch.Generator, optional
        Source of initial weights and rotations.

    Returns
    -------
    Chain
        In the default dtype; every coupling starts as the identity.

    Examples
    --------
    >>> import torch
    >>> from flowssl.image_architectures import IMAGE_ARCHITECTURES, build_image_flow
    >>> flow = build_image_flow(IMAGE_ARCHITECTURES["small"], (1, 8, 8))
    >>> x = 256 * torch.rand(5, 64)
    >>> z, log_det = flow(x)
    >>> torch.allclose(flow.inverse(z), x, atol=0.1)
    True
    """
    builder = _Builder(architecture, recompute, generator)
    stem = Chain(Reshape(shape), Logit())
    inner, x = builder.scales(0, shape, _passed(stem, x))
    layers = [*stem, *inner]
    if architecture.normalize:
        norm = ActNorm(math.prod(shape))
        if x is not None:
            norm.initialize(x)
        layers.append(norm)
    return Chain(*layers)


def has_fast_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16, which makes convolutions five times faster."""
    # Older versions of PyTorch cannot tell.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16", False))


def train_in_bfloat16(flow: Bijection) -> None:
    """Let training on a CPU compute the convolutional networks in bfloat16, if that is fast.

    Prediction stays in the dtype of the model, and so do scalar maps, linear maps and class
    densities.

    Examples
    --------
    >>> from flowssl.image_architectures import (
    ...     IMAGE_ARCHITECTURES,
    ...     build_image_flow,
    ...     train_in_bfloat16,
    ... )
    >>> flow = build_image_flow(IMAGE_ARCHITECTURES["small"], (1, 8, 8))
    >>> train_in_bfloat16(flow)
    """
    if has_fast_bfloat16():
        for module in flow.modules():
            if isinstance(module, ConvResNet):
                module.in_bfloat16 = True


@dataclass(frozen=True)
class _Builder:
    """Builds the scales of a flow, each inside the previous one."""

    architecture: ImageArchitecture
    recompute: bool
    generator: torch.Generator | None

    def scales(
        self, index: int, shape: Shape, x: Tensor | None
    ) -> tuple[list[Bijection], Tensor | None]:
        """Return the layers of a scale and all deeper ones, and their latents of the images."""
        layers: list[Bijection] = []
        for build in self.architecture.scales[index]:
            layer = build(shape, x=x, recompute=self.recompute, generator=self.generator)
            layers.append(layer)
            x = _passed(layer, x)
            if isinstance(layer, Squeeze):
                shape = layer.squeezed
        if index + 1 == len(self.architecture.scales):
            flat = Reshape(shape, flatten=True)
            return [*layers, flat, *self._dense(math.prod(shape))], _passed(flat, x)
        kept = _kept(shape[0])
        inner, deep = self.scales(index + 1, (kept, *shape[1:]), None if x is None else x[:, :kept])
        layers.append(FactorOut(Chain(*inner), shape))
        if x is None or deep is None:
            return layers, None
        return layers, torch.cat((deep, x[:, kept:].flatten(1)), dim=1)

    def _dense(self, dim: int) -> list[Bijection]:
        """Return the layers of the deepest scale as one vector."""
        return [
            layer(dim, context_features=0, generator=self.generator)
            for layer in self.architecture.dense
        ]


def _passed(layer: Bijection, x: Tensor | None) -> Tensor | None:
    """Map images, if there are any, by a new layer."""
    if x is None or isinstance(layer, Coupling):  # a new coupling is the identity
        return x
    with torch.no_grad():
        out: Tensor = layer(x)[0]
    return out
