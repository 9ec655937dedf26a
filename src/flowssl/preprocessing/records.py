"""Read the columns of a table encoder from JSON, which may have been forged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowssl._field_facts import is_notation
from flowssl.preprocessing.codecs import Codec
from flowssl.preprocessing.containers import DTYPES, ColumnType, is_category


def codecs_from_records(records: Sequence[Mapping[str, object]]) -> list[Codec]:
    """Rebuild the columns of an encoder from ``asdict(codec)`` of each.

    Raises
    ------
    LookupError, TypeError, ValueError
        If a record is not that of a column, or the columns contradict one another.
    """
    codecs = [_codec_from(record) for record in records]
    _check_consistent(codecs)
    return codecs


def _codec_from(record: Mapping[str, object]) -> Codec:
    type_record, own, infrequent = (record[key] for key in ("type", "categories", "infrequent"))
    if not (
        isinstance(type_record, dict) and isinstance(own, list) and isinstance(infrequent, list)
    ):
        raise TypeError(f"not the record of a column: {record!r}")
    declared = type_record["categories"]
    is_sound = (
        isinstance(record["name"], str | int)
        and isinstance(record["is_constant"], bool)
        and isinstance(record["duplicate_of"], int | None)
        and type_record["kind"] in ("numeric", "datetime", "categorical")
        and type_record["dtype"] in DTYPES
        and all(
            isinstance(type_record.get(key), str | None)
            for key in ("native", "unit", "zone", "notation")
        )
        and all(map(is_category, [*own, *infrequent, *(declared or [])]))
        and (record["constant"] is None or is_category(record["constant"]))
    )
    notation = type_record.get("notation")
    if not is_sound or not (notation is None or is_notation(notation)):
        raise ValueError(f"not the record of a column: {record!r}")
    type_ = ColumnType(
        **{**type_record, "categories": None if declared is None else tuple(declared)}
    )
    fields = {**record, "type": type_, "categories": tuple(own), "infrequent": tuple(infrequent)}
    # The checks above are those that the types of the fields would make.
    return Codec(**fields)  # type: ignore[arg-type]


def _check_consistent(codecs: list[Codec]) -> None:
    if not codecs:
        raise ValueError("no columns")
    for position, codec in enumerate(codecs):
        if codec.is_categorical and not codec.is_constant and not codec.indicated:
            raise ValueError(f"column {position} is categorical and has no categories")
        if codec.duplicate_of is not None:
            original = codecs[codec.duplicate_of]
            is_earlier = 0 <= codec.duplicate_of < position
            has_codes = original.is_kept and len(original.indicated) == len(codec.indicated)
            if not (is_earlier and has_codes):
                raise ValueError(f"column {position} repeats one that it cannot repeat")
