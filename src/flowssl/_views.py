"""Random views of images: noise within their levels, translations, flips.

A view is a perturbation in the sense of `flowssl.objectives`: it takes rows (n, D) of levels and
gives rows of levels, all images of a batch at once. Random numbers come from PyTorch's global
generator, which the training loop seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import partial

import torch
from torch import Tensor

from flowssl.bijections.images import Shape

PADDING = 8
"""A translation by up to an eighth of the side: 4 pixels of 28 or 32, as in the paper."""

ImageView = Callable[[Tensor], Tensor]
"""A random copy of images (n, c, h, w) of levels, of the same shape."""


@dataclass(frozen=True)
class Translated:
    """Each image moved by up to ``padding`` pixels either way; black comes in at the edges.

    The same as a random crop of the padded image (Izmailov et al. 2020, section 5.3, with 4).
    """

    padding: int

    def __call__(self, x: Tensor) -> Tensor:
        """Return moved images."""
        n, _, height, width = x.shape
        row = self._moved(n, height, x.device)
        column = self._moved(n, width, x.device)
        inside = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[
            :, None
        ]
        each = torch.arange(n, device=x.device)[:, None, None]
        # Indexed dimensions come first: (n, h, w, c).
        moved = x[
            each, :, row.clamp(0, height - 1)[:, :, None], column.clamp(0, width - 1)[:, None]
        ]
        return moved.permute(0, 3, 1, 2) * inside[:, None].to(x.dtype)

    def _moved(self, n: int, side: int, device: torch.device) -> Tensor:
        by = torch.randint(-self.padding, self.padding + 1, (n, 1), device=device)
        return torch.arange(side, device=device) + by


@dataclass(frozen=True)
class Flipped:
    """Each image mirrored left to right with probability one half; not for digits or letters."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return the images, half of them mirrored."""
        mirrored = torch.rand(x.shape[0], 1, 1, 1, device=x.device) < 0.5
        return torch.where(mirrored, x.flip(3), x)


@dataclass(frozen=True)
class Dequantized:
    """Whole levels 0 to 255 with uniform noise: level v fills [v, v + 1) (Theis et al. 2016)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return the levels with noise."""
        return x + torch.rand_like(x)


@dataclass(frozen=True)
class Views:
    """Rows of level centers as random views, with noise within each level.

    Attributes
    ----------
    shape : tuple of int
        Channels, height and width of an image.
    views : tuple of callable
        Applied one after the other to images of whole levels (n, c, h, w), before the noise.
    """

    shape: Shape
    views: tuple[ImageView, ...]

    def __repr__(self) -> str:
        """Name the views, a user's function or object without its address: alike in every process."""
        return f"Views({self.shape}, {[_name(view) for view in self.views]})"

    def __call__(self, x: Tensor) -> Tensor:
        """Return rows (n, D) of the same images seen in another way."""
        images = x.floor().reshape(-1, *self.shape)
        for view in self.views:
            images = view(images)
        return Dequantized()(images).reshape(x.shape)


def _name(view: ImageView) -> str:
    """Return a text of a view that has no address in it."""
    if is_dataclass(view):  # its settings tell it from others
        return str(view)
    if isinstance(view, partial):
        return f"{_name(view.func)}{view.args}{view.keywords}"
    named = view if hasattr(view, "__qualname__") else type(view)
    return f"{named.__module__}.{named.__qualname__}"


def named_views(name: str | Callable[..., object] | None, shape: Shape) -> Views:
    """Return the views that an estimator's ``views`` parameter speaks of.

    Parameters
    ----------
    name : {"translate", "translate-flip"}, callable or None
        As in :class:`~flowssl.FlowGMMClassifier`; a callable is the user's own view.
    shape : tuple of int
        Channels, height and width of an image.
    """
    if name is None:
        return Views(shape, ())
    if callable(name):
        return Views(shape, (name,))  # type: ignore[arg-type]  # the user's, by documentation
    moved = Translated(max(1, round(min(shape[1:]) / PADDING)))
    return Views(shape, (moved,) if name == "translate" else (moved, Flipped()))
