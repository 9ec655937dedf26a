"""Scalar maps of couplings: knots, slopes, tails and bounds."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from flowssl.bijections import AffineMap, ComposedMap, SplineMap


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    "scalar_map",
    [
        AffineMap(),
        SplineMap(),
        SplineMap(1),
        SplineMap(5, 2.0),
        ComposedMap(SplineMap(4, 4.0), AffineMap()),
    ],
)
def test_parameters_of_zero_give_the_identity(scalar_map):
    x = torch.linspace(-9, 9, 41, dtype=torch.float64)[None]
    z, log_derivative = scalar_map.forward(x, x.new_zeros(1, scalar_map.n_parameters, 41))
    torch.testing.assert_close(z, x, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(log_derivative, torch.zeros_like(x), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "scalar_map",
    [AffineMap(), SplineMap(), SplineMap(3, 1.5), ComposedMap(SplineMap(3, 1.5), AffineMap())],
)
@pytest.mark.parametrize("shape", [(50,), (3, 4, 5), (1,)])
@pytest.mark.parametrize("n", [0, 1, 6])
def test_inverse_and_log_derivative(scalar_map, shape, n):
    x = 2 * randn(n, *shape)
    parameters = 2 * randn(n, scalar_map.n_parameters, *shape, seed=1)
    x.requires_grad_()
    z, log_derivative = scalar_map.forward(x, parameters)
    assert z.shape == log_derivative.shape == x.shape
    torch.testing.assert_close(scalar_map.inverse(z, parameters), x, rtol=1e-9, atol=1e-9)
    (derivative,) = torch.autograd.grad(z.sum(), x)
    torch.testing.assert_close(log_derivative.exp(), derivative, rtol=1e-9, atol=1e-12)


def test_knots_and_slopes_are_where_the_parameters_put_them():
    """Durkan et al. 2019, section 3.1: softmax of widths and heights, softplus of slopes."""
    n_bins, bound = 4, 2.0
    parameters = randn(1, 3 * n_bins - 1, 1)
    raw = parameters[0, :, 0].numpy()
    widths, heights, slopes = np.split(raw, [n_bins, 2 * n_bins])

    def at(raw):
        return 2 * bound * np.cumsum(1e-3 + (1 - 1e-3 * n_bins) * softmax(raw))[:-1] - bound

    expected = 1e-3 + np.log1p(np.exp(slopes + np.log(np.expm1(1 - 1e-3))))
    x = torch.from_numpy(at(widths))[:, None]
    z, log_derivative = SplineMap(n_bins, bound).forward(x, parameters.expand(3, -1, -1))
    np.testing.assert_allclose(z[:, 0], at(heights), atol=1e-12)
    np.testing.assert_allclose(log_derivative[:, 0].exp(), expected, rtol=1e-9)


def test_middle_of_a_bin_is_as_in_the_paper():
    """One bin with slopes of 1 is the identity; two with a slope d between them follow eq. 4."""
    d, bound = 3.0, 1.0
    raw = np.log(np.expm1(d - 1e-3)) - np.log(np.expm1(1 - 1e-3))
    parameters = torch.tensor([0.0, 0.0, 0.0, 0.0, raw], dtype=torch.float64)[None, :, None]
    z, _ = SplineMap(2, bound).forward(torch.tensor([[0.5]], dtype=torch.float64), parameters)
    # From (0, 0) to (1, 1): s = 1, xi = 1/2, slopes d and 1.
    assert z.item() == pytest.approx((1 / 4 + d / 4) / (1 + (1 + d - 2) / 4), abs=1e-12)


def test_tails_are_the_identity_whatever_the_parameters():
    spline = SplineMap()
    x = torch.tensor([[-1e6, -3.5, -3.0, 3.0, 3.5, 1e6]], dtype=torch.float64)
    z, log_derivative = spline.forward(x, 5 * randn(1, spline.n_parameters, 6))
    torch.testing.assert_close(z, x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(log_derivative, torch.zeros_like(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
def test_spline_stays_finite_and_increasing_for_extreme_parameters(size):
    spline = SplineMap()
    x = torch.linspace(-4, 4, 301)[:, None]
    parameters = (size * randn(1, spline.n_parameters, 1)).float().requires_grad_()
    z, log_derivative = spline.forward(x, parameters.expand(301, -1, -1))
    (z.sum() + log_derivative.sum()).backward()
    assert z.isfinite().all()
    assert log_derivative.isfinite().all()
    assert parameters.grad.isfinite().all()
    assert (z.diff(dim=0) >= 0).all()


@pytest.mark.parametrize("n_bins", [0, -1, 1000])
def test_number_of_bins_has_limits(n_bins):
    with pytest.raises(ValueError, match=f"1 to 999, got {n_bins}"):
        SplineMap(n_bins)
