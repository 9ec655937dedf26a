"""Bijections of images: their levels and logits, their shapes, and what leaves at each scale.

Images are tensors (n, c, h, w). Together with the convolutional couplings these are the pieces of
RealNVP and Glow (Dinh et al. 2017; Kingma and Dhariwal 2018); a whole flow takes flat rows (n, D)
and gives latents (n, D), the deepest scale first.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowssl.bijections.base import Bijection, check_width

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""

LEVELS = 256
"""Levels of a pixel: 8 bits."""

MARGIN = 0.05
"""How far from 0 and 1 the logit begins, on either side (Dinh et al. 2017, section 4.1)."""


def check_shape(x: Tensor, shape: Shape) -> None:
    """Raise ``ValueError`` unless ``x`` has shape (n, c, h, w)."""
    c, h, w = shape
    if x.ndim != 4 or x.shape[1:] != torch.Size(shape):
        raise ValueError(f"expected images of shape (n, {c}, {h}, {w}), got {tuple(x.shape)}")


class Reshape(Bijection):
    """Rows of D numbers as images (n, c, h, w), or the other way round; the volume stays.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width.
    flatten : bool, default=False
        False turns rows into images, True images into rows.
    """

    def __init__(self, shape: Shape, *, flatten: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.flatten = flatten

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Change the shape; the log-determinant is 0."""
        return self._changed(x, self.flatten), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Change it back."""
        return self._changed(z, not self.flatten)

    def _changed(self, x: Tensor, flatten: bool) -> Tensor:
        if flatten:
            check_shape(x, self.shape)
            return x.reshape(x.shape[0], math.prod(self.shape))
        check_width(x, math.prod(self.shape))
        return x.reshape(x.shape[0], *self.shape)

    def extra_repr(self) -> str:
        """Describe the step for ``repr``."""
        return f"shape={self.shape}, flatten={self.flatten}"


class Logit(Bijection):
    """Gray or color levels in [0, 256] to real numbers: the logit of a slightly squeezed share.

    ``z = logit(m + (1 - 2 m) x / 256)`` with the margin m. The inverse undoes the squeeze too, so
    it is exact (the authors' code leaves it out). Densities are per level, so that those of whole
    levels with uniform noise are probabilities of discrete images (Theis et al. 2016).

    Parameters
    ----------
    margin : float, default=0.05
        m: how far from 0 and 1 the logit begins. The whole range takes -2.9 to 2.9.

    Notes
    -----
    Numbers below 0 or above 256 by less than ``256 m / (1 - 2 m)`` are mapped too; beyond that
    the result is not a number.
    """

    def __init__(self, margin: float = MARGIN) -> None:
        super().__init__()
        self.margin = margin
        self.slope = (1 - 2 * margin) / LEVELS

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map levels to logits."""
        share = self.margin + self.slope * x
        low, high = share.log(), (-share).log1p()
        log_det = (math.log(self.slope) - low - high).flatten(1).sum(1)
        return low - high, log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map logits to levels."""
        return (torch.sigmoid(z) - self.margin) / self.slope

    def extra_repr(self) -> str:
        """Describe the map for ``repr``."""
        return f"margin={self.margin}"


class Squeeze(Bijection):
    """Each 2 x 2 block of pixels becomes one pixel of four times the channels.

    The order is RealNVP's: the blocks' diagonals first (top left, bottom right, then top right,
    bottom left), each with all its colors. So either half of the channels is an evenly spread
    half of the pixels in every color. In channel-major order, which the authors' code has, half
    the channels of a color image would be all of red and half of green.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width of what comes in.

    Raises
    ------
    ValueError
        If height or width is odd.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        channels, height, width = shape
        if height % 2 or width % 2:
            raise ValueError(f"only even heights and widths can be halved, got {height} x {width}")
        self.shape = shape
        self.squeezed = (4 * channels, height // 2, width // 2)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Gather the blocks; the log-determinant is 0."""
        check_shape(x, self.shape)
        channels, height, width = self.shape
        blocks = x.reshape(x.shape[0], channels, height // 2, 2, width // 2, 2)
        corners = (blocks[:, :, :, i, :, j] for i, j in _CORNERS)
        return torch.cat(tuple(corners), dim=1), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Spread the blocks out again."""
        check_shape(z, self.squeezed)
        channels, height, width = self.shape
        blocks = z.new_empty(z.shape[0], channels, height // 2, 2, width // 2, 2)
        for (i, j), corner in zip(_CORNERS, z.chunk(4, dim=1), strict=True):
            blocks[:, :, :, i, :, j] = corner
        return blocks.reshape(z.shape[0], channels, height, width)

    def extra_repr(self) -> str:
        """Describe the step for ``repr``."""
        return f"shape={self.shape}"


_CORNERS = ((0, 0), (1, 1), (0, 1), (1, 0))


class PerPixel(Bijection):
    """A bijection of rows, applied to the channels of every pixel.

    ``PerPixel(ActNorm(c), shape)`` is ActNorm of images and ``PerPixel(LULinear(weight), shape)``
    the invertible 1 x 1 convolution (Kingma and Dhariwal 2018, sections 3.1 and 3.2).

    Parameters
    ----------
    bijection : Bijection
        A map of rows of c numbers.
    shape : tuple of int
        Channels, height and width.
    """

    def __init__(self, bijection: Bijection, shape: Shape) -> None:
        super().__init__()
        self.bijection = bijection
        self.shape = shape

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map the pixels; their log-determinants add up."""
        z, of_pixels = self.bijection(self.pixels(x))
        log_det = of_pixels.reshape(x.shape[0], self.shape[1] * self.shape[2]).sum(1)
        return self._image(z), log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map the pixels back."""
        return self._image(self.bijection.inverse(self.pixels(z)))

    def pixels(self, x: Tensor) -> Tensor:
        """Return the pixels of images (n, c, h, w) as rows (n h w, c)."""
        check_shape(x, self.shape)
        return x.permute(0, 2, 3, 1).reshape(-1, self.shape[0])

    def _image(self, pixels: Tensor) -> Tensor:
        channels, height, width = self.shape
        return pixels.reshape(-1, height, width, channels).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Describe the step for ``repr``."""
        return f"shape={self.shape}"


class FactorOut(Bijection):
    """Half of the channels goes deeper, the other half is latent as it is.

    The multi-scale architecture of Dinh et al. (2017, section 3.6), as a step that holds all that
    follows: ``z = (inner(x_a), x_b)`` in one row, so that the deepest scale comes first.

    Parameters
    ----------
    inner : Bijection
        From images of half the channels (rounded up) to rows.
    shape : tuple of int
        Channels, height and width of what comes in.
    """

    def __init__(self, inner: Bijection, shape: Shape) -> None:
        super().__init__()
        channels, height, width = shape
        if channels < 2:
            raise ValueError(f"half of {channels} channel cannot go on; squeeze first")
        self.inner = inner
        self.shape = shape
        self.channels = [(channels + 1) // 2, channels // 2]
        self.dims = [part * height * width for part in self.channels]

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Send the first half of the channels through the inner map."""
        check_shape(x, self.shape)
        kept, out = torch.split(x, self.channels, dim=1)
        z, log_det = self.inner(kept, context)
        return torch.cat((z, out.flatten(1)), dim=1), log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Bring the first half back and put the second beside it."""
        check_width(z, sum(self.dims))
        deep, out = torch.split(z, self.dims, dim=1)
        kept = self.inner.inverse(deep, context)
        return torch.cat((kept, out.reshape(-1, self.channels[1], *self.shape[1:])), dim=1)

    def extra_repr(self) -> str:
        """Describe the step for ``repr``."""
        return f"shape={self.shape}"
