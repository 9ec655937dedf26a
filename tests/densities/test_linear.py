"""Linear classes against SciPy, numeric integrals and their own samples."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from flowssl.densities import ClassDensityOptions, ClassInit, ClassPrior, LinearClasses


@pytest.fixture(params=[0.5, 6.0], ids=["soft", "sharp"])
def classes(request):
    generator = torch.Generator().manual_seed(0)
    weight = request.param * torch.randn(3, 2, generator=generator)
    return LinearClasses(weight, torch.tensor([0.3, -0.5, 0.1])).double()


def by_scipy(classes: LinearClasses, z: np.ndarray) -> np.ndarray:
    logits = z @ classes.weight.detach().numpy().T + classes.bias.detach().numpy()
    normal = multivariate_normal(np.zeros(z.shape[1]), np.eye(z.shape[1])).logpdf(z)
    return np.reshape(normal, (-1, 1)) + log_softmax(logits, axis=1)


def grid() -> tuple[np.ndarray, float]:
    axis = np.linspace(-7, 7, 561)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2), (axis[1] - axis[0]) ** 2


def test_log_joint_equals_scipy(classes):
    z = 3 * np.random.default_rng(0).normal(size=(20, 2))
    with torch.no_grad():
        actual = classes.log_joint(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(actual, by_scipy(classes, z), rtol=1e-10)


def test_prior_is_the_mass_of_each_class(classes):
    z, cell = grid()
    mass = np.exp(by_scipy(classes, z)).sum(axis=0) * cell
    prior = classes.log_prior().exp().detach().numpy()
    assert prior.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(prior, mass, atol=0.01)


def test_centers_are_the_modes_that_scipy_finds(classes):
    with torch.no_grad():
        centers = classes.class_means().numpy()
    for k in range(3):
        found = minimize(lambda z, k=k: -by_scipy(classes, z[None])[0, k], np.zeros(2), tol=1e-10)
        np.testing.assert_allclose(centers[k], found.x, atol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_samples_have_the_moments_of_the_class_density(classes, temperature):
    z, _ = grid()
    n = 20_000
    for k in range(3):
        with torch.no_grad():
            y = torch.full((n,), k)
            drawn = classes.sample(y, temperature, torch.Generator().manual_seed(1)).numpy()
        normal = multivariate_normal(np.zeros(2), temperature * np.eye(2)).logpdf(z)
        log_density = by_scipy(classes, z)[:, k] + normal
        log_density -= multivariate_normal(np.zeros(2), np.eye(2)).logpdf(z)
        weight = np.exp(log_density - log_density.max())
        mean = np.average(z, axis=0, weights=weight)
        variance = np.average((z - mean) ** 2, axis=0, weights=weight)
        np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=5 * (variance / n).max() ** 0.5)
        np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.06)


def test_cold_samples_lie_at_the_origin_and_negative_temperatures_are_refused(classes):
    assert (classes.sample(torch.tensor([0, 2]), 0.0) == 0).all()
    with pytest.raises(ValueError, match="at least 0, got -2"):
        classes.sample(torch.tensor([0]), -2.0)


def test_training_begins_as_linear_discriminant_analysis():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [1500, 1000, 500])
    X = rng.normal(size=(3000, 3)) + 1.2 * rng.normal(size=(3, 3))[y]
    whiten = np.linalg.cholesky(np.linalg.inv(np.cov(X.T, bias=True)))
    z = (X - X.mean(axis=0)) @ whiten
    means = torch.from_numpy(np.stack([z[y == k].mean(axis=0) for k in range(3)]))
    init = ClassInit(means[:, None], ClassPrior(torch.bincount(torch.from_numpy(y)).double()))
    with torch.no_grad():
        classes = LinearClasses.from_init(init, ClassDensityOptions()).double()
        posterior = classes.log_joint(torch.from_numpy(z))
    lda = LinearDiscriminantAnalysis(solver="lsqr").fit(X, y)
    np.testing.assert_allclose(posterior.softmax(1).numpy(), lda.predict_proba(X), atol=1e-3)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"bias \(C,\)"):
        LinearClasses(torch.zeros(3, 2), torch.zeros(2))
