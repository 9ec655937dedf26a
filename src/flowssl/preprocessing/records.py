"""Read the columns of a table encoder from JSON, which may have been forged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import cast

from flowssl._field_facts import is_notation
from flowssl._persistence import JSON
from flowssl._records import Record, shown
from flowssl.exceptions import ModelFileError
from flowssl.preprocessing.codecs import Codec
from flowssl.preprocessing.containers import (
    DTYPES,
    Category,
    ColumnType,
    is_category,
)

_KINDS = ("numeric", "datetime", "categorical")
_UNITS = ("s", "ms", "us", "ns")
_ZONE = re.compile(r"[A-Za-z0-9_+:/-]{1,64}")


def codecs_from_records(records: Sequence[JSON], container: str) -> list[Codec]:
    """Rebuild the columns of an encoder from ``asdict(codec)`` of each.

    Parameters
    ----------
    records : sequence of JSON
        One record for each column.
    container : str
        The encoder's; columns of an array are numbered.

    Raises
    ------
    ModelFileError
        If a record is not that of a column, or the columns contradict one another.
    """
    codecs = [_codec_from(Record(value, f"column {i}")) for i, value in enumerate(records)]
    _check_names([codec.name for codec in codecs], container)
    for position, codec in enumerate(codecs):
        _check_codes(codec, position)
        if codec.duplicate_of is not None:
            is_earlier = 0 <= codec.duplicate_of < position
            original = codecs[codec.duplicate_of if is_earlier else position]
            has_codes = original.is_kept and len(original.indicated) == len(codec.indicated)
            if not (has_codes and original.is_categorical == codec.is_categorical):
                raise ModelFileError(f"its column {position} repeats one that it cannot repeat")
    return codecs


def _codec_from(record: Record) -> Codec:
    name = record.get("name")
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise ModelFileError(f"its {record.name} has the name {shown(name)}")
    constant = record.get("constant")
    if constant is not None:
        _category(constant, record)
    is_original = record.get("duplicate_of") is None
    _check_keys(record, Codec)
    return Codec(
        name=name,
        type=_type_from(record.record("type")),
        categories=_categories(record, "categories"),
        infrequent=_categories(record, "infrequent"),
        is_constant=record.flag("is_constant"),
        constant=cast("Category | None", constant),
        duplicate_of=None if is_original else record.whole("duplicate_of"),
        # Files of earlier versions have no such columns.
        is_open="is_open" in record.values and record.flag("is_open"),
    )


def _type_from(record: Record) -> ColumnType:
    _check_keys(record, ColumnType)
    zone = record.optional_text("zone")
    if zone is not None and not _ZONE.fullmatch(zone):
        raise ModelFileError(f"its {record.name} has the time zone {shown(zone)}")
    declared = None
    if record.get("categories") is not None:
        declared = _categories(record, "categories")
    # Files of earlier versions have no notations.
    notation = record.optional_text("notation") if "notation" in record.values else None
    if notation is not None and not is_notation(notation):
        raise ModelFileError(f"its {record.name} has the notation {shown(notation)}")
    return ColumnType(
        kind=record.text("kind", _KINDS),  # type: ignore[arg-type]  # one of the literals
        dtype=record.text("dtype", sorted(DTYPES)),
        native=record.optional_text("native"),
        unit=record.optional_text("unit", _UNITS),
        zone=zone,
        categories=declared,
        notation=notation,
    )


def _check_keys(record: Record, of: type[Codec] | type[ColumnType]) -> None:
    if unknown := record.values.keys() - {field.name for field in fields(of)}:
        raise ModelFileError(f"its {record.name} has the unknown key {shown(min(unknown))}")


def _categories(record: Record, key: str) -> tuple[Category, ...]:
    """Return different categories."""
    found = tuple(_category(value, record) for value in record.items(key))
    if len(set(found)) < len(found):
        raise ModelFileError(f"its {record.name} has a category twice")
    return found


def _category(value: JSON, record: Record) -> Category:
    if not is_category(value):
        raise ModelFileError(f"its {record.name} has the category {shown(value)}")
    return cast("Category", value)


def _check_names(names: list[str | int], container: str) -> None:
    if not names:
        raise ModelFileError("its table has no columns")
    if container == "array" and names != list(range(len(names))):
        raise ModelFileError("the columns of its array are not numbered in order")
    if len(set(names)) < len(names):
        raise ModelFileError("two columns of its table have the same name")


def _check_codes(codec: Codec, position: int) -> None:
    """Refuse categories of numbers, and columns without what they are decoded to."""
    codes = (*codec.categories, *codec.infrequent)
    if codec.is_open and not codec.infrequent:
        raise ModelFileError(f"its column {position} has no code for other values")
    if codec.is_categorical:
        is_sound = codec.is_constant or (len(codes) > 1 and len(set(codes)) == len(codes))
    else:
        is_sound = not codes and isinstance(codec.constant, int | float | None)
    if not is_sound:
        raise ModelFileError(
            f"its column {position} is {codec.type.kind} and has the categories {shown(codes)}"
        )
