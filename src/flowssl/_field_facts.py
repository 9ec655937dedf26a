"""What is known of a column of a file beyond its type, in the metadata of its Arrow field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

NOTE = b"note"
"""Key: what was decided about the column where its cells left a choice, in a sentence."""
FAULT = b"fault"
"""Key: why the column cannot be learned from, in a sentence."""
NOTATION = b"notation"
"""Key: how its numbers are written, unless with decimal points alone."""
CELLS = b"cells"
"""Key: that the column holds the cells of a file of text as they are, which may be numbers."""
KEPT_MARKS = b"kept marks"
"""Key: usual marks of missing values that are values of the column, one a line."""

# A decimal point, then what separates thousands, which is another character, and a sign.
_NOTATION = re.compile(r"([.,])\|(?!\1)[,. ']?\|[^\d|\n]?")


def fact(field: pa.Field, key: bytes) -> str | None:
    """Return what is known of a column under a key."""
    text = (field.metadata or {}).get(key)
    return None if text is None else str(text, "utf-8")


def is_notation(text: str) -> bool:
    """Whether a text says how numbers are written: their decimal point, separator and sign."""
    return _NOTATION.fullmatch(text) is not None
