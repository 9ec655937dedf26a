"""Couplings: what passes, what changes, bounds, context."""

import math

import pytest
import torch
from torch import nn

from flowssl.bijections import (
    MLP,
    AffineMap,
    Checkerboard,
    Coupling,
    Halves,
    SplineMap,
    image_coupling,
    vector_coupling,
)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("dim", [2, 5])
def test_half_of_the_row_passes_and_decides(dim, flip):
    coupling = vector_coupling(dim, flip=flip)
    nn.init.normal_(coupling.conditioner.layers[-1].weight)
    x = 1 + torch.arange(float(dim))[None]
    z, _ = coupling(x)
    kept = slice(dim // 2, None) if flip else slice(None, dim // 2)
    changed = slice(None, dim // 2) if flip else slice(dim // 2, None)
    assert torch.equal(z[:, kept], x[:, kept])
    assert (z[:, changed] != x[:, changed]).all()


def test_log_scale_is_bounded_either_way():
    coupling = vector_coupling(2)
    for raw in (-1e9, 1e9):
        nn.init.constant_(coupling.conditioner.layers[-1].bias, raw)
        _, log_det = coupling(torch.ones(1, 2))
        assert log_det.item() == pytest.approx(math.copysign(3.0, raw))


@pytest.mark.parametrize("flip", [False, True])
def test_single_column_without_context_learns_a_scale_and_a_shift(flip):
    coupling = vector_coupling(1, flip=flip)
    x = torch.tensor([[0.0], [1.0]])
    assert torch.equal(coupling(x)[0], x)
    z, log_det = coupling(x)
    (z.sum() + log_det.sum()).backward()
    gradients = [p.grad.abs().max().item() for p in coupling.conditioner.layers[-1].parameters()]
    assert min(gradients) > 0


@pytest.mark.parametrize("context", [None, torch.zeros(3, 1), torch.zeros(2, 4)])
def test_wrong_context_names_both_shapes(context):
    coupling = vector_coupling(2, context_features=4)
    found = "None" if context is None else rf"\({context.shape[0]}, {context.shape[1]}\)"
    with pytest.raises(ValueError, match=rf"\(3, 4\), got {found}"):
        coupling(torch.zeros(3, 2), context)


@pytest.mark.parametrize(
    "coupling",
    [
        vector_coupling(4),
        image_coupling(Halves((2, 4, 4)), width=4, n_blocks=1),
        image_coupling(Checkerboard((1, 4, 4)), width=4, n_blocks=1),
    ],
    ids=["vector", "channels", "checkerboard"],
)
def test_context_is_refused_by_a_coupling_that_does_not_use_it(coupling):
    x, context = torch.zeros(3, *coupling.split.shape), torch.zeros(3, 2)
    for function in (coupling, coupling.inverse):
        with pytest.raises(ValueError, match=r"no context, got one of shape \(3, 2\)"):
            function(x, context)


@pytest.mark.parametrize(
    ("scalar_map", "sizes", "needed"),
    [
        (AffineMap(), (2, 5), "2 inputs and 6 outputs, got one with 2 and 5"),
        (SplineMap(), (2, 6), "2 inputs and 69 outputs, got one with 2 and 6"),
        (AffineMap(), (3, 6), "2 inputs and 6 outputs, got one with 3 and 6"),
    ],
)
def test_conditioner_that_does_not_fit_is_refused(scalar_map, sizes, needed):
    with pytest.raises(ValueError, match=needed):
        Coupling(Halves((5,)), scalar_map, MLP(*sizes))


def test_decayed_parameters_are_the_matrices_of_the_network():
    coupling = image_coupling(Halves((2, 4, 4)), width=4, n_blocks=1)
    network = coupling.conditioner
    kernels = [network.first, *network.blocks[0], network.last]
    assert [id(p) for p in coupling.decayed_parameters()] == [id(k.weight) for k in kernels]
