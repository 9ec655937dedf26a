"""Bits per dimension against a density whose integrals over pixel intervals are known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from flowssl.estimators._density import FittedDensity
from flowssl.inspection import image_bits
from flowssl.preprocessing import ImageEncoder, Pixels, TableEncoder

RATES = np.array([0.5, 1.0, 2.0, 3.0])


class Exponential(torch.nn.Module):
    """Independent exponential distributions of four pixel values, in two classes alike."""

    n_classes = 2

    def __init__(self):
        super().__init__()
        self.rates = torch.nn.Parameter(torch.from_numpy(RATES))

    def log_joint(self, x):
        log_prob = (self.rates.log() - self.rates * x).sum(1)
        return (log_prob - math.log(2))[:, None].repeat(1, 2)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 4, (300, 2, 2)).astype(np.uint8)


@pytest.fixture
def estimator(images):
    encoder = ImageEncoder((1, 2, 2)).fit(images)
    completion = Pixels.fit(encoder.transform(images), draws=2)
    return SimpleNamespace(
        encoder_=encoder,
        completion_=completion,
        density_=FittedDensity([Exponential()], completion),
    )


def in_bits(log_prob):
    return -log_prob.mean() / (4 * math.log(2))


def test_readings_are_those_of_the_integrals(estimator, images):
    v = images.reshape(-1, 4).astype(float)
    # E_u of a linear log-density is its value at the center, and E_u p the exact probability.
    at_center = (np.log(RATES) - RATES * (v + 0.5)).sum(1)
    log_probability = (np.log1p(-np.exp(-RATES)) - RATES * v).sum(1)
    bits = image_bits(estimator, images, draws=400, max_images=None)
    assert bits.centers == pytest.approx(in_bits(at_center))
    assert bits.expected == pytest.approx(in_bits(at_center), abs=0.005)
    assert bits.averaged == pytest.approx(in_bits(log_probability), abs=0.005)
    assert in_bits(at_center) - in_bits(log_probability) > 0.1
    spread = at_center.std() / (4 * math.log(2)) / math.sqrt(300)
    assert bits.standard_error == pytest.approx(spread, rel=0.02)
    assert (bits.n_images, bits.n_draws) == (300, 400)


def test_few_draws_are_still_a_bound_and_one_is_the_papers(estimator, images):
    one, few = (image_bits(estimator, images, draws=draws) for draws in (1, 4))
    assert one.averaged == pytest.approx(one.expected)
    assert few.expected > few.averaged > image_bits(estimator, images, draws=64).averaged
    assert one.n_images == 250
    assert one == image_bits(estimator, images, draws=1)


def test_what_has_no_bits_is_refused(estimator, images):
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        image_bits(estimator, images, draws=0)
    with pytest.raises(ValueError, match="there are no images"):
        image_bits(estimator, images[:0])
    with pytest.raises(ValueError, match="the model is one of table rows; use score_samples"):
        image_bits(SimpleNamespace(encoder_=TableEncoder()), images)
