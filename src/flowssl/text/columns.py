"""Read columns of texts from what a user gives: lists, arrays, series and data frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import narwhals as nw
import numpy as np
from narwhals.exceptions import DuplicateError
from narwhals.typing import IntoDataFrame, IntoSeries
from numpy.typing import NDArray

from flowssl._label_vectors import is_missing
from flowssl.exceptions import DataError

TextsLike: TypeAlias = Sequence[str | None] | NDArray[np.generic] | IntoSeries | IntoDataFrame
"""n texts, or a table of n rows whose columns are all texts."""

Texts: TypeAlias = list[str | None]
"""Texts that can be written as UTF-8; None for a missing one."""


@dataclass(frozen=True)
class TextColumns:
    """Columns of texts.

    Attributes
    ----------
    names : list of str or None
        Names of the columns, if they have any.
    columns : list of lists of str
        n texts each; None for a missing one.
    """

    names: list[str] | None
    columns: list[Texts]

    @classmethod
    def read(cls, X: TextsLike) -> TextColumns:
        """Read texts.

        Raises
        ------
        DataError
            If X is neither a sequence nor a table of texts.
        """
        if isinstance(X, str | bytes):
            raise DataError("X is one text; give a list of texts.")
        try:
            known: object = nw.from_native(X, pass_through=True, allow_series=True)
        except DuplicateError as error:
            raise DataError(f"the columns of X must have different names: {error}") from error
        if isinstance(known, nw.LazyFrame):
            raise DataError("X is a lazy frame; collect it first, with X.collect().")
        if isinstance(known, nw.Series):
            label: object = known.name
            name = label if isinstance(label, str) and label else None
            return cls(None if name is None else [name], [_checked(known.to_list(), name)])
        if isinstance(known, nw.DataFrame):
            names = [str(name) for name in known.columns]
            series = zip(names, known.iter_columns(), strict=True)
            return cls(names, [_checked(column.to_list(), name) for name, column in series])
        return cls(None, _from_array(X))


def _from_array(X: object) -> list[Texts]:
    """Read the columns of a list or an array."""
    cells: object = X.to_pylist() if hasattr(X, "to_pylist") else X  # an Arrow array
    if isinstance(cells, np.ma.MaskedArray):
        masked, cells = np.ma.getmaskarray(cells), np.array(cells, dtype=object)
        cells[masked] = None
    if not hasattr(cells, "__len__") or isinstance(cells, dict | set):
        raise DataError(f"X must be a list, an array or a table of texts, not {type(X).__name__}.")
    try:
        array = np.asarray(cells, dtype=object)
    except ValueError as error:
        raise DataError(f"X must have one text, or as many texts, in each row: {error}") from error
    if array.ndim == 1:
        return [_checked(array.tolist(), None)]
    if array.ndim != 2:
        raise DataError(f"X must be a list of texts or have two dimensions; got {array.ndim}.")
    return [_checked(column.tolist(), place) for place, column in enumerate(array.T)]


def _checked(cells: list[object], column: str | int | None) -> Texts:
    """Return texts as UTF-8 can have them, None where a cell is missing."""
    if not cells:
        raise DataError("X has no rows; at least one text is needed.")
    texts: Texts = []
    for row, cell in enumerate(cells):
        if isinstance(cell, str):
            texts.append(_encodable(str(cell)))
        elif is_missing(cell):
            texts.append(None)
        else:
            where = "" if column is None else f" of column {column!r}"
            raise DataError(
                f"row {row}{where} is {cell!r:.60}, of type {type(cell).__name__}, not a text; "
                "turn it into a string, or name only columns of texts."
            )
    return texts


def _encodable(text: str) -> str:
    """Join pairs of surrogates, and replace single ones by U+FFFD: UTF-8 has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def is_blank(text: str | None) -> bool:
    """Return whether there is nothing to embed in a text."""
    return text is None or not text.strip()
