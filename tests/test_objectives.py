"""Objectives against closed forms, hand calculation and identities of the EM algorithm."""

import copy

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from torch import Tensor

from flowssl.architectures import Architecture, build_flow
from flowssl.bijections import Chain, LULinear
from flowssl.densities import ClassPrior, GaussianClasses
from flowssl.layers import couplings
from flowssl.models import JointModel
from flowssl.objectives import (
    Batch,
    Consistency,
    CrossEntropy,
    ExpectationMaximization,
    GaussianNoise,
    Likelihood,
    Objective,
    SoftLabelLikelihood,
)
from flowssl.training import TrainingRows

N, DIM, CLASSES = 12, 3, 2
WEIGHT = torch.tensor([[2.0, 0.5, 0.0], [0.0, 1.0, -0.3], [0.2, 0.0, 0.7]], dtype=torch.float64)
BIAS = torch.tensor([0.5, -1.0, 0.2], dtype=torch.float64)
MEANS = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.5, 0.0]], dtype=torch.float64)
PRIOR = torch.tensor([0.3, 0.7], dtype=torch.float64)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def affine() -> JointModel:
    """A fixed affine flow in front of two unit Gaussians: Gaussians in x, in closed form."""
    # The parameters are made in float32, so the closed form uses their values.
    classes = GaussianClasses(MEANS, ClassPrior(PRIOR))
    return JointModel(Chain(LULinear(WEIGHT, BIAS)), classes).double()


@pytest.fixture
def flow() -> JointModel:
    """A small nonlinear model."""
    generator = torch.Generator().manual_seed(0)
    chain = build_flow(
        Architecture(couplings(2, (8,))), torch.eye(DIM), torch.zeros(DIM), generator=generator
    ).double()
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return JointModel(chain, GaussianClasses(MEANS, ClassPrior(PRIOR)).double())


def make_rows(n: int = N, *, n_labeled: int = 4, seed: int = 3) -> TrainingRows:
    """Rows of which the first carry labels; the others have soft labels."""
    x = randn(n, DIM, seed=seed)
    targets = randn(n, CLASSES, seed=seed + 1).softmax(1)
    labeled = torch.arange(n) < n_labeled
    one_hot = torch.eye(CLASSES, dtype=torch.float64)[torch.arange(n) % CLASSES]
    targets = torch.where(labeled[:, None], one_hot, targets)
    return TrainingRows(x, targets, labeled, torch.ones(n, dtype=torch.float64))


def make_batch(**options: int) -> Batch:
    rows = make_rows(**options)
    return rows.batch(torch.arange(len(rows)))


def scipy_log_joint(model: JointModel, x: Tensor) -> np.ndarray:
    """Write p(x, y=k) down as a Gaussian in x: x = W^-1 (z - b) with z ~ N(mu_k, I)."""
    with torch.no_grad():
        bias = model.flow(torch.zeros(1, DIM, dtype=torch.float64))[0][0].numpy()
        weight = model.flow(torch.eye(DIM, dtype=torch.float64))[0].numpy().T - bias[:, None]
        means, prior = (
            model.class_density.means[:, 0].numpy(),
            model.class_density.log_prior().numpy(),
        )
    inverse = np.linalg.inv(weight)
    return np.stack(
        [
            prior[k]
            + multivariate_normal(inverse @ (means[k] - bias), inverse @ inverse.T).logpdf(
                x.numpy()
            )
            for k in range(CLASSES)
        ],
        axis=1,
    )


def test_likelihood_is_equation_4(affine):
    batch = make_batch()
    log_joint = scipy_log_joint(affine, batch.x)
    labels = batch.targets.argmax(1).numpy()
    labeled = batch.labeled.numpy()
    expected = np.where(labeled, log_joint[np.arange(N), labels], logsumexp(log_joint, axis=1))

    loss = Objective([Likelihood()])(affine, batch)

    assert loss.item() == pytest.approx(-expected.mean() / DIM, rel=1e-10)


def test_soft_label_likelihood_and_cross_entropy_against_numpy(affine):
    batch = make_batch()
    log_joint = scipy_log_joint(affine, batch.x)
    log_posterior = log_joint - logsumexp(log_joint, axis=1, keepdims=True)
    q, labeled = batch.targets.numpy(), batch.labeled.numpy()
    likelihood = -(q * log_joint).sum(1).mean() / DIM
    cross_entropy = -(q * log_posterior).sum(1)

    both = Objective([SoftLabelLikelihood(), CrossEntropy(5.0)])(affine, batch)
    assert both.item() == pytest.approx(likelihood + 5 * cross_entropy.mean() / DIM, rel=1e-10)

    of_labels = Objective([CrossEntropy(labeled_only=True)])(affine, batch)
    expected = cross_entropy[labeled].sum() / N / DIM
    assert of_labels.item() == pytest.approx(expected, rel=1e-10)


