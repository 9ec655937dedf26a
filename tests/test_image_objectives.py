"""The terms by which images are trained: pseudo-labels, ramps, fading, and views without gradient."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flowssl.bijections import Chain, LULinear
from flowssl.densities import ClassPrior, GaussianClasses
from flowssl.models import JointModel
from flowssl.objectives import (
    Batch,
    Consistency,
    CrossEntropy,
    GaussianNoise,
    Likelihood,
    Objective,
    PseudoLabels,
)

LOG_JOINT = torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5], [-3.0, 4.0]])
SECOND = torch.tensor([[9.0, 0.0], [0.0, 9.0], [1.0, 0.0], [0.0, 5.0]])
TARGETS = torch.tensor([[1.0, 0.0], [0.4, 0.6], [0.5, 0.5], [0.9, 0.1]])


@pytest.fixture
def batch():
    """One labeled row, of class 0, and three others."""
    labeled = torch.tensor([True, False, False, False])
    return Batch(torch.zeros(4, 1), TARGETS, labeled, torch.full((4,), 0.25), torch.arange(4))


def surprise(row, label):
    """Return -log p(y | x) by NumPy."""
    values = LOG_JOINT[row].numpy().astype(float)
    return np.log(np.exp(values).sum()) - values[label]


def test_pseudo_labels_are_the_other_views_where_it_is_sure(batch):
    losses = PseudoLabels(threshold=0.95).losses(batch, LOG_JOINT, (LOG_JOINT, SECOND))
    # The first row has a label, and the third one's view is .73 sure only.
    expected = [0.0, surprise(1, 1), 0.0, surprise(3, 1)]
    assert losses.tolist() == pytest.approx(expected, abs=1e-6)


def test_consistency_is_likelihood_and_pseudo_labels_put_together(batch):
    """-log p(x' | y'') = -log p(x') - log p(y'' | x') + log p(y'')."""
    prior = torch.tensor([0.3, 0.7]).log()
    batch = replace(batch, labeled=torch.zeros(4, dtype=torch.bool))
    views = (LOG_JOINT, SECOND)
    whole = Consistency(lambda: prior).losses(batch, LOG_JOINT, views)
    parts = PseudoLabels(threshold=0.0).losses(batch, LOG_JOINT, views)
    parts += Likelihood().losses(batch, LOG_JOINT, views) + prior[SECOND.argmax(1)]
    torch.testing.assert_close(whole, parts)


@pytest.mark.parametrize(
    "term", [Consistency(lambda: torch.zeros(2), ramp=0.5), PseudoLabels(ramp=0.5)]
)
def test_ramps_grow_linearly_to_the_whole_term(term, batch):
    views = (LOG_JOINT, SECOND)
    whole = term.losses(batch, LOG_JOINT, views)
    for progress, part in ((0.0, 0.0), (0.125, 0.25), (0.5, 1.0), (0.9, 1.0)):
        found = term.losses(replace(batch, progress=progress), LOG_JOINT, views)
        torch.testing.assert_close(found, part * whole)


def test_soft_labels_fade_and_labels_stay(batch):
    term = CrossEntropy(fade=0.4)
    whole = CrossEntropy().losses(batch, LOG_JOINT, ())
    for progress, part in ((0.0, 1.0), (0.1, 0.75), (0.4, 0.0), (1.0, 0.0)):
        found = term.losses(replace(batch, progress=progress), LOG_JOINT, ())
        assert found[0] == whole[0]
        torch.testing.assert_close(found[1:], part * whole[1:])


def test_held_out_rows_are_judged_without_views(batch):
    assert PseudoLabels().held_out_losses(batch, LOG_JOINT).tolist() == [0.0] * 4


@pytest.fixture
def model():
    classes = GaussianClasses(torch.tensor([[1.0], [-1.0]]), ClassPrior(torch.ones(2)))
    return JointModel(Chain(LULinear(torch.eye(1))), classes)


def test_rows_are_perturbed_and_the_second_view_teaches_without_gradient(model, batch):
    seen = []

    def moved(x):
        seen.append(x)
        return x + len(seen)

    objective = Objective([Likelihood(), PseudoLabels(threshold=0.0)], moved, perturb_rows=True)
    calls = []
    model.register_forward_hook(lambda _, inputs, out: calls.append((inputs[0], out.requires_grad)))
    objective(model, batch).backward()
    assert [(x[0].item(), gradient) for x, gradient in calls] == [(1.0, True), (2.0, False)]


def test_rows_are_perturbed_once_where_no_term_looks_at_views(model, batch):
    objective = Objective([Likelihood()], GaussianNoise(1.0), perturb_rows=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        noisy = batch.x + torch.randn_like(batch.x)
        torch.manual_seed(0)
        found = objective(model, batch)
    plain = Objective([Likelihood()])(model, replace(batch, x=noisy))
    torch.testing.assert_close(found, plain)


def test_views_need_something_that_makes_them():
    with pytest.raises(ValueError, match="needs a perturbation"):
        Objective([Likelihood()], perturb_rows=True)
