"""From the user's tables to matrices that a flow can model, and back."""

from flowssl.preprocessing.completion import CompletedRows, Completion
from flowssl.preprocessing.tables import OutputColumn, TableEncoder

__all__ = ["CompletedRows", "Completion", "OutputColumn", "TableEncoder"]