def test_cross_entropy_of_labels_never_looks_at_other_targets(affine):
    batch = make_batch()
    batch.targets[~batch.labeled] = torch.nan
    loss = Objective([CrossEntropy(labeled_only=True)])(affine, batch)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in affine.parameters() if p.grad is not None)


def gradient(objective: Objective, model: JointModel, batch: Batch, x: Tensor) -> Tensor:
    model = copy.deepcopy(model)
    objective.before_step(model, x, 0)
    objective(model, batch).backward()
    return torch.cat([p.grad.ravel() for p in model.parameters() if p.grad is not None])


def test_em_with_fresh_responsibilities_has_the_gradient_of_the_likelihood(flow):
    """Fisher's identity (appendix A)."""
    batch = make_batch()
    direct = gradient(Objective([Likelihood()]), flow, batch, batch.x)
    em = gradient(Objective([ExpectationMaximization(refresh=1)]), flow, batch, batch.x)
    assert direct.abs().max() > 0.01
    torch.testing.assert_close(em, direct, rtol=1e-6, atol=1e-9)


def test_em_with_old_responsibilities_has_another_gradient(flow):
    batch = make_batch()
    term = ExpectationMaximization(refresh=10)
    term.before_step(flow, batch.x, 0)
    moved = copy.deepcopy(flow)
    with torch.no_grad():
        moved.class_density.means.add_(0.5)
    term.before_step(moved, batch.x, 1)  # not due yet

    objective = Objective([term])
    objective(moved, batch).backward()
    stale = torch.cat([p.grad.ravel() for p in moved.parameters() if p.grad is not None])
    fresh = gradient(Objective([Likelihood()]), moved, batch, batch.x)
    assert (stale - fresh).abs().max() > 1e-3

    term.before_step(moved, batch.x, 10)  # due
    moved.zero_grad()
    objective(moved, batch).backward()
    refreshed = torch.cat([p.grad.ravel() for p in moved.parameters() if p.grad is not None])
    torch.testing.assert_close(refreshed, fresh, rtol=1e-6, atol=1e-9)


def test_em_never_lowers_the_likelihood_from_refresh_to_refresh(flow):
    rows = make_rows(60)
    batch = rows.batch(torch.arange(len(rows)))
    em, likelihood = Objective([ExpectationMaximization(refresh=5)]), Objective([Likelihood()])
    optimizer = torch.optim.SGD(flow.parameters(), lr=0.02)
    losses = []
    for step in range(50):
        if step % 5 == 0:
            losses.append(likelihood(flow, batch).item())
        em.before_step(flow, batch.x, step)
        optimizer.zero_grad()
        em(flow, batch).backward()
        optimizer.step()
    assert (np.diff(losses) < 0).all()
    assert losses[-1] < losses[0] - 0.05


def test_em_leaves_the_mode_of_the_model_alone(flow):
    x = randn(5, DIM)
    for mode in (True, False):
        flow.train(mode)
        ExpectationMaximization(refresh=2).before_step(flow, x, 0)
        assert flow.training is mode


def test_labeled_rows_keep_their_label_in_em_and_consistency(affine):
    """A row in the middle of class 0 that is labeled 1 counts for class 1."""
    log_joint = torch.tensor([[0.0, -50.0], [0.0, -50.0]], dtype=torch.float64)
    batch = Batch(
        x=torch.zeros(2, DIM, dtype=torch.float64),
        targets=torch.tensor([[0.0, 1.0], [0.5, 0.5]], dtype=torch.float64),
        labeled=torch.tensor([True, False]),
        weight=torch.full((2,), 0.5, dtype=torch.float64),
        index=torch.arange(2),
    )
    em = ExpectationMaximization().losses(batch, log_joint, log_joint)
    assert em.tolist() == pytest.approx([50.0, 0.0], abs=1e-12)

    uniform = torch.tensor([0.5, 0.5], dtype=torch.float64).log
    consistency = Consistency(uniform).losses(batch, log_joint, log_joint)
    assert consistency.tolist() == pytest.approx([50.0 - np.log(2), -np.log(2)], abs=1e-12)


def test_consistency_is_equation_7_by_hand(affine):
    """``-log p(x' | y'')`` with y'' the class that the model gives to the other copy."""
    batch = make_batch(n_labeled=0)
    first, second = (batch.x + randn(N, DIM, seed=seed) for seed in (10, 11))
    term = Consistency(affine.class_density.log_prior, weight=3.0)
    loss = Objective([term], perturb=lambda x: first, noise=lambda x: second)(affine, batch)

    predicted = scipy_log_joint(affine, second).argmax(1)
    assert 0 < predicted.sum() < N
    conditional = scipy_log_joint(affine, first) - affine.class_density.log_prior().detach().numpy()
    expected = -conditional[np.arange(N), predicted].mean()
    assert loss.item() == pytest.approx(3 * expected / DIM, rel=1e-10)


