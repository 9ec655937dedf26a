"""Fitted attributes: what LabelSpreading and GaussianMixture would give too."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.exceptions import NotFittedError

from flowssl import FlowGMMClassifier, SemiConditionalFlowClassifier


def test_soft_labels_are_of_the_rows_as_given(quick, moons):
    X, truth, y = moons
    twice = np.concatenate((X[::-1], X[:5]))
    labels = np.concatenate((y[::-1], y[:5]))
    model = quick().fit(twice, labels)
    soft = model.label_distributions_
    assert soft.shape == (405, 2)
    np.testing.assert_allclose(soft.sum(1), 1.0)
    np.testing.assert_array_equal(soft[labels >= 0], np.eye(2)[labels[labels >= 0]])
    np.testing.assert_array_equal(soft[-5:], soft[:400][::-1][:5])  # the same rows again
    np.testing.assert_array_equal(model.transduction_, model.classes_[soft.argmax(1)])
    assert np.mean(model.transduction_[:400] == truth[::-1]) > 0.9


def test_rows_of_weight_zero_have_a_soft_label_too(quick_flowgmm, moons):
    X, _, y = moons
    weight = np.ones(len(X))
    first, known = np.flatnonzero(y < 0)[0], np.flatnonzero(y == 1)[0]
    weight[[first, known]] = 0
    model = quick_flowgmm().fit(X, y, sample_weight=weight)
    soft = model.label_distributions_
    np.testing.assert_array_equal(soft[first], model.class_prior_)
    np.testing.assert_array_equal(soft[known], [0.0, 1.0])


@pytest.mark.parametrize("covariance_type", ["spherical", "diag", "tied", "low_rank", "full"])
@pytest.mark.parametrize("estimator", [FlowGMMClassifier, SemiConditionalFlowClassifier])
def test_latents_have_the_density_of_means_and_covariances(estimator, covariance_type, moons):
    """The joint log-density by SciPy, from nothing but public attributes."""
    X, _, y = moons
    parameters = {"covariance_type": covariance_type, "max_epochs": 2, "random_state": 0}
    if estimator is SemiConditionalFlowClassifier:
        parameters["class_density"] = "gaussian"
    else:
        parameters["n_components"] = 1
    if covariance_type == "low_rank":
        parameters["covariance_rank"] = 1
    model = estimator(**parameters).fit(X, y)
    z = model.transform(X[:20])
    log_odds = np.diff(
        [
            multivariate_normal(mean[0], covariance[0]).logpdf(z)
            for mean, covariance in zip(model.means_, model.covariances_, strict=True)
        ],
        axis=0,
    )[0] + np.diff(np.log(model.class_prior_))
    found = np.diff(model.predict_log_proba(X[:20]), axis=1)[:, 0]
    np.testing.assert_allclose(found * model.calibration_temperature_, log_odds, atol=1e-6)
    assert model.n_iter_ == len(model.history_) == 2


def test_classes_that_are_flows_have_no_means(moons):
    X, _, y = moons
    model = SemiConditionalFlowClassifier(architecture="affine", max_epochs=1, random_state=0)
    assert not hasattr(model.fit(X, y), "means_")
    assert not hasattr(model, "covariances_")


def test_a_warm_start_takes_a_prior_that_is_given(quick, moons):
    X, _, y = moons
    model = quick(warm_start=True).fit(X, y)
    model.set_params(class_prior=[0.8, 0.2]).fit(X, y)
    np.testing.assert_allclose(model.class_prior_, [0.8, 0.2], atol=1e-6)


def test_names_of_columns_go_with_the_frame(quick_flowgmm, mixed, moons):
    frame, _, labels = mixed
    X, _, y = moons
    model = quick_flowgmm().fit(frame, labels)
    assert list(model.feature_names_in_) == list(frame)
    assert not hasattr(model.fit(X, y), "feature_names_in_")


def test_a_warning_names_the_line_that_called_fit(quick_flowgmm, moons):
    X, truth, _ = moons
    with pytest.warns(UserWarning, match="unlabeled_value=None") as caught:
        quick_flowgmm().fit(X, np.where(truth == 1, 1, -1))
    assert {warning.filename for warning in caught} == {__file__}


def test_what_is_not_fitted_says_so(moons):
    model = SemiConditionalFlowClassifier()
    for asked in (model.transform, model.predict, lambda X: model.translate(X, to=0)):
        with pytest.raises(NotFittedError):
            asked(moons[0])
