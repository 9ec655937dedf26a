"""Rows that take part, and those that follow them."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor

from flowssl.initialization.subsampling import RowLimits, canonical_order, follow


def test_all_labeled_rows_and_some_of_the_others_are_eligible():
    codes = np.where(np.arange(100) < 30, 0, -1)
    eligible = RowLimits(unlabeled=20).eligible(codes, np.random.default_rng(0))
    assert eligible[:30].all()
    assert eligible[30:].sum() == 20
    assert RowLimits().eligible(codes, np.random.default_rng(0)).all()


@pytest.mark.parametrize(
    ("n_labeled", "expected"), [(10, 10), (70, 50), (190, 90)], ids=["few", "half", "most"]
)
def test_unlabeled_rows_get_half_of_the_places_if_there_are_as_many(n_labeled, expected):
    codes = np.where(np.arange(200) < n_labeled, 1, -1)
    codes[:2] = 0
    chosen = RowLimits(total=100).choose(codes, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == 100
    assert (np.diff(chosen) > 0).all()
    assert (codes[chosen] >= 0).sum() == expected
    assert (codes[chosen] == 0).sum() == 2


@pytest.mark.parametrize(("name", "least"), [("total", 1), ("unlabeled", 0), ("reference", 1)])
def test_limits_that_leave_no_row_are_refused(name, least):
    assert getattr(RowLimits(**{name: least}), name) == least
    with pytest.raises(ValueError, match=f"{name} must be at least {least}, got {least - 1}"):
        RowLimits(**{name: least - 1})


def test_the_others_get_the_mean_of_their_neighbors():
    rng = np.random.default_rng(0)
    X, P = rng.normal(size=(80, 3)) * [1, 10, 100], rng.dirichlet([1, 1], 80)
    core = rng.permutation(80)[:60]
    completed = RowLimits(reference=None).complete(X, core, P[core], rng)
    np.testing.assert_array_equal(completed[core], P[core])
    others = np.setdiff1d(np.arange(80), core)
    scale = X[core].std(axis=0)
    peer = KNeighborsRegressor(10).fit(X[core] / scale, P[core])
    np.testing.assert_allclose(completed[others], peer.predict(X[others] / scale))


def test_neighbors_are_searched_among_the_reference_rows():
    X = np.random.default_rng(0).normal(size=(50, 2))
    P = np.eye(40)
    limits = RowLimits(reference=12)
    completed = limits.complete(X, np.arange(40), P, np.random.default_rng(0))
    assert (completed[40:].sum(axis=0) > 0).sum() <= 12


def test_followers_of_one_row_get_its_posteriors():
    P = follow(np.zeros((1, 2)), np.array([[0.3, 0.7]]), np.ones((4, 2)))
    np.testing.assert_allclose(P, np.tile([0.3, 0.7], (4, 1)))


def test_the_canonical_order_is_that_of_the_rows_however_they_are_given():
    rng = np.random.default_rng(0)
    X, codes = rng.normal(size=(30, 4)), rng.integers(-1, 3, 30)
    X[10:20] = X[:10]  # copies with other labels
    shuffled = rng.permutation(30)
    first, second = canonical_order(X, codes), canonical_order(X[shuffled], codes[shuffled])
    np.testing.assert_array_equal(X[first], X[shuffled][second])
    np.testing.assert_array_equal(codes[first], codes[shuffled][second])
