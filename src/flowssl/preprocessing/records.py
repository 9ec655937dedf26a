"""Read the columns of a table encoder from JSON, which may have been forged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import cast

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
_OF_CODEC = frozenset(
    ("name", "type", "categories", "infrequent", "is_constant", "constant", "duplicate_of")
)
_OF_TYPE = frozenset(("kind", "dtype", "native", "unit", "zone", "categories"))
"""The fields of the first version of the format, which every record has."""

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
    return Codec(
        name=name,
        type=_type_from(record.record("type")),
        categories=_categories(record, "categories"),
        infrequent=_categories(record, "infrequent"),
        is_constant=record.flag("is_constant"),
        constant=cast("Category | None", constant),
        duplicate_of=None if is_original else record.whole("duplicate_of"),
        **_later_fields(record, Codec, _OF_CODEC),
    )


def _type_from(record: Record) -> ColumnType:
    zone = record.optional_text("zone")
    if zone is not None and not _ZONE.fullmatch(zone):
        raise ModelFileError(f"its {record.name} has the time zone {shown(zone)}")
    declared = None
    if record.get("categories") is not None:
        declared = _categories(record, "categories")
    return ColumnType(
        kind=record.text("kind", _KINDS),  # type: ignore[arg-type]  # one of the literals
        dtype=record.text("dtype", sorted(DTYPES)),
        native=record.optional_text("native"),
        unit=record.optional_text("unit", _UNITS),
        zone=zone,
        categories=declared,
        **_later_fields(record, ColumnType, _OF_TYPE),
    )


def _later_fields(
    record: Record, of: type[Codec] | type[ColumnType], first: frozenset[str]
) -> dict[str, bool | str | None]:
    """Return the fields that files of the first version lack: flags, and texts or null."""
    found: dict[str, bool | str | None] = {}
    defaults = {field.name: field.default for field in fields(of) if field.name not in first}
    for key in sorted(record.values.keys() - first):
        if key not in defaults:
            raise ModelFileError(f"its {record.name} has the unknown key {shown(key)}")
        is_flag = isinstance(defaults[key], bool)
        found[key] = record.flag(key) if is_flag else record.optional_text(key)
    return found


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
    if codec.is_categorical:
        is_sound = codec.is_constant or (len(codes) > 1 and len(set(codes)) == len(codes))
    else:
        is_sound = not codes and isinstance(codec.constant, int | float | None)
    if not is_sound:
        raise ModelFileError(
            f"its column {position} is {codec.type.kind} and has the categories {shown(codes)}"
        )
