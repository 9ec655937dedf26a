"""The encoders of all kinds of rows as one type."""

from typing import TypeAlias

from flowssl.preprocessing.image_encoder import ImageEncoder
from flowssl.preprocessing.table_encoder import TableEncoder
from flowssl.preprocessing.text_rows import TextTableEncoder

Encoder: TypeAlias = TableEncoder | ImageEncoder | TextTableEncoder
"""What turns a user's rows into a matrix; its ``row_kind`` says which kind they are."""
