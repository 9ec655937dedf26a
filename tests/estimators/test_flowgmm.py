"""FlowGMMClassifier on real input: accuracy, density, samples and every odd table."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.integrate import trapezoid
from scipy.stats import multivariate_normal, norm
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split

import flowssl
from flowssl import FlowGMMClassifier, ObjectiveOptions
from flowssl.datasets import hide_labels
from flowssl.estimators._rows import Rows
from flowssl.estimators._soft_labels import with_class_fractions
from flowssl.exceptions import TrainingDivergedError, UnlabeledDataWarning

# Tiny tables: whether their unlabeled rows help is a matter of chance.


def test_moons_are_told_apart_from_ten_labels(fitted, moons):
    X, truth, _ = moons
    assert fitted.score(X, truth) > 0.98


def test_digits_beat_logistic_regression_on_rows_never_seen():
    X, truth = load_digits(return_X_y=True)
    X, X_test, truth, truth_test = train_test_split(X, truth, train_size=0.6, random_state=0)
    y = hide_labels(truth, per_class=10, random_state=0)
    model = FlowGMMClassifier(max_epochs=10, random_state=0).fit(X, y)
    baseline = model.baseline_.predict(model.encoder_.transform(X_test))
    assert model.score(X_test, truth_test) > np.mean(baseline == truth_test) + 0.02
    assert model.used_unlabeled_


def test_density_is_that_of_the_gaussians_it_was_given(quick_flowgmm):
    rng = np.random.default_rng(0)
    covariance = np.array([[4.0, 1.0], [1.0, 9.0]])
    X = rng.multivariate_normal([100.0, -20.0], covariance, size=4000)
    model = quick_flowgmm(max_epochs=5).fit(X, np.zeros(4000))
    truth = multivariate_normal([100.0, -20.0], covariance).logpdf(X)
    assert model.score_samples(X).mean() == pytest.approx(truth.mean(), abs=0.02)


def test_columns_that_nearly_follow_from_each_other_have_their_narrow_density(quick_flowgmm):
    """Noise of .047, as standardized columns get, would hide a direction of .035."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1400))
    X = np.stack([a, a + 0.05 * b], axis=1)
    model = quick_flowgmm(max_epochs=5).fit(X, np.zeros(len(X)))
    truth = norm.logpdf(a) + norm.logpdf(X[:, 1], a, 0.05)
    assert model.score_samples(X).mean() == pytest.approx(truth.mean(), abs=0.1)


def test_density_integrates_to_one_in_the_users_units(fitted):
    a, b = np.linspace(-4.0, 5.0, 400), np.linspace(-3.5, 4.0, 400)
    grid = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1)
    density = np.exp(fitted.score_samples(grid.reshape(-1, 2))).reshape(400, 400)
    mass = trapezoid(trapezoid(density, b, axis=1), a)
    assert mass == pytest.approx(1.0, abs=1e-2)


def test_posterior_is_bayes_rule_and_calibration_leaves_the_density(moons):
    X, _, y = moons
    model = FlowGMMClassifier(max_epochs=3, random_state=0).fit(X, y)
    raw = FlowGMMClassifier(max_epochs=3, random_state=0, temperature_scaling=False).fit(X, y)
    assert raw.calibration_temperature_ == 1.0 != model.calibration_temperature_
    assert np.array_equal(raw.score_samples(X), model.score_samples(X))
    odds = np.log(raw.predict_proba(X[:1])[0, 1] / raw.predict_proba(X[:1])[0, 0])
    calibrated = model.predict_log_proba(X[:1])[0]
    assert calibrated[1] - calibrated[0] == pytest.approx(
        odds / model.calibration_temperature_, rel=1e-6
    )


def test_same_seed_same_bits_whatever_the_order_of_the_rows(quick, moons):
    X, _, y = moons
    order = np.random.default_rng(1).permutation(len(X))
    first = quick().fit(X, y).predict_proba(X)
    assert np.array_equal(quick().fit(X[order], y[order]).predict_proba(X), first)
    assert not np.array_equal(quick(random_state=1).fit(X, y).predict_proba(X), first)


