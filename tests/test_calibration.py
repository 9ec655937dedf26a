"""Temperature and calibration error, against scikit-learn and closed cases."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from flowssl.calibration import expected_calibration_error, fit_temperature, reliability


def test_temperature_is_found_again():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    truth = np.array([rng.choice(3, p=p) for p in softmax(logits, axis=1)])
    found = fit_temperature(5.0 * logits, np.eye(3)[truth], np.ones(len(truth)))
    assert found == pytest.approx(5.0, rel=0.03)


def test_temperature_minimizes_the_weighted_cross_entropy():
    rng = np.random.default_rng(1)
    logits, weight = rng.normal(size=(200, 4)), rng.random(200)
    targets = softmax(rng.normal(size=(200, 4)), axis=1)

    def loss(temperature):
        return -(weight @ (targets * log_softmax(logits / temperature, axis=1)).sum(1))

    best = fit_temperature(logits, targets, weight)
    grid = np.exp(np.linspace(-2, 6, 400))
    assert loss(best) <= min(map(loss, grid)) + 1e-6


def test_one_class_and_no_rows_need_no_temperature():
    assert fit_temperature(np.zeros((3, 1)), np.ones((3, 1)), np.ones(3)) == 1.0
    assert fit_temperature(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0)) == 1.0


def test_calibration_error_by_hand():
    # Four rows of confidence .9, three right; two of .6, none right.
    proba = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 2)
    truth = np.array([0, 0, 0, 1, 0, 0])
    assert expected_calibration_error(proba, truth) == pytest.approx(
        4 / 6 * abs(0.9 - 0.75) + 2 / 6 * 0.6
    )
    confidence, accuracy, fraction = reliability(proba, truth)
    assert fraction.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(accuracy[~np.isnan(accuracy)], [0.0, 0.75])
    np.testing.assert_allclose(confidence[~np.isnan(confidence)], [0.6, 0.9])
