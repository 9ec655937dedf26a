"""Invertible maps with log-determinants, the conditioners inside them, and their composition."""

from flowssl.bijections.base import Bijection, Chain
from flowssl.bijections.continuous import ContinuousFlow
from flowssl.bijections.convolutional import ChannelCoupling, CheckerboardCoupling, ConvResNet
from flowssl.bijections.coupling import AffineCoupling
from flowssl.bijections.data import MonotonicSpline, SoftTails
from flowssl.bijections.images import FactorOut, Logit, PerPixel, Reshape, Squeeze
from flowssl.bijections.linear import ActNorm, LULinear, Rotation
from flowssl.bijections.networks import MLP

__all__ = [
    "MLP",
    "ActNorm",
    "AffineCoupling",
    "Bijection",
    "Chain",
    "ChannelCoupling",
    "CheckerboardCoupling",
    "ContinuousFlow",
    "ConvResNet",
    "FactorOut",
    "LULinear",
    "Logit",
    "MonotonicSpline",
    "PerPixel",
    "Reshape",
    "Rotation",
    "SoftTails",
    "Squeeze",
]