def test_a_row_of_weight_zero_teaches_the_columns_nothing(quick, mixed):
    frame, _, labels = mixed
    odd = frame.iloc[:1].assign(constant=8, color="yellow", a=1e6)
    X, y = pd.concat([frame, odd], ignore_index=True), np.append(labels, labels[-1:])
    weight = np.append(np.ones(len(frame)), 0.0)
    expected = quick().fit(frame, labels).predict_proba(frame)
    for table in (X, pl.from_pandas(X), X.to_numpy(dtype=object)):
        model = quick().fit(table, y, sample_weight=weight)
        np.testing.assert_array_equal(model.predict_proba(table[: len(frame)]), expected)


def test_a_weight_of_two_is_the_row_twice_and_of_zero_no_row(quick, moons):
    X, _, y = moons
    weight = np.random.default_rng(0).integers(0, 3, size=len(X))
    weight[y >= 0] = np.maximum(weight[y >= 0], 1)
    weighted = quick().fit(X, y, sample_weight=weight).predict_proba(X)
    repeated = quick().fit(np.repeat(X, weight, axis=0), np.repeat(y, weight)).predict_proba(X)
    assert np.array_equal(weighted, repeated)


def test_rows_score_the_same_alone_and_together(fitted, moons):
    X, _, _ = moons
    alone = np.concatenate([fitted.score_samples(row[None]) for row in X[:20]])
    np.testing.assert_allclose(alone, fitted.score_samples(X)[:20], atol=1e-9)


def test_latents_come_back_as_rows(fitted, moons):
    X, _, _ = moons
    np.testing.assert_allclose(fitted.inverse_transform(fitted.transform(X)), X, atol=1e-9)


def test_samples_of_a_class_are_of_that_class_and_tighter_when_cold(moons):
    X, _, y = moons
    joint = ObjectiveOptions(marginal="joint")
    fitted = FlowGMMClassifier(n_components=1, objective=joint, max_epochs=8, random_state=0)
    fitted.fit(X, y)
    rows, labels = fitted.sample(300, y=1, random_state=0)
    assert set(labels) == {1}
    assert fitted.score(rows, labels) > 0.85
    cold, _ = fitted.sample(300, y=1, temperature=0.05, random_state=0)
    z, cold_z = fitted.transform(rows), fitted.transform(cold)
    ratio = cold_z.var(axis=0) / z.var(axis=0)
    np.testing.assert_allclose(ratio, 0.05, rtol=0.3)
    _, drawn = fitted.sample(4000, random_state=0)
    prior = fitted.models_[0].class_density.log_prior().exp().detach().numpy()
    assert np.mean(drawn == 1) == pytest.approx(prior[1], abs=0.03)
    with pytest.raises(ValueError, match="'moon' is not one of the classes"):
        fitted.sample(1, y="moon")


def test_samples_do_not_leave_the_ranges_of_the_columns(fitted, moons):
    X, _, _ = moons
    rows, _ = fitted.sample(2000, temperature=20.0, random_state=0)
    slack = np.ptp(X, axis=0) / 2
    assert (rows >= X.min(axis=0) - slack).all()
    assert (rows <= X.max(axis=0) + slack).all()
    generator = torch.Generator().manual_seed(0)
    untamed = fitted.models_[0].sample(torch.zeros(2000, dtype=torch.int64), 20.0, generator)
    far = fitted.completion_.far(fitted.completion_.restore(untamed.detach().numpy()))
    assert far.sum() > 20


@pytest.mark.parametrize("method", ["unlikely", "atypical", "distance"])
def test_far_rows_are_outliers(fitted, moons, method):
    X, _, _ = moons
    far = np.array([[30.0, -20.0], [0.5, 40.0]])
    usual = fitted.ood_score(X, method=method)
    assert fitted.ood_score(far, method=method).min() > np.quantile(usual, 0.99)


