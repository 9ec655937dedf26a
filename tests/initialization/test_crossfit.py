"""Cross-fitting."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, StratifiedKFold, cross_val_predict

from flowssl.datasets import hide_labels
from flowssl.initialization.crossfit import (
    CrossFit,
    label_folds,
    stratified_folds,
    within_reach,
)
from flowssl.initialization.graphs import neighbor_graph


def test_gathered_predictions_are_those_of_cross_val_predict(wine):
    X, y = wine
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    codes = hide_labels(y, per_class=6, random_state=0)
    known = codes >= 0
    folds = label_folds(codes[known], 4, np.random.default_rng(0))
    crossfit = CrossFit(codes, folds)

    def predictions(fold):
        seen = fold.codes >= 0
        return LogisticRegression().fit(X[seen], codes[seen]).predict_proba(X[fold.rows])

    mine = crossfit.gather([predictions(fold) for fold in crossfit], (18, 3))
    peer = cross_val_predict(
        LogisticRegression(),
        X[known],
        codes[known],
        cv=PredefinedSplit(folds),
        method="predict_proba",
    )
    np.testing.assert_allclose(mine, peer)


def test_a_fold_hides_its_labels_and_no_others():
    codes = np.array([-1, 0, 1, -1, 0, 1, 2])
    crossfit = CrossFit(codes, np.array([0, 1, 1, 0, -1]))
    first, second = crossfit
    assert len(crossfit) == 2
    assert first.codes.tolist() == [-1, -1, 1, -1, 0, -1, 2]
    assert first.rows.tolist() == [1, 5]
    assert second.codes.tolist() == [-1, 0, -1, -1, -1, 1, 2]
    assert second.left_out.tolist() == [False, True, True, False, False]
    assert crossfit.left_out.tolist() == [True, True, True, True, False]


def test_labels_that_are_never_left_out_have_no_prediction():
    crossfit = CrossFit(np.array([0, 1, 0]), np.array([0, -1, 0]))
    gathered = crossfit.gather([np.full((5, 2, 2), 0.5)], (5, 3, 2))
    assert np.isnan(gathered[:, 1]).all()
    assert (gathered[:, [0, 2]] == 0.5).all()


def test_a_subset_has_the_folds_of_its_labels():
    crossfit = CrossFit(np.array([0, -1, 1, 0, 1]), np.array([0, 1, 1, 0])).subset(np.array([1, 3]))
    assert crossfit.codes.tolist() == [-1, -1, 1, -1, 1]
    assert [fold.rows.tolist() for fold in crossfit] == [[4], [2]]


@pytest.mark.parametrize("n_folds", [2, 5, 20])
def test_folds_are_equal_and_stratified_and_keep_single_labels(n_folds):
    given = np.repeat([0, 1, 2], [1, 7, 12])
    folds = label_folds(given, n_folds, np.random.default_rng(0))
    assert folds[0] == -1
    assert folds.max() + 1 == min(n_folds, 19)
    for of in (folds[given == 1], folds[given == 2], folds[1:]):
        assert np.ptp(np.bincount(of, minlength=min(n_folds, 19))) <= 1


def test_stratified_folds_are_scikit_learns():
    given = np.repeat([0, 1], [5, 9])
    folds = stratified_folds(given, 3, seed=2**32 + 4)
    splits = StratifiedKFold(3, shuffle=True, random_state=4).split(given, given)
    for fold, (_, left_out) in enumerate(splits):
        np.testing.assert_array_equal(np.flatnonzero(folds == fold), left_out)


def test_the_only_label_of_a_cluster_is_out_of_reach_when_it_is_left_out():
    rng = np.random.default_rng(0)
    cluster = np.repeat([0, 1], 100)
    graph = neighbor_graph(rng.normal(size=(200, 2)) + 50.0 * cluster[:, None])
    codes = np.full(200, -1)
    codes[[0, 1, 2, 150]] = [0, 0, 0, 1]
    within = within_reach(graph, CrossFit(codes, np.arange(4)))
    assert within.tolist() == [True, True, True, False]
