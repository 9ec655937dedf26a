"""The neural baselines of the FlowGMM paper, which no library has ready, as scikit-learn estimators.

`DropoutMLPClassifier` learns from the labels alone; `PiModelClassifier` adds consistency of its
predictions on all rows. They exist so that users and benchmarks can compare on their own data.
"""

from flowssl.baselines.dropout_mlp import DropoutMLPClassifier
from flowssl.baselines.pi_model import PiModelClassifier

__all__ = ["DropoutMLPClassifier", "PiModelClassifier"]
