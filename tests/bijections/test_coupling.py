"""Couplings and their conditioners: starts, bounds, context."""

import math

import pytest
import torch
from torch import nn

from flowssl.architectures import (
    ARCHITECTURES,
    build_flow,
    choose_architecture,
    choose_n_components,
)
from flowssl.bijections import MLP, AffineCoupling


@pytest.mark.parametrize("name", [k for k, v in ARCHITECTURES.items() if not v.continuous])
def test_flow_starts_as_its_affine_map_up_to_rotations(name):
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(4, 4, generator=generator), torch.randn(4, generator=generator)
    x = 0.3 * torch.randn(9, 4, generator=generator)  # where tails are not compressed yet
    flow = build_flow(ARCHITECTURES[name], weight, bias, generator=generator).eval()
    z, log_det = flow(x)
    start = x @ weight.T + bias
    torch.testing.assert_close(torch.cdist(z, z), torch.cdist(start, start), rtol=1e-4, atol=1e-4)
    assert log_det.tolist() == pytest.approx(
        [weight.double().det().abs().log().item()] * 9, abs=1e-4
    )


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("dim", [2, 5])
def test_half_of_the_row_passes_and_decides(dim, flip):
    coupling = AffineCoupling(dim, flip=flip)
    nn.init.normal_(coupling.conditioner[-1].weight)
    x = 1 + torch.arange(float(dim))[None]
    z, _ = coupling(x)
    kept = slice(dim // 2, None) if flip else slice(None, dim // 2)
    changed = slice(None, dim // 2) if flip else slice(dim // 2, None)
    assert torch.equal(z[:, kept], x[:, kept])
    assert (z[:, changed] != x[:, changed]).all()


def test_log_scale_is_bounded_either_way():
    coupling = AffineCoupling(2)
    for raw in (-1e9, 1e9):
        nn.init.constant_(coupling.conditioner[-1].bias, raw)
        _, log_det = coupling(torch.ones(1, 2))
        assert log_det.item() == pytest.approx(math.copysign(3.0, raw))


def test_single_column_without_context_learns_a_scale_and_a_shift():
    coupling = AffineCoupling(1)
    x = torch.tensor([[0.0], [1.0]])
    assert torch.equal(coupling(x)[0], x)
    z, log_det = coupling(x)
    (z.sum() + log_det.sum()).backward()
    gradients = [p.grad.abs().max().item() for p in coupling.conditioner[-1].parameters()]
    assert min(gradients) > 0


@pytest.mark.parametrize("context", [None, torch.zeros(3, 1), torch.zeros(2, 4)])
def test_wrong_context_names_both_shapes(context):
    coupling = AffineCoupling(2, context_features=4)
    found = "None" if context is None else rf"\({context.shape[0]}, {context.shape[1]}\)"
    with pytest.raises(ValueError, match=rf"\(3, 4\), got {found}"):
        coupling(torch.zeros(3, 2), context)


def test_weights_follow_from_the_generator_alone():
    before = torch.get_rng_state()
    first, again, other = (
        MLP(3, 2, (5, 5), generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_dropout_is_off_in_evaluation():
    network = MLP(3, 2, (64,), dropout=0.5)
    nn.init.normal_(network[-1].weight)
    x = torch.ones(1, 3)
    assert torch.equal(network.eval()(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))


@pytest.mark.parametrize(
    ("dim", "n_rows", "name"),
    [
        (1, 1000, "plane"),
        (3, 1000, "plane"),
        (4, 1000, "table"),
        (128, 10_000, "table"),
        (129, 10_000, "embedding"),
        (4, 59, "affine"),
        (4, 60, "table"),
        (300, 4000, "affine"),
    ],
)
def test_automatic_choice_goes_by_width_and_rows(dim, n_rows, name):
    assert choose_architecture("auto", dim, n_rows) == name
    assert name in ARCHITECTURES


@pytest.mark.parametrize(
    ("name", "dim", "n_rows", "expected"),
    [("plane", 2, 1000, 8), ("plane", 2, 239, 1), ("table", 64, 1198, 1), ("table", 16, 7000, 4)],
)
def test_several_gaussians_a_class_need_rows(name, dim, n_rows, expected):
    assert choose_n_components(name, dim, n_rows) == expected


def test_unknown_architecture_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"auto, .*table.*got 'tabel'"):
        choose_architecture("tabel", 4, 1000)
