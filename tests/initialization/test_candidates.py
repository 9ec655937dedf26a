"""Candidates against scikit-learn."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from flowssl.datasets import hide_labels
from flowssl.initialization.candidates import (
    DIFFUSION,
    Kind,
    graph_methods,
    linear_methods,
    mixture_methods,
    run_sources,
    run_without,
)
from flowssl.initialization.crossfit import CrossFit
from flowssl.initialization.known_labels import KnownLabels
from flowssl.initialization.logistic import INVERSE_PENALTIES, fit_baseline, tune_logistic
from flowssl.initialization.spaces import Scaling, prepare_spaces


@pytest.fixture(scope="module")
def spaces(wine):
    X, _ = wine
    return prepare_spaces(X, 4, np.ones(len(X)), np.random.default_rng(0))


@pytest.fixture
def space(spaces):
    return spaces[0]


def results(methods):
    return {name: posteriors for name, _, posteriors in methods}


def test_logistic_is_scikit_learns(space, wine):
    codes = hide_labels(wine[1], per_class=4, random_state=0)
    mine = results(linear_methods(space, KnownLabels(codes, 3, inverse_penalty=0.5)))["logistic"]
    seen = codes >= 0
    peer = LogisticRegression(C=0.5).fit(space.X[seen], codes[seen])
    np.testing.assert_allclose(mine, peer.predict_proba(space.X), atol=1e-2)


def test_affine_step_with_all_labels_is_shrunk_discriminant_analysis(space, wine):
    _, y = wine
    mine = results(linear_methods(space, KnownLabels(y, 3)))["affine 1"]
    lda = LinearDiscriminantAnalysis(solver="lsqr").fit(space.X, y)
    assert (mine.argmax(axis=1) == lda.predict(space.X)).mean() > 0.99


def test_diffusion_gives_every_class_the_same_mass_or_that_of_the_prior(space, wine):
    codes = hide_labels(wine[1], per_class=3, random_state=0)
    prior = np.array([0.7, 0.2, 0.1])
    even, moved = (
        results(graph_methods(space, KnownLabels(codes, 3, p)))[f"diffusion {DIFFUSION[-1]}"]
        for p in (None, prior)
    )
    odds = moved / even / prior
    np.testing.assert_allclose(odds, odds[:, :1].repeat(3, axis=1))


def test_a_mixture_labels_its_components_by_the_rows_in_them():
    rng = np.random.default_rng(0)
    cluster = rng.integers(3, size=300)
    X = rng.normal(size=(300, 2)) + 10.0 * np.column_stack([cluster, cluster == 1])
    y = np.array([0, 1, 0])[cluster]
    codes = np.full(300, -1)
    for k in range(3):
        first = np.flatnonzero(cluster == k)[:2]
        codes[first] = y[first]
    space = prepare_spaces(X, 3, np.ones(300), rng)[0]
    (mixture,) = results(mixture_methods(space, KnownLabels(codes, 2))).values()
    assert (mixture.argmax(axis=1) == y).all()


def test_sources_run_in_their_spaces_and_say_what_they_use(spaces, wine):
    labels = KnownLabels(hide_labels(wine[1], per_class=3, random_state=0), 3)
    candidates = run_sources(spaces, [labels] * len(spaces))
    assert {s.scaling for s in spaces} == set(Scaling)
    assert {c.kind for c in candidates if c.scaling is Scaling.RAW} == {Kind.GRAPH}
    assert [c.name for c in candidates if c.kind is Kind.LABELS_ONLY] == [
        "standard: logistic",
        "rank: logistic",
    ]
    assert all(c.name.startswith(f"{c.scaling}: ") for c in candidates)
    for candidate in candidates:
        np.testing.assert_allclose(candidate.posteriors.sum(axis=1), 1, atol=1e-5)
        assert np.isnan(candidate.cross_fitted).all()


def test_candidates_without_labels_of_a_fold_are_those_of_the_other_labels(spaces, wine):
    codes = hide_labels(wine[1], per_class=4, random_state=0)
    fewer = codes.copy()
    fewer[np.flatnonzero(codes >= 0)[::3]] = -1
    found = run_without(spaces, [KnownLabels(codes, 3)] * len(spaces), fewer)
    expected = run_sources(spaces, [KnownLabels(fewer, 3)] * len(spaces))
    np.testing.assert_array_equal(found, np.stack([c.posteriors for c in expected]))


class TestTuning:
    def folds(self, codes):
        return CrossFit(codes, np.arange((codes >= 0).sum()) % 4)

    def test_noise_gets_a_stronger_penalty_and_smaller_log_odds_than_signal(self):
        rng = np.random.default_rng(0)
        codes = rng.integers(2, size=80)
        noise = rng.normal(size=(80, 20))
        signal = noise + 3.0 * codes[:, None]
        slopes = []
        for X in (noise, signal):
            space = prepare_spaces(X, 2, np.ones(80), np.random.default_rng(0))[0]
            tuned = tune_logistic(space, KnownLabels(codes, 2), self.folds(codes))
            assert tuned.inverse_penalty in INVERSE_PENALTIES
            (name, _, P), *_ = linear_methods(space, tuned)
            assert name == "logistic"
            slopes.append(np.abs(np.log(P[:, 0] / P[:, 1])).mean())
        assert slopes[0] < 0.3 < 3 < slopes[1]

    def test_defaults_stay_where_a_fold_would_see_one_class(self, space, wine):
        codes = np.where(np.arange(len(wine[1])) < 4, 0, -1)
        codes[-1] = 1
        labels = KnownLabels(codes, 3)
        assert tune_logistic(space, labels, CrossFit(codes, np.arange(5))) is labels

    def test_few_of_many_labels_are_drawn_from_the_whole_table(self, monkeypatch):
        # The classes are at the two ends of the table: its first 40 rows are of one class.
        monkeypatch.setattr("flowssl.initialization.logistic.PENALTY_LABELS", 40)
        rng = np.random.default_rng(0)
        codes = np.repeat([0, 1], 100)
        X = rng.normal(size=(200, 2)) + 6.0 * codes[:, None]
        space = prepare_spaces(X, 2, np.ones(200), rng)[0]
        labels = KnownLabels(codes, 2)
        tuned = tune_logistic(space, labels, self.folds(codes))
        assert tuned.inverse_penalty != labels.inverse_penalty


def test_baseline_is_logistic_regression_on_standardized_columns(wine):
    X, y = wine
    codes = hide_labels(y, per_class=5, random_state=0)
    mine = fit_baseline(X, KnownLabels(codes, 3, inverse_penalty=0.1), np.ones(len(X)))
    Z, seen = (X - X.mean(axis=0)) / X.std(axis=0), codes >= 0
    peer = LogisticRegression(C=0.1).fit(Z[seen], codes[seen])
    np.testing.assert_allclose(mine.predict_proba(X), peer.predict_proba(Z), atol=1e-2)
