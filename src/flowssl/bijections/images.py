"""Bijections of images: logits of pixel values, reshaping, maps of pixels, multiple scales.

Images are tensors (n, c, h, w). With couplings, these are the layers of RealNVP and Glow (Dinh et
al. 2017; Kingma and Dhariwal 2018). A whole flow takes flat rows (n, D) and returns latents (n, D),
those of the deepest scale first.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowssl.bijections.base import Bijection, check_shape

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""

LEVELS = 256
"""Number of values of a pixel of 8 bits."""

MARGIN = 0.05
"""Distance from 0 and 1 at which the logit begins (Dinh et al. 2017, section 4.1)."""


class Reshape(Bijection):
    """Rows of D numbers as images (n, c, h, w), or images as rows.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width.
    flatten : bool, default=False
        False turns rows into images, True images into rows.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import Reshape
    >>> images, log_det = Reshape((1, 2, 2))(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    >>> images.tolist(), log_det.tolist()
    ([[[[1.0, 2.0], [3.0, 4.0]]]], [0.0])
    """

    def __init__(self, shape: Shape, *, flatten: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.flatten = flatten

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Change the shape; the log-determinant is 0."""
        return self._reshaped(x, self.flatten), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Change it back."""
        return self._reshaped(z, not self.flatten)

    def _reshaped(self, x: Tensor, flatten: bool) -> Tensor:
        if flatten:
            check_shape(x, *self.shape)
            return x.reshape(x.shape[0], math.prod(self.shape))
        check_shape(x, math.prod(self.shape))
        return x.reshape(x.shape[0], *self.shape)

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"shape={self.shape}, flatten={self.flatten}"


class Logit(Bijection):
    """Pixel values in [0, 256] to real numbers: ``z = logit(m + (1 - 2 m) x / 256)``.

    The inverse undoes the margin m too, so that it is exact; the one of the FlowGMM authors does
    not. Densities are in units of one pixel value, so that those of integers with uniform noise are
    probabilities of discrete images (Theis et al. 2016).

    Parameters
    ----------
    margin : float, default=0.05
        The margin m, between 0 and 1/2. With the default, latents are between -2.9 and 2.9.

    Notes
    -----
    Values outside [0, 256] by less than ``256 m / (1 - 2 m)`` are mapped too. Beyond that the
    result is NaN.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import Logit
    >>> z, log_det = Logit()(torch.tensor([[0.0, 128.0, 256.0]]))
    >>> [round(value, 2) for value in z[0].tolist()]
    [-2.94, 0.0, 2.94]
    """

    def __init__(self, margin: float = MARGIN) -> None:
        super().__init__()
        self.margin = margin
        self.slope = (1 - 2 * margin) / LEVELS

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map pixel values to logits."""
        fraction = self.margin + self.slope * x
        low, high = fraction.log(), (-fraction).log1p()
        log_det = (math.log(self.slope) - low - high).flatten(1).sum(1)
        return low - high, log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map logits to pixel values."""
        return (torch.sigmoid(z) - self.margin) / self.slope

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"margin={self.margin}"


class Squeeze(Bijection):
    """Each 2 x 2 block of pixels becomes one pixel with four times the channels.

    The order is that of RealNVP: one diagonal of the blocks first (top left, bottom right), then
    the other (top right, bottom left), each pixel with all of its colors. Each half of the channels
    is then an evenly spread half of the pixels in every color. In the order of the code of the
    FlowGMM authors, color by color, half of the channels of a color image would be all of red and
    half of green.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width of the input.

    Raises
    ------
    ValueError
        If height or width is odd.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import Squeeze
    >>> z, log_det = Squeeze((1, 2, 2))(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    >>> z.shape, z.flatten().tolist()
    (torch.Size([1, 4, 1, 1]), [1.0, 4.0, 2.0, 3.0])
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
        check_shape(x, *self.shape)
        channels, height, width = self.shape
        blocks = x.reshape(x.shape[0], channels, height // 2, 2, width // 2, 2)
        corners = (blocks[:, :, :, i, :, j] for i, j in _CORNERS)
        return torch.cat(tuple(corners), dim=1), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Spread the channels over the blocks again."""
        check_shape(z, *self.squeezed)
        channels, height, width = self.shape
        blocks = z.new_empty(z.shape[0], channels, height // 2, 2, width // 2, 2)
        for (i, j), corner in zip(_CORNERS, z.chunk(4, dim=1), strict=True):
            blocks[:, :, :, i, :, j] = corner
        return blocks.reshape(z.shape[0], channels, height, width)

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
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

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import ActNorm, PerPixel
    >>> z, log_det = PerPixel(ActNorm(3), (3, 2, 2))(torch.ones(5, 3, 2, 2))
    >>> z.shape, log_det.shape
    (torch.Size([5, 3, 2, 2]), torch.Size([5]))
    """

    def __init__(self, bijection: Bijection, shape: Shape) -> None:
        super().__init__()
        self.bijection = bijection
        self.shape = shape

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map the pixels; their log-determinants add up."""
        check_shape(x, *self.shape)
        z, of_pixels = self.bijection(pixels(x), self._repeated(context))
        log_det = of_pixels.reshape(x.shape[0], self.shape[1] * self.shape[2]).sum(1)
        return self._image(z), log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map the pixels back."""
        check_shape(z, *self.shape)
        return self._image(self.bijection.inverse(pixels(z), self._repeated(context)))

    def _repeated(self, context: Tensor | None) -> Tensor | None:
        """Repeat the context of each image for each of its pixels."""
        n_pixels = self.shape[1] * self.shape[2]
        return None if context is None else context.repeat_interleave(n_pixels, dim=0)

    def _image(self, rows: Tensor) -> Tensor:
        channels, height, width = self.shape
        return rows.reshape(-1, height, width, channels).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"shape={self.shape}"


def pixels(x: Tensor) -> Tensor:
    """Return the pixels of images (n, c, h, w) as rows (n h w, c)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


class FactorOut(Bijection):
    """Half of the channels becomes latents, the other half goes through further bijections.

    The multi-scale architecture of Dinh et al. (2017, section 3.6): ``z = (inner(x_a), x_b)`` in
    one row, so that the latents of the deepest scale come first.

    Parameters
    ----------
    inner : Bijection
        All that follows: a map of images with half of the channels, rounded up, to rows.
    shape : tuple of int
        Channels, height and width of the input.

    Raises
    ------
    ValueError
        If there is one channel only.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import FactorOut, Reshape
    >>> layer = FactorOut(Reshape((1, 2, 1), flatten=True), (2, 2, 1))
    >>> layer(torch.tensor([[[[1.0], [2.0]], [[3.0], [4.0]]]]))[0].tolist()
    [[1.0, 2.0, 3.0, 4.0]]
    """

    def __init__(self, inner: Bijection, shape: Shape) -> None:
        super().__init__()
        channels, height, width = shape
        if channels < 2:
            raise ValueError(
                f"factoring out half of the channels needs at least 2, got {channels}; squeeze first"
            )
        self.inner = inner
        self.shape = shape
        self.channels = [(channels + 1) // 2, channels // 2]
        self.dims = [part * height * width for part in self.channels]

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map the first half of the channels; the second half is latent as it is."""
        check_shape(x, *self.shape)
        kept, out = torch.split(x, self.channels, dim=1)
        z, log_det = self.inner(kept, context)
        return torch.cat((z, out.flatten(1)), dim=1), log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map the first half back and append the second."""
        check_shape(z, sum(self.dims))
        deep, out = torch.split(z, self.dims, dim=1)
        kept = self.inner.inverse(deep, context)
        return torch.cat((kept, out.reshape(-1, self.channels[1], *self.shape[1:])), dim=1)

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"shape={self.shape}"
