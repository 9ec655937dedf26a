"""Invertible maps with log-determinants, the parts of couplings, and the composition of maps."""

from flowssl.bijections.base import Bijection, Chain
from flowssl.bijections.continuous import ContinuousFlow
from flowssl.bijections.convolutional import ConvResNet
from flowssl.bijections.coupling import Coupling, image_coupling, vector_coupling
from flowssl.bijections.data import MonotonicSpline, SoftTails
from flowssl.bijections.images import FactorOut, Logit, PerPixel, Reshape, Squeeze
from flowssl.bijections.linear import ActNorm, LULinear, Rotation
from flowssl.bijections.mixtures import MixtureMap
from flowssl.bijections.networks import MLP, Conditioner
from flowssl.bijections.scalar_maps import AffineMap, ComposedMap, ScalarMap, SplineMap
from flowssl.bijections.spans import Leading, SpanReflection
from flowssl.bijections.splits import Blocks, Checkerboard, Halves, Split

__all__ = [
    "MLP",
    "ActNorm",
    "AffineMap",
    "Bijection",
    "Blocks",
    "Chain",
    "Checkerboard",
    "ComposedMap",
    "Conditioner",
    "ContinuousFlow",
    "ConvResNet",
    "Coupling",
    "FactorOut",
    "Halves",
    "LULinear",
    "Leading",
    "Logit",
    "MixtureMap",
    "MonotonicSpline",
    "PerPixel",
    "Reshape",
    "Rotation",
    "ScalarMap",
    "SoftTails",
    "SpanReflection",
    "SplineMap",
    "Split",
    "Squeeze",
    "image_coupling",
    "vector_coupling",
]
