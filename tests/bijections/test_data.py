"""The step from the user's units: which columns get which map, and hostile columns."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from flowssl.bijections import MonotonicSpline


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def assert_inverts(spline: MonotonicSpline, x: Tensor, tolerance: float = 1e-9) -> None:
    z, log_det = spline(x)
    assert z.isfinite().all()
    assert log_det.isfinite().all()
    error = (spline.inverse(z) - x).abs() / x.abs().clamp_min(x.std().item())
    assert error.max().item() <= tolerance


def test_usual_column_is_standardized_exactly():
    x = 1e6 + 3.0 * randn(200, 1)
    z, log_det = MonotonicSpline.fit(x)(x)
    torch.testing.assert_close(z, (x - x.mean()) / x.std(correction=0), rtol=1e-9, atol=1e-9)
    assert log_det.tolist() == pytest.approx([-math.log(x.std(correction=0))] * 200, rel=1e-9)


def test_standardization_goes_on_straight_beyond_the_training_rows():
    x = randn(200, 1)
    far = torch.tensor([[-1e6], [1e6]], dtype=torch.float64)
    z, _ = MonotonicSpline.fit(x)(far)
    torch.testing.assert_close(z, (far - x.mean()) / x.std(correction=0), rtol=1e-9, atol=0)


def test_heavy_tails_become_nearly_normal():
    uniform = torch.rand(4000, 1, generator=generator(), dtype=torch.float64)
    cauchy = 5 + 0.01 * torch.tan(math.pi * (uniform - 0.5))
    spline = MonotonicSpline.fit(cauchy)
    z, _ = spline(cauchy)
    assert kstest(z.numpy().ravel(), "norm").statistic < 0.02
    assert z.abs().max() < 5
    assert_inverts(spline, cauchy)


def test_one_far_outlier_does_not_flatten_the_other_rows():
    """A typing error of twelve orders of magnitude leaves the other rows apart."""
    x = randn(1000, 1)
    x[0] = 1e12
    spline = MonotonicSpline.fit(x)
    z, _ = spline(x)
    assert z[1:].std().item() == pytest.approx(1.0, abs=0.1)
    assert np.corrcoef(z[1:].ravel(), x[1:].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
@pytest.mark.parametrize("atom", [0.0, -3.0, 1e3])
def test_atoms_keep_a_finite_density(share, atom):
    x = (1.5 * randn(3000, 1)).exp()
    x[: int(3000 * share)] = atom
    spline = MonotonicSpline.fit(x)
    assert_inverts(spline, x)
    assert (spline.x_knots.diff() > 0).all()
    assert (spline.z_knots.diff() > 0).all()
    assert (spline.slopes > 0).all()


@pytest.mark.parametrize("n", [2, 3, 7, 8, 33, 100])
@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1.0, 1e9, 1e150])
def test_few_rows_and_all_units(n, scale):
    x = scale * torch.cat((randn(n - 1, 2), torch.tensor([[90.0, -1e4]], dtype=torch.float64)))
    assert_inverts(MonotonicSpline.fit(x), x)


def test_values_that_differ_in_the_last_digit_only():
    x = torch.full((1000, 1), 1e9, dtype=torch.float64)
    x[0] = np.nextafter(1e9, 2e9)
    spline = MonotonicSpline.fit(x)
    z, log_det = spline(x)
    assert z.isfinite().all()
    assert log_det.isfinite().all()
    assert z[0] > z[1]


def test_columns_with_few_distinct_values_are_standardized():
    x = torch.zeros(500, 1, dtype=torch.float64)
    x[:3] = 1.0
    assert MonotonicSpline.fit(x).x_knots.shape == (1, 2)


def test_knots_and_what_lies_between_and_beyond_them():
    spline = MonotonicSpline(
        torch.tensor([[-1.0, 0.0, 2.0]], dtype=torch.float64),
        torch.tensor([[-2.0, 0.0, 1.0]], dtype=torch.float64),
        torch.tensor([[3.0, 1.0, 0.25]], dtype=torch.float64),
    )
    x = torch.tensor([[-5.0], [-1.0], [0.0], [2.0], [10.0]], dtype=torch.float64)
    z, log_derivative = spline.columns(x)
    assert z.ravel().tolist() == pytest.approx([-14.0, -2.0, 0.0, 1.0, 3.0], abs=1e-12)
    expected = [3.0, 3.0, 1.0, 0.25, 0.25]
    assert log_derivative.exp().ravel().tolist() == pytest.approx(expected, abs=1e-12)
    # Durkan et al. 2019, eq. 4, in the first piece: s = 2, xi = 1/2.
    inside, _ = spline(torch.tensor([[-0.5]], dtype=torch.float64))
    assert inside.item() == pytest.approx(-2 + 2 * (2 / 4 + 3 / 4) / (2 + (3 + 1 - 4) / 4))


def test_density_is_continuous_and_the_map_increases_across_all_knots():
    x = randn(500, 1).sinh().sinh()
    spline = MonotonicSpline.fit(x)
    knots = spline.x_knots.T
    step = 1e-9 * spline.x_knots.diff().min().item()
    left, right = spline(knots - step), spline(knots + step)
    assert (right[0] > left[0]).all()
    torch.testing.assert_close(left[1], right[1], rtol=0, atol=1e-6)


def test_missing_numbers_are_left_out_of_the_fit_and_stay_missing():
    x = randn(100, 2)
    holed = torch.cat((x, torch.full((5, 2), torch.nan, dtype=torch.float64)))
    expected, actual = MonotonicSpline.fit(x), MonotonicSpline.fit(holed)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(actual.state_dict()[name], tensor)
    z, log_derivative = actual.columns(holed)
    assert z[100:].isnan().all()
    assert log_derivative[:100].isfinite().all()


def test_more_rows_than_torch_quantile_takes():
    """torch.quantile refuses 2**24 numbers and more."""
    x = torch.arange(2**24 + 1, dtype=torch.float64)[:, None]
    x[-1] = 1e12
    with torch.no_grad():
        spline = MonotonicSpline.fit(x)
    middle, _ = spline(torch.tensor([[2.0**23]], dtype=torch.float64))
    assert middle.item() == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("column", [[2.0, 2.0, 2.0], [5.0], [math.nan, math.nan], []])
def test_column_that_does_not_vary_is_named(column):
    x = torch.tensor(column, dtype=torch.float64)
    other = torch.arange(len(column), dtype=torch.float64)
    if len(column) < 2:
        x, other = x[:, None], x[:, None]
        with pytest.raises(ValueError, match="column 0 does not vary"):
            MonotonicSpline.fit(x)
        return
    with pytest.raises(ValueError, match="column 1 does not vary"):
        MonotonicSpline.fit(torch.stack((other, x), dim=1))
