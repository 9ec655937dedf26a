"""What must hold of every bijection of images and of every image preset."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from flowssl.bijections import (
    ActNorm,
    Bijection,
    Chain,
    Checkerboard,
    Conditioner,
    FactorOut,
    Halves,
    Logit,
    LULinear,
    PerPixel,
    Reshape,
    ScalarMap,
    SplineMap,
    Split,
    Squeeze,
    image_coupling,
    vector_coupling,
)
from flowssl.bijections.scalar_maps import AFFINE
from flowssl.image_architectures import IMAGE_ARCHITECTURES, ImageArchitecture, build_image_flow
from flowssl.layers import ImageLayer, couplings

Shape = tuple[int, int, int]
CONTEXT = 2


def tiny(layer: ImageLayer) -> ImageLayer:
    """Return a layer like one of a preset, with a network that a test can afford."""
    if isinstance(layer, partial) and "width" in layer.keywords:
        return partial(layer, width=4, n_blocks=1)
    return layer


# The structure of the presets; of eight equal steps, two will do.
TINY = {
    name: ImageArchitecture(
        tuple(tuple(tiny(layer) for layer in scale[:7]) for scale in preset.scales),
        dense=couplings(min(len(preset.dense), 2), (8,)),
        normalize=preset.normalize,
    )
    for name, preset in IMAGE_ARCHITECTURES.items()
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaken(module: nn.Module, seed: int) -> nn.Module:
    """Move every parameter away from its initial value, at which faults may not show."""
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.2 * noise / max(parameter[0].numel(), 1) ** 0.5)
    return module.eval()


def weight(channels: int, seed: int) -> Tensor:
    return torch.eye(channels) + 0.3 * torch.rand(channels, channels, generator=seeded(seed))


def coupling(
    split: Callable[[Shape], Split], scalar_map: ScalarMap = AFFINE, context_features: int = 0
) -> Callable[[Shape, int], Bijection]:
    return lambda shape, seed: image_coupling(
        split(shape),
        width=4,
        n_blocks=2,
        scalar_map=scalar_map,
        context_features=context_features,
        generator=seeded(seed),
    )


def factor_out(shape: Shape, seed: int, context_features: int = 0) -> Bijection:
    kept = (shape[0] + 1) // 2
    dim = kept * shape[1] * shape[2]
    inner = vector_coupling(dim, context_features=context_features, generator=seeded(seed))
    return FactorOut(Chain(Reshape((kept, *shape[1:]), flatten=True), ActNorm(dim), inner), shape)


CASES: dict[str, Callable[[Shape, int], Bijection]] = {
    "reshape": lambda shape, seed: Reshape(shape, flatten=True),
    "logit": lambda shape, seed: Logit(),
    "squeeze": lambda shape, seed: Squeeze(shape),
    "actnorm": lambda shape, seed: PerPixel(ActNorm(shape[0]), shape),
    "1x1": lambda shape, seed: PerPixel(LULinear(weight(shape[0], seed)), shape),
    "channels": coupling(Halves),
    "channels-flipped": coupling(partial(Halves, flip=True)),
    "channels-spline": coupling(Halves, SplineMap(4)),
    "checkerboard": coupling(Checkerboard),
    "checkerboard-flipped": coupling(partial(Checkerboard, flip=True)),
    "checkerboard-spline": coupling(Checkerboard, SplineMap(4)),
    "factor-out": factor_out,
}
WITH_CONTEXT: dict[str, Callable[[Shape, int], Bijection]] = {
    "channels-context": coupling(Halves, context_features=CONTEXT),
    "checkerboard-context": coupling(Checkerboard, context_features=CONTEXT),
    "pixels-context": lambda shape, seed: PerPixel(
        vector_coupling(shape[0], context_features=CONTEXT, generator=seeded(seed)), shape
    ),
    "factor-out-context": partial(factor_out, context_features=CONTEXT),
}
SHAPES = st.sampled_from([(2, 2, 4), (3, 4, 2), (4, 2, 2), (5, 4, 4)])


def pixel_values(n: int, shape: Shape, seed: int) -> Tensor:
    """Draw images of pixel values in [0, 256], in float64."""
    return 256 * torch.rand(n, *shape, generator=seeded(seed), dtype=torch.float64)


def images(case: str, n: int, shape: Shape, seed: int) -> Tensor:
    if case == "logit":
        return pixel_values(n, shape, seed)
    return torch.randn(n, *shape, generator=seeded(seed), dtype=torch.float64)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    assert actual.shape == expected.shape
    error = (actual - expected).abs() / (1 + expected.abs())
    assert error.max().item() <= tolerance if error.numel() else True


def log_abs_det(
    function: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, context: Tensor | None = None
) -> Tensor:
    """Differentiate a map of images by autograd, image by image."""
    values = []
    for i, image in enumerate(x.unbind(0)):
        row = None if context is None else context[i : i + 1]
        jacobian = torch.autograd.functional.jacobian(
            lambda one, row=row: function(one[None], row)[0], image
        )
        values.append(torch.linalg.slogdet(jacobian.reshape(image.numel(), -1)).logabsdet)
    return torch.stack(values)


def context_of(case: str, n: int, seed: int) -> Tensor | None:
    if case not in WITH_CONTEXT:
        return None
    return torch.randn(n, CONTEXT, generator=seeded(seed + 9), dtype=torch.float64)


@pytest.mark.parametrize("case", CASES | WITH_CONTEXT)
@settings(max_examples=5)
@given(shape=SHAPES, n=st.sampled_from([0, 1, 5]), seed=st.integers(0, 2**16))
@example(shape=(2, 2, 4), n=0, seed=0)
@example(shape=(3, 4, 2), n=1, seed=1)
def test_inverse_undoes_forward(case, shape, n, seed):
    bijection = shaken((CASES | WITH_CONTEXT)[case](shape, seed).double(), seed)
    x, context = images(case, n, shape, seed), context_of(case, n, seed)
    with torch.no_grad():
        z, log_det = bijection(x, context)
        assert z.numel() == x.numel()
        assert log_det.shape == (n,)
        assert_close(bijection.inverse(z, context), x, 1e-9)


@pytest.mark.parametrize("case", CASES | WITH_CONTEXT)
@settings(max_examples=3)
@given(shape=SHAPES, seed=st.integers(0, 2**16))
def test_log_det_is_that_of_the_jacobian_both_ways(case, shape, seed):
    bijection = shaken((CASES | WITH_CONTEXT)[case](shape, seed).double(), seed)
    x, context = images(case, 2, shape, seed), context_of(case, 2, seed)
    with torch.no_grad():
        z, log_det = bijection(x, context)
    assert_close(log_det, log_abs_det(lambda rows, c: bijection(rows, c)[0], x, context), 1e-8)
    assert_close(-log_det, log_abs_det(bijection.inverse, z, context), 1e-8)


@pytest.mark.parametrize("case", CASES | WITH_CONTEXT)
def test_context_is_used_or_refused(case):
    """Only maps without a conditioner ignore it, so that a chain can pass it to its members."""
    shape, n = (4, 2, 2), 3
    bijection = shaken((CASES | WITH_CONTEXT)[case](shape, 0).double(), 0)
    x, context = images(case, n, shape, 0), context_of(case, n, 0)
    other = torch.ones(n, 3, dtype=torch.float64)
    conditioned = any(isinstance(module, Conditioner) for module in bijection.modules())
    with torch.no_grad():
        z, _ = bijection(x, context)
        if not conditioned:
            assert torch.equal(bijection(x, other)[0], z)
            assert torch.equal(bijection.inverse(z, other), bijection.inverse(z))
            return
        for function, value in ((bijection, x), (bijection.inverse, z)):
            with pytest.raises(ValueError, match="context"):
                function(value, other)
            if context is not None:
                with pytest.raises(ValueError, match="got None"):
                    function(value)
                changed = function(value, context + 1)
                changed = changed[0] if function is bijection else changed
                assert not torch.allclose(changed, z if function is bijection else x, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", TINY)
def test_preset_is_a_bijection_from_pixel_values_to_latents(name, channels):
    shape = (channels, 4, 8)
    x = pixel_values(9, shape, 1).flatten(1)
    start = pixel_values(200, shape, 5).flatten(1).float()
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
    assert_close(log_det[:2], log_abs_det(lambda rows, _: flow(rows)[0], x[:2]), 1e-8)


@pytest.mark.parametrize("name", ["glow", "small"])
def test_start_from_images_gives_latents_of_unit_variance(name):
    shape = (1, 8, 8)
    x = pixel_values(200, shape, 0).flatten(1).float()
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
    x = pixel_values(3, shape, 4).flatten(1)
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


def test_logit_counts_probability_per_pixel_value():
    """Integrated over all pixel values, the density of a logistic latent is a probability."""
    x = torch.linspace(0, 256, 200_001, dtype=torch.float64)[:, None, None, None]
    z, log_det = Logit()(x)
    z, log_det = z.flatten(), log_det
    log_prob = -z - 2 * torch.log1p((-z).exp()) + log_det  # the standard logistic
    mass = torch.trapezoid(log_prob.exp(), x.flatten())
    # The squeeze leaves the margins, 5 % on either side, outside the pixel values.
    assert mass.item() == pytest.approx(0.9, abs=1e-9)
    assert math.isfinite(log_det.min())
