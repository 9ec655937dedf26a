"""Bijections of fewer rows than columns."""

import math

import pytest
import torch

from flowssl.bijections import Leading, LULinear, SpanReflection


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("dim", "width"), [(7, 1), (7, 3), (7, 6), (7, 7)])
def test_rows_of_the_span_differ_in_the_first_columns_only(dim, width):
    x = randn(5, width) @ randn(width, dim, seed=1) + 3
    directions, _ = torch.linalg.qr(randn(width, dim, seed=1).T)
    layer = SpanReflection.of_span(directions, torch.full((dim,), 3.0), 2.0).double()
    z, log_det = layer(x)
    torch.testing.assert_close(
        z[:, width:], torch.zeros(5, dim - width).double(), atol=1e-5, rtol=0
    )
    # A reflection keeps all angles and lengths; the scale multiplies these.
    centered = x - 3
    torch.testing.assert_close(z @ z.T, 4 * centered @ centered.T, rtol=1e-5, atol=1e-5)
    expected = torch.full((5,), dim * math.log(2), dtype=torch.float64)
    torch.testing.assert_close(log_det, expected, atol=1e-5, rtol=0)


def test_axes_that_are_there_already_are_reversed():
    layer = SpanReflection.of_span(torch.eye(4)[:, :2], torch.zeros(4), 1.0)
    z, _ = layer(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    torch.testing.assert_close(z, torch.tensor([[-1.0, -2.0, 3.0, 4.0]]))


def test_a_mirror_that_is_not_orthonormal_is_refused():
    layer = SpanReflection.of_span(torch.eye(4)[:, :2], torch.zeros(4), 1.0)
    layer.check_buffers()
    layer.mirror[0, 0] = 0.5
    with pytest.raises(ValueError, match="not orthonormal"):
        layer.check_buffers()


def test_leading_columns_cannot_be_more_than_all():
    with pytest.raises(ValueError, match="rows of 2 columns have no first 3"):
        Leading(LULinear(torch.eye(3)), 3, 2)
