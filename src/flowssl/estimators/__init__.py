"""Classifiers with scikit-learn's interface, and their model files."""

from flowssl.estimators.base import FlowClassifier
from flowssl.estimators.diglm import DIGLMClassifier
from flowssl.estimators.files import ESTIMATORS, Classifier, load
from flowssl.estimators.flowgmm import FlowGMMClassifier
from flowssl.estimators.options import ImageOptions, ObjectiveOptions, TextOptions
from flowssl.estimators.scnf import SemiConditionalFlowClassifier

__all__ = [
    "ESTIMATORS",
    "Classifier",
    "DIGLMClassifier",
    "FlowClassifier",
    "FlowGMMClassifier",
    "ImageOptions",
    "ObjectiveOptions",
    "SemiConditionalFlowClassifier",
    "TextOptions",
    "load",
]
