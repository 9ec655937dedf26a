"""The two-sample test against closed forms of the best AUC, and on tables of every kind."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import norm

from flowssl.inspection import two_sample_test

QUICK = {"n_repeats": 1, "random_state": 0}


def test_halves_of_one_set_cannot_be_told_apart():
    rng = np.random.default_rng(0)
    rows = rng.standard_t(3, size=(1000, 4)) @ rng.normal(size=(4, 4))
    found = two_sample_test(rows[:500], rows[500:], n_repeats=2)
    assert found.auc == pytest.approx(0.5, abs=0.05)
    assert found.interval[0] < 0.5 < found.interval[1]
    assert found.n_rows == 500


def test_the_auc_of_a_shift_is_that_of_the_best_classifier():
    """Of N(0, 1) and N(1, 1) it is P(a < b) = Phi(1 / sqrt 2), which trees come near to."""
    rng = np.random.default_rng(1)
    real, sampled = rng.normal(size=(2, 2000, 3))
    sampled[:, 1] += 1
    found = two_sample_test(real, sampled, **QUICK)
    best = norm.cdf(1 / np.sqrt(2))
    assert best - 0.06 < found.auc < best + 0.015
    assert found.telling(1) == [1]
    assert found.importance[1] > 10 * max(abs(found.importance[0]), abs(found.importance[2]))


def test_shuffled_columns_are_found_out_by_their_lost_dependence():
    rng = np.random.default_rng(2)
    a = rng.normal(size=1500)
    X = np.column_stack([a, a + 0.1 * rng.normal(size=1500), rng.normal(size=1500)])
    shuffled = np.column_stack([X[:, 0], rng.permutation(X[:, 1]), X[:, 2]])
    found = two_sample_test(X, shuffled, **QUICK)
    assert found.auc > 0.9
    assert set(found.telling(2)) == {0, 1}


def test_the_interval_covers_the_auc_as_often_as_it_says():
    """A 95 % interval of the AUC of a fixed score, here the only column, on 200 draws."""
    from flowssl.inspection.two_sample import NORMAL_QUANTILE, standard_error

    rng = np.random.default_rng(3)
    truth, n, inside = norm.cdf(0.5 / np.sqrt(2)), 150, 0
    for _ in range(200):
        a, b = rng.normal(size=n), rng.normal(0.5, 1, size=n)
        auc = (a[:, None] < b).mean()
        inside += abs(auc - truth) < NORMAL_QUANTILE * standard_error(auc, n)
    assert 0.9 <= inside / 200 <= 0.99


@pytest.fixture
def mixed():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "level": rng.choice(["low", "mid", "high"], 600, p=[0.6, 0.3, 0.1]),
            "number": rng.normal(size=600),
            "flag": rng.random(600) < 0.5,
        }
    )
    frame.loc[::3, "number"] = np.nan
    frame.loc[::7, "level"] = None
    return frame


def test_frames_with_categories_and_missing_values(mixed):
    first, second = mixed[:300], mixed[300:].reset_index(drop=True)
    assert two_sample_test(first, second, **QUICK).auc == pytest.approx(0.5, abs=0.07)
    assert two_sample_test(
        pl.from_pandas(first), second[["flag", "level", "number"]], **QUICK
    ).auc == pytest.approx(0.5, abs=0.07)
    other = second.assign(level=np.where(second.level.isna(), None, "low"))
    found = two_sample_test(first, other, **QUICK)
    # The best classifier says real, undecided, sampled of another level, none and "low".
    of_real, of_sampled = np.array([0.4 * 6, 1, 0.6 * 6]) / 7, np.array([0, 1, 6]) / 7
    best = sum(of_sampled[i] * (of_real[:i].sum() + of_real[i] / 2) for i in range(3))
    assert found.auc == pytest.approx(best, abs=0.06)
    assert found.telling(1) == ["level"]


def test_complete_samples_lose_the_values_that_real_rows_miss(mixed):
    rng = np.random.default_rng(5)
    number = pd.DataFrame({"a": mixed["number"], "b": rng.normal(size=600)})
    complete = pd.DataFrame(rng.normal(size=(600, 2)), columns=["a", "b"])
    assert two_sample_test(number, complete, **QUICK).auc == pytest.approx(0.5, abs=0.06)
    assert two_sample_test(number, complete, mask=False, **QUICK).auc > 0.6


def test_many_categories_are_more_than_trees_take():
    rng = np.random.default_rng(6)
    names = np.array([f"v{i}" for i in range(400)])
    first, second = (pd.DataFrame({"c": rng.choice(names, 900)}) for _ in range(2))
    assert two_sample_test(first, second, **QUICK).auc == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("real", "sampled", "options", "message"),
    [
        (np.zeros((60, 2)), np.zeros((60, 3)), {}, "real has 2 columns but sampled has 3"),
        (np.zeros((9, 1)), np.zeros((60, 1)), {}, "at least 50 rows.*9 real and 60 sampled"),
        (np.zeros((60, 1)), np.zeros((60, 1)), {"max_rows": 10}, "max_rows leaves 10"),
        (np.zeros((60, 1, 8, 8)), np.zeros((60, 1, 8, 8)), {}, r"model.transform\(images\)"),
        (np.zeros((60, 1)), np.zeros((60, 1)), {"n_repeats": 0}, "n_repeats must be at least 1"),
        (np.zeros((60, 1)), np.zeros((60, 1)), {"n_folds": 1}, "n_folds must be from 2 to 60"),
        (
            pd.DataFrame({"a": range(60)}),
            pd.DataFrame({"b": range(60)}),
            {},
            "a column 'a', which sampled lacks",
        ),
        (
            pd.DataFrame({"a": range(60)}),
            pd.DataFrame({"a": list("xy") * 30}),
            {},
            "'a' holds numbers in real but categories in sampled",
        ),
    ],
)
def test_errors_name_what_is_wrong(real, sampled, options, message):
    with pytest.raises(ValueError, match=message):
        two_sample_test(real, sampled, **options)
