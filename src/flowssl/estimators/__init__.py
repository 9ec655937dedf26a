"""Classifiers with scikit-learn's interface, and their model files."""

from typing import TypeAlias

from flowssl.baselines import M2VAEClassifier
from flowssl.estimators.base import FlowClassifier
from flowssl.estimators.diglm import DIGLMClassifier
from flowssl.estimators.files import load
from flowssl.estimators.flowgmm import FlowGMMClassifier
from flowssl.estimators.scnf import SemiConditionalFlowClassifier

__all__ = [
    "ESTIMATORS",
    "Classifier",
    "DIGLMClassifier",
    "FlowClassifier",
    "FlowGMMClassifier",
    "SemiConditionalFlowClassifier",
    "load",
]

Classifier: TypeAlias = FlowClassifier | M2VAEClassifier
"""What a model file may hold."""

ESTIMATORS: dict[str, type[FlowClassifier] | type[M2VAEClassifier]] = {
    estimator.__name__: estimator
    for estimator in (
        FlowGMMClassifier,
        SemiConditionalFlowClassifier,
        DIGLMClassifier,
        M2VAEClassifier,
    )
}
"""The estimators by name, as model files name them."""
