"""Inspection of fitted models: unusual rows, samples, bits of images, audits of class removal."""

from flowssl.inspection.clusters import RowClusters
from flowssl.inspection.comparison import OODFigures, OODTable, ood_table
from flowssl.inspection.image_bits import ImageBits, image_bits
from flowssl.inspection.obfuscation import ClassRemovalAudit, attackers, audit_class_removal
from flowssl.inspection.outliers import OutlierScale
from flowssl.inspection.thresholds import OODThreshold
from flowssl.inspection.two_sample import TwoSampleResult, two_sample_test

__all__ = [
    "ClassRemovalAudit",
    "ImageBits",
    "OODFigures",
    "OODTable",
    "OODThreshold",
    "OutlierScale",
    "RowClusters",
    "TwoSampleResult",
    "attackers",
    "audit_class_removal",
    "image_bits",
    "ood_table",
    "two_sample_test",
]
