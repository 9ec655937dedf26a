"""The neural baselines of the papers, which no library has ready, as scikit-learn estimators.

`DropoutMLPClassifier` learns from the labels alone; `PiModelClassifier` adds consistency of its
predictions on all rows; `M2VAEClassifier` is the auto-encoder that models rows and classes. They
exist so that users and benchmarks can compare on their own data.
"""

from flowssl.baselines.dropout_mlp import DropoutMLPClassifier
from flowssl.baselines.m2_vae import M2VAEClassifier
from flowssl.baselines.pi_model import PiModelClassifier

__all__ = ["DropoutMLPClassifier", "M2VAEClassifier", "PiModelClassifier"]
