"""Propagation on data whose classes are known, next to scikit-learn."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_moons
from sklearn.semi_supervised import LabelSpreading

from flowssl.datasets import hide_labels, make_eight_gaussians
from flowssl.initialization import RowLimits, propagate
from flowssl.initialization.pooling import label_log_likelihood


@pytest.mark.parametrize("noise", [0.05, 0.1])
def test_moons(noise):
    X, y = make_moons(1000, noise=noise, random_state=0)
    soft = propagate(X, hide_labels(y, per_class=5, random_state=0), 2, random_state=0)
    assert (soft.posteriors.argmax(axis=1) == y).mean() > 0.98
    spread = LabelSpreading(kernel="rbf").fit(X, hide_labels(y, per_class=5, random_state=0))
    assert (soft.posteriors.argmax(axis=1) == y).mean() >= spread.score(X, y)


def test_digits_beat_the_labels_alone_by_far():
    X, y = load_digits(return_X_y=True)
    X = X[:, X.std(axis=0) > 0]
    codes = hide_labels(y, per_class=2, random_state=0)
    soft = propagate(X, codes, 10, random_state=0)
    hidden = codes < 0
    right = (soft.posteriors.argmax(axis=1) == y)[hidden].mean()
    alone = (soft.baseline.predict(X) == y)[hidden].mean()
    assert right > max(0.85, alone + 0.1)
    nll = [
        -np.log(P[hidden, y[hidden]]).mean()
        for P in (soft.posteriors, soft.baseline.predict_proba(X))
    ]
    assert nll[0] < nll[1]


def test_record_is_complete(wine):
    X, y = wine
    codes = hide_labels(y, per_class=3, random_state=0)
    soft = propagate(X, codes, 3, random_state=0)
    np.testing.assert_allclose(soft.posteriors.sum(axis=1), 1)
    assert len(soft.candidates) == len(soft.weights) == len(soft.label_log_likelihoods)
    evaluated = np.isfinite(soft.cross_fitted).all(axis=1)
    assert evaluated.sum() >= 7
    np.testing.assert_allclose(soft.cross_fitted[evaluated].sum(axis=1), 1)
    assert soft.label_log_likelihood == pytest.approx(
        label_log_likelihood(soft.cross_fitted[evaluated], codes[codes >= 0][evaluated])
        / evaluated.sum()
    )
    assert soft.baseline_label_log_likelihood < 0


def test_the_only_label_of_a_cluster_is_not_evaluated():
    # Eight clusters in three classes, eleven labels: the only label of most clusters is in a fold.
    X, y = make_eight_gaussians(600, random_state=0)
    cluster = np.round(np.arctan2(X[:, 1], X[:, 0]) / (np.pi / 4)).astype(int) % 8
    labeled = [np.flatnonzero(cluster == k)[0] for k in range(8)] + [1, 2, 3]
    codes = np.full(len(y), -1)
    codes[labeled] = y[labeled]
    soft = propagate(X, codes, 3, random_state=0)
    alone = np.bincount(cluster[codes >= 0], minlength=8)[cluster[codes >= 0]] == 1
    assert np.isnan(soft.cross_fitted[alone]).all()
    assert np.isfinite(soft.cross_fitted[~alone]).all()
    assert np.mean(soft.posteriors.argmax(axis=1) == y) > 0.97


def test_with_one_label_per_class_nothing_is_certain():
    X, y = make_eight_gaussians(600, random_state=0)
    soft = propagate(X, hide_labels(y, per_class=1, random_state=0), 3, random_state=0)
    assert np.isnan(soft.cross_fitted).all()
    assert soft.posteriors.max() <= 1 - 0.25 * 2 / 3


@pytest.mark.parametrize("seed", range(3))
def test_a_binary_column_that_splits_the_rows_does_not_decide_the_classes(seed):
    # Two classes three standard deviations apart in two columns; the binary column agrees with the
    # class in four rows of five. Some pairs of class and category have no label at all.
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=200)
    X = rng.standard_normal((200, 3)) + 3 * y[:, None]
    X[:, 2] = rng.random(200) < 0.2 + 0.6 * y
    codes = np.where(np.arange(200) < 20, y, -1)
    soft = propagate(X, codes, 2, random_state=0)
    bayes = X[:, :2].sum(axis=1) > 3  # without the binary column
    assert np.mean(soft.posteriors.argmax(axis=1) == y) > np.mean(bayes == y) - 0.02


def test_same_seed_same_bits(wine):
    X, y = wine
    a, b = (
        propagate(X, hide_labels(y, per_class=3, random_state=0), 3, random_state=7)
        for _ in range(2)
    )
    np.testing.assert_array_equal(a.posteriors, b.posteriors)


def test_row_order_and_units_of_all_columns_do_not_matter(wine):
    X, y = wine
    codes = hide_labels(y, per_class=3, random_state=0)
    order = np.random.default_rng(1).permutation(len(X))
    a = propagate(X, codes, 3, random_state=0)
    b = propagate(8 * X[order], codes[order], 3, random_state=0)
    np.testing.assert_allclose(a.posteriors[order], b.posteriors, atol=1e-5)
    labeled = np.flatnonzero(codes >= 0)
    there = np.flatnonzero(codes[order] >= 0)
    place = np.searchsorted(labeled, order[there])
    np.testing.assert_allclose(a.cross_fitted[place], b.cross_fitted, atol=1e-5)


def test_a_given_prior_moves_the_class_frequencies():
    rng = np.random.default_rng(0)
    y = (rng.random(600) < 0.1).astype(int)
    X = rng.normal(size=(600, 2)) + 1.5 * y[:, None]
    frequencies = [
        propagate(X, hide_labels(y, per_class=5, random_state=0), 2, class_prior=p, random_state=0)
        .posteriors[:, 1]
        .mean()
        for p in (np.array([0.9, 0.1]), np.array([0.5, 0.5]))
    ]
    assert frequencies[0] < frequencies[1]


@pytest.mark.parametrize(
    ("shape", "codes", "n_classes"),
    [
        ((40, 1), [0, 1, 0, 1], 2),
        ((40, 2), [0, 0], 1),
        ((1, 3), [0], 1),
        ((1, 1), [0], 2),
        ((2, 2), [0, 1], 2),
        ((12, 30), [0, 1, 0, 1, 2], 3),
        ((9, 2), [0, 1, 0, 1, 0, 1, 0, 1, 1], 2),
        ((60, 3), [0, 1, 1, 1, 1], 2),
        ((60, 3), [0, 1, 2], 3),
        ((60, 3), [0, 0, 1, 1], 3),
        ((60, 3), [1, 1], 2),
    ],
)
def test_edges(shape, codes, n_classes):
    X = np.random.default_rng(0).normal(size=shape)
    full = np.full(len(X), -1)
    full[: len(codes)] = codes
    soft = propagate(X, full, n_classes, random_state=0)
    assert soft.posteriors.shape == (len(X), n_classes)
    np.testing.assert_allclose(soft.posteriors.sum(axis=1), 1)
    assert soft.baseline.predict_proba(X).shape[0] == len(X)


def test_duplicate_rows_and_weights():
    X = np.random.default_rng(0).normal(size=(20, 2)).repeat(20, axis=0)
    codes = np.full(400, -1)
    codes[[0, 20, 40, 60]] = [0, 1, 0, 1]
    weight = np.random.default_rng(1).random(400)
    soft = propagate(X, codes, 2, sample_weight=weight, random_state=0)
    assert np.isfinite(soft.posteriors).all()


def test_rows_beyond_the_limit_follow_their_neighbors():
    X, y = make_moons(1500, noise=0.05, random_state=0)
    codes = hide_labels(y, per_class=10, random_state=0)
    for limits in (RowLimits(total=400), RowLimits(unlabeled=380, reference=None)):
        soft = propagate(X, codes, 2, limits=limits, random_state=0)
        assert (soft.posteriors.argmax(axis=1) == y).mean() > 0.97


@pytest.mark.parametrize("seed", range(5))
def test_no_class_is_lost_among_many_labels(seed):
    rng = np.random.default_rng(seed)
    codes = np.append(rng.integers(2, size=200), [2, 2])
    X = rng.normal(size=(202, 2)) + 8.0 * codes[:, None]
    soft = propagate(X, codes, 3, limits=RowLimits(total=60), random_state=seed)
    assert soft.baseline.predict_proba(X).shape == (202, 3)
    assert soft.posteriors[-2:].argmax(axis=1).tolist() == [2, 2]
    assert (soft.posteriors.argmax(axis=1) == codes).mean() > 0.97
    assert np.isfinite(soft.cross_fitted[:, 0]).sum() > 50  # all that take part are labeled


def test_a_generator_is_as_good_a_seed_as_a_number(wine):
    X, y = wine
    codes = hide_labels(y, per_class=3, random_state=0)
    a, b = (propagate(X, codes, 3, random_state=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(a.posteriors, b.posteriors)


def test_errors_name_the_values():
    X = np.zeros((3, 2))
    with pytest.raises(ValueError, match="No row is labeled"):
        propagate(X, np.full(3, -1), 2)
    with pytest.raises(ValueError, match="codes holds 2, but n_classes is 2"):
        propagate(X, np.array([0, 1, 2]), 2)
    with pytest.raises(ValueError, match=r"codes has shape \(2,\)"):
        propagate(X, np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="sample_weight must hold 3 numbers"):
        propagate(X, np.array([0, 1, -1]), 2, sample_weight=np.array([-1.0, 1, 1]))


def test_summary_is_json_and_has_none_for_nan(wine):
    X, y = wine
    soft = propagate(X, hide_labels(y, per_class=1, random_state=0), 3, random_state=0)
    summary = json.loads(json.dumps(soft.summary(), allow_nan=False))
    assert summary["label_log_likelihood"] is None
    assert [c["name"] for c in summary["candidates"]] == list(soft.candidates)
    np.testing.assert_allclose([c["weight"] for c in summary["candidates"]], soft.weights)
