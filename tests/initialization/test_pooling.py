"""Tempering, pooling and class priors against closed forms."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import beta

from flowssl.initialization.pooling import (
    Pool,
    blind_pool,
    fit_pool,
    fit_tempered_pool,
    label_log_likelihood,
    match_prior,
    mix_with_uniform,
    shift_prior,
    temper,
)


def test_temper_undoes_a_power():
    rng = np.random.default_rng(0)
    P = softmax(rng.normal(size=(5000, 3)) * 2, axis=1)
    codes = (P.cumsum(axis=1) < rng.random((5000, 1))).sum(axis=1)
    flat = softmax(0.25 * np.log(P), axis=1)
    assert temper(flat, codes) == pytest.approx(4, rel=0.15)


def test_the_informative_candidate_wins():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, 60)
    good, noise = np.where(np.eye(2)[codes] == 1, 0.9, 0.1), rng.dirichlet([1, 1], 60)
    pool = fit_pool(np.stack([good, noise]), codes, np.ones(2))
    assert pool.weights[0] > 10 * pool.weights[1]
    assert label_log_likelihood(pool(np.stack([good, noise])), codes) > -60 * 0.1


def test_without_labels_the_smoother_candidate_wins():
    P = np.random.default_rng(0).dirichlet([1, 1, 1], (2, 50))
    assert np.diff(blind_pool(P, np.array([0.05, 0.4])).weights) < -0.9


@pytest.mark.parametrize("n_evaluated", [0, 4, 100])
def test_the_uniform_part_is_the_expected_error_rate_after_correct_predictions(n_evaluated):
    expected = beta(0.5, 1.5 + n_evaluated).mean()  # Beta(1/2, 3/2) after as many successes
    mixed = mix_with_uniform(np.eye(4), n_evaluated)
    np.testing.assert_allclose(mixed.sum(1), 1)
    np.testing.assert_allclose(mixed[0, 1:], expected / 4)


def test_shift_prior_keeps_equal_frequencies_and_strengthens_unequal_ones():
    even = np.array([[0.8, 0.2], [0.2, 0.8]])
    np.testing.assert_allclose(shift_prior(even, np.array([0.5, 0.5])), even)
    rare = np.repeat([[0.95, 0.05], [0.4, 0.6]], [90, 10], axis=0)
    assert shift_prior(rare, np.array([0.5, 0.5])).mean(axis=0)[1] < rare.mean(axis=0)[1]


def test_match_prior_finds_the_intercept_that_was_taken_away():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(300, 3))
    true = softmax(scores + np.array([0.0, 2.0, -3.0]), axis=1)
    found = match_prior(softmax(scores, axis=1), true.mean(axis=0), np.ones(300))
    np.testing.assert_allclose(found, true, atol=1e-4)


def test_match_prior_moves_rows_that_were_certain():
    weight = np.array([1.0, 2.0, 1.0])
    found = match_prior(np.eye(2)[[0, 0, 0]], np.array([0.25, 0.75]), weight)
    np.testing.assert_allclose(np.average(found, axis=0, weights=weight), [0.25, 0.75], atol=1e-5)


def test_a_pool_is_the_normalized_product_of_powers():
    P = np.random.default_rng(0).dirichlet([5, 5, 5], (2, 10))
    pooled = Pool(np.array([0.3, 0.6]), np.ones(2))(P)
    product = P[0] ** 0.3 * P[1] ** 0.6
    np.testing.assert_allclose(pooled, product / product.sum(axis=1, keepdims=True))


def test_a_tempered_pool_evaluates_only_the_marked_labels():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=40)
    good, noise = 0.1 + 0.7 * np.eye(3)[codes], rng.dirichlet([1, 1, 1], 40)
    marked = np.arange(40) < 30
    wrong = np.where(marked[:, None], noise, np.eye(3)[codes])  # right only where it is ignored
    pool, crossed, full = fit_tempered_pool(
        np.stack([good, wrong]), np.stack([good, wrong]), codes, marked
    )
    assert pool.weights[0] > pool.weights[1]
    assert np.isnan(crossed[~marked]).all()
    np.testing.assert_allclose(crossed[marked], full[marked])
    assert full[np.arange(40), codes].mean() > good[np.arange(40), codes].mean()
