"""Presets of flows: how they start, and which one is chosen."""

import pytest
import torch

from flowssl.architectures import (
    ARCHITECTURES,
    Architecture,
    build_couplings,
    build_flow,
    choose_architecture,
    choose_n_components,
)
from flowssl.bijections import Coupling, Rotation, SoftTails
from flowssl.image_architectures import build_image_flow, check_image
from flowssl.layers import couplings, interleave, rotation, soft_tails


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "ffjord"])
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


def test_layers_are_built_in_order_and_neighbors_change_opposite_halves():
    layers = interleave(couplings(5, (8,)), rotation, every=2)
    flow = build_flow(Architecture(layers, (soft_tails,)), torch.eye(4), torch.zeros(4))
    kinds = [type(layer) for layer in flow[1:]]
    pair = [Coupling, Coupling]
    assert kinds == [SoftTails, *pair, Rotation, *pair, Rotation, Coupling]
    flips = [layer.split.flip for layer in flow if isinstance(layer, Coupling)]
    assert flips == [False, True, False, True, False]


def test_couplings_of_class_densities_are_built_without_the_stem():
    architecture = Architecture(couplings(2, (8,)), (soft_tails,))
    flow = build_couplings(architecture, 3, context_features=4)
    assert [type(layer) for layer in flow] == [Coupling, Coupling]
    assert all(layer.conditioner.context_features == 4 for layer in flow)


def test_no_layers_are_interleaved_with_nothing():
    assert interleave((), rotation) == ()


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
def test_several_gaussians_per_class_need_rows(name, dim, n_rows, expected):
    assert choose_n_components(name, dim, n_rows) == expected


def test_unknown_architecture_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"auto, .*table.*got 'tabel'"):
        choose_architecture("tabel", 4, 1000)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("tiny", (1, 8, 8), "must be one of auto, paper-realnvp.*got 'tiny'"),
        ("small", (2, 8, 8), "1 channel .* or 3 .*, got 2"),
        ("small", (1, 8, 10), "multiples of 4, got 8 x 10; pad the images to 8 x 12"),
        ("paper-realnvp", (1, 1, 1), "multiples of 2, got 1 x 1"),
    ],
)
def test_images_that_do_not_fit_a_preset_are_refused(name, shape, message):
    with pytest.raises(ValueError, match=message):
        check_image(name, shape)


def test_smallest_image_ends_as_one_pixel():
    architecture = check_image("small", (1, 4, 4))
    assert architecture.deepest((1, 4, 4)) == (8, 1, 1)
    with torch.no_grad():
        z, _ = build_image_flow(architecture, (1, 4, 4))(torch.ones(2, 16))
    assert z.shape == (2, 16)
