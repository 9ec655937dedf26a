"""Class parts: densities of the latents of each class."""

from flowssl.densities.base import ClassDensity, ClassPrior
from flowssl.densities.covariances import COVARIANCES, Diagonal, LowRank, Spherical, Tied
from flowssl.densities.gaussian import GaussianClasses

__all__ = [
    "COVARIANCES",
    "ClassDensity",
    "ClassPrior",
    "Diagonal",
    "GaussianClasses",
    "LowRank",
    "Spherical",
    "Tied",
]
