"""Rows, labels, weights and parameters as people have them, given to whole estimators."""

import datetime
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
import sklearn
from sklearn.datasets import load_iris

import flowssl
from flowssl.baselines import DropoutMLPClassifier, M2VAEClassifier
from flowssl.datasets import hide_labels
from flowssl.exceptions import FlowSSLWarning
from flowssl.model_selection import (
    LabeledStratifiedKFold,
    labeled_accuracy,
    make_labeled_scorer,
)

X, TRUTH = (array[::2] for array in load_iris(return_X_y=True))
Y = hide_labels(TRUTH, per_class=8, random_state=0)
WORDS = np.array(["setosa", "versicolor", "virginica"])


@pytest.fixture(autouse=True)
def cheap(cheap_start):
    """Compare few candidates for the start."""


@pytest.fixture(scope="module")
def fit(quick_flowgmm):
    """Fit a classifier whose training is a formality."""
    return lambda rows, labels, weight=None, **parameters: quick_flowgmm(**parameters).fit(
        rows, labels, weight
    )


def saved(model, tmp_path):
    model.save(tmp_path / "m.flowssl")
    return flowssl.load(tmp_path / "m.flowssl")


def same(one, other):
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


# -- Class fractions.

FRACTIONS = {"setosa": 0.2, "virginica": 0.5, "versicolor": 0.3}
WORDY = np.where(Y >= 0, WORDS[Y], None)


@pytest.mark.parametrize(
    "prior",
    [FRACTIONS, pd.Series(FRACTIONS), [0.2, 0.3, 0.5], np.array([2.0, 3.0, 5.0])],
    ids=["dict", "series", "list", "array"],
)
def test_class_fractions_belong_to_their_labels(fit, tmp_path, prior):
    model = fit(X, WORDY, class_prior=prior)
    np.testing.assert_allclose(model.class_prior_, [0.2, 0.3, 0.5])
    again = saved(model, tmp_path)
    np.testing.assert_allclose(again.fit(X, WORDY).class_prior_, [0.2, 0.3, 0.5])


@pytest.mark.parametrize(
    "prior",
    [
        {"setosa": 0.5, "virginica": 0.5},
        {**FRACTIONS, "sunflower": 0.1},
        pd.Series([0.2, 0.3, 0.5]),
        pd.Series([0.2, 0.3, 0.3, 0.2], index=[*FRACTIONS, "setosa"]),
    ],
    ids=["missing", "unknown", "numbered", "twice"],
)
def test_class_fractions_of_other_labels_are_refused(fit, prior):
    with pytest.raises(ValueError, match=r"must name each of the classes \['setosa', .* once"):
        fit(X, WORDY, class_prior=prior)


def test_class_fractions_by_dates(fit, tmp_path):
    days = [datetime.date(2020, 1, day) for day in (1, 2, 3)]
    labels = [days[code] if code >= 0 else None for code in Y]
    prior = dict(zip(days, [0.2, 0.3, 0.5], strict=True))
    model = saved(fit(X, labels, class_prior=prior), tmp_path)
    assert model.class_prior == prior
    assert model.score(X, labels) > 0.7


# -- Masked arrays.


def test_masked_cells_are_missing_everywhere(fit):
    mask = np.zeros(X.shape, dtype=bool)
    mask[::3, 2] = mask[1::4, 0] = True
    masked, filled = np.ma.array(X, mask=mask), np.where(mask, np.nan, X)
    model, other = fit(masked, Y), fit(filled, Y)
    np.testing.assert_array_equal(model.predict_proba(masked), other.predict_proba(filled))
    assert model.score(masked, TRUTH) == other.score(filled, TRUTH)
    np.testing.assert_array_equal(model.transform(masked), other.transform(filled))


def test_masked_labels_are_unlabeled_everywhere(fit):
    masked = np.ma.array(TRUTH, mask=Y < 0)
    model = fit(X, masked)
    same(model, fit(X, Y))
    assert (model.n_labeled_, model.n_unlabeled_) == (24, 51)
    known = Y >= 0
    assert model.score(X, masked) == model.score(X[known], TRUTH[known])
    assert labeled_accuracy(masked, model.predict(X)) == model.score(X, masked)
    assert make_labeled_scorer()(model, X, masked) == model.score(X, masked)
    tested = [test for _, test in LabeledStratifiedKFold(2).split(X, masked)]
    assert sorted(np.concatenate(tested)) == np.flatnonzero(known).tolist()


