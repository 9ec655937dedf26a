"""Inspection of fitted models: unusual rows, samples, bits of images, audits of class removal."""

from flowssl.inspection.image_bits import ImageBits, image_bits
from flowssl.inspection.obfuscation import ClassRemovalAudit, attackers, audit_class_removal
from flowssl.inspection.outliers import OutlierScale
from flowssl.inspection.two_sample import TwoSampleResult, two_sample_test

__all__ = [
    "ClassRemovalAudit",
    "ImageBits",
    "OutlierScale",
    "TwoSampleResult",
    "attackers",
    "audit_class_removal",
    "image_bits",
    "two_sample_test",
]
