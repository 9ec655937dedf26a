"""What training minimizes: terms of ``log_joint`` that add up.

A term turns the log-joint of a batch into one loss for each row, in nats. How much a row counts
(its sample weight, and the fraction of the objective that labeled rows have together) is part of
the batch; terms and samplers do not reweight rows.
"""

from flowssl.objectives.batch import Batch
from flowssl.objectives.objective import Objective
from flowssl.objectives.perturbations import GaussianNoise, Perturbation, ShapedNoise, SpanNoise
from flowssl.objectives.terms import (
    CrossEntropy,
    ExpectationMaximization,
    Likelihood,
    SoftLabelLikelihood,
    Term,
)
from flowssl.objectives.view_terms import Consistency, PseudoLabels

__all__ = [
    "Batch",
    "Consistency",
    "CrossEntropy",
    "ExpectationMaximization",
    "GaussianNoise",
    "Likelihood",
    "Objective",
    "Perturbation",
    "PseudoLabels",
    "ShapedNoise",
    "SoftLabelLikelihood",
    "SpanNoise",
    "Term",
]
