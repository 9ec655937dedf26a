"""Affine bijections against the matrices that they stand for."""

import pytest
import torch
from torch import Tensor

from flowssl.bijections import ActNorm, LULinear, Rotation


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_lu_linear_is_the_matrix_that_it_was_given():
    weight, bias, x = randn(5, 5), randn(5, seed=1), randn(8, 5, seed=2)
    layer = LULinear(weight, bias).double()
    torch.testing.assert_close(layer(x)[0], x @ weight.T + bias, rtol=1e-5, atol=1e-5)


def test_lu_linear_neither_shares_nor_changes_its_start():
    weight, bias = torch.eye(3), torch.zeros(3)
    layer = LULinear(weight, bias)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(7.0)
    assert torch.equal(weight, torch.eye(3))
    assert torch.equal(bias, torch.zeros(3))


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        (torch.zeros(2, 3), None, r"square matrix, got shape \(2, 3\)"),
        (torch.ones(2, 2), None, "singular"),
        (torch.full((2, 2), torch.nan), None, "singular"),
        (torch.eye(3), torch.zeros(2), r"\(3,\), got \(2,\)"),
    ],
)
def test_lu_linear_names_what_is_wrong(weight, bias, message):
    with pytest.raises(ValueError, match=message):
        LULinear(weight, bias)


def test_rotation_is_orthogonal_and_seeded():
    first, again, other = (
        Rotation(6, generator=torch.Generator().manual_seed(seed)).weight for seed in (0, 0, 1)
    )
    torch.testing.assert_close(first @ first.T, torch.eye(6), atol=1e-6, rtol=0)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_actnorm_standardizes_the_rows_that_initialize_it_and_is_the_identity_before():
    x = 5 + 3 * randn(50, 4)
    layer = ActNorm(4).double()
    assert torch.equal(layer(x)[0], x)
    layer.initialize(x)
    z, _ = layer(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(4).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(4).double())


@pytest.mark.parametrize("n", [1, 7])
def test_actnorm_keeps_the_scale_of_columns_that_do_not_vary(n):
    """The mean of seven times 0.1 is not 0.1: rounding must not count as variation."""
    layer = ActNorm(2).double()
    layer.initialize(torch.full((n, 2), 0.1, dtype=torch.float64))
    assert layer.log_scale.abs().max() == 0
    torch.testing.assert_close(layer.shift.detach(), torch.full((2,), -0.1).double())


def test_actnorm_needs_a_row():
    with pytest.raises(ValueError, match="at least 1 row, got 0"):
        ActNorm(2).initialize(torch.zeros(0, 2))