def test_ensemble_is_the_average_of_its_densities(quick_flowgmm, moons):
    X, _, y = moons
    model = quick_flowgmm(n_estimators=3, architecture="plane").fit(X, y)
    members = []
    for member in model.models_:
        single = quick_flowgmm(architecture="plane").fit(X, y)
        single.models_ = [member]
        members.append(np.exp(single.score_samples(X[:50])))
    np.testing.assert_allclose(np.exp(model.score_samples(X[:50])), np.mean(members, axis=0))
    assert len(model.models_) == 3


def test_a_warm_start_continues(moons):
    X, _, y = moons
    joint = ObjectiveOptions(marginal="joint")
    model = FlowGMMClassifier(max_epochs=2, objective=joint, warm_start=True, random_state=0)
    model.fit(X, y)
    before = model.score_samples(X).mean()
    for _ in range(3):
        model.fit(X, y)
    assert model.score_samples(X).mean() > before
    with pytest.raises(ValueError, match="warm_start needs the classes"):
        model.fit(X, np.where(y < 0, -1, y + 5))


def test_a_warm_start_keeps_its_model(quick_flowgmm, moons):
    X, truth, y = moons
    model = quick_flowgmm(warm_start=True, architecture="auto").fit(X[::20], truth[::20])
    few = model.architecture_
    assert few == "affine"
    # What is "auto" stays as it is, whatever other rows would get.
    model.set_params(n_estimators=2).fit(X, y)
    assert [repr(member) for member in model.models_] == 2 * [repr(model.models_[0])]
    for changed in ({"architecture": "plane"}, {"covariance_type": "full"}, {"n_components": 3}):
        with pytest.raises(ValueError, match=rf"{next(iter(changed))} would be"):
            model.set_params(**changed).fit(X, y)
        model.set_params(**dict.fromkeys(changed, "auto"))
    assert (len(model.models_), model.architecture_) == (2, few)


def test_a_fit_that_failed_is_not_continued(quick_flowgmm, moons):
    X, truth, y = moons
    model = quick_flowgmm(warm_start=True, architecture="nonsense")
    with pytest.raises(ValueError, match="architecture"):
        model.fit(np.column_stack((X, X[:, 0])), y)
    assert model.set_params(architecture="affine").fit(X, y).score(X, truth) > 0.7
    # A fit that fails leaves an earlier one as it was.
    before = model.predict_proba(X)
    for changed in ({"architecture": "nonsense"}, {"class_prior": [0.2, 0.3, 0.5]}):
        with pytest.raises(ValueError, match=next(iter(changed))):
            model.set_params(**changed, warm_start=False).fit(np.tile(X, (2, 1)) * 2, np.tile(y, 2))
        model.set_params(architecture="affine", class_prior=None)
        np.testing.assert_array_equal(model.predict_proba(X), before)
        assert (model.n_labeled_, model.n_unlabeled_) == (10, 390)
    with pytest.raises(TrainingDivergedError):
        model.set_params(warm_start=True, learning_rate=1e30).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize("stopped_in", [1, 2, 3])
def test_ctrl_c_ends_all_training_and_keeps_a_model(
    quick_flowgmm, moons, monkeypatch, tmp_path, stopped_in
):
    """Each flow is trained and then refitted; the keys are hit in the epochs of one of these."""
    from flowssl.training.loop import Progress

    begun = []
    begin, update = Progress.__enter__, Progress.update

    def counted(self):
        begun.append(self)
        return begin(self)

    def hit(self, *figures):
        update(self, *figures)
        if len(begun) == stopped_in:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "__enter__", counted)
    monkeypatch.setattr(Progress, "update", hit)
    X, truth, y = moons
    path = tmp_path / "run.checkpoint"
    model = quick_flowgmm(n_estimators=3, checkpoint=path, max_epochs=3).fit(X, y)
    assert model.interrupted_
    assert len(begun) == 2 * len(model.models_) < 6
    assert path.exists()
    assert model.score(X, truth) > 0.7

    monkeypatch.undo()
    assert not model.fit(X, y).interrupted_
    assert len(model.models_) == 3
    assert not list(tmp_path.iterdir())
    whole = quick_flowgmm(n_estimators=3, max_epochs=3).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), whole.predict_proba(X))