def test_masked_labels_stay_hidden():
    masked = np.ma.array(["a", "b"] * 6, mask=[True] * 2 + [False] * 10)
    hidden = hide_labels(masked, per_class=5, random_state=0)
    assert hidden.tolist() == [-1, -1] + ["a", "b"] * 5
    numbers = hide_labels(np.ma.array([0, 1, 0, 1], mask=[1, 0, 0, 0]), per_class=1, random_state=0)
    assert numbers[0] == -1
    assert (numbers >= 0).sum() == 2


def test_a_masked_weight_is_refused(fit):
    weight = np.ma.array(np.ones(len(X)), mask=np.arange(len(X)) == 3)
    with pytest.raises(ValueError, match="Input sample_weight contains NaN"):
        fit(X, Y, weight)


def test_baselines_read_masked_labels_and_refuse_masked_cells():
    masked = np.ma.array(TRUTH, mask=Y < 0)
    settings = {"n_steps": 3, "random_state": 0}
    for kind in (DropoutMLPClassifier, M2VAEClassifier):
        model = kind(**settings).fit(X, masked)
        same(model, kind(**settings).fit(X, Y))
        assert model.score(X, masked) == model.score(X, Y)
    with pytest.raises(ValueError, match="NaN"):
        DropoutMLPClassifier(**settings).fit(np.ma.masked_less(X, 1), Y)


# -- Weights.


def test_a_class_of_weight_zero_is_not_there(fit):
    weight = np.where(TRUTH == 2, 0, 1)
    model = fit(X, WORDS[TRUTH], weight)
    given = TRUTH != 2
    same(model, fit(X[given], WORDS[TRUTH[given]]))
    assert model.classes_.tolist() == ["setosa", "versicolor"]
    assert (model.n_labeled_, model.n_unlabeled_) == (50, 0)
    assert model.label_distributions_.shape == (75, 2)
    np.testing.assert_allclose(model.label_distributions_[~given], [model.class_prior_] * 25)


def test_labels_of_weight_zero_alone_are_no_labels(fit):
    with pytest.raises(ValueError, match="no labeled row of a weight other than 0"):
        fit(X, Y, np.where(Y >= 0, 0, 1))


# -- Memory and order.


def test_read_only_arrays_give_no_warning_and_stay_as_they_are(fit):
    rows, labels, weight = X.copy(), Y.copy(), np.ones(len(X))
    for array in (rows, labels, weight):
        array.flags.writeable = False
    model = fit(rows, labels, weight)
    assert model.predict(rows).shape == (75,)
    assert model.score(rows, labels, weight) > 0.7
    assert model.score_samples(rows).shape == (75,)
    assert model.inverse_transform(rows).shape == rows.shape
    assert len(model.sample(3, y=labels[labels >= 0][:3], random_state=0)[1]) == 3
    np.testing.assert_array_equal(rows, X)
    baseline = DropoutMLPClassifier(n_steps=2, random_state=0).fit(rows, labels)
    assert baseline.score(rows, labels, weight) >= 0


def test_nothing_that_the_user_gives_is_written_to(fit):
    rows, labels, weight = X.copy(), Y.astype(float), np.linspace(0, 1, len(X))
    rows[0, 0] = np.nan
    before = rows.copy(), labels.copy(), weight.copy()
    model = fit(rows, labels, weight)
    model.predict(rows), model.transform(rows), model.score(rows, labels, weight)
    for after, copy in zip((rows, labels, weight), before, strict=True):
        np.testing.assert_array_equal(after, copy)


def test_rows_and_labels_are_matched_by_position(fit):
    rows, labels = pd.DataFrame(X), pd.Series(Y)
    with pytest.warns(FlowSSLWarning, match=r"matched by position.*y\.loc\[X\.index\]"):
        model = fit(rows, labels.set_axis(labels.index[::-1]))
    expected = fit(rows, labels)
    np.testing.assert_array_equal(model.predict_proba(rows), expected.predict_proba(rows))


def test_columns_in_another_order_are_refused(fit):
    frame = pd.DataFrame(X, columns=list("abcd"))
    with pytest.raises(ValueError, match="must be in the same order"):
        fit(frame, Y).predict(frame[list("bacd")])


# -- Containers.


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_sparse_rows_are_dense_rows(fit, kind):
    sparse, dense = fit(kind(X), Y), fit(X, Y)
    np.testing.assert_array_equal(sparse.predict_proba(kind(X)), dense.predict_proba(X))
    assert sparse.__sklearn_tags__().input_tags.sparse
    weighted = fit(kind(X), Y, np.where(np.arange(75) < 70, 1, 0))
    same(weighted, fit(X[:70], Y[:70]))


