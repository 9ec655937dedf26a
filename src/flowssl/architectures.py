"""Named flows: the papers' own vector presets and a recommended default.

A preset says how many couplings there are, how wide their networks, and whether fixed rotations
mix the columns between them. ``build_flow`` turns it into a chain that starts as a given affine map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flowssl.bijections import (
    AffineCoupling,
    Bijection,
    Chain,
    ContinuousFlow,
    LULinear,
    Rotation,
    SoftTails,
)

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "build_couplings",
    "build_flow",
    "choose_architecture",
    "choose_n_components",
]

TAIL_THRESHOLD = 5.0
ROWS_PER_COLUMN = 15


@dataclass(frozen=True)
class Architecture:
    """The shape of a vector flow.

    Attributes
    ----------
    n_couplings : int
        Affine couplings; neighbors change opposite parts of the row.
    hidden_features : tuple of int
        Hidden widths of each coupling's network.
    dropout : float
        Dropout inside the networks while training.
    rotations : bool
        Whether a fixed random rotation stands before every second coupling but the first, so that
        columns do not stay in the same half. The papers' flows have none.
    linear_maps : bool
        Whether a learned full linear map stands before every coupling but the first, as in Glow
        (Kingma and Dhariwal 2018), and starts as the identity.
    continuous : bool
        Whether each coupling is a continuous flow (FFJORD, Grathwohl et al. 2019) instead, whose
        velocity has these hidden widths; needs the extra ``flowssl[ode]``.
    soft_tails : bool
        Whether the tails are compressed after the first linear map, beyond 5 standard deviations
        of the affine start: a row unlike all others then reaches the networks as a number of usual
        size. The papers' flows do not.
    n_components : int
        Gaussians in a class that go with it where nothing else is asked for. In the plane a class
        may be many lumps (eight Gaussians in three classes: .993 with 8, .985 with 1); in tables
        4 gain likelihood and cost no accuracy.
    """

    n_couplings: int
    hidden_features: tuple[int, ...]
    dropout: float = 0.0
    rotations: bool = False
    linear_maps: bool = False
    continuous: bool = False
    soft_tails: bool = False
    n_components: int = 1


ARCHITECTURES: dict[str, Architecture] = {
    # FlowGMM, section 5.1: two-dimensional sets; 5 couplings, one hidden layer of 512.
    "paper-synthetic": Architecture(5, (512,)),
    # FlowGMM, appendix D: 7 couplings, one hidden layer of 256 (UCI tables) or 512 (text).
    "paper-uci": Architecture(7, (256,)),
    "paper-text": Architecture(7, (512,)),
    # Recommended: "plane" for up to 3 columns, "table" for up to 128, "embedding" beyond.
    "plane": Architecture(8, (64, 64), soft_tails=True, n_components=8),
    "table": Architecture(6, (128,), dropout=0.2, rotations=True, soft_tails=True, n_components=4),
    "embedding": Architecture(4, (256,), dropout=0.2, rotations=True, soft_tails=True),
    # Glow's step, a linear map and a coupling, for rows of numbers.
    "glow": Architecture(8, (64, 64), linear_maps=True, soft_tails=True),
    # One continuous flow (FFJORD), solved to 3e-3 in training and 1e-5 afterwards; several times
    # slower than couplings.
    "ffjord": Architecture(1, (64, 64), continuous=True, soft_tails=True),
    # The class part of a semi-conditional flow: it sees every row once for each class.
    "small": Architecture(4, (64,), linear_maps=True),
    # No couplings: class Gaussians under a learned full linear map, with soft tails.
    "affine": Architecture(0, (), soft_tails=True),
}
"""Presets by name; ``choose_architecture`` picks among the recommended ones."""


def choose_architecture(name: str, dim: int, n_rows: int) -> str:
    """Return the name of a preset; ``"auto"`` chooses by the numbers of columns and of rows.

    With fewer than 15 rows for each column a nonlinear flow fits the rows rather than what they
    come from, and "affine" is chosen.

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
    """Return how many Gaussians a class has under a preset: its own number, or 1 for few rows.

    As for couplings, 15 rows for each column of each Gaussian are asked for: digits, 19 rows a
    column, lose .003 of accuracy with four.

    Parameters
    ----------
    name : str
        A key of ``ARCHITECTURES``.
    dim : int
        Width D of a row.
    n_rows : int
        Distinct rows to train on.
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
        Its shape.
    weight : Tensor of shape (D, D)
        Linear map to start from, usually a whitening; invertible.
    bias : Tensor of shape (D,)
        Shift to start from.
    generator : torch.Generator, optional
        Source of rotations and initial weights.

    Returns
    -------
    Chain
        In the default dtype; every coupling starts as the identity.
    """
    dim = weight.shape[0]
    layers: list[Bijection] = [LULinear(weight, bias)]
    if architecture.soft_tails:
        layers.append(SoftTails(dim, threshold=TAIL_THRESHOLD))
    return Chain(*layers, *build_couplings(architecture, dim, generator=generator))


def build_couplings(
    architecture: Architecture,
    dim: int,
    *,
    context_features: int = 0,
    generator: torch.Generator | None = None,
) -> Chain:
    """Build the couplings of a preset and what stands between them.

    Parameters
    ----------
    architecture : Architecture
        Their shape.
    dim : int
        Width D of a row.
    context_features : int, default=0
        Width K of the context that every coupling's network sees.
    generator : torch.Generator, optional
        Source of rotations and initial weights.

    Returns
    -------
    Chain
        In the default dtype; every coupling starts as the identity.
    """
    layers: list[Bijection] = []
    for i in range(architecture.n_couplings):
        if architecture.rotations and i and i % 2 == 0:
            layers.append(Rotation(dim, generator=generator))
        if architecture.linear_maps and i:
            layers.append(LULinear(torch.eye(dim)))
        if architecture.continuous:
            coupling: Bijection = ContinuousFlow(
                dim,
                hidden_features=architecture.hidden_features,
                context_features=context_features,
                generator=generator,
            )
        else:
            coupling = AffineCoupling(
                dim,
                flip=i % 2 == 1,
                hidden_features=architecture.hidden_features,
                dropout=architecture.dropout,
                context_features=context_features,
                generator=generator,
            )
        layers.append(coupling)
    return Chain(*layers)
