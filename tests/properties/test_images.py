"""What must hold of every bijection of images and of every image preset."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from flowssl.bijections import (
    ActNorm,
    Bijection,
    Chain,
    ChannelCoupling,
    CheckerboardCoupling,
    FactorOut,
    Logit,
    LULinear,
    PerPixel,
    Reshape,
    Squeeze,
)
from flowssl.image_architectures import (
    IMAGE_ARCHITECTURES,
    ImageArchitecture,
    Scale,
    build_image_flow,
)

Shape = tuple[int, int, int]

# The presets' own structure, with networks that a test can afford.
TINY = {
    name: ImageArchitecture(
        tuple(
            Scale(4, 1, scale.checkerboard, scale.squeeze, min(scale.channel, 2))
            for scale in preset.scales
        ),
        preset.mixing,
        dense=min(preset.dense, 2),
        dense_width=8,
        normalize=preset.normalize,
    )
    for name, preset in IMAGE_ARCHITECTURES.items()
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaken(module: nn.Module, seed: int) -> nn.Module:
    """Move every parameter away from its start, which is too tame to show a fault."""
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.2 * noise / max(parameter[0].numel(), 1) ** 0.5)
    return module.eval()


def weight(channels: int, seed: int) -> Tensor:
    return torch.eye(channels) + 0.3 * torch.rand(channels, channels, generator=seeded(seed))


def small(kind: type[Bijection], **options: object) -> Callable[[Shape, int], Bijection]:
    return lambda shape, seed: kind(shape, width=4, n_blocks=2, generator=seeded(seed), **options)


CASES: dict[str, Callable[[Shape, int], Bijection]] = {
    "reshape": lambda shape, seed: Reshape(shape, flatten=True),
    "logit": lambda shape, seed: Logit(),
    "squeeze": lambda shape, seed: Squeeze(shape),
    "actnorm": lambda shape, seed: PerPixel(ActNorm(shape[0]), shape),
    "1x1": lambda shape, seed: PerPixel(LULinear(weight(shape[0], seed)), shape),
    "channels": small(ChannelCoupling),
    "channels-flipped": small(ChannelCoupling, flip=True),
    "checkerboard": small(CheckerboardCoupling),
    "checkerboard-flipped": small(CheckerboardCoupling, flip=True),
    "factor-out": lambda shape, seed: FactorOut(
        Chain(
            Reshape(((shape[0] + 1) // 2, *shape[1:]), flatten=True),
            ActNorm((shape[0] + 1) // 2 * shape[1] * shape[2]),
        ),
        shape,
    ),
}
SHAPES = st.sampled_from([(2, 2, 4), (3, 4, 2), (4, 2, 2), (5, 4, 4)])


def levels(n: int, shape: Shape, seed: int) -> Tensor:
    """Draw images of levels in [0, 256], in float64."""
    return 256 * torch.rand(n, *shape, generator=seeded(seed), dtype=torch.float64)


def images(case: str, n: int, shape: Shape, seed: int) -> Tensor:
    if case == "logit":
        return levels(n, shape, seed)
    return torch.randn(n, *shape, generator=seeded(seed), dtype=torch.float64)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    assert actual.shape == expected.shape
    error = (actual - expected).abs() / (1 + expected.abs())
    assert error.max().item() <= tolerance if error.numel() else True


def log_abs_det(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Differentiate a map of images by autograd, image by image."""
    values = []
    for image in x.unbind(0):
        jacobian = torch.autograd.functional.jacobian(lambda one: function(one[None])[0], image)
        values.append(torch.linalg.slogdet(jacobian.reshape(image.numel(), -1)).logabsdet)
    return torch.stack(values)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=5)
@given(shape=SHAPES, n=st.sampled_from([0, 1, 5]), seed=st.integers(0, 2**16))
def test_inverse_undoes_forward(case, shape, n, seed):
    bijection = shaken(CASES[case](shape, seed).double(), seed)
    x = images(case, n, shape, seed)
    with torch.no_grad():
        z, log_det = bijection(x)
        assert z.numel() == x.numel()
        assert log_det.shape == (n,)
        assert_close(bijection.inverse(z), x, 1e-9)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=3)
