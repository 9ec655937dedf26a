"""The marginal of tables: normalized, right with categories, atoms, cells and missing values."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture

from flowssl import FlowGMMClassifier, load
from flowssl.marginals.fitting import MarginalSettings, fit_marginal
from flowssl.preprocessing import Completion


def fitted(matrix, **settings):
    held_out = np.arange(len(matrix)) % 5 == 0
    completion = Completion.fit(matrix, np.zeros(matrix.shape[1]))
    how = MarginalSettings("cpu", 0, **{"max_epochs": 3, **settings})
    return fit_marginal(matrix, np.ones(len(matrix)), held_out, completion, (), how)[0]


@pytest.fixture(scope="module")
def moons_like():
    """Two columns, the second a parabola of the first."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=600)
    return np.column_stack([a, a**2 + 0.3 * rng.normal(size=600)])


@pytest.fixture(scope="module")
def plain(moons_like):
    return fitted(moons_like)


def test_the_density_integrates_to_one(plain):
    a, b = np.meshgrid(np.arange(-5, 5, 0.1), np.arange(-3, 17, 0.1))
    log_prob, error = plain.log_prob(np.column_stack([a.ravel(), b.ravel()]))
    assert np.exp(log_prob).sum() * 0.1**2 == pytest.approx(1, abs=5e-3)
    assert not error.any()


def test_a_missing_number_is_integrated_out(plain):
    rows = np.array([[0.5, np.nan], [-1.2, np.nan], [np.nan, 1.0]])
    found, error = plain.log_prob(rows)
    fine = np.linspace(-8, 20, 701)
    for row, log_prob in zip(rows, found, strict=True):
        line = np.where(np.isnan(row), fine[:, None], row)
        exact = logsumexp(plain.log_prob(line)[0]) + np.log(fine[1] - fine[0])
        assert log_prob == pytest.approx(exact, abs=0.01)
    assert (error > 0).all()
    assert (error <= 0.01).all()


def test_a_row_without_any_value_has_probability_one(plain):
    assert plain.log_prob(np.full((2, 2), np.nan))[0] == pytest.approx(0, abs=1e-12)


def test_it_is_at_least_the_mixture_of_scikit_learn(moons_like):
    held_out = np.arange(600) % 5 == 0
    best = max(
        GaussianMixture(k, random_state=0).fit(moons_like[~held_out]).score(moons_like[held_out])
        for k in (1, 2, 5, 10)
    )
    log_prob, _ = fitted(moons_like, max_epochs=8).log_prob(moons_like[held_out])
    assert log_prob.mean() > best - 0.1


def test_samples_have_the_moments_of_the_rows(plain, moons_like):
    rows = plain.sample(5000, torch.Generator().manual_seed(0))
    quantiles = [np.quantile(part, [0.1, 0.5, 0.9], axis=0) for part in (rows, moons_like)]
    np.testing.assert_allclose(*quantiles, atol=0.2)
    assert np.median(rows[:, 1] - rows[:, 0] ** 2) == pytest.approx(0, abs=0.1)


@pytest.fixture(scope="module")
def mixed_rows():
    """Numbers, a column that is 0 in 60 % of the rows, whole numbers, and a binary column."""
    rng = np.random.default_rng(1)
    n = 800
    a = rng.normal(size=n)
    zero = rng.random(n) < 0.6
    counts = rng.poisson(40 + 5 * a)
    return np.column_stack([a, np.where(zero, 0.0, rng.lognormal(size=n)), counts, a > 0])


@pytest.fixture(scope="module")
def mixed(mixed_rows):
    with pytest.MonkeyPatch.context() as patch:  # enough for the tolerances below
        patch.setattr("flowssl.marginals.marginal.DRAWS", (512,))
        yield fitted(mixed_rows)


def test_kinds_of_columns_are_told(mixed):
    columns = mixed.columns
    assert [list(atoms) for atoms in columns.atoms] == [[], [0.0], [], [0.0, 1.0]]
    assert columns.whole.tolist() == [False, False, True, False]
    assert columns.sizes == (2, 3)


def test_probabilities_of_whole_numbers_and_atoms_add_up_to_one(mixed):
    counts = np.arange(10, 75.0)
    rows = np.full((len(counts), 4), np.nan)
    rows[:, 2] = counts
    assert np.exp(mixed.log_prob(rows)[0]).sum() == pytest.approx(1, abs=0.05)
    numbers = np.full((150, 4), np.nan)
    numbers[:, 1] = np.arange(-5, 10, 0.1) + 1e-3  # not at the atom
    of_numbers = np.exp(mixed.log_prob(numbers)[0]).sum() * 0.1
    atom = np.exp(mixed.log_prob(np.array([[np.nan, 0.0, np.nan, np.nan]]))[0][0])
    assert atom + of_numbers == pytest.approx(1, abs=0.06)
    assert atom == pytest.approx(0.6, abs=0.05)


