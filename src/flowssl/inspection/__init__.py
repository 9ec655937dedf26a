"""What a fitted model can tell about rows and about itself."""

from flowssl.inspection.obfuscation import ClassRemovalAudit, attackers, audit_class_removal
from flowssl.inspection.outliers import OutlierScale

__all__ = ["ClassRemovalAudit", "OutlierScale", "attackers", "audit_class_removal"]