@given(shape=SHAPES, seed=st.integers(0, 2**16))
def test_log_det_is_that_of_the_jacobian_both_ways(case, shape, seed):
    bijection = shaken(CASES[case](shape, seed).double(), seed)
    x = images(case, 2, shape, seed)
    with torch.no_grad():
        z, log_det = bijection(x)
    assert_close(log_det, log_abs_det(lambda rows: bijection(rows)[0], x), 1e-8)
    assert_close(-log_det, log_abs_det(bijection.inverse, z), 1e-8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", TINY)
def test_preset_is_a_bijection_from_levels_to_latents(name, channels):
    shape = (channels, 4, 8)
    x = levels(9, shape, 1).flatten(1)
    start = levels(200, shape, 5).flatten(1).float()
    flow = build_image_flow(TINY[name], shape, x=start, generator=seeded(0))
    flow = shaken(flow.double(), 2)
    with torch.no_grad():
        z, log_det = flow(x)
        assert z.shape == x.shape
        assert_close(flow.inverse(z), x, 1e-9)
        alone, log_det_alone = flow(x[3:4])
    # No batch statistics: an image does not depend on its batch.
    assert_close(alone, z[3:4], 1e-12)
    assert_close(log_det_alone, log_det[3:4], 1e-12)
    assert_close(log_det[:2], log_abs_det(lambda rows: flow(rows)[0], x[:2]), 1e-8)


@pytest.mark.parametrize("name", ["glow", "small"])
def test_start_from_images_gives_latents_of_unit_variance(name):
    shape = (1, 8, 8)
    x = levels(200, shape, 0).flatten(1).float()
    x[:, 5] = 0.5  # a pixel that never changes
    flow = build_image_flow(TINY[name], shape, x=x, generator=seeded(0))
    with torch.no_grad():
        z = flow(x)[0]
    assert z.mean(0).abs().max() < 1e-3
    assert (z.std(0, correction=0) - 1).abs().max() < 1e-2


@pytest.mark.parametrize("name", TINY)
def test_log_det_of_a_flow_agrees_with_a_known_density(name):
    """The flow's density of an image is that of its latents times the volume, by SciPy."""
    from scipy.stats import norm

    shape = (1, 4, 4)
    x = levels(3, shape, 4).flatten(1)
    flow = shaken(build_image_flow(TINY[name], shape, generator=seeded(1)).double(), 3)
    with torch.no_grad():
        z, log_det = flow(x)
    log_prob = norm.logpdf(z.numpy()).sum(1) + log_det.numpy()
    # The same by finite differences of the inverse: p(x) = p(z) / |det dx/dz|.
    step = 1e-5
    for row, latent, expected in zip(x, z, log_prob, strict=True):
        moved = latent + step * torch.eye(16, dtype=torch.float64)
        with torch.no_grad():
            difference = (flow.inverse(moved) - row) / step
        volume = np.linalg.slogdet(difference.numpy()).logabsdet
        assert norm.logpdf(latent.numpy()).sum() - volume == pytest.approx(expected, abs=1e-2)


def test_logit_counts_probability_per_level():
    """Integrated over all levels, the density of a logistic latent is a probability."""
    x = torch.linspace(0, 256, 200_001, dtype=torch.float64)[:, None, None, None]
    z, log_det = Logit()(x)
    z, log_det = z.flatten(), log_det
    log_prob = -z - 2 * torch.log1p((-z).exp()) + log_det  # the standard logistic
    mass = torch.trapezoid(log_prob.exp(), x.flatten())
    # The squeeze leaves the margins, 5 % on either side, outside the levels.
    assert mass.item() == pytest.approx(0.9, abs=1e-9)
    assert math.isfinite(log_det.min())
