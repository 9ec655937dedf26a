"""From the user's tables and images to matrices that a flow can model, and back."""

from flowssl.preprocessing.completion import Completion
from flowssl.preprocessing.image_encoder import ImageEncoder, Pixels, bits_per_dimension
from flowssl.preprocessing.table_encoder import TableEncoder
from flowssl.preprocessing.text_rows import TextTableEncoder

__all__ = [
    "Completion",
    "ImageEncoder",
    "Pixels",
    "TableEncoder",
    "TextTableEncoder",
    "bits_per_dimension",
]
