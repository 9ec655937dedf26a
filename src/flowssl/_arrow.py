"""Bring Arrow columns of every type to those that can be read, or refuse them by name.

pyarrow, polars' ``to_arrow``, Parquet files and pandas' Arrow columns share these types; pyarrow has
no functions for many of them ("no kernel").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_EXTENSIONS = ("arrow.json", "arrow.bool8")
"""Extension types whose values are those of their storage."""


def readable(column: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    """Return an Arrow column as one of text, bools, numbers, times, dictionaries of them, or nulls.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Of any type.
    what : str
        Its name in error messages, such as "column 'a' of X".

    Returns
    -------
    pyarrow.ChunkedArray
        Views become plain text, run-end encoded columns plain ones, decimals, half-precision and
        unsigned 64-bit numbers stay what they are.

    Raises
    ------
    TypeError
        If it holds bytes, times of day, lists, records, or another type that is no single number,
        time or category.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    types = pa.types
    given = column.type
    if isinstance(given, pa.BaseExtensionType) and given.extension_name in _EXTENSIONS:
        column = column.cast(given.storage_type)
        if given.extension_name == "arrow.bool8":
            column = column.cast(pa.bool_())
    if types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    is_dictionary = types.is_dictionary(column.type)
    of_values = column.type.value_type if is_dictionary else column.type
    if types.is_string_view(of_values):
        of_values = pa.string()
        chunks = [
            pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(of_values))
            if is_dictionary
            else chunk.cast(of_values)
            for chunk in column.chunks
        ]
        column = pa.chunked_array(chunks, chunks[0].type if chunks else of_values)
    numbers = types.is_integer(of_values) or types.is_floating(of_values)
    numbers = numbers or types.is_decimal(of_values)
    times = (
        types.is_timestamp(of_values) or types.is_date(of_values) or types.is_duration(of_values)
    )
    if (
        numbers
        or times
        or is_text(of_values)
        or types.is_boolean(of_values)
        or types.is_null(of_values)
    ):
        return column
    raise TypeError(
        f"{what} has the Arrow type {given}, which is neither a number, a time nor a category; "
        "convert or drop it."
    )


def readable_table(table: pa.Table) -> pa.Table:
    """Return a table of such columns, with the metadata of its fields.

    Raises
    ------
    TypeError
        If a column is of another type; it is named.
    """
    for position, field in enumerate(table.schema):
        column = readable(table.column(position), f"column {field.name!r} of X")
        if column.type != field.type:
            table = table.set_column(position, field.with_type(column.type), column)
    return table


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is one of those of text."""
    import pyarrow as pa

    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
