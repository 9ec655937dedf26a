"""Candidates of the caller."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss

from flowssl.datasets import hide_labels
from flowssl.initialization import propagate


@dataclass
class Fixed:
    """A candidate with the same posteriors whatever its labels; records what it is asked."""

    posteriors: np.ndarray
    name: str = "fixed"

    def __post_init__(self):
        self.asked = []

    def fit_predict(self, codes, rows):
        self.asked.append((codes, rows))
        return self.posteriors[rows]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300]
    codes = hide_labels(y, per_class=3, random_state=0)
    X = X[:, X.std(axis=0) > 0]
    return X, codes, y, propagate(X, codes, 10, random_state=0)


def test_a_candidate_that_knows_the_labels_gets_most_of_the_weight(digits):
    X, codes, y, alone = digits
    oracle = Fixed(0.02 + 0.8 * np.eye(10)[y])
    joined = propagate(X, codes, 10, extra=[oracle], random_state=0)
    assert joined.candidates[-1] == "fixed"
    assert joined.weights[-1] > 0.5
    assert joined.weights[-1] > 5 * joined.weights[:-1].max()
    assert (joined.posteriors.argmax(1) == y).mean() > (alone.posteriors.argmax(1) == y).mean()
    evaluated = np.isfinite(joined.cross_fitted[:, 0])
    given = codes[codes >= 0][evaluated]
    expected = -log_loss(given, joined.cross_fitted[evaluated], labels=np.arange(10))
    assert joined.label_log_likelihood == pytest.approx(expected, abs=0.02)  # it has a floor
    assert joined.label_log_likelihood > alone.label_log_likelihood
    assert joined.label_log_likelihoods[-1] == pytest.approx(np.log(0.82), abs=0.02)


def test_a_candidate_that_is_confidently_wrong_does_no_harm(digits):
    X, codes, y, alone = digits
    wrong = Fixed(0.001 + 0.99 * np.eye(10)[(y + 1) % 10])
    joined = propagate(X, codes, 10, extra=[wrong], random_state=0)
    assert joined.weights[-1] < 0.1
    before = (alone.posteriors.argmax(1) == y).mean()
    assert (joined.posteriors.argmax(1) == y).mean() > before - 0.02


def test_a_candidate_never_predicts_a_label_that_it_has_seen(digits):
    X, codes, _, _ = digits
    candidate = Fixed(np.full((300, 10), 0.1))
    propagate(X, codes, 10, extra=[candidate], random_state=0)
    *folds, (all_codes, all_rows) = candidate.asked
    np.testing.assert_array_equal(all_codes, codes)
    np.testing.assert_array_equal(all_rows, np.arange(300))
    assert len(folds) == 3  # as many as the classes have labels
    for hidden, rows in folds:
        assert (hidden[rows] == -1).all()
        assert set(hidden[hidden >= 0]) == set(range(10))
    predicted = np.concatenate([rows for _, rows in folds])
    np.testing.assert_array_equal(np.sort(predicted), np.flatnonzero(codes >= 0))


@pytest.mark.parametrize("case", ["one label of a class", "no unlabeled row"])
def test_nothing_is_trained_where_it_cannot_be_evaluated_or_used(digits, case):
    X, codes, y, _ = digits
    codes = y.copy() if case == "no unlabeled row" else codes.copy()
    if case == "one label of a class":
        codes[np.flatnonzero(codes == 4)[1:]] = -1
    candidate = Fixed(np.full((300, 10), 0.1))
    found = propagate(X, codes, 10, extra=[candidate], random_state=0)
    assert not candidate.asked
    assert "fixed" not in found.candidates
