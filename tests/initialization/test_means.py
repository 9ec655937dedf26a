"""Whitening and class means against closed forms and linear discriminant analysis."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from flowssl.initialization.means import (
    component_means,
    fit_whitening,
    latent_means,
    random_means,
)


def test_pooled_covariance_of_whitened_rows_is_the_identity(wine):
    X, y = wine
    found = fit_whitening(X, np.eye(3)[y], shrinkage=0.0)
    Z = (X - found.mean) @ found.whitening.T
    residual = Z - np.stack([Z[y == k].mean(axis=0) for k in range(3)])[y]
    np.testing.assert_allclose(residual.T @ residual / len(X), np.eye(13), atol=1e-8)
    np.testing.assert_allclose(found.unwhitening @ found.whitening, np.eye(13), atol=1e-8)


def test_posterior_of_the_class_means_is_linear_discriminant_analysis(wine):
    X, y = wine
    found = fit_whitening(X, np.eye(3)[y], shrinkage=0.0)
    Z = (X - found.mean) @ found.whitening.T
    score = np.stack([multivariate_normal(Z[y == k].mean(0)).logpdf(Z) for k in range(3)], axis=1)
    mine = softmax(score + np.log(np.bincount(y) / len(y)), axis=1)
    lda = LinearDiscriminantAnalysis(solver="lsqr").fit(X, y).predict_proba(X)
    np.testing.assert_allclose(mine, lda, atol=1e-7)


def test_weights_count_like_copies(wine):
    X, y = wine
    copies = np.random.default_rng(0).integers(0, 3, len(X))
    P = np.eye(3)[y]
    weighted = fit_whitening(X, P, shrinkage=0.1, sample_weight=copies)
    repeated = fit_whitening(X.repeat(copies, 0), P.repeat(copies, 0), shrinkage=0.1)
    np.testing.assert_allclose(weighted.whitening, repeated.whitening, rtol=1e-6)
    np.testing.assert_allclose(weighted.mean, repeated.mean, atol=1e-8)


@pytest.mark.parametrize("shrinkage", [None, 0.3])
def test_fewer_rows_than_columns_whiten_like_the_whole_covariance(shrinkage):
    rng = np.random.default_rng(0)
    X, P = rng.normal(size=(9, 40)) * rng.uniform(0.2, 3, 40), softmax(rng.normal(size=(9, 2)), 1)
    mass, w = P.sum(0), np.full(9, 1 / 9)
    means = P.T @ X / mass[:, None]
    centered = [X - mean for mean in means]
    S = sum((p[:, None] * C).T @ C for p, C in zip(P.T / 9, centered, strict=True))
    trace = np.trace(S) / 40
    if shrinkage is None:
        spread = (S**2).mean()
        shrinkage = min(1, (spread + trace**2) / (10 * (spread - trace**2 / 40)))
        found = fit_whitening(X, P)
    else:
        found = fit_whitening(X, P, shrinkage=shrinkage)
    S = (1 - shrinkage) * S + shrinkage * trace * np.eye(40)
    np.testing.assert_allclose(found.unwhitening @ found.unwhitening, S, atol=1e-10)
    np.testing.assert_allclose(found.whitening @ found.unwhitening, np.eye(40), atol=1e-10)
    np.testing.assert_allclose(found.mean, w @ X)
    assert found.deviations.directions.shape == (40, 9)


def test_errors_name_the_numbers():
    with pytest.raises(ValueError, match="3 rows but posteriors has 2"):
        fit_whitening(np.zeros((3, 1)), np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"shrinkage is 1\.5"):
        fit_whitening(np.eye(2), np.ones((2, 1)), shrinkage=1.5)


def test_latent_means_are_class_averages():
    Z = np.array([[0.0, 0], [2, 2], [5, 1], [9, 9]])
    means = latent_means(Z, np.array([0, 0, 1, -1]), 3)
    np.testing.assert_allclose(means, [[1, 1], [5, 1], [7 / 3, 1]])


def test_latent_means_need_a_label():
    with pytest.raises(ValueError, match="No row is labeled"):
        latent_means(np.zeros((2, 1)), np.array([-1, -1]), 2)


def test_two_random_means_lie_at_the_distance_about_the_origin():
    means = random_means(2, 5, np.random.default_rng(0), distance=7.5)
    assert np.linalg.norm(means[0] - means[1]) == pytest.approx(7.5)
    np.testing.assert_allclose(means.sum(axis=0), 0, atol=1e-12)


def test_random_means_are_standard_normal():
    means = random_means(400, 50, np.random.default_rng(0))
    assert abs(means.mean()) < 0.03
    assert means.std() == pytest.approx(1, abs=0.02)
    with pytest.raises(ValueError, match="two classes, not 3"):
        random_means(3, 2, np.random.default_rng(0), distance=1.0)


def test_one_component_is_the_weighted_class_mean():
    rng = np.random.default_rng(0)
    Z, mass = rng.normal(size=(30, 2)), rng.random((30, 3))
    means, weights = component_means(Z, mass)
    assert means.shape == (3, 1, 2)
    for k in range(3):
        np.testing.assert_allclose(means[k, 0], np.average(Z, axis=0, weights=mass[:, k]))
    np.testing.assert_array_equal(weights, np.ones((3, 1)))


def test_several_components_find_the_clusters_of_a_class_and_their_fractions():
    rng = np.random.default_rng(0)
    cluster = np.repeat([0, 1, 2], [10, 30, 20])
    Z = 20.0 * cluster[:, None] + rng.normal(size=(60, 1))
    mass = np.eye(2)[[0, 0, 1]][cluster]
    mass[:, 1] += 0.5 * (cluster == 0)  # half of the first cluster belongs to both classes
    means, weights = component_means(Z, mass, 2, rng)
    order = np.argsort(means[0, :, 0])
    expected = [Z[cluster == k].mean() for k in (0, 1)]
    np.testing.assert_allclose(means[0, order, 0], expected, atol=1e-4)
    np.testing.assert_allclose(weights[0, order], [0.25, 0.75])
    np.testing.assert_allclose(np.sort(weights[1]), [0.2, 0.8])
