"""Columns of a table: those to learn from, those of a model, and the labels.

Names and types of columns are checked here, so that a misspelled name or a column of lists gives
one line that says what to do.
"""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast

from flowssl.cli.console import shortened
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_MOSTLY = 0.8
_MANY = 20
_SHOWN = 8  # names in a message
_BLANKS_OF_SENTENCES = 3
_MISSING_MARKS = (
    "na",
    "n/a",
    "nan",
    "none",
    "null",
    "?",
    "-",
    "unknown",
    "unlabeled",
    "unlabelled",
)


def split_names(text: str | None) -> list[str] | None:
    """Split ``"a, b"`` into ``["a", "b"]``; None stays None."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def require_column(table: pa.Table, name: str, option: str) -> None:
    """Raise `DataError`, with similar names, if a table lacks a column."""
    if name not in table.column_names:
        raise DataError(f"{option}: there is no column {name!r}; {_hint(name, table)}")


def choose_features(
    table: pa.Table, target: str, features: Sequence[str] | None, drop: Sequence[str] | None
) -> pa.Table:
    """Select the columns to learn from.

    Parameters
    ----------
    table : pyarrow.Table
        All columns.
    target : str
        The column of the labels; never a feature.
    features, drop : sequence of str, optional
        The columns to take, by default all, and those to leave out.

    Returns
    -------
    pyarrow.Table
        The features, in the order of `features` or of the file.

    Raises
    ------
    DataError
        If a column does not exist, the target is among the features, a column holds lists, times
        of day or the like, or no column is left.
    """
    for name in features or ():
        require_column(table, name, "--features")
    for name in drop or ():
        require_column(table, name, "--drop")
    if features is not None and target in features:
        raise DataError(f"--features: {target!r} is the target; it cannot also be a feature.")
    left_out = {target, *(drop or ())}
    chosen = [name for name in features or table.column_names if name not in left_out]
    if not chosen:
        raise DataError(
            f"no column is left to learn from; the file has: {', '.join(table.column_names)}."
        )
    return _checked(table.select(chosen))


def matching_features(
    table: pa.Table, names: Sequence[str] | None, width: int, chosen: Sequence[str] | None
) -> pa.Table:
    """Select the columns that a fitted model needs, in its order.

    Parameters
    ----------
    table : pyarrow.Table
        All columns; those that the model does not know are ignored.
    names : sequence of str or None
        Names of the columns that the model was fitted on; None if they had none.
    width : int
        Their number.
    chosen : sequence of str or None
        The columns to take, for a model without names.

    Raises
    ------
    DataError
        If a column is missing, their number differs, or columns are chosen for a model that knows
        their names.
    """
    if names is not None and chosen is not None:
        raise DataError(
            f"--features: the model finds its {width} columns by their names, {_listed(names)}; "
            "leave it out."
        )
    wanted = names if chosen is None else chosen
    if wanted is None:
        if table.num_columns != width:
            raise DataError(
                f"the model was fitted on {width} columns without names and the file has "
                f"{table.num_columns}; choose them in the model's order with --features."
            )
        return _checked(table)
    if len(wanted) != width:
        raise DataError(f"--features: {len(wanted)} columns, but the model needs {width}.")
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise DataError(
            f"the file lacks {len(missing)} of the model's {width} columns, "
            f"{missing[0]!r} first; {_hint(missing[0], table)}"
        )
    return _checked(table.select(wanted))


def labels(table: pa.Table, target: str) -> npt.NDArray[np.generic]:
    """Return the labels of a table: an array of numbers or, with text or empty cells, of objects.

    Empty cells are None. Other marks of unlabeled rows are left to
    `flowssl._labels.encode_labels`.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    DataError
        If the column does not hold numbers, text, or true and false.
    """
    import numpy as np
    import pyarrow as pa

    column = table.column(target)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (_is_numeric(kind) or _is_text(kind) or pa.types.is_null(kind)):
        raise DataError(
            f"--target: column {target!r} holds {kind}; labels are numbers, text, or true and false."
        )
    if pa.types.is_floating(kind):
        values = column.to_numpy().astype(np.float64)
        known = values[~np.isnan(values)]
        if not (known == np.round(known)).all():
            raise DataError(
                f"--target: column {target!r} holds fractions such as "
                f"{known[known != np.round(known)][0]:g}; "
                "flowssl predicts classes, not quantities."
            )
        # 1.0 came from a column of whole numbers with gaps: its class is 1.
        column = pa.chunked_array([pa.array(values, from_pandas=True).cast(pa.int64())])
    if column.null_count or _is_text(kind):
        return np.array([*column.to_pylist(), None], dtype=object)[:-1]
    return cast("npt.NDArray[np.generic]", column.to_numpy())


def typed_marker(text: str, y: npt.NDArray[np.generic]) -> str | int | bool | None:
    """Turn ``--unlabeled-value`` into a value of the labels' own type.

    ``auto`` and ``none`` mean what they mean to the estimator.

    Raises
    ------
    DataError
        If the labels are numbers and the text is not.
    """
    if text == "auto":
        return text
    if text.lower() == "none":
        return None
    sample = next((value for value in y.tolist() if value is not None), text)
    if isinstance(sample, str):
        return text
    try:
        if isinstance(sample, bool):
            return {"true": True, "false": False}[text.lower()]
        return int(text)
    except (KeyError, ValueError):
        raise DataError(
            f"--unlabeled-value: {text!r} cannot be in a column of labels like {sample!r}."
        ) from None


def mark_unlabeled(y: npt.NDArray[np.generic], marker: object) -> npt.NDArray[np.generic]:
    """Replace empty cells by the marker of unlabeled rows, unless this is ``"auto"`` or None.

    `flowssl._labels.encode_labels` takes one marker; in a file, an empty cell means an unlabeled
    row whatever the marker is.
    """
    import numpy as np

    if marker is None or (isinstance(marker, str) and marker == "auto") or y.dtype != object:
        return y
    return np.array([marker if value is None else value for value in y] + [None], dtype=object)[:-1]


def looks_missing(classes: Sequence[object]) -> list[str]:
    """Return the classes whose names usually mark a missing value, such as "NA" or "?"."""
    return [c for c in classes if isinstance(c, str) and c.strip().lower() in _MISSING_MARKS]


def doubts_about(table: pa.Table) -> list[str]:
    """Describe the columns of text that may not be meant as categories.

    These are numbers with a few words among them, and texts that differ in most rows.
    """
    import pyarrow.compute as pc

    doubts = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not _is_text(column.type):
            continue
        present = column.drop_null()
        is_number = pc.match_substring_regex(present, _NUMBER)
        n_numbers, n_distinct = pc.sum(is_number).as_py(), pc.count_distinct(present).as_py()
        if _MOSTLY * len(present) <= n_numbers < len(present):
            stray = present.filter(pc.invert(is_number))[0].as_py()
            doubts.append(
                f"column {name!r} is read as text and each of its values as a category, because "
                f"{stray!r} is not a number; leave cells of missing values empty"
            )
        elif n_distinct > max(_MANY, len(present) // 2):
            read = f"to read it as text, add --text {shlex.quote(name)}; "
            doubts.append(
                f"column {name!r} is text with {n_distinct:,} values in {len(present):,} rows; "
                f"{read if _has_sentences(present) else ''}if it only names the rows, leave it out with --drop {shlex.quote(name)}"
            )
    return doubts


def _has_sentences(texts: pa.ChunkedArray) -> bool:
    """Return whether texts have several words, as names, codes and identifiers have not."""
    import pyarrow.compute as pc

    blanks = pc.mean(pc.count_substring(texts, " ")).as_py()
    return blanks is not None and blanks >= _BLANKS_OF_SENTENCES


def _checked(table: pa.Table) -> pa.Table:
    """Return the table if the estimators can take what its columns hold."""
    import pyarrow as pa

    for field in table.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_nested(kind) or pa.types.is_time(kind) or pa.types.is_binary(kind):
            raise DataError(
                f"column {field.name!r} holds {kind}, neither numbers, text nor dates; "
                f"turn it into numbers or leave it out with --drop {field.name}."
            )
    return table


def _is_numeric(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    is_view = getattr(pa.types, "is_string_view", lambda _: False)  # newer Arrow only
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or is_view(kind))


def _hint(name: str, table: pa.Table) -> str:
    folded = {column.lower(): column for column in table.column_names}
    near = [folded[match] for match in get_close_matches(name.lower(), folded, n=3, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"the file has {_listed(table.column_names)}."


def _listed(names: Sequence[str]) -> str:
    return shortened([repr(name) for name in names], _SHOWN)
