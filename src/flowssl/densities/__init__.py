"""Class parts: densities of the latents of each class."""

from flowssl.densities.base import BuildableClassDensity, ClassDensity, ClassInit, ClassPrior
from flowssl.densities.conditional_flow import ConditionalFlowClasses
from flowssl.densities.covariances import COVARIANCES, Diagonal, LowRank, Spherical, Tied
from flowssl.densities.gaussian import GaussianClasses
from flowssl.densities.linear import LinearClasses
from flowssl.densities.semi_conditional import SemiConditionalClasses

__all__ = [
    "CLASS_DENSITIES",
    "COVARIANCES",
    "BuildableClassDensity",
    "ClassDensity",
    "ClassInit",
    "ClassPrior",
    "ConditionalFlowClasses",
    "Diagonal",
    "GaussianClasses",
    "LinearClasses",
    "LowRank",
    "SemiConditionalClasses",
    "Spherical",
    "Tied",
]

CLASS_DENSITIES: dict[str, type[BuildableClassDensity]] = {
    "flow": ConditionalFlowClasses,
    "gaussian": GaussianClasses,
    "linear": LinearClasses,
}
"""The class parts that an estimator offers by name."""
