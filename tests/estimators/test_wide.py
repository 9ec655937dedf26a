"""Tables with more columns than rows: what is fitted, saved and predicted has no D x D part."""

import numpy as np
import pandas as pd
import pytest
import torch

import flowssl
from flowssl import DIGLMClassifier, FlowGMMClassifier, SemiConditionalFlowClassifier

N, D = 24, 40
SHORT = {"max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def wide():
    rng = np.random.default_rng(0)
    y = np.arange(2 * N) % 2
    X = rng.normal(size=(2 * N, D))
    X[:, :10] += 2.0 * y[:, None]
    return X, y


def fitted(wide, kind=FlowGMMClassifier, **parameters):
    X, y = wide
    return kind(**SHORT | parameters).fit(X[:N], np.where(np.arange(N) < 14, y[:N], -1))


KINDS = [
    (FlowGMMClassifier, {}),
    (FlowGMMClassifier, {"architecture": "table", "covariance_type": "full"}),
    (FlowGMMClassifier, {"init": "random", "objective": "likelihood"}),
    (SemiConditionalFlowClassifier, {}),
    (SemiConditionalFlowClassifier, {"class_features": "all"}),
    (DIGLMClassifier, {}),
]


@pytest.mark.parametrize(("kind", "parameters"), KINDS)
def test_the_density_is_exact_and_no_tensor_is_of_all_columns_twice(wide, kind, parameters):
    model = fitted(wide, kind, **parameters)
    flow, X = model.models_[0].flow, wide[0]
    x = torch.from_numpy(model.completion_.typical(X[N : N + 3]))
    z, log_det = flow(x)
    torch.testing.assert_close(flow.inverse(z), x, atol=1e-8, rtol=1e-8)
    for row, expected in zip(x, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow(v[None])[0][0], row)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, expected)
    facts = model.models_[0].state_dict() | model.completion_.to_arrays()
    assert all(sum(side >= D for side in value.shape) < 2 for value in facts.values())


@pytest.mark.parametrize(("kind", "parameters"), KINDS)
def test_a_wide_model_survives_its_file(wide, kind, parameters, tmp_path):
    model = fitted(wide, kind, **parameters)
    model.save(tmp_path / "m.flowssl")
    again = flowssl.load(tmp_path / "m.flowssl")
    X = wide[0][N:].copy()
    X[::3, 1] = np.nan
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))


def test_latents_of_the_training_rows_outside_their_span_are_zero(wide):
    model = fitted(wide)
    assert model.spec_.span == N == model.class_features_
    z = model.transform(wide[0])
    assert np.abs(z[:N, N:]).max() < 1e-4 < np.abs(z[N:, N:]).max()


def test_a_wide_table_is_classified(wide):
    X, y = wide
    assert fitted(wide, max_epochs=3).score(X[N:], y[N:]) > 0.85


def test_more_rows_than_columns_are_fitted_as_before(wide):
    X, y = wide
    model = FlowGMMClassifier(**SHORT).fit(X[:, :6], y)
    assert model.spec_.span is None


def test_missing_values_and_categories(wide):
    X, y = wide
    table = pd.DataFrame(X).rename(columns=str)
    table.iloc[::2, 3] = None
    table["c"] = np.where(X[:, 0] > 0, "x", "y")
    model = FlowGMMClassifier(**SHORT).fit(table[:N], np.where(np.arange(N) < 14, y[:N], -1))
    proba = model.predict_proba(table)
    np.testing.assert_allclose(proba.sum(1), 1)
    assert model.sample(3, random_state=0)[0].shape == table[:3].shape


def test_a_warm_start_with_more_rows_keeps_the_span(wide):
    X, y = wide
    model = fitted(wide, warm_start=True)
    model.fit(np.tile(X, (2, 1)) + 1e-3, np.tile(y, 2))
    assert model.spec_.span == N
