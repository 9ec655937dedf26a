"""Classifiers with scikit-learn's interface, and their model files."""

from flowssl.estimators.base import FlowClassifier
from flowssl.estimators.diglm import DIGLMClassifier
from flowssl.estimators.files import load
from flowssl.estimators.flowgmm import FlowGMMClassifier
from flowssl.estimators.scnf import SemiConditionalFlowClassifier

__all__ = [
    "ESTIMATORS",
    "DIGLMClassifier",
    "FlowClassifier",
    "FlowGMMClassifier",
    "SemiConditionalFlowClassifier",
    "load",
]

ESTIMATORS: dict[str, type[FlowClassifier]] = {
    estimator.__name__: estimator
    for estimator in (FlowGMMClassifier, SemiConditionalFlowClassifier, DIGLMClassifier)
}
"""The estimators by name, as model files name them."""
