"""Bijections of images: orders, borders and what a network may see."""

import pytest
import torch

from flowssl.bijections import (
    Checkerboard,
    ConvResNet,
    FactorOut,
    Halves,
    Logit,
    LULinear,
    PerPixel,
    Reshape,
    Squeeze,
    image_coupling,
    vector_coupling,
)
from flowssl.bijections.images import MARGIN
from flowssl.image_architectures import IMAGE_ARCHITECTURES, build_image_flow, train_in_bfloat16


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_squeeze_puts_diagonals_first_in_all_colors():
    red, green, blue = (torch.tensor([[1.0, 2.0], [3.0, 4.0]]) + 10 * i for i in range(3))
    z, _ = Squeeze((3, 2, 2))(torch.stack((red, green, blue))[None])
    assert z.flatten().tolist() == [1, 11, 21, 4, 14, 24, 2, 12, 22, 3, 13, 23]


def test_halves_of_the_channels_after_a_squeeze_are_a_checkerboard():
    z, _ = Squeeze((1, 4, 4))(torch.arange(16.0).reshape(1, 1, 4, 4))
    even = {float(4 * i + j) for i in range(4) for j in range(4) if (i + j) % 2 == 0}
    kept, _ = Halves((4, 2, 2)).parts(z)
    assert set(kept.flatten().tolist()) == even


def test_logit_covers_the_pixel_values_and_no_more_than_the_margin():
    z, _ = Logit()(torch.tensor([[0.0, 128.0, 256.0]]))
    edge = torch.tensor(MARGIN).logit().item()
    assert z.flatten().tolist() == pytest.approx([edge, 0.0, -edge], abs=1e-5)
    assert Logit().inverse(torch.tensor([[edge, -edge]])).flatten().tolist() == pytest.approx(
        [0.0, 256.0], abs=1e-3
    )


def test_deepest_scale_comes_first():
    shape = (4, 1, 2)
    x = torch.arange(8.0).reshape(1, *shape)
    z, _ = FactorOut(Reshape((2, 1, 2), flatten=True), shape)(x)
    assert z.flatten().tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert IMAGE_ARCHITECTURES["small"].deepest((1, 28, 28)) == (8, 7, 7)
    assert IMAGE_ARCHITECTURES["paper-realnvp"].deepest((3, 32, 32)) == (6, 16, 16)


@pytest.mark.parametrize("flip", [False, True])
def test_checkerboard_keeps_one_color_and_conditions_on_it_alone(flip):
    coupling = image_coupling(
        Checkerboard((1, 4, 4), flip=flip),
        width=4,
        n_blocks=1,
        generator=seeded(),
    )
    torch.nn.init.normal_(coupling.conditioner.last.weight, generator=seeded(1))
    kept = (torch.arange(4)[:, None] + torch.arange(4)) % 2 == int(flip)
    x = torch.randn(1, 1, 4, 4, generator=seeded(2))
    z, log_det = coupling(x)
    assert torch.equal(z[0, 0][kept], x[0, 0][kept])
    assert (z[0, 0][~kept] != x[0, 0][~kept]).all()
    other = torch.where(kept, x, x + 1)
    moved, same = coupling(other)
    assert torch.equal(same, log_det)
    assert torch.equal(moved[0, 0][kept], x[0, 0][kept])


def test_couplings_start_as_the_identity():
    x = torch.randn(2, 4, 3, 3, generator=seeded())
    for split in (Halves((4, 3, 3)), Checkerboard((4, 3, 3))):
        z, log_det = image_coupling(split, width=5, n_blocks=2, generator=seeded())(x)
        assert torch.equal(z, x)
        assert log_det.tolist() == [0.0, 0.0]


def test_recomputing_activations_changes_no_gradient():
    x = torch.randn(2, 3, 4, 4, generator=seeded())
    gradients = []
    for recompute in (False, True):
        network = ConvResNet(3, 2, 6, 2, recompute=recompute, generator=seeded())
        torch.nn.init.normal_(network.last.weight, generator=seeded(1))
        network.train()(x).square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.equal(plain, recomputed)


def test_bfloat16_is_for_training_only():
    flow = build_image_flow(IMAGE_ARCHITECTURES["small"], (1, 8, 8), generator=seeded())
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.003 * torch.randn(parameter.shape, generator=seeded(1)))
    x = 256 * torch.rand(3, 64, generator=seeded(2))
    before = flow.eval()(x)[0]
    train_in_bfloat16(flow)
    assert torch.equal(flow(x)[0], before)
    z, log_det = flow.train()(x)
    assert z.dtype == log_det.dtype == torch.float32
    assert 0 < ((z - before).abs() / (1 + before.abs())).max() < 0.05


def test_weights_follow_from_the_generator_alone():
    before = torch.get_rng_state()
    first, again, other = (
        build_image_flow(IMAGE_ARCHITECTURES["glow"], (3, 4, 4), generator=seeded(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    pairs = zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert any(
        not torch.equal(*pair) for pair in zip(first.parameters(), other.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Squeeze((1, 3, 4)), "even heights and widths.*3 x 4"),
        (lambda: image_coupling(Halves((1, 4, 4)), width=4, n_blocks=1), "at least 2.*got 1"),
        (lambda: FactorOut(Logit(), (1, 4, 4)), "squeeze first"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_wrong_images_name_both_shapes():
    with pytest.raises(ValueError, match=r"\(n, 1, 4, 4\), got \(2, 1, 4, 6\)"):
        Squeeze((1, 4, 4))(torch.zeros(2, 1, 4, 6))


def test_context_of_an_image_reaches_each_of_its_pixels():
    """An image of different pixels is mapped as its pixels are, one by one."""
    coupling = vector_coupling(2, context_features=3, generator=seeded()).double()
    torch.nn.init.normal_(coupling.conditioner.layers[-1].weight, generator=seeded(1))
    layer = PerPixel(coupling, (2, 2, 3))
    x = torch.randn(4, 2, 2, 3, generator=seeded(2)).double()
    context = torch.randn(4, 3, generator=seeded(3)).double()
    z, log_det = layer(x, context)
    total = torch.zeros(4, dtype=torch.float64)
    for i in range(2):
        for j in range(3):
            pixel, of_pixel = coupling(x[:, :, i, j], context)
            torch.testing.assert_close(z[:, :, i, j], pixel)
            total += of_pixel
    torch.testing.assert_close(log_det, total)
    torch.testing.assert_close(layer.inverse(z, context), x)


def test_linear_maps_of_pixels_ignore_a_context():
    layer = PerPixel(LULinear(torch.eye(2)), (2, 2, 2))
    x = torch.randn(3, 2, 2, 2, generator=seeded())
    assert torch.equal(layer(x, torch.zeros(3, 5))[0], layer(x)[0])
