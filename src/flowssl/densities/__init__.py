"""Class-conditional densities in latent space, and the registries by which they are named.

Examples
--------
>>> from flowssl.densities import CLASS_DENSITIES, COVARIANCES
>>> CLASS_DENSITIES["gaussian"].__name__
'GaussianClasses'
>>> COVARIANCES["low_rank"](n_components=2, dim=5, rank=3).matrices().shape
torch.Size([2, 5, 5])
"""

from flowssl.densities.base import (
    BuildableClassDensity,
    ClassDensity,
    ClassDensityOptions,
    ClassInit,
)
from flowssl.densities.conditional_flow import ConditionalFlowClasses
from flowssl.densities.covariances import COVARIANCES, Covariance
from flowssl.densities.gaussian import GaussianClasses
from flowssl.densities.linear import LinearClasses
from flowssl.densities.prior import ClassPrior
from flowssl.densities.semi_conditional import SemiConditionalClasses

__all__ = [
    "CLASS_DENSITIES",
    "COVARIANCES",
    "BuildableClassDensity",
    "ClassDensity",
    "ClassDensityOptions",
    "ClassInit",
    "ClassPrior",
    "ConditionalFlowClasses",
    "Covariance",
    "GaussianClasses",
    "LinearClasses",
    "SemiConditionalClasses",
]

CLASS_DENSITIES: dict[str, type[BuildableClassDensity]] = {
    "flow": ConditionalFlowClasses,
    "gaussian": GaussianClasses,
    "linear": LinearClasses,
}
"""The class densities that estimators offer, by name."""
