"""From the user's tables and images to matrices that a flow can model, and back."""

from flowssl.preprocessing.completion import Completion
from flowssl.preprocessing.image_encoder import ImageEncoder, Pixels, bits_per_dimension
from flowssl.preprocessing.table_encoder import TableEncoder

__all__ = [
    "Completion",
    "ImageEncoder",
    "Pixels",
    "TableEncoder",
    "bits_per_dimension",
]