def test_sparse_columns_of_pandas_are_dense_columns(fit):
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = fit(frame.astype(pd.SparseDtype(float, 0.0)), Y)
    np.testing.assert_array_equal(model.predict_proba(frame), fit(frame, Y).predict_proba(frame))


@pytest.mark.parametrize(
    "setting", [{"transform_output": "pandas"}, {"transform_output": "polars"}]
)
def test_the_output_of_transformers_does_not_change_a_fit(fit, setting):
    expected = fit(X, Y)
    with sklearn.config_context(**setting):
        model = fit(X, Y)
        same(model, expected)
        assert model.score(X, TRUTH) == expected.score(X, TRUTH)
        assert isinstance(model.encoder_.transform(X), np.ndarray)
        latents = model.transform(X)
    assert type(latents).__module__.partition(".")[0] == setting["transform_output"]
    np.testing.assert_array_equal(np.asarray(latents), expected.transform(X))


# -- Labels.


def test_labels_that_are_dates_are_written_to_a_file(fit, tmp_path):
    days = [datetime.date(2020 + code, 1, 1) if code >= 0 else None for code in Y]
    model = fit(X, days)
    again = saved(model, tmp_path)
    assert again.classes_.tolist() == [datetime.date(2020 + code, 1, 1) for code in range(3)]
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.score(X, days) == model.score(X, days) > 0.7


@pytest.mark.parametrize(
    "labels",
    [
        pd.to_timedelta(TRUTH, "h"),
        pd.Series(pd.to_datetime(TRUTH, unit="D")),
        pa.chunked_array([pa.array(WORDS[TRUTH[:40]]), pa.array(WORDS[TRUTH[40:]])]),
        pd.Series(TRUTH == 0, dtype="boolean"),
        pd.Categorical(TRUTH),
    ],
    ids=["durations", "times", "chunks", "nullable bools", "categories"],
)
def test_labels_of_every_container_fit_score_and_are_written(fit, tmp_path, labels):
    model = fit(X, labels)
    again = saved(model, tmp_path)
    np.testing.assert_array_equal(again.classes_, model.classes_)
    assert again.score(X, labels) == model.score(X, labels) > 0.7


def test_several_markers_work_everywhere(fit, tmp_path):
    labels = np.where(Y >= 0, WORDS[TRUTH], np.where(np.arange(75) % 2, "?", "NA"))
    model = fit(X, labels, unlabeled_value=["?", "NA"])
    assert model.classes_.tolist() == WORDS.tolist()
    assert model.n_labeled_ == 24
    known = Y >= 0
    assert model.score(X, labels) == model.score(X[known], labels[known])
    assert make_labeled_scorer(unlabeled_value=["?", "NA"])(model, X, labels) == model.score(
        X, labels
    )
    assert saved(model, tmp_path).unlabeled_value == ["?", "NA"]


@pytest.mark.parametrize(
    ("marker", "again"),
    [
        ({"?"}, ["?"]),
        (("?", None), ["?", None]),
        (np.array(["?", "NA"]), ["?", "NA"]),
        (["?", np.nan], ["?", np.nan]),
        (datetime.date(1900, 1, 1), np.datetime64("1900-01-01")),
    ],
)
def test_markers_of_every_kind_are_written_to_a_file(fit, tmp_path, marker, again):
    np.testing.assert_equal(
        saved(fit(X, WORDS[TRUTH], unlabeled_value=marker), tmp_path).unlabeled_value, again
    )


def test_texts_that_mark_missing_labels_count_as_unlabeled(fit):
    labels = np.where(Y >= 0, WORDS[TRUTH], "nan")
    with pytest.warns(FlowSSLWarning, match="51 of the labels .'nan'. count as unlabeled"):
        model = fit(X, labels)
    assert model.classes_.tolist() == WORDS.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlowSSLWarning)
        known = Y >= 0
        assert model.score(X, labels) == model.score(X[known], labels[known])


def test_a_class_of_fit_is_no_mark_when_it_is_scored_alone(fit):
    countries = np.array(["DE", "FR", "NA"])[TRUTH]
    model = fit(X, countries)
    rows = TRUTH == 2
    assert model.score(X[rows], countries[rows]) == (model.predict(X[rows]) == "NA").mean()


def test_labels_of_another_length_are_refused(fit):
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[75, 70\]"):
        fit(X, Y[:70])
