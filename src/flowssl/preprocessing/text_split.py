"""Separate the columns of texts of a table from its other columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias, cast

import narwhals as nw
import numpy as np
from narwhals.typing import IntoDataFrame

from flowssl.exceptions import DataError
from flowssl.preprocessing.containers import TableLike, frame_or_other
from flowssl.text.columns import TextColumns, TextsLike

ColumnNames: TypeAlias = str | int | Sequence[str | int] | bool
"""A column of texts, by name or position; several; or True where all of a table or list is texts."""

_SHOWN = 10


@dataclass(frozen=True)
class Parts:
    """A table in two parts.

    Attributes
    ----------
    container : str
        "list", "array", or the library of the data frame.
    names : list of str or None
        Names of all columns, of a data frame.
    n_columns : int
        Number of all columns.
    columns : list of str or int
        Those of texts: names in a data frame, else positions.
    texts : TextColumns
        Their texts.
    others : table or None
        The other columns, if there are any.
    """

    container: str
    names: list[str] | None
    n_columns: int
    columns: list[str | int]
    texts: TextColumns
    others: TableLike | None


def split_rows(X: TableLike | TextsLike, columns: ColumnNames) -> Parts:
    """Separate the columns of texts from the others.

    Raises
    ------
    DataError
        If a column of texts is not there, or does not hold texts.
    TypeError
        If X is a lazy frame.
    """
    frame = frame_or_other(cast("TableLike", X))
    if isinstance(frame, nw.LazyFrame):
        raise TypeError("X is a lazy frame; collect it first, with X.collect().")
    if isinstance(frame, nw.DataFrame):
        return _split_frame(frame, columns)
    if columns is True:
        texts = TextColumns.read(cast("TextsLike", X))
        width = len(texts.columns)
        container = "list" if width == 1 and np.ndim(cast("Sequence[str]", X)) == 1 else "array"
        return Parts(container, None, width, list(range(width)), texts, None)
    return _split_array(np.asarray(X, dtype=object), columns)


def _split_frame(frame: nw.DataFrame[IntoDataFrame], columns: ColumnNames) -> Parts:
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise DataError(f"the columns of X must have different names; got {names}.")
    chosen = names if columns is True else _named(columns, names)
    left = [name for name in frame.columns if str(name) not in chosen]
    given = {str(name): name for name in frame.columns}
    return Parts(
        container=frame.implementation.name.lower(),
        names=names,
        n_columns=len(names),
        columns=list(chosen),
        texts=TextColumns.read(frame.select([given[name] for name in chosen]).to_native()),
        others=cast("TableLike", frame.select(left).to_native()) if left else None,
    )


def _split_array(array: np.ndarray, columns: ColumnNames) -> Parts:
    if array.ndim != 2:
        raise DataError(
            f"the columns of texts are {columns!r}, but X has {array.ndim} dimensions and so no "
            "columns; use text=True for a list of texts."
        )
    width = array.shape[1]
    places = _listed(columns)
    for place in places:
        if not isinstance(place, int) or not 0 <= place < width:
            raise DataError(
                f"X is an array of {width} columns; name its columns of texts by position, 0 to "
                f"{width - 1}, not by {place!r}."
            )
    rest = [place for place in range(width) if place not in places]
    return Parts(
        container="array",
        names=None,
        n_columns=width,
        columns=places,
        texts=TextColumns.read(array[:, cast("list[int]", places)]),
        others=array[:, rest] if rest else None,
    )


def _named(columns: ColumnNames, names: list[str]) -> list[str]:
    """Return names of columns of a data frame, given by name or by position."""
    chosen = []
    for column in _listed(columns):
        if isinstance(column, int) and 0 <= column < len(names):
            column = names[column]
        if column not in names:
            near = get_close_matches(str(column), names, n=1)
            more = ", ..." if len(names) > _SHOWN else ""
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"X has {', '.join(map(repr, names[:_SHOWN]))}{more}."
            )
            raise DataError(f"there is no column {column!r}, which is to hold texts; {hint}")
        chosen.append(str(column))
    return chosen


def _listed(columns: ColumnNames) -> list[str | int]:
    """Return columns of texts as a list, each once."""
    found = [columns] if isinstance(columns, str | int) else list(columns)
    if not found:
        raise DataError("no column of texts is named; name at least one.")
    return list(dict.fromkeys(found))
