"""Inspection of fitted models: outlier scores, and audits of class removal."""

from flowssl.inspection.clusters import RowClusters
from flowssl.inspection.comparison import OODFigures, OODTable, ood_table
from flowssl.inspection.obfuscation import ClassRemovalAudit, attackers, audit_class_removal
from flowssl.inspection.outliers import OutlierScale
from flowssl.inspection.thresholds import OODThreshold

__all__ = [
    "ClassRemovalAudit",
    "OODFigures",
    "OODTable",
    "OODThreshold",
    "OutlierScale",
    "RowClusters",
    "attackers",
    "audit_class_removal",
    "ood_table",
]
