"""Initialization: soft labels of all rows from a few labels, and where a flow's training starts.

`propagate` pools inexpensive classifiers with weights from their cross-fitted label likelihood.
The soft labels that it finds give a flow its first affine map and its first class means.
"""

from flowssl.initialization.extra import ExtraCandidate
from flowssl.initialization.propagation import propagate
from flowssl.initialization.soft_labels import SoftLabels
from flowssl.initialization.subsampling import RowLimits

__all__ = ["ExtraCandidate", "RowLimits", "SoftLabels", "propagate"]