def test_samples_have_the_atoms_and_whole_numbers(mixed, mixed_rows):
    rows = mixed.sample(4000, torch.Generator().manual_seed(0))
    assert (rows[:, 1] == 0).mean() == pytest.approx((mixed_rows[:, 1] == 0).mean(), abs=0.05)
    assert (rows[:, 2] == np.round(rows[:, 2])).all()
    assert set(rows[:, 3]) == {0.0, 1.0}
    assert ((rows[:, 0] > 0) == (rows[:, 3] == 1)).mean() > 0.75  # which they determine


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    k = rng.integers(2, size=400)
    frequencies = np.linspace(2, 0.5, 12) / np.linspace(2, 0.5, 12).sum()
    of_class = rng.choice(12, 400, p=frequencies[::-1])
    levels = np.where(k, of_class, rng.choice(12, 400, p=frequencies))
    frame = pd.DataFrame({"c": [f"l{i:02d}" for i in levels], "a": rng.normal(2.0 * k, 1)})
    return frame, np.where(np.arange(400) < 40, k, -1)


@pytest.fixture(scope="module")
def model(table):
    return FlowGMMClassifier(max_epochs=5, propagation_weight=1, random_state=0).fit(*table)


def test_categories_add_up_to_one(model, table):
    grid = np.linspace(-5, 7, 121)
    rows = [(level, a) for level in sorted(set(table[0].c)) for a in grid]
    density = np.exp(model.score_samples(pd.DataFrame(rows, columns=["c", "a"])))
    assert density.sum() * 0.1 == pytest.approx(1, abs=0.01)


def test_sampled_categories_have_their_frequencies(model, table):
    sampled, _ = model.sample(5000, random_state=0)
    difference = sampled.c.value_counts(normalize=True) - table[0].c.value_counts(normalize=True)
    assert difference.abs().sum() / 2 < 0.06


def test_a_missing_category_is_summed_out(model, table):
    levels = sorted(set(table[0].c))
    alone = model.score_samples(pd.DataFrame({"c": [None], "a": [0.7]}))[0]
    each = model.score_samples(pd.DataFrame({"c": levels, "a": 0.7}))
    assert alone == pytest.approx(logsumexp(each), abs=0.03)


def test_samples_of_a_class_are_of_the_class(model):
    sampled, labels = model.sample(300, y=1, random_state=0)
    assert (labels == 1).all()
    assert model.predict_proba(sampled)[:, 1].mean() > 0.6


def test_classes_are_those_of_the_joint_model(model, table):
    joint = FlowGMMClassifier(max_epochs=5, propagation_weight=1, random_state=0).set_params(
        objective__marginal="joint"
    )
    joint.fit(*table)
    assert joint.marginal_ is None
    np.testing.assert_allclose(
        model.predict_proba(table[0]), joint.predict_proba(table[0]), atol=1e-9
    )


def test_a_file_gives_the_same_densities(model, mixed, table, tmp_path):
    model.save(tmp_path / "model.flowssl")
    loaded = load(tmp_path / "model.flowssl")
    np.testing.assert_array_equal(loaded.score_samples(table[0]), model.score_samples(table[0]))
    pd.testing.assert_frame_equal(
        loaded.sample(20, random_state=0)[0], model.sample(20, random_state=0)[0]
    )


def test_rows_with_missing_values_are_learned(moons_like):
    holes = moons_like.copy()
    holes[::4, 0] = np.nan
    holes[1::7, 1] = np.nan
    log_prob, _ = fitted(holes).log_prob(moons_like)
    assert np.isfinite(log_prob).all()
    assert log_prob.mean() > fitted(moons_like).log_prob(moons_like)[0].mean() - 0.5


def test_few_rows_have_no_marginal():
    assert fitted(np.random.default_rng(0).normal(size=(40, 2))) is None
    assert fitted(np.random.default_rng(0).normal(size=(60, 70))) is None


def test_tables_of_levels_alone_add_up_to_one_and_keep_their_pairs():
    """Each combination is one row, of a weight: the fit must not hold combinations out."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 600)
    b = np.where(rng.random(600) < 0.8, a, rng.integers(0, 3, 600))
    frame = pd.DataFrame({"a": [f"a{i}" for i in a], "b": b})  # text, and few numbers
    model = FlowGMMClassifier(max_epochs=2, random_state=0)
    model.fit(frame, np.where(np.arange(600) < 40, a > 0, -1))
    every = pd.DataFrame([(f"a{i}", j) for i in range(3) for j in range(3)], columns=["a", "b"])
    probability = np.exp(model.score_samples(every))
    assert probability.sum() == pytest.approx(1, abs=0.01)
    counts = np.bincount(3 * a + b, minlength=9) / 600
    np.testing.assert_allclose(probability, counts, atol=0.06)


def test_a_further_fit_goes_on_from_the_experts(moons_like, plain):
    held_out = np.arange(len(moons_like)) % 5 == 0
    completion, how = plain.units.completion, MarginalSettings("cpu", 1, max_epochs=5)
    weight = np.ones(len(moons_like))
    further, _ = fit_marginal(moons_like, weight, held_out, completion, (), how, plain)
    assert further.mixture_units is plain.mixture_units
    before, after = (m.log_prob(moons_like[held_out])[0].mean() for m in (plain, further))
    assert after >= before - 1e-3  # the first candidate for the best epoch is the earlier one
    assert after != before