def test_ctrl_c_in_a_warm_start_keeps_the_flows_that_were_there(quick_flowgmm, moons, monkeypatch):
    from flowssl.training.loop import Progress

    def hit(self, *figures):
        raise KeyboardInterrupt

    X, _, y = moons
    model = quick_flowgmm(n_estimators=3, warm_start=True).fit(X, y)
    kept = model.models_[1:]
    monkeypatch.setattr(Progress, "update", hit)
    assert model.fit(X, y).interrupted_
    assert len(model.models_) == 3
    assert all(now is then for now, then in zip(model.models_[1:], kept, strict=True))
    assert all(p.dtype == torch.float64 for m in model.models_ for p in m.parameters())


def test_a_warm_start_does_not_resume_a_stopped_fit(quick_flowgmm, moons, tmp_path):
    X, _, y = moons
    path = tmp_path / "run.checkpoint"
    model = quick_flowgmm(warm_start=True, checkpoint=path).fit(X, y)
    before = model.predict_proba(X)
    path.write_bytes(b"of a fit that was stopped")
    with pytest.raises(ValueError, match="set warm_start=False to resume it"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_a_fit_without_a_seed_goes_on_from_its_checkpoint(moons, monkeypatch, tmp_path):
    from flowssl.training import run

    X, _, y = moons
    path = tmp_path / "run.checkpoint"
    model = FlowGMMClassifier(architecture="affine", max_epochs=4, checkpoint=path)
    write, written = run.write_checkpoint, []

    def write_and_die(path, identity, seed, state, groups):
        write(path, identity, seed, state, groups)
        written.append([dict(figures) for figures in state.history])
        if len(written) == 2:
            raise OSError("the power is gone")

    monkeypatch.setattr(run, "write_checkpoint", write_and_die)
    with pytest.raises(OSError, match="power"):
        model.fit(X, y)
    monkeypatch.undo()
    model.fit(X, y)
    assert model.history_[:2] == written[-1]
    assert len(model.history_) == 4


def test_labels_that_count_for_nothing_are_refused_where_there_is_nothing_else(quick, moons):
    X, truth, _ = moons
    with pytest.raises(ValueError, match="labeled_fraction is 0"):
        quick(objective=ObjectiveOptions(labeled_fraction=0.0)).fit(X, truth)


@pytest.mark.parametrize("init", ["propagate", "latent", "random"])
@pytest.mark.parametrize("objective", ["soft-labels", "likelihood", "em"])
def test_every_initialization_and_objective_trains(moons, init, objective):
    X, truth, y = moons
    model = FlowGMMClassifier(
        init=init, max_epochs=2, random_state=0, covariance_type="diag",
        n_components=2 if init == "propagate" else 1,
        objective=ObjectiveOptions(
            objective, consistency_weight=0.1, e_step_interval=5 if objective == "em" else 1
        ),
    ).fit(X, y)  # fmt: skip
    assert np.isfinite(model.score_samples(X)).all()
    if init == "propagate":
        assert model.score(X, truth) > 0.8


def test_the_papers_recipe_keeps_its_means(moons):
    X, _, y = moons
    model = FlowGMMClassifier(
        architecture="paper-uci", init="random", learn_gaussians=False, temperature_scaling=False,
        objective=ObjectiveOptions("likelihood", cross_entropy_weight=0.0),
        max_epochs=2, random_state=0,
    ).fit(X, y)  # fmt: skip
    means = model.models_[0].class_density.class_means().detach().numpy()
    assert np.linalg.norm(means[0] - means[1]) == pytest.approx(7.5, rel=1e-5)
    np.testing.assert_allclose(means[0], -means[1], rtol=1e-5)


def test_class_prior_is_what_was_asked(quick, moons):
    X, _, y = moons
    given = quick(class_prior=[0.9, 0.1]).fit(X, y)
    np.testing.assert_allclose(
        given.models_[0].class_density.log_prior().exp().tolist(), [0.9, 0.1]
    )
    uniform = quick(class_prior="uniform").fit(X, y)
    np.testing.assert_allclose(
        uniform.models_[0].class_density.log_prior().exp().tolist(), [0.5, 0.5]
    )
    for impossible in ([1.0, 0.0], [np.inf, 1.0], [1.0]):
        with pytest.raises(ValueError, match="2 positive, finite numbers"):
            quick(class_prior=impossible).fit(X, y)


@pytest.mark.parametrize("rare", [0.12, 0.3])
def test_rows_have_the_class_fractions_that_are_given(quick_flowgmm, rare):
    rng = np.random.default_rng(0)
    truth = (rng.random(1000) < rare).astype(int)
    X = rng.normal(size=(1000, 2)) + 2.0 * truth[:, None]
    y = hide_labels(truth, per_class=5, random_state=0)
    model = quick_flowgmm(class_prior=[1 - rare, rare]).fit(X, y)
    assert model.predict_proba(X)[:, 1].mean() == pytest.approx(rare, abs=0.02)
    # Bayes' rule with the true densities, its boundary at x1 + x2 = 2 + log((1 - rare) / rare) / 2
    best = (X.sum(1) > 2 + np.log((1 - rare) / rare) / 2).astype(int)
    assert model.score(X, truth) > (best == truth).mean() - 0.02


@pytest.mark.parametrize(
    ("n_labeled", "rare"),
    # 80 of 400 rows are rare. Labels may have taken all of them: then a tenth of the share is left.
    [(0, 80 / 400), (50, 30 / 300), (100, 0.02 / (0.02 + 220 / 200))],
)
def test_given_fractions_are_those_of_all_rows_with_labels_in_equal_numbers(n_labeled, rare):
    codes = np.repeat([0, 1, -1], [n_labeled, n_labeled, 400 - 2 * n_labeled])
    rows = Rows(np.zeros((400, 1)), codes, np.ones(400), 2)
    posteriors = np.random.default_rng(0).dirichlet([1, 1], 400)
    matched = with_class_fractions(posteriors, np.array([0.8, 0.2]), rows)
    assert matched[codes < 0, 1].mean() == pytest.approx(rare, abs=1e-5)
    # Shares change the odds of all unlabeled rows by one factor; labeled rows have their labels.
    odds = (matched[:, 1] / matched[:, 0]) / (posteriors[:, 1] / posteriors[:, 0])
    assert np.ptp(odds[codes < 0]) < 1e-9 * odds.max()
    np.testing.assert_array_equal(matched[codes >= 0], posteriors[codes >= 0])


def test_unlabeled_rows_that_mislead_are_left_aside(quick_flowgmm):
    # Eight clusters in three columns that have nothing to do with the classes.
    rng = np.random.default_rng(0)
    centers = 3.0 * rng.normal(size=(8, 3))
    clusters = centers[rng.integers(8, size=400)] + 0.1 * rng.normal(size=(400, 3))
    X = np.column_stack((rng.normal(size=400), clusters))
    truth = (X[:, 0] > 0).astype(int)
    y = hide_labels(truth, per_class=5, random_state=0)
    with pytest.warns(UnlabeledDataWarning, match="predicted worse with the unlabeled rows"):
        model = quick_flowgmm().fit(X, y)
    assert not model.used_unlabeled_
    believed = quick_flowgmm(propagation_weight=1.0).fit(X, y)
    assert believed.used_unlabeled_
    assert model.score(X, truth) > believed.score(X, truth) + 0.02


def test_whole_numbers_of_numpy_are_settings_too(quick_flowgmm, moons, tmp_path):
    X, _, y = moons
    two, size = np.array([2, 50])
    model = quick_flowgmm(max_epochs=two, batch_size=size, n_components=two).fit(X, y)
    assert len(model.history_) == 2
    model.save(tmp_path / "m.flowssl")
    assert flowssl.load(tmp_path / "m.flowssl").n_components_ == 2


def test_falling_back_gives_a_warning(quick_flowgmm, moons, monkeypatch):
    from dataclasses import replace

    from flowssl.estimators import _domain

    X, _, y = moons
    honest = _domain.propagate

    def misled(*args, **kwargs):
        start = honest(*args, **kwargs)
        return replace(start, label_gain=-3 * start.label_gain_error - 1)

    monkeypatch.setattr(_domain, "propagate", misled)
    with pytest.warns(UnlabeledDataWarning, match="propagation_weight=1"):
        model = quick_flowgmm().fit(X, y)
    assert not model.used_unlabeled_


# Odd tables.


def test_frames_with_text_gaps_constants_and_copies(quick_flowgmm, mixed):
    frame, truth, labels = mixed
    model = quick_flowgmm(max_epochs=5).fit(frame, labels)
    assert model.score(frame, truth) > 0.85
    assert list(model.feature_names_in_) == list(frame.columns)
    rows, drawn = model.sample(50, random_state=0)
    assert list(rows.columns) == list(frame.columns)
    assert set(rows["color"]) <= {"red", "blue", "green"}
    assert (rows["constant"] == 7).all()
    assert set(drawn) <= {"yes", "no"}
    polars = pl.from_pandas(frame)
    again = quick_flowgmm(max_epochs=5).fit(polars, labels)
    np.testing.assert_allclose(again.predict_proba(polars), model.predict_proba(frame))


def test_density_of_a_row_with_a_gap_is_that_of_the_observed_part(quick_flowgmm):
    rng = np.random.default_rng(0)
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    X = rng.multivariate_normal([0.0, 0.0], covariance, size=4000)
    model = quick_flowgmm(max_epochs=5).fit(X, np.zeros(4000))
    half = np.array([[0.3, np.nan], [np.nan, -1.2], [2.0, np.nan]])
    np.testing.assert_allclose(model.score_samples(half), norm.logpdf([0.3, -1.2, 2.0]), atol=0.1)
    assert model.score_samples([[np.nan, np.nan]])[0] == pytest.approx(0.0, abs=0.1)


def test_probabilities_of_categories_add_up(quick_flowgmm):
    frame = pd.DataFrame(
        {"a": np.random.default_rng(0).choice(["x", "y", "z"], 900, p=[0.6, 0.3, 0.1])}
    )
    model = quick_flowgmm(max_epochs=20).fit(frame, np.zeros(900))
    levels = pd.DataFrame({"a": ["x", "y", "z"]})
    mass = np.exp(model.score_samples(levels))
    assert mass.sum() <= 1.05
    assert list(mass.argsort()) == [2, 1, 0]


def test_gaps_and_unseen_levels_are_predicted(quick_flowgmm, mixed):
    frame, _, labels = mixed
    model = quick_flowgmm().fit(frame, labels)
    odd = frame.head(3).copy()
    odd["color"] = ["purple", None, "red"]
    with pytest.warns(UserWarning, match="purple"):
        proba = model.predict_proba(odd)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (np.linspace(-1, 1, 40)[:, None], np.r_[0, 1, [-1] * 36, 0, 1]),  # one column
        (np.random.default_rng(0).normal(size=(30, 3)), np.zeros(30)),  # one class
        (np.random.default_rng(0).normal(size=(12, 60)), np.r_[[0, 1] * 3, [-1] * 6]),  # wide
        (np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 3),  # all labeled
        (np.random.default_rng(0).normal(size=(2, 2)), np.array([0, 1])),  # two rows
        (np.repeat(np.eye(3), 10, axis=0), np.r_[0, [-1] * 9, 1, [-1] * 9, 2, [-1] * 9]),  # copies
        (np.random.default_rng(0).normal(size=(50, 2)) * 1e12 + 1e15, np.arange(50) % 2),  # large
    ],
    ids=["column", "class", "wide", "labeled", "two", "copies", "large"],
)
def test_odd_shapes_give_finite_answers(quick, X, y):
    model = quick(architecture="auto").fit(X, y)
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    assert np.isfinite(model.score_samples(X)).all()
    assert set(model.predict(X)) <= set(np.unique(y[y >= 0]))
    assert len(model.sample(5, random_state=0)[0]) == 5


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.eye(4), [-1, -1, -1, -1], "no labeled row"),
        (np.ones((5, 2)), [0, 1, 0, 1, -1], "every column of X is constant"),
        ([[1.0, 2.0]], [0], "n_samples = 1"),
        (np.eye(4), [0, 1], "inconsistent numbers of samples"),
        (np.full((4, 2), np.inf), [0, 1, 0, 1], "infinity"),
        (np.empty((0, 3)), [], "0 sample"),
    ],
)
def test_bad_input_is_named(quick, X, y, message):
    with pytest.raises(ValueError, match=message):
        quick().fit(X, y)


