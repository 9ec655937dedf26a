"""Scores of unusual rows, their thresholds and their comparison, against closed forms and counts."""

import json

import numpy as np
import pytest
from scipy.stats import multivariate_normal, rankdata
from sklearn.neighbors import NearestNeighbors

import flowssl
from flowssl import FlowGMMClassifier
from flowssl.datasets import hide_labels, make_circles, make_moons
from flowssl.exceptions import ModelFileError
from flowssl.inspection import OODThreshold, RowClusters, ood_table
from flowssl.inspection.comparison import auroc, fpr95
from flowssl.inspection.scores import OOD_SCORES
from flowssl.inspection.thresholds import usual_scores
from flowssl.plotting import plot_ood
from flowssl.plotting.style import THEMES

SMALL = {"architecture": "affine", "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def moons():
    X, truth = make_moons(400, random_state=0)
    y = hide_labels(truth, per_class=5, random_state=0)
    return FlowGMMClassifier(**SMALL).fit(X, y), make_moons(300, random_state=1)[0]


@pytest.fixture(scope="module")
def groups():
    """Rows of 14 columns in 20 groups, which are 2 classes; the model, fresh rows, new groups."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(30, 14))
    group = rng.integers(30, size=900)
    X = centers[group] + 0.15 * rng.normal(size=(900, 14))
    seen = group < 20
    X, group, unseen = X[seen], group[seen], X[~seen]
    y = hide_labels(group % 2, per_class=20, random_state=0)
    return FlowGMMClassifier(**SMALL).fit(X[:400], y[:400]), X[400:], unseen


def test_a_threshold_is_the_conformal_quantile():
    scores = np.random.default_rng(0).permutation(np.arange(19.0))
    threshold = OODThreshold.fit(scores, 0.05, "ratio")
    assert threshold.value == 18.0  # the 19th of 19
    assert threshold.rate == pytest.approx(1 / 20)
    assert OODThreshold.fit(scores, 0.12, "ratio").value == 17.0  # the 18th: .1 at most .12


def test_false_alarms_are_as_stated_over_many_draws():
    rng = np.random.default_rng(0)
    thresholds = [OODThreshold.fit(rng.random(150), 0.07, "ratio") for _ in range(4000)]
    rates = 1 - np.array([threshold.value for threshold in thresholds])  # of uniform scores
    assert rates.mean() == pytest.approx(thresholds[0].rate, abs=4 * rates.std() / 4000**0.5)
    assert rates.std() == pytest.approx(thresholds[0].spread, rel=0.05)
    assert thresholds[0].rate <= 0.07


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1, float("nan")])
def test_alpha_is_a_fraction(alpha):
    with pytest.raises(ValueError, match="between 0 and 1"):
        OODThreshold.fit(np.arange(9.0), alpha, "ratio")


def test_few_rows_support_no_small_alpha():
    with pytest.raises(ValueError, match=r"needs at least 99 rows, and there are 98.* least 0\.01"):
        OODThreshold.fit(np.arange(98.0), 0.01, "ratio")
    assert OODThreshold.fit(np.arange(99.0), 0.01, "ratio").value == 98.0


def test_weighted_scores_are_kept_as_their_quantiles():
    scores, weight = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 4.0])
    np.testing.assert_array_equal(usual_scores(scores, np.ones(3)), [1, 2, 3])
    np.testing.assert_array_equal(usual_scores(scores, weight), [1, 2, 2])
    many = np.random.default_rng(0).normal(size=30_000)
    kept = usual_scores(many, np.ones(30_000))
    assert len(kept) == 10_000
    q = [0.05, 0.5, 0.95, 0.999]
    np.testing.assert_allclose(np.quantile(kept, q), np.quantile(many, q), atol=0.01)


def test_far_rows_are_unusual_and_the_threshold_stays_in_the_file(moons, tmp_path):
    model, fresh = moons
    assert model.ood_threshold_ is None
    with pytest.raises(ValueError, match="calibrate_ood"):
        model.is_unusual(fresh)
    threshold = model.calibrate_ood(0.1)
    assert (threshold.method, threshold.n_rows) == ("unlikely", 39)
    assert model.is_unusual([[30.0, -20.0]]).all()
    np.testing.assert_array_equal(model.is_unusual(fresh), model.ood_score(fresh) > threshold.value)
    model.save(tmp_path / "m.flowssl")
    loaded = flowssl.load(tmp_path / "m.flowssl")
    assert loaded.ood_threshold_ == threshold
    assert loaded.calibrate_ood(0.2) == model.calibrate_ood(0.2)
    given = model.calibrate_ood(0.1, fresh, method="distance")
    assert given == OODThreshold.fit(model.ood_score(fresh, method="distance"), 0.1, "distance")
    assert model.ood_threshold_ is given


def test_a_model_without_held_out_rows_asks_for_some(moons):
    X, truth = make_moons(60, random_state=0)
    model = FlowGMMClassifier(**SMALL).fit(X, truth)
    with pytest.raises(ValueError, match="Give usual rows X"):
        model.calibrate_ood()
    assert model.calibrate_ood(0.05, moons[1]).n_rows == 300


def test_methods_are_named_when_one_is_not_there(moons):
    model, fresh = moons
    with pytest.raises(ValueError, match="'auto' or one of"):
        model.ood_score(fresh, method="nonsense")
    with pytest.raises(ValueError, match="12 columns or more"):
        model.ood_score(fresh, method="clusters")


def test_the_ratio_compares_with_the_gaussian_of_all_rows(moons):
    model, fresh = moons
    completion = model.completion_
    z, derivative = completion.typical(fresh), completion.completed(fresh).log_weight[:, 0]
    gaussian = multivariate_normal(cov=completion.gaussian.covariance).logpdf(z) + derivative
    expected = gaussian - model.score_samples(fresh)
    np.testing.assert_allclose(model.ood_score(fresh, method="ratio"), expected, atol=1e-9)


def test_the_background_of_a_row_with_a_gap_is_that_of_its_observed_part():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3)) + 3 * (np.arange(120) % 2)[:, None]
    y = np.where(np.arange(120) < 20, np.arange(120) % 2, -1)
    model = FlowGMMClassifier(**SMALL).fit(X, y)
    completion, gone = model.completion_, X[:5].copy()
    gone[:, 1] = np.nan
    z, observed = completion.typical(gone)[:, [0, 2]], np.ix_([0, 2], [0, 2])
    covariance = completion.gaussian.covariance[observed]
    # The derivatives of the observed columns are all but that of the one filled in.
    one = completion.filled(gone) + 1e-6 * np.eye(3)[1]
    slope = (completion.typical(one) - completion.typical(completion.filled(gone)))[:, 1] / 1e-6
    derivative = completion.completed(completion.filled(gone)).log_weight[:, 0] - np.log(slope)
    expected = multivariate_normal(cov=covariance).logpdf(z) + derivative
    found = model.ood_score(gone, method="ratio") + model.score_samples(gone)
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_distance_is_to_the_nearest_gaussian_in_its_own_scale():
    """Eight Gaussians of a class lie around a circle, whose center their mean is."""
    X, truth = make_circles(600, random_state=0)
    y = hide_labels(truth, per_class=10, random_state=0)
    model = FlowGMMClassifier(max_epochs=2, random_state=0).fit(X, y)
    z, means = model.transform(X[:50]), model.means_.reshape(-1, 2)
    covariances = model.covariances_.reshape(-1, 2, 2)
    assert len(means) == 16
    squared = [
        [
            (row - mean) @ np.linalg.solve(S, row - mean)
            for mean, S in zip(means, covariances, strict=True)
        ]
        for row in z
    ]
    expected = np.sqrt(np.min(squared, axis=1) / 2)
    np.testing.assert_allclose(model.ood_score(X[:50], method="distance"), expected, rtol=1e-6)


def test_clusters_find_new_groups_and_their_false_alarms_are_few(groups):
    model, fresh, unseen = groups
    assert model.ood_threshold_ is None
    usual, unusual = (model.ood_score(X, method="clusters") for X in (fresh, unseen))
    assert auroc(usual, unusual) > 0.99
    threshold = model.calibrate_ood(0.1, method="clusters")
    assert threshold.n_rows > 350  # rows out of fold, not the held-out ones alone
    n = len(fresh)
    allowed = 4 * (threshold.spread**2 + threshold.rate * (1 - threshold.rate) / n) ** 0.5
    assert model.is_unusual(fresh).mean() == pytest.approx(threshold.rate, abs=allowed)
    assert model.is_unusual(unseen).mean() > 0.95


def test_clusters_are_nearly_the_nearest_rows(groups):
    _, fresh, unseen = groups
    rows = np.concatenate((fresh[:60], unseen[:60]))
    clusters = RowClusters.fit(fresh[60:], np.ones(len(fresh) - 60), in_units=True, seed=0)
    nearest = NearestNeighbors(n_neighbors=5).fit(fresh[60:]).kneighbors(rows)[0].mean(1)
    ranks = np.corrcoef(rankdata(-clusters.log_prob(rows)), rankdata(nearest))[0, 1]
    assert ranks > 0.9


def test_clusters_are_a_mixture_of_gaussians():
    rng = np.random.default_rng(0)
    rows = 1e4 + 3 * rng.normal(size=(200, 3))
    found = RowClusters.fit(rows, rng.random(200) + 0.1, in_units=True, seed=0)
    z = (rows[:10] - found.offset) / found.scale
    parts = [
        np.log(multivariate_normal(mean, found.variance * np.eye(3)).pdf(z)) + weight
        for mean, weight in zip(found.centers, found.log_weights, strict=True)
    ]
    np.testing.assert_allclose(found.log_prob(rows[:10]), np.logaddexp.reduce(parts), rtol=1e-9)
    assert np.exp(found.log_weights).sum() == pytest.approx(1)


def test_columns_of_one_unit_keep_it(groups):
    model, fresh, _ = groups
    assert model.row_clusters_.in_units
    X = np.concatenate((fresh[:, :13], 1000 * fresh[:, 13:]), axis=1)
    y = hide_labels(np.arange(len(X)) % 2, per_class=9, random_state=0)
    X[:, :4] *= 50
    assert not FlowGMMClassifier(**SMALL).fit(X, y).row_clusters_.in_units


def test_clusters_are_the_default_of_embeddings():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 100)) + 2 * (np.arange(120) % 2)[:, None]
    y = np.where(np.arange(120) < 20, np.arange(120) % 2, -1)
    model = FlowGMMClassifier(**SMALL).fit(X, y)
    assert model.calibrate_ood(0.1).method == "clusters"
    np.testing.assert_array_equal(model.ood_score(X), model.ood_score(X, method="clusters"))


def test_clusters_survive_files_and_forged_ones_are_refused(groups, tmp_path):
    model, fresh, _ = groups
    model.save(tmp_path / "m.flowssl")
    loaded = flowssl.load(tmp_path / "m.flowssl")
    expected = model.ood_score(fresh, method="clusters")
    np.testing.assert_array_equal(loaded.ood_score(fresh, method="clusters"), expected)
    arrays = model.row_clusters_.to_arrays()
    forgeries = {
        "positive": {"scale": np.array([0.0])},
        "shape": {"centers": arrays["centers"][:, :3]},
        "NaN": {"variance": np.array([np.nan])},
    }
    for message, forged in forgeries.items():
        with pytest.raises(ModelFileError, match=message):
            RowClusters.from_arrays({**arrays, **forged}, 14)


def test_figures_of_a_table_are_counted_by_hand(moons):
    model, fresh = moons
    far = fresh[:50] + np.array([1.0, 0.0])
    table = ood_table(model, {"test": fresh, "far": far})
    assert table.automatic == "unlikely"
    for method in ("unlikely", "atypical", "ratio", "distance"):
        usual, other = (model.ood_score(X, method=method) for X in (fresh, far))
        above = other[:, None] > usual
        assert table.sets[1].auroc[method] == pytest.approx(above.mean())
        found = np.sort(other)[2]  # 48 of 50 are at or above it: the first 95 %
        assert table.sets[1].fpr95[method] == pytest.approx((usual >= found).mean())
    assert table.sets[1].median_log_prob == pytest.approx(np.median(model.score_samples(far)))
    assert sum(table.sets[1].class_shares.values()) == pytest.approx(1)
    assert not table.sets[0].auroc
    records = table.records()
    assert [record["n_rows"] for record in records] == [300, 50]
    json.dumps(records)
    assert "clusters" in OOD_SCORES
    with pytest.raises(ValueError, match="at least one"):
        ood_table(model, {})


def test_ties_count_half():
    assert auroc(np.array([0.0, 1.0]), np.array([1.0])) == 0.75
    assert fpr95(np.array([0.0, 1.0]), np.array([1.0])) == 0.5


@pytest.mark.parametrize("theme", list(THEMES))
def test_each_set_is_a_histogram_of_all_its_rows(moons, theme):
    model, fresh = moons
    table = ood_table(model, {"test": fresh, "$far$_{": fresh + 1e6})
    figure = plot_ood(table, theme=theme)
    bars = [patch for patch in figure.axes[0].patches if patch.get_label()]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["test: 300 rows", "$far$_{: 300 rows, AUROC 1.000"]
    assert len(bars) == 2
    for patch in bars:  # all rows are drawn, those far out in the outermost bar
        x, height = patch.get_path().vertices.T
        left, right = x[:-1], x[1:]
        top = np.maximum(height[:-1], height[1:])
        edges = right > left
        width = (figure.axes[0].get_xlim()[1] - figure.axes[0].get_xlim()[0]) / 60
        assert (top * (right - left))[edges].sum() / width == pytest.approx(1, abs=0.02)
