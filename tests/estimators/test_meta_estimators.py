"""scikit-learn's estimators of estimators around a flow."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

X, TRUTH = (array[::3] for array in load_iris(return_X_y=True))
WORDS = np.array(["setosa", "versicolor", "virginica"])[TRUTH]


@pytest.fixture(autouse=True)
def cheap(cheap_start):
    """Compare few candidates for the start."""


WRAPPERS = {
    # Four rows of each fit: most lack a class.
    "bagging": lambda flow: BaggingClassifier(flow, 3, max_samples=4, random_state=0),
    "voting": lambda flow: VotingClassifier(
        [("flow", flow), ("linear", LogisticRegression())], voting="soft"
    ),
    "calibrated": lambda flow: CalibratedClassifierCV(flow, cv=2),
    "stacking": lambda flow: StackingClassifier([("flow", flow)], LogisticRegression(), cv=2),
    "one versus rest": OneVsRestClassifier,
    "boosting": lambda flow: AdaBoostClassifier(flow, n_estimators=2),
    "pipeline": lambda flow: make_pipeline(StandardScaler(), flow),
    "search": lambda flow: GridSearchCV(
        flow, {"class_prior": [{"setosa": 0.3, "versicolor": 0.3, "virginica": 0.4}]}, cv=2
    ),
}


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("name", WRAPPERS)
def test_a_flow_works_inside(quick_flowgmm, name):
    model = WRAPPERS[name](quick_flowgmm()).fit(X, WORDS)
    assert model.predict_proba(X).shape == (50, 3)
    assert model.score(X, WORDS) > 0.6


def test_bagging_lines_up_the_classes_that_its_parts_have(quick_flowgmm):
    model = BaggingClassifier(quick_flowgmm(), 3, max_samples=4, random_state=0).fit(X, WORDS)
    assert {len(part.classes_) for part in model.estimators_} == {2, 3}
    part = next(part for part in model.estimators_ if len(part.classes_) == 2)
    model.estimators_ = [part]
    model.estimators_features_ = model.estimators_features_[:1]
    model.n_estimators = 1
    probabilities = model.predict_proba(X)
    np.testing.assert_array_equal(probabilities[:, part.classes_], part.predict_proba(X))
    absent = np.setdiff1d(np.arange(3), part.classes_)
    assert (probabilities[:, absent] == 0).all()


def test_self_training_of_a_flow(quick_flowgmm):
    labels = np.where(np.arange(50) % 2, TRUTH, -1)
    model = SelfTrainingClassifier(quick_flowgmm(unlabeled_value=None)).fit(X, labels)
    assert model.score(X, TRUTH) > 0.8


def test_cross_validation_with_weights(quick_flowgmm):
    weight = np.where(np.arange(50) % 5, 1.0, 0.0)
    scores = cross_val_score(quick_flowgmm(), X, WORDS, cv=2, params={"sample_weight": weight})
    assert scores.min() > 0.7


def test_texts_by_their_word_frequencies(quick_flowgmm):
    texts = ["good film fine plot", "bad film awful plot", "nice good acting", "awful bad acting"]
    model = make_pipeline(TfidfVectorizer(), quick_flowgmm()).fit(texts * 8, [1, 0, 1, 0] * 8)
    assert model.predict(["good plot", "awful film"]).tolist() == [1, 0]