def test_consistency_follows_the_prior_that_is_being_trained(flow):
    flow.class_density.prior.logits.requires_grad_()
    batch = make_batch(n_labeled=0)
    term = Consistency(flow.class_density.log_prior)
    Objective([term], GaussianNoise(0.1))(flow, batch).backward()
    # The class-conditional density does not depend on the prior: its gradient cancels exactly.
    assert flow.class_density.prior.logits.grad.abs().max() < 1e-12


@pytest.mark.parametrize("n_labeled", [0, 4, N])
def test_labeled_unlabeled_and_the_view_go_through_the_flow_in_one_pass(flow, n_labeled):
    calls = []
    flow.register_forward_hook(lambda module, inputs, output: calls.append(inputs[0].shape))
    terms = [
        Likelihood(),
        CrossEntropy(labeled_only=True),
        ExpectationMaximization(),
        Consistency(flow.class_density.log_prior),
    ]
    Objective(terms, GaussianNoise(0.1))(flow, make_batch(n_labeled=n_labeled)).backward()
    assert calls == [(2 * N, DIM)]


def test_terms_see_the_rows_unperturbed(flow):
    """Views are for the consistency term only."""
    batch = make_batch()
    plain = Objective([Likelihood()])(flow, batch)
    silent = Consistency(flow.class_density.log_prior, weight=0.0)
    both = Objective([Likelihood(), silent], GaussianNoise(5.0))(flow, batch)
    assert both.item() == pytest.approx(plain.item(), rel=1e-12)


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.5, 1.0])
def test_labeled_fraction_is_respected_exactly(fraction):
    rows = make_rows(50, n_labeled=7)
    rows = TrainingRows(rows.x, rows.targets, rows.labeled, randn(50, seed=9).exp())
    batch = rows.batch(torch.tensor([0, 1, 1, 6, 20, 21, 22, 49]), fraction)
    assert batch.weight.sum().item() == pytest.approx(1.0, abs=1e-12)
    assert batch.weight[batch.labeled].sum().item() == pytest.approx(fraction, abs=1e-12)
    of_row = rows.weight[torch.tensor([20, 49])]
    if fraction < 1:
        ratio = (batch.weight[4] / batch.weight[7]).item()
        assert ratio == pytest.approx((of_row[0] / of_row[1]).item(), rel=1e-12)


@pytest.mark.parametrize("n_labeled", [0, 8])
def test_labeled_fraction_without_one_of_the_kinds_gives_all_weight_to_the_other(n_labeled):
    rows = make_rows(8, n_labeled=n_labeled)
    batch = rows.batch(torch.arange(8), 0.3)
    assert batch.weight.tolist() == pytest.approx([1 / 8] * 8)


@pytest.mark.parametrize("fraction", [None, 0.4])
def test_weight_2_equals_a_repeated_row(flow, fraction):
    rows = make_rows(6, n_labeled=3)
    doubled = rows.weight.clone()
    doubled[[1, 4]] = 2.0
    weighted = TrainingRows(rows.x, rows.targets, rows.labeled, doubled)
    repeated = rows.take(torch.tensor([0, 1, 1, 2, 3, 4, 4, 5]))
    objective = Objective([Likelihood(), CrossEntropy(2.0)])
    losses = [
        objective(flow, version.batch(torch.arange(len(version)), fraction)).item()
        for version in (weighted, repeated)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_noise_has_the_given_deviation():
    x = torch.ones(20_000, 2)
    torch.manual_seed(0)
    noise = GaussianNoise(0.5)(x) - x
    assert noise.std().item() == pytest.approx(0.5, rel=0.02)


def test_text_of_an_objective_differs_with_its_settings():
    """A checkpoint is refused by this text when the objective is another one."""

    def text(**options: float) -> str:
        terms = [SoftLabelLikelihood(), CrossEntropy(options.get("weight", 1.0))]
        return repr(Objective(terms, GaussianNoise(options.get("std", 0.1))))

    assert text() == text()
    assert len({text(), text(weight=2.0), text(std=0.2)}) == 3
    assert repr(ExpectationMaximization(refresh=2)) != repr(ExpectationMaximization(refresh=3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Objective([]), "at least 1 term"),
        (lambda: Objective([Consistency(lambda: PRIOR.log())]), "perturbation"),
        (lambda: ExpectationMaximization(refresh=0), "at least 1 step, got 0"),
    ],
)
def test_wrong_settings_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
