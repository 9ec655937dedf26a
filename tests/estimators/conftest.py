"""Quick estimators and small data that several files share."""

import numpy as np
import pytest

from flowssl import FlowGMMClassifier, SemiConditionalFlowClassifier
from flowssl.datasets import hide_labels, make_moons


def formality(estimator):
    def make(**parameters):
        defaults = {"architecture": "affine", "max_epochs": 1, "random_state": 0}
        if estimator is SemiConditionalFlowClassifier:
            defaults["class_architecture"] = "affine"
        return estimator(**{**defaults, **parameters})

    return make


@pytest.fixture(scope="session")
def quick_flowgmm():
    """Make a FlowGMM classifier whose training is a formality."""
    return formality(FlowGMMClassifier)


@pytest.fixture(scope="session", params=[FlowGMMClassifier, SemiConditionalFlowClassifier])
def quick(request):
    """Make an estimator of either kind whose training is a formality."""
    return formality(request.param)


@pytest.fixture(scope="session")
def moons():
    """Two moons of 400 rows, 5 labels each: rows, true classes, labels with -1."""
    X, truth = make_moons(400, random_state=0)
    return X, truth, hide_labels(truth, per_class=5, random_state=0)


@pytest.fixture(scope="session", params=[FlowGMMClassifier, SemiConditionalFlowClassifier])
def fitted(request, moons):
    """A flow of either kind that was really trained on the moons."""
    X, _, y = moons
    return request.param(max_epochs=8, random_state=0).fit(X, y)


@pytest.fixture(scope="session")
def mixed():
    """A frame with numbers, a category, missing cells, a constant and a copy; text labels."""
    import pandas as pd

    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=240)
    color = np.where(rng.random(240) < 0.8, np.array(["red", "blue"])[truth], "green")
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=240) + 3 * truth,
            "b": rng.exponential(size=240) ** 3,
            "color": color,
            "constant": 7,
        }
    )
    frame["copy"] = frame["a"]
    frame.loc[::9, ["a", "copy"]] = np.nan
    frame.loc[1::11, "color"] = None
    labels = pd.Series(np.where(truth, "yes", "no"), dtype=object)
    labels[20:] = None
    return frame, np.where(truth, "yes", "no"), labels


@pytest.fixture
def cheap_start(monkeypatch):
    """Compare the start's candidates on two folds: the checks fit hundreds of tiny tables."""
    from flowssl.initialization import propagation

    monkeypatch.setattr(propagation, "MIN_FOLDS", 2)
    monkeypatch.setattr(propagation, "_FOLDED_LABELS", 0)
    monkeypatch.setattr("flowssl.initialization.logistic.INVERSE_PENALTIES", (1.0,))
