"""The density of a row's numbers, given its categories: couplings of splines along the columns.

A number may be absent: a column with atoms has no number in the rows that are at one. Couplings leave
absent numbers at 0 and count nothing for them, so that the density is that of the numbers there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowssl.bijections import (
    MLP,
    AffineMap,
    Blocks,
    Chain,
    ComposedMap,
    Coupling,
    Halves,
    SplineMap,
)
from flowssl.densities import ClassPrior, GaussianClasses
from flowssl.models import JointModel

HIDDEN = (128, 128)
DROPOUT = 0.1
SCALAR_MAP = ComposedMap(SplineMap(n_bins=8, bound=4.0), AffineMap())
"""A spline gives a column's shape, an affine map what is beyond its interval."""

N_COUPLINGS = 6
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class NumberDensity(JointModel):
    """``p(numbers | context)`` of standardized rows, as a model of one class.

    Rows are the numbers, then, of tables with atoms, 1 for each number that is there and 0 for each
    that is absent, then the context.

    Parameters
    ----------
    n_numbers : int
        Numbers d of a row.
    context_features : int
        Width K of the context.
    has_absent : bool
        Whether numbers may be absent.
    is_flow : bool, default=True
        Whether there are couplings; without, the density is N(0, I).
    generator : torch.Generator, optional
        Source of the initial weights.
    """

    def __init__(
        self,
        n_numbers: int,
        context_features: int,
        *,
        has_absent: bool,
        is_flow: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        prior = ClassPrior(torch.ones(1, dtype=torch.float32))
        center = torch.zeros(1, n_numbers, dtype=torch.float32)
        base = GaussianClasses(center, prior, learn_means=False, learn_covariance=False)
        width = context_features + (n_numbers if has_absent else 0)
        flow = _couplings(n_numbers, width, has_absent, generator) if is_flow else Chain()
        super().__init__(flow, base)
        self.n_numbers = n_numbers
        self.has_absent = has_absent
        self.has_couplings = is_flow

    def forward(self, x: Tensor) -> Tensor:
        """Return ``log p(numbers | context)``, shape (n, 1), nats."""
        numbers, context = self._parts(x)
        z, log_det = self.flow(numbers, context)
        log_prob: Tensor = self.class_density(z) + log_det[:, None]
        if self.has_absent:
            n_absent = self.n_numbers - x[:, self.n_numbers : 2 * self.n_numbers].sum(1)
            log_prob = log_prob + HALF_LOG_2PI * n_absent[:, None]
        return log_prob

    def restore(self, z: Tensor, context: Tensor) -> Tensor:
        """Return the numbers (n, d) of latents (n, d), given all that follows them in a row."""
        rows = torch.cat((z, context), dim=1)
        return self.flow.inverse(*self._parts(rows))

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        numbers, context = x[:, : self.n_numbers], x[:, self.n_numbers :]
        if self.has_absent:
            numbers = numbers * context[:, : self.n_numbers]
        return numbers, context if context.shape[1] and self.has_couplings else None


class _PresentMLP(MLP):
    """A network that gives absent numbers the parameters 0, with which a scalar map is the identity.

    The context begins with 1 for each number that is there and 0 for each that is not.
    """

    def __init__(
        self,
        split: Blocks | Halves,
        context_features: int,
        n_parameters: int,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__(
            split.n_kept,
            n_parameters * split.n_changed,
            HIDDEN,
            dropout=DROPOUT,
            context_features=context_features,
            generator=generator,
        )
        order = split.changed if isinstance(split, Blocks) else torch.arange(1, device="cpu")
        self.changed: Tensor
        self.register_buffer("changed", order, persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the parameters (n, P * changed) of the changed numbers."""
        out = super().forward(x, context)
        if context is None:  # refused by the coupling
            return out
        out = torch.unflatten(out, 1, (-1, len(self.changed)))
        return torch.flatten(out * context[:, None, self.changed], 1)


def _couplings(
    dim: int, context_features: int, has_absent: bool, generator: torch.Generator | None
) -> Chain:
    """Build couplings along the columns: of halves, of single columns, of pairs."""
    n_parameters = SCALAR_MAP.n_parameters
    couplings = []
    for i in range(N_COUPLINGS):
        width = ((dim + 1) // 2, 1, 2)[i // 2 % 3]
        split: Blocks | Halves = Halves((1,))
        if dim > 1:
            split = Blocks(dim, width=min(width, dim - 1), flip=i % 2 == 1)
        if has_absent:
            network: MLP = _PresentMLP(split, context_features, n_parameters, generator)
        else:
            network = MLP(
                split.n_kept,
                n_parameters * split.n_changed,
                HIDDEN,
                dropout=DROPOUT,
                context_features=context_features,
                generator=generator,
            )
        couplings.append(Coupling(split, SCALAR_MAP, network))
    return Chain(*couplings)
