"""What must hold of every joint model: a density, of a row, in the user's own units."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from flowssl.bijections import MonotonicSpline
from flowssl.densities import COVARIANCES


def sinh_axis(n: int, *, reach: float = 15.0) -> tuple[Tensor, Tensor]:
    """Return points of the user's axis and their trapezoid weights.

    The points lie at ``sinh(u) / 20`` for equally spaced u: dense in the bulk, out to 80,000 on
    either side, so that kinks and long straight tails are both met.
    """
    u = torch.linspace(-reach, reach, n, dtype=torch.float64)
    x = 0.05 * u.sinh()
    gaps = x.diff()
    weights = torch.cat((gaps[:1], gaps[1:] + gaps[:-1], gaps[-1:])) / 2
    return x, weights


def integral(model, points: Tensor, weights: Tensor, device) -> Tensor:
    """Integrate p(x, y=k) over a grid of points (n, D), for each class."""
    with torch.no_grad():
        parts = [
            weight @ model.log_joint(x.to(device)).exp().cpu()
            for x, weight in zip(points.split(20_000), weights.split(20_000), strict=True)
        ]
    return torch.stack(parts).sum(0)


@pytest.mark.parametrize("table", ["heavy", "atoms"])
@pytest.mark.parametrize("seed", [0, 1])
def test_density_of_one_column_integrates_to_one(build_model, device, table, seed):
    model = build_model(1, seed, device, table=table)
    x, weights = sinh_axis(8_001)
    mass = integral(model, x[:, None], weights, device)
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-3)
    assert mass.tolist() == pytest.approx(model.class_density.log_prior().exp().tolist(), abs=1e-3)


def nodes_along(spline: MonotonicSpline, column: int) -> tuple[Tensor, Tensor]:
    """Return Gauss-Legendre nodes and weights on the user's axis between the kinks of a column.

    The map has kinks at the knots and tails beyond them, which are followed for 900 deviations.
    """
    knots, slopes = spline.x_knots[column].cpu(), spline.slopes[column].cpu()
    steps = torch.linspace(0.0, 7.5, 13, dtype=torch.float64)[1:].sinh()
    edges = torch.cat((knots, (knots[1:] + knots[:-1]) / 2)).sort().values
    edges = torch.cat((edges[0] - steps.flip(0) / slopes[0], edges, edges[-1] + steps / slopes[-1]))
    unit, weight = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(5))
    middle, half = (edges[1:] + edges[:-1]) / 2, edges.diff() / 2
    return (middle[:, None] + half[:, None] * unit).ravel(), (half[:, None] * weight).ravel()


@pytest.mark.parametrize(
    ("preset", "table", "seed"),
    [
        ("affine", "heavy", 0),
        ("affine", "atoms", 1),
        ("plane", "heavy", 0),
        ("plane", "atoms", 1),
        ("table", "atoms", 0),
    ],
)
def test_density_of_two_columns_integrates_to_one(build_joint_model, device, preset, table, seed):
    model = build_joint_model(preset, 2, seed, device, table=table, covariance="tied")
    (x, of_x), (y, of_y) = (nodes_along(model.flow[0], column) for column in range(2))
    mass = integral(model, torch.cartesian_prod(x, y), of_x.outer(of_y).ravel(), device)
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-3)


def test_density_is_right_in_units_far_from_one(build_model, device):
    """A column around 1,000 with standard deviation 7."""
    model = build_model(1, 0, device, table="plain")
    x = torch.linspace(600, 1400, 4_001, dtype=torch.float64)
    weights = torch.full_like(x, (x[1] - x[0]).item())
    assert integral(model, x[:, None], weights, device).sum().item() == pytest.approx(1, abs=1e-3)


@settings(max_examples=5)
@given(dim=st.integers(1, 7), seed=st.integers(0, 2**16), kind=st.sampled_from(list(COVARIANCES)))
def test_density_of_a_row_does_not_depend_on_its_batch(build_model, device, dim, seed, kind):
    model = build_model(dim, seed, device, covariance=kind)
    x = torch.randn(17, dim, generator=torch.Generator().manual_seed(seed)).double().to(device)
    with torch.no_grad():
        together = model.log_joint(x)
        alone = torch.cat([model.log_joint(row[None]) for row in x])
    torch.testing.assert_close(alone, together, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", list(COVARIANCES))
def test_everything_follows_from_log_joint(build_model, device, kind):
    model = build_model(3, 0, device, covariance=kind)
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double().to(device)
    with torch.no_grad():
        joint = model(x).exp()
        torch.testing.assert_close(model.log_prob(x).exp(), joint.sum(1))
        torch.testing.assert_close(model.posterior(x), joint / joint.sum(1, keepdim=True))
        z, log_det = model.flow(x)
        torch.testing.assert_close(model.latent(x), z)
        torch.testing.assert_close(joint.log(), model.class_density.log_joint(z) + log_det[:, None])


@pytest.mark.parametrize("kind", list(COVARIANCES))
def test_empty_batch(build_model, device, kind):
    model = build_model(3, 0, device, covariance=kind)
    x = torch.zeros(0, 3, dtype=torch.float64, device=device)
    assert model.log_joint(x).shape == (0, 3)
    assert model.log_prob(x).shape == (0,)
    assert model.posterior(x).shape == (0, 3)
    assert model.latent(x).shape == (0, 3)
    assert model.sample(torch.zeros(0, dtype=torch.int64, device=device)).shape == (0, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", list(COVARIANCES))
def test_gradients_of_far_outliers_are_finite(build_model, device, dtype, kind):
    dim = 5
    model = build_model(dim, 0, device, covariance=kind, shake=0.3).to(dtype)
    x = torch.zeros(4, dim, dtype=dtype, device=device)
    x[0], x[1], x[2, 0], x[3, -1] = 1e6, -1e6, 1e6, -1e6
    x.requires_grad_()

    log_joint = model.log_joint(x)
    (log_joint.logsumexp(1) + log_joint.log_softmax(1)[:, 0]).sum().backward()

    assert log_joint.isfinite().all()
    assert x.grad.isfinite().all()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name


def test_samples_have_the_density_of_the_model(build_model, device):
    """Mean and variance of samples of a class are those of its density on a grid."""
    model = build_model(1, 4, device)
    x, weights = sinh_axis(2_001, reach=8.0)
    with torch.no_grad():
        joint = model.log_joint(x[:, None].to(device)).cpu()
        y = torch.full((5_000,), 1, device=device)
        generator = torch.Generator(device=device).manual_seed(0)
        drawn = model.sample(y, generator=generator)
        conditional = joint[:, 1] - model.class_density.log_prior()[1].cpu()
        mean = (weights * conditional.exp() * x).sum().item()
        variance = (weights * conditional.exp() * (x - mean).square()).sum().item()
    error = (variance / len(y)) ** 0.5
    assert drawn.mean().item() == pytest.approx(mean, abs=5 * error)
    assert drawn.var().item() == pytest.approx(variance, rel=0.1)
