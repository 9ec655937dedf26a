"""Presets of flows of vectors: those of the papers, and recommended ones.

An architecture is a tuple of layers (:mod:`flowssl.layers`). ``build_flow`` turns it into a chain
that starts as a given affine map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from flowssl.bijections import (
    Bijection,
    Chain,
    ContinuousFlow,
    Leading,
    LULinear,
    SpanReflection,
)
from flowssl.layers import Layer, couplings, interleave, linear_map, rotation, soft_tails

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "build_couplings",
    "build_flow",
    "build_span_flow",
    "choose_architecture",
    "choose_n_components",
]

ROWS_PER_COLUMN = 15
"""Rows per column that a nonlinear flow needs."""


@dataclass(frozen=True)
class Architecture:
    """The layers of a flow of vectors.

    Attributes
    ----------
    layers : tuple of Layer
        In the order in which data pass through them.
    stem : tuple of Layer, default=()
        Layers between the affine initialization and ``layers``, for rows of data; flows of
        class-conditional densities, which see latents, are built without them.
    n_components : int, default=1
        Default number of Gaussians per class. In the plane a class can have many clusters (the
        accuracy on eight Gaussians in three classes is 0.993 with 8 and 0.985 with 1); in tables
        4 increase the likelihood at the same accuracy.

    Examples
    --------
    >>> import torch
    >>> from flowssl.architectures import Architecture, build_flow
    >>> from flowssl.layers import couplings, soft_tails
    >>> architecture = Architecture(couplings(2, (64,)), stem=(soft_tails,))
    >>> build_flow(architecture, torch.eye(2), torch.zeros(2))
    Chain(
      (0): LULinear(dim=2)
      (1): SoftTails(dim=2, threshold=5.0)
      (2): Coupling(Halves((2,), flip=False), AffineMap(bound=3.0), MLP(1 -> 64 -> 2))
      (3): Coupling(Halves((2,), flip=True), AffineMap(bound=3.0), MLP(1 -> 64 -> 2))
    )
    """

    layers: tuple[Layer, ...]
    stem: tuple[Layer, ...] = ()
    n_components: int = 1


TAILS = (soft_tails,)

ARCHITECTURES: dict[str, Architecture] = {
    # FlowGMM, section 5.1: two-dimensional sets; 5 couplings, one hidden layer of 512.
    "paper-synthetic": Architecture(couplings(5, (512,))),
    # FlowGMM, appendix D: 7 couplings, one hidden layer of 256 (UCI tables) or 512 (text).
    "paper-uci": Architecture(couplings(7, (256,))),
    "paper-text": Architecture(couplings(7, (512,))),
    # Recommended: "plane" for up to 3 columns, "table" for up to 128, "embedding" beyond.
    "plane": Architecture(couplings(8, (64, 64)), TAILS, n_components=8),
    "table": Architecture(
        interleave(couplings(6, (128,), dropout=0.2), rotation, every=2), TAILS, n_components=4
    ),
    "embedding": Architecture(
        interleave(couplings(4, (256,), dropout=0.2), rotation, every=2), TAILS
    ),
    # Steps of Glow (Kingma and Dhariwal 2018), a linear map and a coupling, for vectors.
    "glow": Architecture(interleave(couplings(8, (64, 64)), linear_map), TAILS),
    # One continuous flow (Grathwohl et al. 2019), solved to 3e-3 in training and 1e-5 afterwards;
    # several times slower than couplings. It needs the extra flowssl[ode].
    "ffjord": Architecture((partial(ContinuousFlow, hidden_features=(64, 64)),), TAILS),
    # For the class-conditional densities of a semi-conditional flow, which evaluate it once for
    # each row and class.
    "small": Architecture(interleave(couplings(4, (64,)), linear_map)),
    # No couplings: class Gaussians under a learned full linear map, with soft tails.
    "affine": Architecture((), TAILS),
}
"""Presets by name; ``choose_architecture`` picks among the recommended ones."""


def choose_architecture(name: str, dim: int, n_rows: int) -> str:
    """Return the name of a preset; ``"auto"`` chooses by the numbers of columns and of rows.

    With fewer than 15 rows per column a nonlinear flow overfits, and "affine" is chosen.

    Parameters
    ----------
    name : str
        A key of ``ARCHITECTURES`` or ``"auto"``.
    dim : int
        Width D of a row.
    n_rows : int
        Distinct rows to train on.

    Raises
    ------
    ValueError
        If no preset has that name.

    Examples
    --------
    >>> from flowssl.architectures import choose_architecture
    >>> choose_architecture("auto", dim=20, n_rows=5000)
    'table'
    >>> choose_architecture("auto", dim=20, n_rows=200)
    'affine'
    """
    if name == "auto":
        if n_rows < ROWS_PER_COLUMN * dim:
            return "affine"
        return "plane" if dim <= 3 else "table" if dim <= 128 else "embedding"
    if name not in ARCHITECTURES:
        known = ", ".join(["auto", *ARCHITECTURES])
        raise ValueError(f"architecture must be one of {known}; got {name!r}")
    return name


def choose_n_components(name: str, dim: int, n_rows: int) -> int:
    """Return the number of Gaussians per class: that of the preset, or 1 for few rows.

    As for couplings, 15 rows per column are required for each Gaussian: the accuracy on digits,
    which have 19 rows per column, is 0.003 lower with four.

    Parameters
    ----------
    name : str
        A key of ``ARCHITECTURES``.
    dim : int
        Width D of a row.
    n_rows : int
        Distinct rows to train on.

    Examples
    --------
    >>> from flowssl.architectures import choose_n_components
    >>> choose_n_components("table", dim=10, n_rows=5000)
    4
    >>> choose_n_components("table", dim=10, n_rows=500)
    1
    """
    n_components = ARCHITECTURES[name].n_components
    return n_components if n_rows >= ROWS_PER_COLUMN * dim * n_components else 1


def build_flow(
    architecture: Architecture,
    weight: Tensor,
    bias: Tensor,
    *,
    generator: torch.Generator | None = None,
) -> Chain:
    """Build the flow that starts as ``x -> W x + b`` followed by rotations.

    Parameters
    ----------
    architecture : Architecture
        Its layers.
    weight : Tensor of shape (D, D)
        Initial linear map, usually a whitening; invertible.
    bias : Tensor of shape (D,)
        Initial shift.
    generator : torch.Generator, optional
        Source of rotations and initial weights.

    Returns
    -------
    Chain
        In the default dtype; every coupling starts as the identity.

    Examples
    --------
    >>> import torch
    >>> from flowssl.architectures import ARCHITECTURES, build_flow
    >>> build_flow(ARCHITECTURES["affine"], 2 * torch.eye(3), torch.zeros(3))
    Chain(
      (0): LULinear(dim=3)
      (1): SoftTails(dim=3, threshold=5.0)
    )
    """
    dim = weight.shape[0]
    layers = architecture.stem + architecture.layers
    return Chain(LULinear(weight, bias), *_built(layers, dim, 0, generator))


def build_span_flow(
    architecture: Architecture,
    reflection: SpanReflection,
    weight: Tensor,
    *,
    generator: torch.Generator | None = None,
) -> Chain:
    """Build the flow of fewer rows than columns; it acts on their coordinates within their span.

    Parameters
    ----------
    architecture : Architecture
        Its layers, which are built for r columns.
    reflection : SpanReflection
        The map after which the first r columns are the coordinates. All other columns stay as they
        are then: no training row says anything about them.
    weight : Tensor of shape (r, r)
        Initial linear map of the coordinates; invertible.
    generator : torch.Generator, optional
        Source of rotations and initial weights.

    Examples
    --------
    >>> import torch
    >>> from flowssl.architectures import ARCHITECTURES, build_span_flow
    >>> from flowssl.bijections import SpanReflection
    >>> directions, _ = torch.linalg.qr(torch.rand(5, 2))
    >>> reflection = SpanReflection.of_span(directions, torch.zeros(5), 1.0)
    >>> build_span_flow(ARCHITECTURES["affine"], reflection, torch.eye(2))
    Chain(
      (0): SpanReflection(dim=5, width=2)
      (1): Leading(
        width=2, dim=5
        (inner): Chain(
          (0): LULinear(dim=2)
          (1): SoftTails(dim=2, threshold=5.0)
        )
      )
    )
    """
    inner = build_flow(architecture, weight, torch.zeros(len(weight)), generator=generator)
    return Chain(reflection, Leading(inner, reflection.width, reflection.dim))


def build_couplings(
    architecture: Architecture,
    dim: int,
    *,
    context_features: int = 0,
    generator: torch.Generator | None = None,
) -> Chain:
    """Build the layers of an architecture without its stem, around the identity.

    Parameters
    ----------
    architecture : Architecture
        The layers.
    dim : int
        Width D of a row.
    context_features : int, default=0
        Width K of the context that the network of every coupling sees.
    generator : torch.Generator, optional
        Source of rotations and initial weights.

    Returns
    -------
    Chain
        In the default dtype; every coupling starts as the identity.

    Examples
    --------
    >>> import torch
    >>> from flowssl.architectures import Architecture, build_couplings
    >>> from flowssl.layers import couplings
    >>> flow = build_couplings(Architecture(couplings(2, (8,))), 3, context_features=2)
    >>> z, log_det = flow(torch.ones(5, 3), torch.ones(5, 2))
    >>> z.shape
    torch.Size([5, 3])
    """
    return Chain(*_built(architecture.layers, dim, context_features, generator))


def _built(
    layers: tuple[Layer, ...],
    dim: int,
    context_features: int,
    generator: torch.Generator | None,
) -> list[Bijection]:
    return [layer(dim, context_features=context_features, generator=generator) for layer in layers]
