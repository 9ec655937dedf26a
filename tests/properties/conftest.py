"""The registry of this folder: every bijection and every preset, built with random parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from flowssl.architectures import ARCHITECTURES, build_flow
from flowssl.bijections import (
    MLP,
    ActNorm,
    AffineMap,
    Bijection,
    Blocks,
    Chain,
    ComposedMap,
    ContinuousFlow,
    Coupling,
    Halves,
    Leading,
    LULinear,
    MixtureMap,
    MonotonicSpline,
    Rotation,
    SoftTails,
    SpanReflection,
    SplineMap,
    vector_coupling,
)
from flowssl.densities import ClassPrior, GaussianClasses
from flowssl.models import JointModel

CONTEXT = 2
M = TypeVar("M", bound=nn.Module)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def shaken(module: M, generator: torch.Generator, by: float) -> M:
    """Move every parameter away from its initial value, at which faults may not show."""
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = parameter.shape[-1] if parameter.ndim > 1 else 1
            noise = randn(*parameter.shape, generator=generator)
            parameter.add_(by * noise / max(fan_in, 1) ** 0.5)
    return module


def skewed_rows(kind: str, n: int, dim: int, generator: torch.Generator) -> Tensor:
    """Draw rows of columns as tables have them, in units far from 1."""
    normal = randn(n, dim, generator=generator)
    if kind == "plain":
        return 1000.0 + 7.0 * normal
    if kind == "heavy":  # Student's t with 1.5 degrees of freedom or so: rows at 1,000 sigmas
        uniform = torch.rand(n, dim, generator=generator, dtype=torch.float64)
        return normal / uniform.clamp_min(1e-6) ** (1 / 1.5)
    atom = torch.rand(n, dim, generator=generator) < 0.6
    return torch.where(atom, 0.0, (1.5 * normal).exp())


def spline(kind: str, dim: int, generator: torch.Generator) -> MonotonicSpline:
    return MonotonicSpline.fit(skewed_rows(kind, 500, dim, generator))


def fit_whitening(dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    weight = torch.eye(dim) + 0.3 * randn(dim, dim, generator=generator) / dim**0.5
    return weight, randn(dim, generator=generator)


def span_reflection(dim: int, generator: torch.Generator) -> SpanReflection:
    directions, _ = torch.linalg.qr(randn(dim, (dim + 1) // 2, generator=generator))
    return SpanReflection.of_span(directions, randn(dim, generator=generator), 0.7)


def leading(dim: int, generator: torch.Generator) -> Leading:
    width = (dim + 1) // 2
    return Leading(LULinear(*fit_whitening(width, generator)), width, dim)


def preset(name: str, dim: int, generator: torch.Generator) -> Chain:
    return build_flow(ARCHITECTURES[name], *fit_whitening(dim, generator), generator=generator)


def mixture(dim: int, generator: torch.Generator) -> MixtureMap:
    """Three Gaussians, of which two overlap."""
    means = 0.1 * randn(3, dim, generator=generator)  # errors grow where shares change fast
    lower = randn(3, dim, dim, generator=generator).tril(-1) / (3 * dim)  # well-conditioned
    scale = 1 + 0.05 * torch.rand(3, dim, generator=generator, dtype=torch.float64)
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    return MixtureMap(weights.log(), means, lower + torch.diag_embed(scale))


def blocks(dim: int, generator: torch.Generator, *, width: int, flip: bool) -> Bijection:
    """A coupling of blocks of columns, by a spline and an affine map; of one column, of halves."""
    split = Blocks(dim, width=width, flip=flip) if dim > width else Halves((dim,))
    scalar_map = ComposedMap(SplineMap(4, 2.0), AffineMap())
    n_out = scalar_map.n_parameters * split.n_changed
    return Coupling(split, scalar_map, MLP(split.n_kept, n_out, (8,), generator=generator))


def is_exact(name: str) -> bool:
    """Continuous flows hold to the tolerance of their solver only and have tests of their own."""
    return not any(isinstance(layer, ContinuousFlow) for layer in preset(name, 1, seeded(0)))


def has_linear_maps(name: str) -> bool:
    return sum(isinstance(layer, LULinear) for layer in preset(name, 1, seeded(0))) > 1


EXACT = [name for name in ARCHITECTURES if is_exact(name)]


@dataclass(frozen=True)
class Case:
    """A kind of bijection and the rows on which to try it."""

    name: str
    start: Callable[[int, torch.Generator], Bijection]
    rows_kind: str | None = None
    context_features: int = 0
    shake: float = 0.2

    def build(
        self, dim: int, seed: int, device: torch.device, shake: float | None = None
    ) -> Bijection:
        generator = seeded(seed)
        by = self.shake if shake is None else shake
        bijection = shaken(self.start(dim, generator).double(), generator, by)
        return bijection.eval().to(device)

    def rows(self, n: int, dim: int, seed: int, device: torch.device) -> Tensor:
        generator = seeded(seed + 1)
        if self.rows_kind is None:
            return randn(n, dim, generator=generator).to(device)
        return skewed_rows(self.rows_kind, n, dim, generator).to(device)

    def context(self, n: int, seed: int, device: torch.device) -> Tensor | None:
        if not self.context_features:
            return None
        return randn(n, self.context_features, generator=seeded(seed + 2)).to(device)


CASES = [
    Case("actnorm", lambda dim, _: ActNorm(dim)),
    Case("lu", lambda dim, g: LULinear(*fit_whitening(dim, g))),
    Case("rotation", lambda dim, g: Rotation(dim, generator=g)),
    Case("span-reflection", span_reflection),
    Case("leading", leading),
    Case("soft-tails", lambda dim, _: SoftTails(dim, threshold=0.5)),
    Case("coupling", lambda dim, g: vector_coupling(dim, generator=g)),
    Case("flipped", lambda dim, g: vector_coupling(dim, flip=True, generator=g)),
    Case(
        "context",
        lambda dim, g: vector_coupling(dim, context_features=CONTEXT, generator=g),
        context_features=CONTEXT,
    ),
    Case(
        "spline-coupling",
        lambda dim, g: vector_coupling(dim, scalar_map=SplineMap(), generator=g),
    ),
    Case(
        "spline-coupling-context",
        lambda dim, g: vector_coupling(
            dim, flip=True, scalar_map=SplineMap(4), context_features=CONTEXT, generator=g
        ),
        context_features=CONTEXT,
    ),
    Case("mixture", lambda dim, g: mixture(dim, g), shake=0.0),
    *(
        Case(f"blocks-{width}-{flip}", functools.partial(blocks, width=width, flip=flip))
        for width in (1, 2)
        for flip in (False, True)
    ),
    Case(
        "chain",
        lambda dim, g: Chain(
            ActNorm(dim),
            vector_coupling(dim, context_features=CONTEXT, generator=g),
            Rotation(dim, generator=g),
            vector_coupling(
                dim, flip=True, hidden_features=(8, 8), context_features=CONTEXT, generator=g
            ),
        ),
        context_features=CONTEXT,
    ),
    Case("empty-chain", lambda dim, _: Chain()),
    *(
        Case(f"spline-{kind}", lambda dim, g, kind=kind: spline(kind, dim, g), rows_kind=kind)
        for kind in ("plain", "heavy", "atoms")
    ),
    Case(
        "spline-then-preset",
        lambda dim, g: Chain(spline("heavy", dim, g), *preset("table", dim, g)),
        rows_kind="heavy",
    ),
    *(
        Case(
            f"preset-{name}",
            lambda dim, g, name=name: preset(name, dim, g),
            # Eight linear maps far from the identity would take 64 numbers to 1e29 and lose them
            # in rounding.
            shake=0.1 if has_linear_maps(name) else 0.2,
        )
        for name in EXACT
    ),
]


@pytest.fixture(scope="session", params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    """One of the bijections and presets."""
    return request.param


def joint_model(
    name: str,
    dim: int,
    seed: int,
    device: torch.device,
    *,
    covariance: str = "diag",
    table: str | None = None,
    shake: float = 0.1,
) -> JointModel:
    """Build a shaken model of 3 classes with 2 Gaussians each, in float64.

    With ``table``, the map of the columns of that kind of table comes before the flow.
    """
    generator = seeded(seed)
    flow = shaken(preset(name, dim, generator).double(), generator, shake)
    classes = GaussianClasses(
        randn(3, 2, dim, generator=generator),
        ClassPrior(torch.tensor([0.2, 0.3, 0.5])),
        covariance=covariance,
    )
    classes = shaken(classes.double(), generator, 0.3)
    if table is not None:
        flow = Chain(spline(table, dim, generator), *flow)
    return JointModel(flow, classes).eval().to(device)


BuildModel = Callable[..., JointModel]


@pytest.fixture(scope="session")
def build_joint_model() -> BuildModel:
    """Build a random model: ``build_joint_model(preset, dim, seed, device, ...)``."""
    return joint_model


@pytest.fixture(scope="session", params=EXACT)
def build_model(request: pytest.FixtureRequest) -> BuildModel:
    """Build a random model with one of the presets: ``build_model(dim, seed, device, ...)``."""
    return functools.partial(joint_model, request.param)
