"""What a fitted model can tell about rows and about itself."""

from flowssl.inspection.outliers import OutlierScale

__all__ = ["OutlierScale"]
