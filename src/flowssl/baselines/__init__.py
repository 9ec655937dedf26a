"""The neural baselines of the papers as scikit-learn estimators.

`DropoutMLPClassifier` learns from the labels alone; `PiModelClassifier` adds consistency of its
predictions on all rows; `M2VAEClassifier` has the variational auto-encoders M1, M2 and M1+M2. They
exist so that users and benchmarks can compare flows with them on their own data.
"""

from flowssl.baselines.dropout_mlp import DropoutMLPClassifier
from flowssl.baselines.m2_vae import M2VAEClassifier
from flowssl.baselines.pi_model import PiModelClassifier

__all__ = ["DropoutMLPClassifier", "M2VAEClassifier", "PiModelClassifier"]