def test_bad_parameters_are_named(quick, moons):
    X, _, y = moons
    with pytest.raises(ValueError, match="'objective' parameter"):
        quick(objective="guess").fit(X, y)
    with pytest.raises(ValueError, match="device is 'warp', which this machine does not have"):
        quick(device="warp").fit(X, y)
    with pytest.raises(ValueError, match="device is 'cpu:x', which"):
        quick(device="cpu:x").fit(X, y)
    with pytest.raises(ValueError, match="device is 'cpu:0', which"):
        quick(device="cpu:0").fit(X, y)
    with pytest.raises(ValueError, match="architecture must be one of"):
        quick(architecture="resnet").fit(X, y)
    with pytest.raises(ValueError, match="not be negative"):
        quick().fit(X, y).sample(1, temperature=-1.0)
    with pytest.raises(NotFittedError):
        quick().predict(X)


def test_far_outliers_have_probabilities(fitted):
    proba = fitted.predict_proba(np.array([[1e6, -1e6], [-1e6, 1e6], [1e3, 0.0]]))
    assert np.isfinite(proba).all()


def test_set_output_names_the_latents(quick_flowgmm, mixed):
    frame, _, labels = mixed
    latents = quick_flowgmm().set_output(transform="pandas").fit(frame, labels).transform(frame)
    assert list(latents.columns) == [f"latent{i}" for i in range(latents.shape[1])]


def test_metadata_routing_reaches_the_weights(quick_flowgmm):
    import sklearn
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = make_blobs(60, centers=2, random_state=0)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False),
            quick_flowgmm().set_fit_request(sample_weight=True),
        )
        routed.fit(X, y, sample_weight=np.r_[np.zeros(20), np.ones(40)])
    assert routed[-1].n_labeled_ == 40
    alone = quick_flowgmm().fit(StandardScaler().fit(X).transform(X)[20:], y[20:])
    assert np.array_equal(
        routed[-1].predict_proba(routed[0].transform(X)),
        alone.predict_proba(routed[0].transform(X)),
    )


@pytest.mark.parametrize(("init", "first"), [("propagate", 0), ("latent", 20), ("random", 20)])
def test_patience_of_an_untrained_start_counts_from_the_middle(moons, monkeypatch, init, first):
    X, _, y = moons
    found = []

    def train(model, objective, rows, held_out, config, **_):
        found.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("flowssl.estimators._fit.train", train)
    with pytest.raises(KeyboardInterrupt):
        FlowGMMClassifier(init=init, max_epochs=40, random_state=0).fit(X, y)
    assert (found[0].patience_from, found[0].patience) == (first, 10)
