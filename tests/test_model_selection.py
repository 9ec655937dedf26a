"""Splitters and scorers on partly labeled data, used through scikit-learn's own tools."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_moons
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from flowssl.exceptions import FlowSSLWarning
from flowssl.model_selection import (
    LabeledStratifiedKFold,
    labeled_accuracy,
    labeled_scorers,
    make_labeled_scorer,
    unlabeled_log_likelihood_scorer,
)

MODELS = {
    "label spreading": (LabelSpreading(kernel="knn"), {"n_neighbors": [7, 15]}),
    "self-training": (
        SelfTrainingClassifier(LogisticRegression()),
        {"estimator__C": [0.1, 10.0]},
    ),
}


class LabeledOnly(ClassifierMixin, BaseEstimator):
    """Logistic regression on the labeled rows of an object y, weights and all."""

    def fit(self, X, y, sample_weight=None):
        labeled = np.array([value is not None for value in y])
        weight = None if sample_weight is None else np.asarray(sample_weight)[labeled]
        labels = np.asarray(y, dtype=object)[labeled].astype(str)
        self.model_ = LogisticRegression().fit(np.asarray(X)[labeled], labels, weight)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        return self.model_.predict(np.asarray(X))

    def predict_proba(self, X):
        return self.model_.predict_proba(np.asarray(X))


@pytest.fixture
def moons():
    """2,000 rows of which 200 are labeled, the true labels, and fresh rows."""
    X, y = make_moons(4000, noise=0.15, random_state=0)
    hidden = np.full(2000, -1)
    hidden[:200] = y[:200]
    return X[:2000], hidden, X[2000:], y[2000:]


@pytest.mark.parametrize("name", MODELS)
def test_grid_search_reports_the_truth_where_the_default_reports_a_tenth(moons, name):
    X, y, X_fresh, y_fresh = moons
    model, grid = MODELS[name]
    ours = GridSearchCV(
        model, grid, cv=LabeledStratifiedKFold(shuffle=True, random_state=0), scoring="accuracy"
    ).fit(X, y)
    default = GridSearchCV(model, grid).fit(X, y)
    truth = ours.score(X_fresh, y_fresh)
    assert abs(ours.best_score_ - truth) < 0.02
    assert default.best_score_ < 0.15


@pytest.mark.parametrize("name", MODELS)
def test_a_labeled_scorer_makes_plain_k_fold_right(moons, name):
    X, y, X_fresh, y_fresh = moons
    model, _ = MODELS[name]
    cv = KFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(model, X, y, cv=cv, scoring=labeled_scorers["accuracy"])
    truth = accuracy_score(y_fresh, clone(model).fit(X, y).predict(X_fresh))
    assert abs(scores.mean() - truth) < 0.03


@pytest.mark.parametrize("shuffle", [False, True])
def test_folds_of_labeled_rows_are_those_of_stratified_k_fold(shuffle):
    rng = np.random.default_rng(0)
    y = rng.choice(3, size=90, p=[0.2, 0.3, 0.5]).astype(float)
    y[rng.permutation(90)[:40]] = np.nan
    labeled = np.flatnonzero(~np.isnan(y))
    state = 0 if shuffle else None
    ours = LabeledStratifiedKFold(4, shuffle=shuffle, random_state=state).split(y, y)
    reference = StratifiedKFold(4, shuffle=shuffle, random_state=state).split(labeled, y[labeled])
    for (train, test), (_, expected) in zip(ours, reference, strict=True):
        np.testing.assert_array_equal(test, labeled[expected])
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(90))


@pytest.mark.parametrize(
    "container", [list, lambda y: np.array(y, dtype=object), pd.Series, pl.Series]
)
def test_unlabeled_rows_are_never_tested(container):
    y = ["a", None, "b", "a", None, "b", None]
    splits = list(LabeledStratifiedKFold(2).split(y, container(y)))
    tested = np.concatenate([test for _, test in splits])
    assert sorted(tested.tolist()) == [0, 2, 3, 5]
    assert all({1, 4, 6} <= set(train.tolist()) for train, _ in splits)


def test_a_single_label_stays_in_training_with_a_warning():
    y = [0] * 4 + [1] * 4 + [2, -1]
    with pytest.warns(FlowSSLWarning, match=r"classes \[2\] have a single label"):
        splits = list(LabeledStratifiedKFold(4).split(y, y))
    assert all(8 in train for train, _ in splits)
    assert all(len(test) == 2 for _, test in splits)


def test_every_class_keeps_a_label_in_training_when_it_has_fewer_labels_than_splits():
    y = np.array([0] * 7 + [1] * 2 + [-1] * 5)
    with pytest.warns(UserWarning, match="least populated class in y has only 2"):
        splits = list(LabeledStratifiedKFold(5).split(y, y))
    assert all({0, 1} <= set(y[train]) for train, _ in splits)
    assert sum(len(test) for _, test in splits) == 9


def test_too_many_splits_name_the_limit():
    y = [0, 0, 0, 1, 1, -1]
    with pytest.raises(ValueError, match=r"n_splits=4 .* class with most labels has 3"):
        next(LabeledStratifiedKFold(4).split(y, y))


def test_another_marker_is_passed_on():
    y = ["a", "?", "b", "a", "?", "b"]
    tested = [
        row
        for _, test in LabeledStratifiedKFold(2, unlabeled_value="?").split(y, y)
        for row in test
    ]
    assert sorted(tested) == [0, 2, 3, 5]


def test_splitter_shows_its_parameters():
    assert "n_splits=3" in repr(LabeledStratifiedKFold(3))
    assert LabeledStratifiedKFold(3).get_n_splits() == 3


@pytest.fixture
def words():
    """A pandas frame with string labels, None for unlabeled, and the labeled rows."""
    rng = np.random.default_rng(0)
    truth = rng.choice(["left", "right"], size=200)
    X = pd.DataFrame({"a": rng.normal(size=200) + 2 * (truth == "left"), "b": rng.random(200)})
    y = pd.Series(truth, dtype=object)
    labeled = np.zeros(200, dtype=bool)
    labeled[:80] = True
    y[~labeled] = None
    return X, y, labeled


def test_scorers_equal_the_metrics_on_the_labeled_rows(words):
    X, y, labeled = words
    model = LabeledOnly().fit(X, y)
    predicted = model.predict(X[labeled])
    probabilities = model.predict_proba(X[labeled])
    truth = y[labeled].to_numpy()
    expected = {
        "accuracy": accuracy_score(truth, predicted),
        "balanced_accuracy": balanced_accuracy_score(truth, predicted),
        "neg_log_loss": -log_loss(truth, probabilities),
        "roc_auc": roc_auc_score(truth == "right", probabilities[:, 1]),
    }
    assert set(labeled_scorers) == set(expected)
    for name, value in expected.items():
        assert labeled_scorers[name](model, X, y) == pytest.approx(value, abs=1e-12)


def test_log_loss_of_a_fold_without_one_of_the_classes(words):
    X, y, _ = words
    model = LabeledOnly().fit(X, y)
    left = (y == "left").to_numpy()
    expected = -np.log(model.predict_proba(X[left])[:, 0]).mean()
    assert labeled_scorers["neg_log_loss"](model, X[left], y[left]) == pytest.approx(-expected)


def test_cross_validate_takes_several_labeled_scorers(words):
    X, y, _ = words
    result = cross_validate(
        LabeledOnly(), X, y, cv=KFold(3, shuffle=True, random_state=0), scoring=labeled_scorers
    )
    assert all(np.isfinite(result[f"test_{name}"]).all() for name in labeled_scorers)


def test_sample_weights_reach_the_metric(words):
    X, y, labeled = words
    weight = np.random.default_rng(1).random(200)
    model = LabeledOnly().fit(X, y)
    expected = accuracy_score(y[labeled], model.predict(X[labeled]), sample_weight=weight[labeled])
    assert labeled_scorers["accuracy"](model, X, y, sample_weight=weight) == expected


def test_metadata_routing_carries_sample_weights_to_fit_and_score(words):
    X, y, _ = words
    weight = np.random.default_rng(1).random(200)
    (train, test), *_ = splits = list(LabeledStratifiedKFold(2).split(X, y))
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_labeled_scorer().set_score_request(sample_weight=True)
        search = GridSearchCV(
            LabeledOnly().set_fit_request(sample_weight=True), {}, scoring=scorer, cv=splits
        ).fit(X, y, sample_weight=weight)
    model = LabeledOnly().fit(X.iloc[train], y.iloc[train], weight[train])
    expected = accuracy_score(y[test], model.predict(X.iloc[test]), sample_weight=weight[test])
    assert search.cv_results_["split0_test_score"][0] == expected


def test_a_fold_without_labels_is_an_error_that_says_so():
    X = np.arange(6.0)[:, None]
    model = LogisticRegression().fit(X, [0, 0, 0, 1, 1, 1])
    with pytest.raises(ValueError, match="no labeled row"):
        labeled_scorers["accuracy"](model, X[:2], [-1, -1])


def test_a_metric_function_is_refused_as_scikit_learn_does():
    with pytest.raises(ValueError, match="metric function rather than a scorer"):
        make_labeled_scorer(accuracy_score)


def test_unlabeled_log_likelihood_is_the_mean_over_unlabeled_rows():
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = np.array([0] * 20 + [-1] * 40)
    model = GaussianMixture(1, random_state=0).fit(X)
    found = unlabeled_log_likelihood_scorer(model, X, y)
    assert found == pytest.approx(model.score_samples(X[20:]).mean(), abs=1e-12)
    with pytest.raises(ValueError, match="every row to score is labeled"):
        unlabeled_log_likelihood_scorer(model, X[:20], y[:20])


def test_no_warning_on_plain_use(words):
    X, y, _ = words
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cross_val_score(LabeledOnly(), X, y, cv=LabeledStratifiedKFold(3))


def test_labeled_accuracy_weighs_the_labeled_rows(words):
    X, y, labeled = words
    weight = np.random.default_rng(2).random(200)
    predicted = LabeledOnly().fit(X, y).predict(X)
    expected = np.average((predicted == y.to_numpy())[labeled], weights=weight[labeled])
    assert labeled_accuracy(y, predicted, sample_weight=weight) == pytest.approx(expected)


def test_labeled_accuracy_refuses_other_numbers_of_rows():
    predicted = np.array([0, 1, 1])
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[3, 2\]"):
        labeled_accuracy([0, 1], predicted)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[3, 3, 2\]"):
        labeled_accuracy([0, 1, -1], predicted, sample_weight=[1.0, 2.0])
    with pytest.raises(ValueError, match="sample_weight contains NaN"):
        labeled_accuracy([0, 1, -1], predicted, sample_weight=[1.0, np.nan, 1.0])
