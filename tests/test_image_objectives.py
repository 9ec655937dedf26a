"""The terms by which images are trained: pseudo-labels, ramps, fading, and views."""

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
    Likelihood,
    Objective,
    PseudoLabels,
)

VIEW = torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5], [-3.0, 4.0]])
ROWS = torch.tensor([[9.0, 0.0], [0.0, 9.0], [1.0, 0.0], [0.0, 5.0]])
TARGETS = torch.tensor([[1.0, 0.0], [0.4, 0.6], [0.5, 0.5], [0.9, 0.1]])


@pytest.fixture
def batch():
    """One labeled row, of class 0, and three others."""
    labeled = torch.tensor([True, False, False, False])
    return Batch(torch.zeros(4, 1), TARGETS, labeled, torch.full((4,), 0.25), torch.arange(4))


def surprise(row, label):
    """Return -log p(y | x) of a view by NumPy."""
    values = VIEW[row].numpy().astype(float)
    return np.log(np.exp(values).sum()) - values[label]


def test_pseudo_labels_are_the_rows_own_where_these_are_sure(batch):
    losses = PseudoLabels(threshold=0.95).losses(batch, ROWS, VIEW)
    # The first row has a label, and the third one is .73 sure only.
    expected = [0.0, surprise(1, 1), 0.0, surprise(3, 1)]
    assert losses.tolist() == pytest.approx(expected, abs=1e-6)


def test_consistency_is_likelihood_and_pseudo_labels_put_together(batch):
    """-log p(x' | y'') = -log p(x') - log p(y'' | x') + log p(y'')."""
    prior = torch.tensor([0.3, 0.7]).log()
    batch = replace(batch, labeled=torch.zeros(4, dtype=torch.bool))
    whole = Consistency(lambda: prior).losses(batch, ROWS, VIEW)
    parts = PseudoLabels(threshold=0.0).losses(batch, ROWS, VIEW)
    parts += Likelihood().losses(batch, VIEW, VIEW) + prior[ROWS.argmax(1)]
    torch.testing.assert_close(whole, parts)


@pytest.mark.parametrize(
    "term", [Consistency(lambda: torch.zeros(2), ramp=0.5), PseudoLabels(ramp=0.5)]
)
def test_ramps_grow_linearly_to_the_whole_term(term, batch):
    whole = term.losses(batch, ROWS, VIEW)
    for progress, part in ((0.0, 0.0), (0.125, 0.25), (0.5, 1.0), (0.9, 1.0)):
        found = term.losses(replace(batch, progress=progress), ROWS, VIEW)
        torch.testing.assert_close(found, part * whole)


def test_held_out_rows_are_judged_without_views(batch):
    assert PseudoLabels().held_out_losses(batch, ROWS).tolist() == [0.0] * 4


@pytest.fixture
def model():
    classes = GaussianClasses(torch.tensor([[1.0], [-1.0]]), ClassPrior(torch.ones(2)))
    return JointModel(Chain(LULinear(torch.eye(1))), classes)


def test_cross_entropy_of_a_view_is_that_of_rows_which_are_the_view(batch):
    found = CrossEntropy(of_view=True).losses(batch, ROWS, VIEW)
    torch.testing.assert_close(found, CrossEntropy().losses(batch, VIEW, VIEW))
    assert not torch.allclose(found, CrossEntropy().losses(batch, ROWS, VIEW))


def test_likelihood_is_of_the_rows_and_class_terms_are_of_the_view(model, batch):
    """Gradients of the two parts add up to that of the whole, which is one pass."""

    def gradient(terms, x=None, **perturbations):
        model.zero_grad()
        rows = batch if x is None else replace(batch, x=x)
        Objective(terms, **perturbations)(model, rows).backward()
        return model.class_density.means.grad.clone()

    def moved(x):
        return x + 0.5

    def noisy(x):
        return x - 0.25

    whole = gradient([Likelihood(), CrossEntropy(of_view=True)], perturb=moved, noise=noisy)
    likelihood = gradient([Likelihood()], noisy(batch.x))
    cross_entropy = gradient([CrossEntropy()], moved(batch.x))
    torch.testing.assert_close(whole, likelihood + cross_entropy)


def test_pseudo_labels_teach_without_gradient_through_the_rows(batch):
    rows = ROWS.clone().requires_grad_()
    view = VIEW.clone().requires_grad_()
    PseudoLabels(threshold=0.0).losses(batch, rows, view).sum().backward()
    assert rows.grad is None
    assert view.grad.abs().sum() > 0


def test_no_view_is_made_where_no_term_looks_at_one(model, batch):
    def perturb(x):
        raise AssertionError("a view was made")

    loss = Objective([Likelihood()], perturb)(model, batch)
    torch.testing.assert_close(loss, Objective([Likelihood()])(model, batch))


def test_views_need_something_that_makes_them():
    with pytest.raises(ValueError, match="needs a perturbation"):
        Objective([PseudoLabels()])
