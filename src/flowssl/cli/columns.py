"""Columns of a table: those to learn from, and those of a model.

Names and types of columns are checked here, so that a misspelled name or a column of lists gives
one line that says what to do.
"""

from __future__ import annotations

import csv
from difflib import get_close_matches
from typing import TYPE_CHECKING

from flowssl._arrow import is_text
from flowssl._field_facts import FAULT, NOTE, fact
from flowssl.cli.console import option, shortened
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa


_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_MOSTLY = 0.8
_MANY = 20
_SHOWN = 8  # names in a message
_BLANKS_OF_SENTENCES = 3


def split_names(text: str | None, columns: Sequence[str]) -> list[str] | None:
    """Split ``"a, b"`` into the names of columns ``["a", "b"]``, each once; None stays None.

    A name with a comma may stand in quotes, as in CSV, or without them if it is that of a column.

    Parameters
    ----------
    text : str or None
        The value of an option.
    columns : sequence of str
        The columns of the table.
    """
    if text is None:
        return None
    if text.strip() in columns:
        return [text.strip()]
    (quoted,) = csv.reader([text], skipinitialspace=True)
    names = list(dict.fromkeys(name.strip() for name in quoted if name.strip()))
    if all(name in columns for name in names):
        return names
    chosen, parts = [], text.split(",")
    while parts:  # the longest run of parts that is the name of a column, or one part
        joined = [",".join(parts[:end]).strip() for end in range(len(parts), 0, -1)]
        found = next((name for name in joined if name in columns), joined[-1])
        chosen.append(found)
        parts = parts[len(joined) - joined.index(found) :]
    return names if '"' in text else list(dict.fromkeys(filter(None, chosen)))


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


def notes_on(table: pa.Table) -> list[str]:
    """Say what was decided about columns of a file of text whose cells left a choice."""
    notes = [(field.name, fact(field, NOTE)) for field in table.schema]
    return [f"column {name!r}: {note}" for name, note in notes if note]


def doubts_about(table: pa.Table) -> list[str]:
    """Describe the columns that may not be meant as they are read.

    These are numbers with a few words among them, texts that differ in most rows, and numbers that
    count the rows.
    """
    import pyarrow.compute as pc

    doubts = []
    for field, column in zip(table.schema, table.columns, strict=True):
        if _counts_rows(column):
            drop = option("--drop", field.name)
            doubts.append(f"column {field.name!r} counts the rows; leave it out with {drop}")
        if not is_text(column.type):
            continue
        present = column.drop_null()
        is_number = pc.match_substring_regex(present, _NUMBER)
        n_numbers, n_distinct = pc.sum(is_number).as_py(), pc.count_distinct(present).as_py()
        if not fact(field, NOTE) and _MOSTLY * len(present) <= n_numbers < len(present):
            stray = present.filter(pc.invert(is_number))[0].as_py()
            doubts.append(
                f"column {field.name!r} is read as text and each of its values as a category, "
                f"because {stray!r} is not a number; leave cells of missing values empty"
            )
        elif n_distinct > max(_MANY, len(present) // 2):
            read = (
                f"to read it as text, add {option('--text', field.name)}; "
                if _has_sentences(present)
                else ""
            )
            doubts.append(
                f"column {field.name!r} is text with {n_distinct:,} values in {len(present):,} "
                f"rows; {read}if it only names the rows, leave it out with {option('--drop', field.name)}"
            )
    return doubts


def _counts_rows(column: pa.ChunkedArray) -> bool:
    """Return whether whole numbers rise by one from row to row, of more rows than a few."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_integer(column.type) or column.null_count or len(column) <= _MANY:
        return False
    return bool(pc.all(pc.equal(pc.subtract(column[1:], column[:-1]), 1)).as_py())


def _has_sentences(texts: pa.ChunkedArray) -> bool:
    """Return whether texts have several words, as names, codes and identifiers have not."""
    import pyarrow.compute as pc

    blanks = pc.mean(pc.count_substring(texts, " ")).as_py()
    return blanks is not None and blanks >= _BLANKS_OF_SENTENCES


def _checked(table: pa.Table) -> pa.Table:
    """Return the table if the estimators can take what its columns hold."""
    import pyarrow as pa

    for field in table.schema:
        drop = option("--drop", field.name)
        if fault := fact(field, FAULT):
            raise DataError(
                f"{fault}, in column {field.name!r}; leave the cell empty, or the column out with "
                f"{drop}."
            )
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_nested(kind) or pa.types.is_time(kind) or pa.types.is_binary(kind):
            raise DataError(
                f"column {field.name!r} holds {kind}, neither numbers, text nor dates; "
                f"turn it into numbers or leave it out with {drop}."
            )
    return table


def _hint(name: str, table: pa.Table) -> str:
    folded = {column.lower(): column for column in table.column_names}
    near = [folded[match] for match in get_close_matches(name.lower(), folded, n=3, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"the file has {_listed(table.column_names)}."


def _listed(names: Sequence[str]) -> str:
    return shortened([repr(name) for name in names], _SHOWN)
