"""Invertible maps with log-determinants, the conditioners inside them, and their composition."""

from flowssl.bijections.base import Bijection, Chain
from flowssl.bijections.coupling import AffineCoupling
from flowssl.bijections.data import MonotonicSpline, SoftTails
from flowssl.bijections.linear import ActNorm, LULinear, Rotation
from flowssl.bijections.networks import MLP

__all__ = [
    "MLP",
    "ActNorm",
    "AffineCoupling",
    "Bijection",
    "Chain",
    "LULinear",
    "MonotonicSpline",
    "Rotation",
    "SoftTails",
]
