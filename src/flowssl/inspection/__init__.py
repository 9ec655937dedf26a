"""Inspection of fitted models: outlier scores, and audits of class removal."""

from flowssl.inspection.obfuscation import ClassRemovalAudit, attackers, audit_class_removal
from flowssl.inspection.outliers import OutlierScale

__all__ = ["ClassRemovalAudit", "OutlierScale", "attackers", "audit_class_removal"]
