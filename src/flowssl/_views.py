"""Random views of images: translations, flips, and dequantization noise.

A view is a perturbation in the sense of `flowssl.objectives`: it maps rows (n, D) of pixel values to
rows of pixel values, all images of a batch at once. In a training, random numbers come from a
generator of its own; see `flowssl._random`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import partial

import torch
from torch import Tensor

from flowssl._random import generator_on, global_generator_seeded, rand_like, randint
from flowssl.bijections.images import Shape

PADDING = 8
"""Fraction of the side by which images are translated at most: one in ``PADDING``.

That is 4 pixels of 28 or 32, as in the paper.
"""

ImageView = Callable[[Tensor], Tensor]
"""Maps pixel values of images (n, c, h, w) to a random view of the same shape."""


@dataclass(frozen=True)
class Translated:
    """Each image shifted by up to ``padding`` pixels in each direction and filled with black.

    The same as a random crop of the padded image (Izmailov et al. 2020, section 5.3, with 4).

    Attributes
    ----------
    padding : int
        Largest shift, pixels.
    """

    padding: int

    def __call__(self, x: Tensor) -> Tensor:
        """Return shifted images."""
        n, _, height, width = x.shape
        row = self._sources(n, height, x.device)
        column = self._sources(n, width, x.device)
        in_height, in_width = (row >= 0) & (row < height), (column >= 0) & (column < width)
        inside = in_height[:, :, None] & in_width[:, None]
        each = torch.arange(n, device=x.device)[:, None, None]
        # Indexed dimensions come first: (n, h, w, c).
        moved = x[
            each, :, row.clamp(0, height - 1)[:, :, None], column.clamp(0, width - 1)[:, None]
        ]
        return moved.permute(0, 3, 1, 2) * inside[:, None].to(x.dtype)

    def _sources(self, n: int, side: int, device: torch.device) -> Tensor:
        """Return where each pixel along one side of each image comes from, shape (n, side)."""
        by: Tensor = randint(-self.padding, self.padding + 1, (n, 1), device)
        return torch.arange(side, device=device) + by


@dataclass(frozen=True)
class Flipped:
    """Each image mirrored left to right with probability 1/2; not for digits or letters."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return the images, half of them mirrored."""
        mirrored = rand_like(x[:, :1, :1, :1]) < 0.5
        return torch.where(mirrored, x.flip(3), x)


@dataclass(frozen=True)
class Dequantized:
    """Dequantization: whole pixel values v get uniform noise on [v, v + 1) (Theis et al. 2016)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return the pixel values with noise."""
        return x + rand_like(x)


@dataclass(frozen=True)
class UserView:
    """A view that a user has written.

    A function with a parameter ``generator`` is handed the training's own. Any other can only draw
    from PyTorch's global generator, which is seeded for the call and restored afterwards.

    Attributes
    ----------
    function : callable
        Maps images (n, c, h, w) to images.
    """

    function: Callable[..., Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the function makes of the images."""
        if _takes_generator(self.function):
            return self.function(x, generator=generator_on(x.device))
        with global_generator_seeded(x.device):
            return self.function(x)

    def __repr__(self) -> str:
        """Name the function without memory addresses."""
        return _name(self.function)


@dataclass(frozen=True)
class Views:
    """Random views of images given as rows, with dequantization noise.

    Attributes
    ----------
    shape : tuple of int
        Channels, height and width of an image.
    views : tuple of callable
        Applied one after the other to images of whole pixel values (n, c, h, w), before the noise.
    """

    shape: Shape
    views: tuple[ImageView, ...]

    def __repr__(self) -> str:
        """Name the views without memory addresses: the text is the same in every process."""
        return f"Views({self.shape}, {[_name(view) for view in self.views]})"

    def __call__(self, x: Tensor) -> Tensor:
        """Return random views of rows (n, D)."""
        images = x.floor().reshape(-1, *self.shape)
        for view in self.views:
            images = view(images)
        return Dequantized()(images).reshape(x.shape)


def _takes_generator(function: Callable[..., object]) -> bool:
    """Return whether a function has a parameter ``generator``; some of C have no signature."""
    try:
        return "generator" in inspect.signature(function).parameters
    except ValueError:
        return False


def _name(view: object) -> str:
    """Return a text of a view without memory addresses."""
    if is_dataclass(view):  # its text has the settings
        return str(view)
    if isinstance(view, partial):
        return f"{_name(view.func)}{view.args}{view.keywords}"
    named = view if hasattr(view, "__qualname__") else type(view)
    return f"{named.__module__}.{named.__qualname__}"


def named_views(name: str | Callable[..., object] | None, shape: Shape) -> Views:
    """Return the views that the ``views`` parameter of image options names.

    Parameters
    ----------
    name : {"translate", "translate-flip"}, callable or None
        As in :class:`~flowssl.ImageOptions`; a callable is a user-defined view.
    shape : tuple of int
        Channels, height and width of an image.
    """
    if name is None:
        return Views(shape, ())
    if callable(name):
        return Views(shape, (UserView(name),))  # type: ignore[arg-type]  # by documentation
    moved = Translated(max(1, round(min(shape[1:]) / PADDING)))
    return Views(shape, (moved,) if name == "translate" else (moved, Flipped()))
