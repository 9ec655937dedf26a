"""Inspection of fitted models: outlier scores, bits of images, and audits of class removal."""

from flowssl.inspection.image_bits import ImageBits, image_bits
from flowssl.inspection.obfuscation import ClassRemovalAudit, attackers, audit_class_removal
from flowssl.inspection.outliers import OutlierScale

__all__ = [
    "ClassRemovalAudit",
    "ImageBits",
    "OutlierScale",
    "attackers",
    "audit_class_removal",
    "image_bits",
]
