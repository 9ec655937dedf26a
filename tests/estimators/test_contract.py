"""scikit-learn's own checks of an estimator, and its model selection on partly labeled data."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import estimator_checks_generator

from flowssl import (
    DIGLMClassifier,
    FlowGMMClassifier,
    ObjectiveOptions,
    SemiConditionalFlowClassifier,
)
from flowssl.baselines import M2VAEClassifier
from flowssl.datasets import hide_labels
from flowssl.exceptions import FlowSSLWarning
from flowssl.model_selection import LabeledStratifiedKFold

UNLABELED_MARK = {
    "check_classifiers_classes": "its binary labels are -1 and 1, and -1 marks an unlabeled row; "
    "unlabeled_value=None passes"
}


def run_checks(estimator, expected_failures):
    failed = {}
    for candidate, check in estimator_checks_generator(estimator, legacy=True, mark=None):
        try:
            check(candidate)
        except pytest.skip.Exception:
            pass
        except Exception as error:  # noqa: BLE001  # the check's own failure, whatever it is
            if type(error).__name__ != "SkipTest":
                name = check.func.__name__ if hasattr(check, "func") else check.__name__
                failed[name] = error
    assert set(failed) == set(expected_failures), failed


FLOW = {"architecture": "affine", "max_epochs": 1}
# A density of p(x) of its own is the same in all of them; the first has it.
JOINT = {**FLOW, "objective": ObjectiveOptions(marginal="joint")}
ESTIMATORS = {
    "flowgmm": FlowGMMClassifier(**FLOW),
    "scnf": SemiConditionalFlowClassifier(**JOINT, class_architecture="affine"),
    "conditional": SemiConditionalFlowClassifier(
        **JOINT, class_architecture="small", class_features="all"
    ),
    "diglm": DIGLMClassifier(**JOINT),
    "m2-vae": M2VAEClassifier(
        kind="m2", n_latents=2, hidden_layer_sizes=(16,), n_steps=60, learning_rate=0.02,
        classification_weight=1.0,
    ),
}  # fmt: skip
"""Every kind of estimator, with a training that is a formality."""


@pytest.mark.usefixtures("cheap_start")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_check_passes_when_all_rows_are_labeled(name):
    run_checks(clone(ESTIMATORS[name]).set_params(unlabeled_value=None, random_state=0), {})


@pytest.mark.usefixtures("cheap_start")
@pytest.mark.filterwarnings("ignore")
def test_every_check_but_one_passes_when_minus_one_means_unlabeled(quick_flowgmm):
    run_checks(quick_flowgmm(), UNLABELED_MARK)


def test_minus_one_as_a_class_is_pointed_out(quick, moons):
    X, truth, _ = moons
    with pytest.warns(FlowSSLWarning, match="unlabeled_value=None"):
        quick().fit(X, np.where(truth == 1, 1, -1))


def test_grid_search_tells_the_truth_with_nine_rows_in_ten_unlabeled(quick_flowgmm):
    X, truth = make_blobs(600, centers=3, cluster_std=2.2, random_state=1)
    y = hide_labels(truth[:300], n_labeled=30, random_state=0)
    search = GridSearchCV(
        quick_flowgmm(),
        {"covariance_type": ["spherical", "tied"]},
        cv=LabeledStratifiedKFold(3, shuffle=True, random_state=0),
    )
    search.fit(X[:300], y)
    assert search.best_score_ == pytest.approx(search.score(X[300:], truth[300:]), abs=0.06)


def test_unlabeled_rows_are_never_errors(quick, moons):
    X, truth, y = moons
    model = quick().fit(X, y)
    known = y >= 0
    assert model.score(X, y) == model.score(X[known], truth[known])
