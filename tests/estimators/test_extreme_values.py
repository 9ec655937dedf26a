"""Numbers of any size that float64 holds give finite answers, or an error that names them."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from flowssl import DIGLMClassifier, FlowGMMClassifier, SemiConditionalFlowClassifier
from flowssl.baselines import DropoutMLPClassifier, M2VAEClassifier
from flowssl.datasets import hide_labels
from flowssl.preprocessing import Completion

BIG = 1.7e308
DENORMAL = 5e-324


@pytest.fixture(scope="module")
def iris():
    X, truth = load_iris(return_X_y=True)
    return X, truth, hide_labels(truth, per_class=8, random_state=0)


@pytest.fixture(autouse=True)
def _without_cross_fitting(monkeypatch):
    monkeypatch.setattr("flowssl.initialization.propagation.FOLDS_UP_TO", ())


def quick(kind=FlowGMMClassifier, **parameters):
    return kind(**{"architecture": "affine", "max_epochs": 1, "random_state": 0, **parameters})


def check_answers(model, X):
    """Everything that a model answers is finite, and probabilities add up to one."""
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(1), 1.0, rtol=1e-9)
    for answer in (
        proba,
        model.score_samples(X),
        *(model.ood_score(X, method=m) for m in ("unlikely", "atypical", "distance")),
        model.transform(X),
        model.inverse_transform(model.transform(X)),
        model.sample(20, random_state=0)[0],
    ):
        assert np.isfinite(answer).all()


def far_rows(X, value):
    one = X[:1].copy()
    one[0, 1] = value
    return np.vstack([np.full((1, X.shape[1]), value), one])


@pytest.fixture(scope="module")
def fitted(iris):
    X, _, y = iris
    return quick().fit(X, y)


@pytest.mark.parametrize("value", [1e155, -1e155, 1e200, 1e300, BIG, -BIG, DENORMAL, 1e18])
def test_far_rows_get_finite_answers(fitted, iris, value):
    check_answers(fitted, far_rows(iris[0], value))


def test_farther_rows_are_never_more_usual(fitted, iris):
    rows = np.vstack([far_rows(iris[0], v)[:1] for v in (1e1, 1e3, 1e9, 1e60, 1e140, 1e200, BIG)])
    assert (np.diff(fitted.score_samples(rows)) <= 0).all()
    assert (np.diff(fitted.ood_score(rows)) >= 0).all()
    assert fitted.ood_score(rows)[0] > fitted.ood_score(iris[0]).max()


def test_far_rows_with_missing_numbers(iris):
    X, _, y = iris
    holes = X.copy()
    holes[::5, 2] = np.nan
    model = quick().fit(holes, y)
    check_answers(model, np.vstack([far_rows(X, BIG), [BIG, np.nan, -BIG, np.nan]]))


@pytest.mark.parametrize("kind", [SemiConditionalFlowClassifier, DIGLMClassifier])
def test_other_densities(iris, kind):
    X, _, y = iris
    X = X.copy()
    X[3, 1] = 1e200
    check_answers(quick(kind).fit(X, y), np.vstack([X, far_rows(X, BIG)]))


@pytest.mark.parametrize("value", [1e20, 1e155, 1e200, BIG, -BIG])
def test_one_cell_does_not_spoil_a_fit(iris, value):
    X, truth, y = iris
    X = X.copy()
    X[3, 1] = value
    model = quick().fit(X, y)
    check_answers(model, X)
    assert model.score(X, truth) > 0.9


def _scaled_column(X, factor):
    X = X.copy()
    X[:, 2] *= factor
    return X


COLUMNS = {
    "all 1e300": lambda X: X * 1e300,
    "all 1e-300": lambda X: X * 1e-300,
    "all denormal": lambda X: X * 1e-310,
    "one 1e300": lambda X: _scaled_column(X, 1e300),
    "one 1e-310": lambda X: _scaled_column(X, 1e-310),
    "both ends": lambda X: np.column_stack((X, np.where(np.arange(len(X)) % 2, BIG, -BIG))),
    "steps of 5e-324": lambda X: np.column_stack((X, np.arange(len(X)) * DENORMAL)),
    "5e-324 and 1e10": lambda X: np.column_stack(
        (X, np.append(np.arange(len(X) - 1) * DENORMAL, 1e10))
    ),
    "any size": lambda X: np.column_stack((X, 10.0 ** np.linspace(-323, 308, len(X)))),
    "integers of 1e18": lambda X: (X * 1e17).astype(np.int64),
    "float32": lambda X: (X * 4e37).astype(np.float32),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_any_size(iris, name):
    X, truth, y = iris
    X = COLUMNS[name](X)
    model = quick().fit(X, y)
    check_answers(model, np.vstack([X, far_rows(X.astype(float), 1e300)]))
    assert model.score(X, truth) > 0.9


@pytest.mark.parametrize("exponent", [-1000, -600, 600, 1000])
def test_units_shift_the_density_and_change_nothing_else(iris, exponent):
    """``p(2^k x) = p(x) / 2^k`` for each of the columns, in closed form."""
    X = iris[0].copy()
    X[::5, 2] = np.nan
    widths = np.zeros(4)
    usual, scaled = (Completion.fit(rows, widths) for rows in (X, np.ldexp(X, exponent)))
    ours, theirs = scaled.completed(np.ldexp(X, exponent)), usual.completed(X)
    np.testing.assert_allclose(ours.z, theirs.z, rtol=1e-9, atol=1e-12)
    n_seen = (~np.isnan(X)).sum(1)[:, None]
    np.testing.assert_allclose(
        ours.log_weight, theirs.log_weight - n_seen * exponent * np.log(2), rtol=1e-12
    )
    np.testing.assert_allclose(
        scaled.restore(ours.z[:, 0]), np.ldexp(usual.restore(theirs.z[:, 0]), exponent)
    )


@pytest.mark.parametrize(
    "exponents", [np.zeros(3, np.int64), np.full(4, 0.5), np.full(4, 2000), np.full(4, 10**18)]
)
def test_units_of_a_file_are_checked(iris, exponents):
    arrays = Completion.fit(iris[0], np.zeros(4)).to_arrays()
    assert "exponents" not in arrays
    with pytest.raises(ValueError, match=r"exponents.? must"):
        Completion.from_arrays({**arrays, "exponents": exponents})


def test_a_model_with_other_units_is_the_same_after_saving(iris, tmp_path):
    from flowssl import load

    X, _, y = iris
    X = X * 1e300
    model = quick().fit(X, y)
    model.save(tmp_path / "m.flowssl")
    np.testing.assert_array_equal(
        load(tmp_path / "m.flowssl").predict_proba(X), model.predict_proba(X)
    )


def test_without_a_finite_density_the_row_and_the_column_are_named(fitted, iris, monkeypatch):
    from flowssl.estimators._density import FittedDensity

    usual = FittedDensity.class_log_joint

    def broken(self, matrix):
        found = usual(self, matrix)
        found[2] = np.nan
        return found

    monkeypatch.setattr(FittedDensity, "class_log_joint", broken)
    rows = iris[0][:4].copy()
    rows[2, 3] = 1e9
    with pytest.raises(ValueError, match=r"1 rows .* row 2, in which column 3 is 1e\+09"):
        fitted.predict_proba(rows)


@pytest.mark.parametrize("factor", [1e300, 1e-300, BIG, DENORMAL, 1e30])
def test_weights_of_any_size_count_by_their_ratios(iris, factor):
    X, _, y = iris
    even = quick().fit(X, y, np.ones(len(X)))
    scaled = quick().fit(X, y, np.full(len(X), factor))
    np.testing.assert_allclose(scaled.predict_proba(X), even.predict_proba(X), atol=1e-6)


def test_weights_that_cannot_count_are_refused(iris):
    X, _, y = iris
    weight = np.ones(len(X))
    weight[0] = 1e300
    with pytest.raises(ValueError, match=r"from 1 to 1e\+300.*set it to 0"):
        quick().fit(X, y, weight)


@pytest.mark.parametrize("kind", [DropoutMLPClassifier, M2VAEClassifier])
def test_baselines_answer_far_rows(iris, kind):
    X, _, y = iris
    model = kind(hidden_layer_sizes=(8,), n_steps=3, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(far_rows(X, 1e155)).sum(1), 1.0)


def test_a_baseline_names_the_number_that_single_precision_does_not_hold(iris):
    X, _, y = iris
    X = X.copy()
    X[3, 1] = BIG
    with pytest.raises(ValueError, match=r"1.7e\+308 in row 3 and column 1"):
        DropoutMLPClassifier(hidden_layer_sizes=(8,), n_steps=3).fit(X, y)


def test_a_baseline_names_the_column_whose_spread_overflows(iris):
    X, _, y = iris
    X = X.copy()
    X[3, 1] = BIG
    with pytest.raises(ValueError, match=r"column 1 .* 1.7e\+308"):
        M2VAEClassifier(hidden_layer_sizes=(8,), n_steps=3).fit(X, y)


def test_sums_that_overflow_in_a_network_are_refused(iris):
    X, _, y = iris
    model = DropoutMLPClassifier(hidden_layer_sizes=(8,), n_steps=3, random_state=0).fit(X, y)
    with torch.no_grad():
        model.network_.layers[0].weight.fill_(1e10)
    with pytest.raises(ValueError, match=r"1.7e\+308 in row 0 and column 0"):
        model.predict_proba(far_rows(X, BIG))
