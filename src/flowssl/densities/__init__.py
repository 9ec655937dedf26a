"""Class parts: densities of the latents of each class."""

from flowssl.densities.base import ClassDensity, ClassPart, ClassPrior, ClassStart
from flowssl.densities.conditional_flow import ConditionalFlowClasses
from flowssl.densities.covariances import COVARIANCES, Diagonal, LowRank, Spherical, Tied
from flowssl.densities.gaussian import GaussianClasses
from flowssl.densities.linear import LinearClasses
from flowssl.densities.semi_conditional import SemiConditionalClasses

__all__ = [
    "CLASS_PARTS",
    "COVARIANCES",
    "ClassDensity",
    "ClassPart",
    "ClassPrior",
    "ClassStart",
    "ConditionalFlowClasses",
    "Diagonal",
    "GaussianClasses",
    "LinearClasses",
    "LowRank",
    "SemiConditionalClasses",
    "Spherical",
    "Tied",
]

CLASS_PARTS: dict[str, type[ClassPart]] = {
    "flow": ConditionalFlowClasses,
    "gaussian": GaussianClasses,
    "linear": LinearClasses,
}
"""The class parts that an estimator offers by name."""
