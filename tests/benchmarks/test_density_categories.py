"""The benchmark of categorical columns: every method, and every truth, is a probability."""

from itertools import product

import numpy as np
import pytest
from benchmarks.density import categories

SIZES = (3, 2, 4)
ALL_ROWS = np.array(list(product(*map(range, SIZES))))


def _log_prob_of(given):
    """The truth's log-probability of all rows, by the chain rule."""
    rows = np.arange(len(ALL_ROWS))
    return sum(np.log(given(j, ALL_ROWS)[rows, ALL_ROWS[:, j]]) for j in range(len(SIZES)))


@pytest.mark.parametrize("make", [categories.tree, categories.pairs, categories.classes])
def test_rows_are_drawn_as_often_as_their_probability_says(make):
    given = make(np.random.default_rng(0), SIZES)
    probability = np.exp(_log_prob_of(given))
    assert probability.sum() == pytest.approx(1)
    codes, log_prob = categories.draw(given, SIZES, 20_000, np.random.default_rng(1))
    which = np.ravel_multi_index(codes.T, SIZES)
    np.testing.assert_allclose(np.exp(log_prob), probability[which], rtol=1e-9)
    expected = 20_000 * probability
    counts = np.bincount(which, minlength=len(ALL_ROWS))
    assert (abs(counts - expected) < 5 * np.sqrt(expected) + 1).all()


@pytest.mark.parametrize("method", ["independent", "mixture", "chain"])
def test_methods_give_probabilities_that_add_up_to_one(method, monkeypatch):
    monkeypatch.setattr(categories, "ITERATIONS", 5)
    monkeypatch.setattr("flowssl.marginals.category_fit.STEPS", 2)
    given = categories.pairs(np.random.default_rng(0), SIZES)
    codes, _ = categories.draw(given, SIZES, 100, np.random.default_rng(1))
    held_out = np.arange(100) % 10 == 0
    log_prob = categories.METHODS[method](codes, SIZES, held_out, 0, ALL_ROWS)
    assert np.exp(log_prob).sum() == pytest.approx(1, abs=1e-5)
