"""Classifiers with scikit-learn's interface, and their model files."""

from flowssl.estimators.base import FlowClassifier
from flowssl.estimators.files import load
from flowssl.estimators.flowgmm import FlowGMMClassifier

__all__ = ["ESTIMATORS", "FlowClassifier", "FlowGMMClassifier", "load"]

ESTIMATORS: dict[str, type[FlowClassifier]] = {
    estimator.__name__: estimator for estimator in (FlowGMMClassifier,)
}
"""The estimators by name, as model files name them."""
