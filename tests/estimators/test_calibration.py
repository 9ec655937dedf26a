"""Calibration of fitted classifiers on validation labels, against closed cases and other fits."""

import copy

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp
from scipy.stats import multivariate_normal

import flowssl
from flowssl import DIGLMClassifier, FlowGMMClassifier, SemiConditionalFlowClassifier
from flowssl.exceptions import FlowSSLWarning


@pytest.fixture(scope="module")
def noisy():
    """Two overlapping classes: rows, truth, and labels of the first 100 of 500 rows."""
    rng = np.random.default_rng(0)
    truth = np.arange(500) % 2
    X = rng.normal(size=(500, 3)) + 0.8 * truth[:, None]
    return X, np.array(["no", "yes"])[truth], np.where(np.arange(100) < 20, truth[:100], -1)


@pytest.fixture(scope="module")
def model(noisy):
    X, truth, codes = noisy
    y = np.where(codes < 0, None, truth[:100])
    return FlowGMMClassifier(
        class_prior="uniform", n_components=1, covariance_type="tied", max_epochs=3, random_state=0
    ).fit(X[:100], y)


def nll(model, X, y):
    log_proba = model.predict_log_proba(X)
    return -log_proba[np.arange(len(y)), np.searchsorted(model.classes_, y)].mean()


def test_variance_and_temperature_are_one_for_equal_gaussians(model, noisy):
    X, truth, _ = noisy
    tempered, widened = copy.deepcopy(model), copy.deepcopy(model)
    assert tempered.calibrate(X[100:], truth[100:]) is tempered
    widened.calibrate(X[100:], truth[100:], method="variance")
    assert widened.calibration_temperature_ == tempered.calibration_variance_ == 1.0
    assert widened.calibration_variance_ == pytest.approx(
        tempered.calibration_temperature_, rel=0.03
    )
    np.testing.assert_allclose(widened.predict_proba(X), tempered.predict_proba(X), atol=0.01)
    assert nll(tempered, X[100:], truth[100:]) < nll(model, X[100:], truth[100:])


def test_the_temperature_minimizes_the_negative_log_likelihood_of_the_labels(model, noisy):
    X, truth, _ = noisy
    raw = copy.deepcopy(model)
    raw.calibration_temperature_ = 1.0
    logits, codes = raw.predict_log_proba(X[100:]), (truth[100:] == "yes").astype(int)

    def loss(t):
        return -log_softmax(logits / t, axis=1)[np.arange(400), codes].sum()

    best = minimize_scalar(loss, bounds=(0.2, 20), method="bounded").x
    found = raw.calibrate(X[100:], truth[100:]).calibration_temperature_
    assert found == pytest.approx(best, rel=1e-3)


def test_the_posterior_of_a_variance_is_that_of_wider_gaussians_and_all_else_stays(noisy):
    X, truth, codes = noisy
    y = np.where(codes < 0, None, truth[:100])
    model = FlowGMMClassifier(
        architecture="affine", covariance_type="full", n_components=2, max_epochs=2, random_state=0
    ).fit(X[:100], y)
    before = model.score_samples(X), model.transform(X), model.sample(9, random_state=0)[0]
    model.calibrate(X[100:], truth[100:], method="variance")
    model.calibration_variance_ = 3.0
    after = model.score_samples(X), model.transform(X), model.sample(9, random_state=0)[0]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    z, weights = (
        model.transform(X),
        model.models_[0].class_density.logits.detach().softmax(1).numpy(),
    )
    joint = [
        np.log(model.class_prior_[k])
        + logsumexp(
            [
                np.log(weights[k, m])
                + multivariate_normal(model.means_[k, m], 3 * model.covariances_[k, m]).logpdf(z)
                for m in range(2)
            ],
            axis=0,
        )
        for k in range(2)
    ]
    expected = log_softmax(np.transpose(joint), axis=1)
    np.testing.assert_allclose(model.predict_log_proba(X), expected, atol=1e-8)
    np.testing.assert_array_equal(model.predict(X), model.classes_[expected.argmax(1)])
    np.testing.assert_allclose(
        model.density_.evaluate(model.encoder_.transform(X))[1], expected, atol=1e-8
    )


def test_a_calibration_is_kept_in_the_file(model, noisy, tmp_path):
    X, truth, _ = noisy
    calibrated = copy.deepcopy(model).calibrate(X[100:], truth[100:], method="variance")
    calibrated.save(tmp_path / "m.flowssl")
    loaded = flowssl.load(tmp_path / "m.flowssl")
    assert loaded.calibration_variance_ == calibrated.calibration_variance_ != 1.0
    np.testing.assert_array_equal(loaded.predict_proba(X), calibrated.predict_proba(X))


def test_unlabeled_validation_rows_do_not_count(model, noisy):
    X, truth, _ = noisy
    some = truth[100:].astype(object)
    some[::3] = None
    known = np.array([label is not None for label in some])
    one = copy.deepcopy(model).calibrate(X[100:], some)
    other = copy.deepcopy(model).calibrate(X[100:][known], truth[100:][known])
    assert one.calibration_temperature_ == other.calibration_temperature_


def test_auxiliary_latents_and_frames(noisy):
    X, truth, codes = noisy
    frame = pd.DataFrame(X, columns=list("abc"))
    frame.loc[::5, "b"] = np.nan
    y = np.where(codes < 0, None, truth[:100])
    model = SemiConditionalFlowClassifier(
        class_density="gaussian", class_features=1, max_epochs=2, random_state=0
    ).fit(frame[:100], y)
    before = nll(model, frame[100:], truth[100:])
    model.calibrate(frame[100:], truth[100:], method="variance")
    assert nll(model, frame[100:], truth[100:]) <= before + 0.02


@pytest.mark.parametrize("kind", [DIGLMClassifier, SemiConditionalFlowClassifier])
def test_variance_is_for_gaussians(kind, noisy):
    X, truth, codes = noisy
    model = kind(max_epochs=1, random_state=0)
    model.fit(X[:100], np.where(codes < 0, None, truth[:100]))
    with pytest.raises(ValueError, match=r"classes that are Gaussians.*method='temperature'"):
        model.calibrate(X[100:], truth[100:], method="variance")
    assert model.calibrate(X[100:], truth[100:]).calibration_temperature_ > 0


def test_errors_and_warnings(model, noisy):
    X, truth, _ = noisy
    model = copy.deepcopy(model)
    with pytest.raises(ValueError, match="no labeled row to calibrate"):
        model.calibrate(X[:3], [None] * 3)
    with pytest.raises(ValueError, match="'maybe'"):
        model.calibrate(X[:3], ["no", "yes", "maybe"])
    with pytest.raises(ValueError, match="3 rows but y has 2"):
        model.calibrate(X[:3], ["no", "yes"])
    with pytest.raises(ValueError, match="'temperature' or 'variance', got 'scale'"):
        model.calibrate(X[:3], truth[:3], method="scale")
    with pytest.warns(FlowSSLWarning, match="only 40 validation rows"):
        model.calibrate(X[100:140], truth[100:140])
    only_no = truth[100:] == "no"
    with pytest.warns(FlowSSLWarning, match=r"1 of the 2 classes .* \('yes'\)"):
        model.calibrate(X[100:][only_no], truth[100:][only_no])


def test_labels_without_any_error_warn_that_the_temperature_is_at_its_bound(model, noisy):
    X, _, _ = noisy
    model = copy.deepcopy(model)
    with pytest.warns(FlowSSLWarning, match="at the bound of its range"):
        model.calibrate(X[100:], model.predict(X[100:]))
    assert model.calibration_temperature_ < 0.14
