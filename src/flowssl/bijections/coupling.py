"""Coupling layers: the expressive part of a flow.

One part of a row passes through unchanged and decides how the other part is changed (Dinh et al.
2017; Izmailov et al. 2020, section 5 and appendix D). Which part, by which map and by which network
are three independent choices.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from flowssl.bijections.base import Bijection, check_context
from flowssl.bijections.convolutional import ConvResNet
from flowssl.bijections.networks import MLP, Conditioner, matrices
from flowssl.bijections.scalar_maps import AFFINE, ScalarMap
from flowssl.bijections.splits import Halves, Split


class Coupling(Bijection):
    """``z_b = h(x_b; w(x_a, context))``, ``z_a = x_a``: split, scalar map h and conditioner w.

    Parameters
    ----------
    split : Split
        Which part of a row or an image is kept, a, and which is changed, b.
    scalar_map : ScalarMap
        How each number of the changed part is mapped.
    conditioner : Conditioner
        The network that chooses the parameters of the scalar map. A coupling with a conditioner
        that takes a context requires one, and any other coupling refuses it.

    Raises
    ------
    ValueError
        If the conditioner does not take the kept part or does not give the parameters needed.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import MLP, AffineMap, Coupling, Halves
    >>> coupling = Coupling(Halves((5,)), AffineMap(), MLP(2, 6))
    >>> coupling
    Coupling(Halves((5,), flip=False), AffineMap(bound=3.0), MLP(2 -> 128 -> 6))
    >>> z, log_det = coupling(torch.ones(1, 5))  # the last layer of a new network is zero
    >>> z.tolist(), log_det.tolist()
    ([[1.0, 1.0, 1.0, 1.0, 1.0]], [0.0])
    """

    def __init__(self, split: Split, scalar_map: ScalarMap, conditioner: Conditioner) -> None:
        super().__init__()
        needed = (split.n_kept, scalar_map.n_parameters * split.n_changed)
        found = (conditioner.in_features, conditioner.out_features)
        if needed != found:
            raise ValueError(
                f"{split!r} with {scalar_map!r} needs a conditioner with {needed[0]} inputs and "
                f"{needed[1]} outputs, got one with {found[0]} and {found[1]}"
            )
        self.split = split
        self.scalar_map = scalar_map
        self.conditioner = conditioner

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Change one part of each row."""
        kept, changed = self.split.parts(x)
        changed, log_derivative = self.scalar_map.forward(changed, self._condition(kept, context))
        return self.split.merge(kept, changed), self.split.total(log_derivative)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Change it back; the parameters depend on the kept part only."""
        kept, changed = self.split.parts(z)
        changed = self.scalar_map.inverse(changed, self._condition(kept, context))
        return self.split.merge(kept, changed)

    def decayed_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the matrices of the conditioner."""
        return matrices(self.conditioner)

    def _condition(self, kept: Tensor, context: Tensor | None) -> Tensor:
        """Return the parameters of the changed part, shape (n, P, ...)."""
        check_context(context, len(kept), self.conditioner.context_features)
        sizes = (self.scalar_map.n_parameters, self.split.n_changed)
        return torch.unflatten(self.conditioner(kept, context).to(kept.dtype), 1, sizes)

    def __repr__(self) -> str:
        return f"Coupling({self.split!r}, {self.scalar_map!r}, {self.conditioner!r})"


def vector_coupling(
    dim: int,
    *,
    flip: bool = False,
    scalar_map: ScalarMap = AFFINE,
    hidden_features: tuple[int, ...] = (128,),
    dropout: float = 0.0,
    context_features: int = 0,
    generator: torch.Generator | None = None,
) -> Coupling:
    """Build a coupling of rows: halves of the columns and a fully connected network.

    Parameters
    ----------
    dim : int
        Width D of a row. With ``dim=1`` nothing is left to condition on, and the layer is one
        learned (or context-dependent) scalar map.
    flip : bool, default=False
        See :class:`Halves`.
    scalar_map : ScalarMap, default=AffineMap()
        How each number of the changed half is mapped.
    hidden_features, dropout, context_features, generator
        See :class:`MLP`.

    Returns
    -------
    Coupling
        It starts as the identity.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import SplineMap, vector_coupling
    >>> vector_coupling(4, scalar_map=SplineMap(n_bins=5), hidden_features=(32, 32))
    Coupling(Halves((4,), flip=False), SplineMap(n_bins=5, bound=3.0), MLP(2 -> 32 -> 32 -> 28))
    """
    split = Halves((dim,), flip=flip)
    conditioner = MLP(
        split.n_kept,
        scalar_map.n_parameters * split.n_changed,
        hidden_features,
        dropout=dropout,
        context_features=context_features,
        generator=generator,
    )
    return Coupling(split, scalar_map, conditioner)


def image_coupling(
    split: Split,
    *,
    width: int,
    n_blocks: int,
    scalar_map: ScalarMap = AFFINE,
    recompute: bool = False,
    context_features: int = 0,
    generator: torch.Generator | None = None,
) -> Coupling:
    """Build a coupling of images: any split and a convolutional network.

    Parameters
    ----------
    split : Split
        :class:`Halves` of the channels or a :class:`Checkerboard`.
    scalar_map : ScalarMap, default=AffineMap()
        How each number of the changed part is mapped.
    width, n_blocks, recompute, context_features, generator
        See :class:`ConvResNet`.

    Returns
    -------
    Coupling
        It starts as the identity.

    Raises
    ------
    ValueError
        If the split keeps no channel: half of one channel is none.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import Checkerboard, image_coupling
    >>> coupling = image_coupling(Checkerboard((1, 4, 4)), width=8, n_blocks=1)
    >>> z, log_det = coupling(torch.rand(2, 1, 4, 4))
    >>> z.shape, log_det.tolist()
    (torch.Size([2, 1, 4, 4]), [0.0, 0.0])
    """
    if split.n_kept == 0:
        raise ValueError(
            "a coupling of halves of the channels needs at least 2 of them, got 1; squeeze first"
        )
    conditioner = ConvResNet(
        split.n_kept,
        scalar_map.n_parameters * split.n_changed,
        width,
        n_blocks,
        recompute=recompute,
        context_features=context_features,
        generator=generator,
    )
    return Coupling(split, scalar_map, conditioner)
