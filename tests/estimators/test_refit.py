"""What the refit of a class density ends at, against moments of the latents."""

import numpy as np
import pytest
import torch

from flowssl.bijections import Chain
from flowssl.densities import ClassPrior, GaussianClasses
from flowssl.estimators._preparation import Preparation
from flowssl.estimators._refit import refit_class_density
from flowssl.estimators._rows import Rows
from flowssl.models import JointModel
from flowssl.training import TrainingConfig

CONFIG = TrainingConfig(max_epochs=40, steps_per_epoch=20, device="cpu")


def prepare(gap: float) -> Preparation:
    """Two clusters of unit variance at 0 and at the gap, all rows unlabeled but one of each."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 300)
    z = rng.normal(size=(600, 2)) + gap * truth[:, None]
    codes = np.full(600, -1)
    codes[[0, 300]] = 0, 1
    rows = Rows(z, codes, np.ones(600), 2)
    return Preparation(z, np.eye(2)[truth], rows, np.zeros(600, dtype=bool))


def build(gap: float, *, learn: bool = True) -> JointModel:
    """Gaussians beyond the clusters, as cross-entropy likes them."""
    means = torch.tensor([[-0.4, -0.4], [gap + 0.4, gap + 0.4]])
    prior = ClassPrior(torch.tensor([0.5, 0.5]))
    classes = GaussianClasses(means, prior, learn_means=learn, learn_covariance=learn)
    return JointModel(Chain(), classes)


def test_the_gaussians_are_refitted_to_mean_and_variance_of_their_latents():
    prepared, model = prepare(6.0), build(6.0)
    refit_class_density(model, prepared, 600, None, 0.0, CONFIG)
    truth = prepared.targets.argmax(1)
    centers = np.stack([prepared.z[truth == k].mean(0) for k in (0, 1)])
    np.testing.assert_allclose(model.class_density.class_means().detach(), centers, atol=0.1)
    variance = np.mean([prepared.z[truth == k].var() for k in (0, 1)])
    drawn = model.sample(torch.zeros(4000, dtype=torch.int64), 1.0, torch.Generator())
    assert drawn.var(0).mean().item() == pytest.approx(variance, rel=0.15)


def test_agreement_with_the_posteriors_keeps_them():
    prepared = prepare(1.0)
    rows = torch.from_numpy(prepared.z).float()
    before = build(1.0).posterior(rows)[:, 1]
    off = []
    for weight in (0.0, 100.0):
        model = build(1.0)
        refit_class_density(model, prepared, 600, None, weight, CONFIG)
        off.append((model.posterior(rows)[:, 1] - before).abs().mean().item())
    assert off[1] < 0.3 * off[0]


def test_a_class_density_that_is_fixed_stays():
    model = build(6.0, learn=False)
    refit_class_density(model, prepare(6.0), 600, None, 0.0, CONFIG)
    assert model.class_density.class_means()[0].tolist() == pytest.approx([-0.4, -0.4])
