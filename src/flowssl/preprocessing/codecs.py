"""Encode one column of a table as columns of a matrix, and decode it."""

import math
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from typing import Self

import numpy as np

from flowssl._label_vectors import is_missing
from flowssl._typing import Floats
from flowssl.exceptions import FlowSSLWarning
from flowssl.preprocessing.containers import (
    Category,
    Column,
    ColumnType,
    Values,
    as_category,
    as_numbers,
)

INFREQUENT = "infrequent"
"""Name of the group of categories beyond the most frequent ones."""


@dataclass(frozen=True)
class Codec:
    """How one column of the table is encoded in the matrix, and decoded.

    Parameters
    ----------
    name : str or int
        Name of the column, or its position in an array.
    type : ColumnType
        Type of the column in the table.
    categories : tuple, default=()
        Categories with a code of their own, most frequent first; the first is the reference.
    infrequent : tuple, default=()
        Categories that share the last code, most frequent first.
    is_constant : bool, default=False
        Whether the column had one value in fit, or none.
    constant : str, bool, int, float or None, default=None
        That value; None if all were missing.
    duplicate_of : int or None, default=None
        Position of an earlier column with the same codes.
    """

    name: str | int
    type: ColumnType
    categories: tuple[Category, ...] = ()
    infrequent: tuple[Category, ...] = ()
    is_constant: bool = False
    constant: Category | None = None
    duplicate_of: int | None = None

    @property
    def is_categorical(self) -> bool:
        """Whether the column holds categories, not numbers or times."""
        return self.type.kind == "categorical"

    @property
    def is_kept(self) -> bool:
        """Whether the column is part of the matrix."""
        return not self.is_constant and self.duplicate_of is None

    @property
    def indicated(self) -> tuple[Category | None, ...]:
        """Category of each matrix column; None for the one column of a number or a time."""
        if not self.is_categorical:
            return (None,)
        return (*self.categories, *([INFREQUENT] if self.infrequent else []))[1:]

    @classmethod
    def fit(cls, column: Column, max_categories: int) -> Self:
        """Learn the categories, or whether the column is constant."""
        if column.type.kind != "categorical":
            values = np.asarray(column.values)
            low, high = np.fmin.reduce(values), np.fmax.reduce(values)
            is_constant = not low < high
            number = None if not is_constant or math.isnan(low) else float(low)
            return cls(column.name, column.type, is_constant=is_constant, constant=number)
        # Ties keep the order of appearance, so that a renamed copy of a column gets equal codes.
        ranked = [v for v, _ in Counter(column.values).most_common() if not is_missing(v)]
        categories = tuple(map(as_category, ranked))
        if len(categories) < 2:
            constant = categories[0] if categories else None
            return cls(column.name, column.type, categories, is_constant=True, constant=constant)
        if len(categories) > max_categories:
            n_own = max_categories - 1
            return cls(column.name, column.type, categories[:n_own], categories[n_own:])
        return cls(column.name, column.type, categories)

    def encode(self, column: Column) -> Floats:
        """Return the column as rows of the transposed matrix, shape (width, n)."""
        if not self.is_categorical:
            return self._numbers(column)[None]
        values = column.values if isinstance(column.values, list) else column.values.tolist()
        index = {category: code for code, category in enumerate(self.categories)}
        index.update(zip(self.infrequent, repeat(len(self.categories))))
        codes = np.fromiter(map(index.get, values, repeat(-1)), dtype=np.int64, count=len(values))
        missing = codes < 0
        self._warn_unseen(values[row] for row in np.flatnonzero(missing))
        indicators = np.zeros((len(self.indicated), len(values)))
        rows = np.flatnonzero(codes > 0)
        indicators[codes[rows] - 1, rows] = 1.0
        indicators[:, missing] = np.nan
        return indicators

    def decode(self, encoded: Floats) -> Values:
        """Return the table's values, given rows of the transposed matrix, shape (width, n)."""
        if not self.is_categorical:
            numbers: Floats = encoded[0]
            return numbers
        # Category k fills the box [1, 2) along its own column and [0, 1) along the others, the
        # reference [0, 1) along all. The nearest box belongs to the largest column, or to the
        # reference if that is below 1.
        codes = np.where(encoded.max(axis=0) >= 1, encoded.argmax(axis=0) + 1, 0)
        codes[np.isnan(encoded).any(axis=0)] = -1
        decoded: list[object] = [*self.categories, *self.infrequent[:1], None]
        return [decoded[code] for code in codes]

    def fill(self, n_rows: int) -> Values:
        """Repeat the value of a constant column."""
        if self.is_categorical:
            return [self.constant] * n_rows
        return np.full(n_rows, math.nan if self.constant is None else self.constant)

    def _numbers(self, column: Column) -> Floats:
        values = column.values
        if isinstance(values, list):
            try:
                values = as_numbers(values)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"column {self.name!r} was {self.type.kind} in fit and now holds other "
                    f"values: {error}"
                ) from error
        is_time, was_time = (kind == "datetime" for kind in (column.type.kind, self.type.kind))
        if is_time != was_time and not np.isnan(values).all():
            raise ValueError(
                f"column {self.name!r} was {self.type.kind} in fit and is {column.type.kind} now; "
                f"convert it to {self.type.dtype}."
            )
        return values

    def _warn_unseen(self, values: Iterable[object]) -> None:
        unseen = sorted({repr(value) for value in values if not is_missing(value)})
        if unseen:
            more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
            warnings.warn(
                f"column {self.name!r} holds categories that were not seen in fit: "
                f"{', '.join(unseen[:5])}{more}; they are treated as missing.",
                FlowSSLWarning,
                stacklevel=5,
            )
