"""The columns of a fitted encoder as a schema by which files of text are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowssl._field_facts import KEPT_MARKS, NOTATION
from flowssl._missing_marks import MARKS, NO_LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from flowssl.preprocessing.codecs import Codec
    from flowssl.preprocessing.table_encoder import TableEncoder


def file_schema(encoder: TableEncoder, names: Sequence[str]) -> pa.Schema:
    """Describe the columns that a model was fitted on to the reader of files of text.

    Parameters
    ----------
    encoder : TableEncoder
        Fitted.
    names : sequence of str
        The names that its columns have in the file, in their order.

    Returns
    -------
    pyarrow.Schema
        Text where a column was text or is not looked at: constant ones, and repetitions of others.
        With the notation of numbers, and the marks of missing values that were categories.
    """
    import pyarrow as pa

    return pa.schema(
        [_field(codec, name) for codec, name in zip(encoder.codecs_, names, strict=True)]
    )


def _field(codec: Codec, name: str) -> pa.Field:
    import pyarrow as pa

    type_ = codec.type
    if not codec.is_kept:
        return pa.field(name, pa.string())
    if type_.kind == "numeric":
        notation = type_.notation
        return pa.field(name, pa.float64(), metadata=notation and {NOTATION: notation})
    if type_.kind == "datetime" and type_.dtype != "Duration":
        return pa.field(name, pa.timestamp("us", type_.zone))
    if type_.dtype == "Boolean":
        return pa.field(name, pa.bool_())
    known = {str(category) for category in (*codec.categories, *codec.infrequent)}
    kept = [mark for mark in (*MARKS, *NO_LABEL) if mark in known]
    return pa.field(name, pa.string(), metadata={KEPT_MARKS: "\n".join(kept)} if kept else None)
