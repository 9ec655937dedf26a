"""Splits: which part of a row or of an image a coupling changes, and which part it looks at."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from flowssl.bijections.base import check_shape


class Split(nn.Module, ABC):
    """How a coupling divides its input into a part that it keeps and a part that it changes.

    Attributes
    ----------
    n_kept : int
        Columns, or channels, of the kept part, which the conditioner sees.
    n_changed : int
        Columns, or channels, of the changed part, for which the conditioner gives parameters.

    Examples
    --------
    >>> from flowssl.bijections import Checkerboard, Halves, Split
    >>> isinstance(Halves((4,)), Split), isinstance(Checkerboard((1, 2, 2)), Split)
    (True, True)
    """

    n_kept: int
    n_changed: int

    @abstractmethod
    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the kept part and the changed part of a batch."""

    @abstractmethod
    def merge(self, kept: Tensor, changed: Tensor) -> Tensor:
        """Put the two parts together again."""

    def total(self, log_derivative: Tensor) -> Tensor:
        """Add up the log-derivatives of the changed part: the log-determinants, shape (n,)."""
        return log_derivative.flatten(1).sum(1)


class Halves(Split):
    """The first half of the columns of a row, or of the channels of an image, and the second half.

    After a :class:`Squeeze`, which orders the diagonals of 2 x 2 blocks first, halves of the
    channels are the two colors of a checkerboard, at a quarter of its cost.

    Parameters
    ----------
    shape : tuple of int
        ``(D,)`` for rows, ``(c, h, w)`` for images. A single column is always changed.
    flip : bool, default=False
        False changes the second half given the first ``shape[0] // 2``; True does the reverse.
        Neighboring couplings should alternate it.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import Halves
    >>> kept, changed = Halves((3,)).parts(torch.tensor([[1.0, 2.0, 3.0]]))
    >>> kept.tolist(), changed.tolist()
    ([[1.0]], [[2.0, 3.0]])
    """

    def __init__(self, shape: tuple[int, ...], *, flip: bool = False) -> None:
        super().__init__()
        self.shape = tuple(shape)
        first = shape[0] // 2
        self.sizes = [first, shape[0] - first]
        self.flip = flip and first > 0
        self.n_kept, self.n_changed = self.sizes[::-1] if self.flip else self.sizes

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the kept half and the changed half."""
        check_shape(x, *self.shape)
        first, second = torch.split(x, self.sizes, dim=1)
        return (second, first) if self.flip else (first, second)

    def merge(self, kept: Tensor, changed: Tensor) -> Tensor:
        """Put the halves next to each other."""
        return torch.cat((changed, kept) if self.flip else (kept, changed), dim=1)

    def __repr__(self) -> str:
        return f"Halves({self.shape}, flip={self.flip})"


class Blocks(Split):
    """Alternating blocks of columns: the first, third, ... and the second, fourth, ... of them.

    Couplings whose blocks have the widths D / 2, 1, 2, 4, ... keep the columns' own axes, which
    rotations would mix, and yet bring each column together with every other one.

    Parameters
    ----------
    dim : int
        Columns D, at least 2.
    width : int
        Columns of a block, from 1 to D - 1.
    flip : bool, default=False
        False changes the second, fourth, ... blocks given the others; True does the reverse.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import Blocks
    >>> kept, changed = Blocks(5, width=2).parts(torch.arange(5.0)[None])
    >>> kept.tolist(), changed.tolist()
    ([[0.0, 1.0, 4.0]], [[2.0, 3.0]])
    """

    def __init__(self, dim: int, *, width: int, flip: bool = False) -> None:
        super().__init__()
        if not 1 <= width < dim:
            raise ValueError(f"blocks of {dim} columns have a width from 1 to {dim - 1}: {width}")
        self.dim, self.width, self.flip = dim, width, flip
        is_first = [(column // width) % 2 == 0 for column in range(dim)]
        kept = [column for column in range(dim) if is_first[column] != flip]
        changed = [column for column in range(dim) if is_first[column] == flip]
        self.n_kept, self.n_changed = len(kept), len(changed)
        order = kept + changed
        back = sorted(range(dim), key=order.__getitem__)
        # They are in no file: they have their values even where a model takes no memory ("meta").
        self.order: Tensor
        self.back: Tensor
        self.register_buffer("order", torch.tensor(order, device="cpu"), persistent=False)
        self.register_buffer("back", torch.tensor(back, device="cpu"), persistent=False)

    @property
    def changed(self) -> Tensor:
        """Positions of the changed columns, shape (n_changed,)."""
        return self.order[self.n_kept :]

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the kept and the changed columns."""
        check_shape(x, self.dim)
        kept, changed = torch.split(x[:, self.order], [self.n_kept, self.n_changed], dim=1)
        return kept, changed

    def merge(self, kept: Tensor, changed: Tensor) -> Tensor:
        """Put the columns back in their places."""
        return torch.cat((kept, changed), dim=1)[:, self.back]

    def __repr__(self) -> str:
        return f"Blocks({self.dim}, width={self.width}, flip={self.flip})"


class Checkerboard(Split):
    """The two colors of a checkerboard over the pixels of an image.

    The conditioner sees the whole image with the pixels that change set to 0.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width.
    flip : bool, default=False
        False keeps the color of the top left pixel; True changes it.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import Checkerboard
    >>> kept, changed = Checkerboard((1, 2, 2)).parts(torch.ones(1, 1, 2, 2))
    >>> kept.tolist()
    [[[[1.0, 0.0], [0.0, 1.0]]]]
    """

    def __init__(self, shape: tuple[int, int, int], *, flip: bool = False) -> None:
        super().__init__()
        channels, height, width = shape
        self.shape = shape
        self.flip = flip
        self.n_kept = self.n_changed = channels
        # It is in no file: it has its values even where a model is built without memory ("meta").
        row, column = (torch.arange(side, device="cpu") for side in (height, width))
        even = (row[:, None] + column) % 2 == 0
        self.changes: Tensor
        self.register_buffer("changes", even if flip else ~even, persistent=False)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image without the pixels that change, and the whole image."""
        check_shape(x, *self.shape)
        return x.masked_fill(self.changes, 0.0), x

    def merge(self, kept: Tensor, changed: Tensor) -> Tensor:
        """Take each pixel from the image of its color."""
        return changed.where(self.changes, kept)

    def total(self, log_derivative: Tensor) -> Tensor:
        """Add up the log-derivatives of the pixels that change."""
        return super().total(log_derivative.where(self.changes, 0.0))

    def __repr__(self) -> str:
        return f"Checkerboard({self.shape}, flip={self.flip})"
