"""Functions that build the layers of a flow; an architecture is a tuple of them.

A :class:`Layer` builds a bijection of rows of a given width, an :class:`ImageLayer` one of images
of a given shape.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from flowssl.bijections import (
    ActNorm,
    Bijection,
    Checkerboard,
    Halves,
    LULinear,
    PerPixel,
    Rotation,
    SoftTails,
    Squeeze,
    image_coupling,
    vector_coupling,
)
from flowssl.bijections.base import orthogonal
from flowssl.bijections.images import Shape, pixels
from flowssl.bijections.scalar_maps import AFFINE, ScalarMap

__all__ = [
    "ImageLayer",
    "Layer",
    "channel_act_norm",
    "channel_map",
    "channel_rotation",
    "channel_whitening",
    "couplings",
    "image_couplings",
    "interleave",
    "linear_map",
    "rotation",
    "soft_tails",
    "squeeze",
]

L = TypeVar("L")

TAIL_THRESHOLD = 5.0
"""Standard deviations beyond which ``soft_tails`` compresses."""

LEAST_VARIANCE = 1e-6
"""Smallest variance that a whitening assumes in any direction; images have constant borders."""


class Layer(Protocol):
    """A function that builds one layer of a flow of vectors.

    A constructor of a bijection, or a function that builds one, is a layer if it takes the width
    and, by keyword, ``context_features`` and ``generator``. Bind its other arguments by ``partial``.

    Examples
    --------
    >>> from functools import partial
    >>> from flowssl.layers import Layer
    >>> from flowssl.bijections import SplineMap, vector_coupling
    >>> layer: Layer = partial(vector_coupling, scalar_map=SplineMap(), hidden_features=(64,))
    >>> layer(3, context_features=0, generator=None)
    Coupling(Halves((3,), flip=False), SplineMap(n_bins=8, bound=3.0), MLP(1 -> 64 -> 46))
    """

    def __call__(
        self, dim: int, *, context_features: int, generator: torch.Generator | None
    ) -> Bijection:
        """Build the bijection of rows of ``dim`` numbers.

        It uses the context if it has a conditioner, and draws from the generator only.
        """


def rotation(dim: int, *, generator: torch.Generator | None, **_: object) -> Bijection:
    """Build a fixed random rotation, after which a column may be in the other half.

    Examples
    --------
    >>> from flowssl.layers import rotation
    >>> rotation(3, context_features=0, generator=None)
    Rotation(dim=3)
    """
    return Rotation(dim, generator=generator)


def linear_map(dim: int, **_: object) -> Bijection:
    """Build a learned full linear map, which starts as the identity.

    Examples
    --------
    >>> from flowssl.layers import linear_map
    >>> linear_map(3)
    LULinear(dim=3)
    """
    return LULinear(torch.eye(dim, dtype=torch.float32))


def soft_tails(dim: int, **_: object) -> Bijection:
    """Build the compression of the tails beyond 5 standard deviations.

    Outliers then reach the networks as numbers of usual size.

    Examples
    --------
    >>> from flowssl.layers import soft_tails
    >>> soft_tails(3)
    SoftTails(dim=3, threshold=5.0)
    """
    return SoftTails(dim, threshold=TAIL_THRESHOLD)


def couplings(
    n: int,
    hidden_features: tuple[int, ...],
    *,
    dropout: float = 0.0,
    scalar_map: ScalarMap = AFFINE,
) -> tuple[Layer, ...]:
    """Return n couplings, of which neighbors change opposite halves of the row.

    Parameters
    ----------
    n : int
        Number of couplings.
    hidden_features : tuple of int
        Hidden widths of the network of each.
    dropout : float, default=0.0
        Dropout inside the networks in training.
    scalar_map : ScalarMap, default=AffineMap()
        How each number of the changed half is mapped.

    Examples
    --------
    >>> from flowssl.architectures import Architecture, build_couplings
    >>> from flowssl.layers import couplings
    >>> build_couplings(Architecture(couplings(2, (64,))), 3)
    Chain(
      (0): Coupling(Halves((3,), flip=False), AffineMap(bound=3.0), MLP(1 -> 64 -> 4))
      (1): Coupling(Halves((3,), flip=True), AffineMap(bound=3.0), MLP(2 -> 64 -> 2))
    )
    """
    layer = partial(
        vector_coupling, hidden_features=hidden_features, dropout=dropout, scalar_map=scalar_map
    )
    return tuple(partial(layer, flip=i % 2 == 1) for i in range(n))


def interleave(layers: tuple[L, ...], *between: L, every: int = 1) -> tuple[L, ...]:
    """Insert further layers after every ``every`` layers, but not at the end.

    Parameters
    ----------
    layers : tuple of Layer
        The layers to insert into; those of images too.
    *between : Layer
        The layers to insert.
    every : int, default=1
        Number of layers between two insertions.

    Examples
    --------
    >>> from flowssl.layers import couplings, interleave, rotation
    >>> [layer is rotation for layer in interleave(couplings(4, (8,)), rotation, every=2)]
    [False, False, True, False, False]
    """
    groups = [layers[i : i + every] for i in range(0, len(layers), every)]
    rest = (layer for group in groups[1:] for layer in (*between, *group))
    return (*layers[:every], *rest)


class ImageLayer(Protocol):
    """A function that builds one layer of a flow of images.

    Examples
    --------
    >>> from flowssl.layers import ImageLayer, squeeze
    >>> layer: ImageLayer = squeeze
    >>> layer((1, 4, 4), x=None, recompute=False, generator=None)
    Squeeze(shape=(1, 4, 4))
    """

    def __call__(
        self,
        shape: Shape,
        *,
        x: Tensor | None,
        recompute: bool,
        generator: torch.Generator | None,
    ) -> Bijection:
        """Build the bijection of images of that shape.

        It may be initialized from the images ``x`` (n, c, h, w), if there are any, draws from the
        generator only, and computes activations a second time in training where ``recompute`` says
        so.
        """


def squeeze(shape: Shape, **_: object) -> Bijection:
    """Build the step to half the height and width and four times the channels.

    Examples
    --------
    >>> from flowssl.layers import squeeze
    >>> squeeze((1, 4, 4))
    Squeeze(shape=(1, 4, 4))
    """
    return Squeeze(shape)


def channel_act_norm(shape: Shape, *, x: Tensor | None = None, **_: object) -> Bijection:
    """Build the scaling of channels (ActNorm) that standardizes the images.

    Examples
    --------
    >>> import torch
    >>> from flowssl.layers import channel_act_norm
    >>> x = torch.rand(50, 1, 4, 4)
    >>> z, _ = channel_act_norm((1, 4, 4), x=x)(x)
    >>> abs(round(z.mean().item(), 3)), round(z.std().item(), 2)
    (0.0, 1.0)
    """
    norm = ActNorm(shape[0])
    if x is not None:
        norm.initialize(pixels(x))
    return PerPixel(norm, shape)


def channel_rotation(
    shape: Shape, *, generator: torch.Generator | None = None, **_: object
) -> Bijection:
    """Build the invertible 1 x 1 convolution of Glow, which starts as a random rotation.

    Examples
    --------
    >>> from flowssl.layers import channel_rotation
    >>> channel_rotation((4, 2, 2))
    PerPixel(
      shape=(4, 2, 2)
      (bijection): LULinear(dim=4)
    )
    """
    return PerPixel(LULinear(orthogonal(shape[0], generator)), shape)


def channel_map(shape: Shape, **_: object) -> Bijection:
    """Build the invertible 1 x 1 convolution that starts as the identity.

    Examples
    --------
    >>> import torch
    >>> from flowssl.layers import channel_map
    >>> x = torch.rand(5, 3, 4, 4)
    >>> torch.equal(channel_map((3, 4, 4))(x)[0], x)
    True
    """
    return PerPixel(LULinear(torch.eye(shape[0], dtype=torch.float32)), shape)


def channel_whitening(shape: Shape, *, x: Tensor | None = None, **_: object) -> Bijection:
    """Build the invertible 1 x 1 convolution that starts by whitening the channels of the images.

    Examples
    --------
    >>> import torch
    >>> from flowssl.layers import channel_whitening
    >>> x = torch.rand(50, 3, 4, 4)
    >>> z, _ = channel_whitening((3, 4, 4), x=x)(x)
    >>> torch.allclose(z.transpose(0, 1).flatten(1).cov(), torch.eye(3), atol=0.01)
    True
    """
    if x is None:
        return channel_map(shape)
    return PerPixel(LULinear(*_whitening(pixels(x))), shape)


def image_couplings(
    n: int, split: type[Halves] | type[Checkerboard], *, width: int, n_blocks: int
) -> tuple[ImageLayer, ...]:
    """Return n affine couplings, of which neighbors change opposite parts of the image.

    Parameters
    ----------
    n : int
        Number of couplings.
    split : type
        ``Halves`` of the channels or ``Checkerboard``.
    width : int
        Feature maps of the network of each.
    n_blocks : int
        Residual blocks of the network of each.

    Examples
    --------
    >>> from flowssl.bijections import Checkerboard
    >>> from flowssl.layers import image_couplings
    >>> first, second = image_couplings(2, Checkerboard, width=8, n_blocks=1)
    >>> second((1, 4, 4), x=None, recompute=False, generator=None)
    Coupling(Checkerboard((1, 4, 4), flip=True), AffineMap(bound=3.0), ConvResNet(1 -> 2, width=8, n_blocks=1))
    """
    return tuple(
        partial(_coupling, split=split, flip=i % 2 == 1, width=width, n_blocks=n_blocks)
        for i in range(n)
    )


def _coupling(
    shape: Shape,
    *,
    split: type[Halves] | type[Checkerboard],
    flip: bool,
    width: int,
    n_blocks: int,
    recompute: bool,
    generator: torch.Generator | None,
    **_: object,
) -> Bijection:
    return image_coupling(
        split(shape, flip=flip),
        width=width,
        n_blocks=n_blocks,
        recompute=recompute,
        generator=generator,
    )


def _whitening(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the symmetric matrix and the shift that give rows (n, c) mean 0 and covariance I."""
    mean = rows.mean(0)
    centered = (rows - mean).to(torch.float64)
    values, vectors = torch.linalg.eigh(centered.T @ centered / len(rows))
    weight = (vectors / values.clamp_min(LEAST_VARIANCE).sqrt()) @ vectors.T
    return weight, -weight @ mean.to(torch.float64)
