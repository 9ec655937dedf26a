"""Encode one column of a table as columns of a matrix, and decode it."""

import json
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Self

import numpy as np

from flowssl._label_vectors import is_missing
from flowssl._typing import Floats
from flowssl.exceptions import DataError, FlowSSLWarning
from flowssl.preprocessing.containers import (
    Category,
    Column,
    ColumnType,
    Values,
    check_finite,
)
from flowssl.preprocessing.indicators import CategoryGroup, codes_of, indicators_of
from flowssl.preprocessing.levels import UNSEEN, Levels, RankedLevels
from flowssl.preprocessing.objects import as_numbers, as_seconds

INFREQUENT = "infrequent"
"""Name of the group of categories beyond the most frequent ones."""

MAX_DISTINCT = 50
"""Rows beyond which a column that has another text in each of them is named as a key."""

MAX_LISTED_CHARACTERS = 2**15
"""Characters of JSON that the infrequent categories of a column may take, and those that its type
declares; where there are more, none are kept."""

MAX_CHARACTERS = 3 * 2**19
"""Characters of JSON that all columns may take, so that a model file can hold them."""


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
    is_open : bool, default=False
        Whether any other value has this last code, too: the column has more infrequent categories
        than are kept, of which `infrequent` then holds the first.
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
    is_open: bool = False
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
        declared = column.type.categories
        # Ties keep the order of appearance, so that a renamed copy of a column gets equal codes.
        ranked = RankedLevels.of(list(column.values), are_declared=declared is not None)
        _warn_of_levels(column.name, ranked)
        type_ = column.type
        if declared is not None and _characters(declared) > MAX_LISTED_CHARACTERS:
            type_ = replace(type_, categories=None)
        categories = ranked.levels
        if len(categories) < 2:
            constant = categories[0] if categories else None
            return cls(column.name, type_, categories, is_constant=True, constant=constant)
        if len(categories) <= max_categories:
            return cls(column.name, type_, categories)
        own, infrequent = categories[: max_categories - 1], categories[max_categories - 1 :]
        is_open = _characters(infrequent) > MAX_LISTED_CHARACTERS
        return cls(column.name, type_, own, infrequent[:1] if is_open else infrequent, is_open)

    def encode(self, column: Column) -> Floats:
        """Return the column as rows of the transposed matrix, shape (width, n)."""
        if not self.is_categorical:
            return self._numbers(column)[None]
        values = column.values if isinstance(column.values, list) else column.values.tolist()
        levels = Levels(self.categories, self.infrequent, is_open=self.is_open)
        try:
            codes = levels.codes(values)
        except TypeError as error:
            raise TypeError(f"{error} (column {self.name!r} of X)") from error
        self._warn_unseen(values[row] for row in np.flatnonzero(codes == UNSEEN))
        return indicators_of(codes, len(self.indicated) + 1)

    def decode(self, encoded: Floats) -> Values:
        """Return the table's values, given rows of the transposed matrix, shape (width, n)."""
        if not self.is_categorical:
            numbers: Floats = encoded[0]
            return numbers
        decoded: list[object] = [*self.categories, *self.infrequent[:1], None]
        return [decoded[code] for code in codes_of(encoded)]

    def fill(self, n_rows: int) -> Values:
        """Repeat the value of a constant column."""
        if self.is_categorical:
            return [self.constant] * n_rows
        return np.full(n_rows, math.nan if self.constant is None else self.constant)

    def _numbers(self, column: Column) -> Floats:
        values = column.values
        if isinstance(values, list):
            was, has_zone = self._what(self.type), self.type.zone is not None
            try:
                if was == "numeric":
                    return check_finite(as_numbers(values), self.name)
                if was != "a duration":
                    return as_seconds(values, has_zone=has_zone)
                if not all(map(is_missing, values)):
                    raise ValueError(f"{next(v for v in values if not is_missing(v))!r}")
                return np.full(len(values), math.nan)
            except ValueError as error:
                raise ValueError(
                    f"column {self.name!r} was {was} in fit and now holds other values: {error}"
                ) from error
        was, now = self._what(self.type), self._what(column.type)
        if was != now and not np.isnan(values).all():
            raise ValueError(
                f"column {self.name!r} was {was} in fit and is {now} now; convert it to "
                f"{self.type.dtype}{'' if self.type.zone is None else f' in {self.type.zone}'}."
            )
        return values

    @staticmethod
    def _what(type_: ColumnType) -> str:
        """Name a kind of numbers; those of different names cannot stand for one another."""
        if type_.kind != "datetime":
            return type_.kind
        if type_.dtype == "Duration":
            return "a duration"
        return "datetime" if type_.zone is None else "datetime with a time zone"

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


def category_groups(codecs: Sequence[Codec]) -> tuple[CategoryGroup, ...]:
    """Return which columns of an encoder's matrix belong together, as they indicate one column.

    Parameters
    ----------
    codecs : sequence of Codec
        ``codecs_`` of a `TableEncoder`; in the matrix of a `TextTableEncoder`, those of its
        ``table_`` come first.

    Returns
    -------
    tuple of CategoryGroup
        One for each categorical column that is in the matrix, in the order of the matrix. Beside
        their columns are those of numbers and times.
    """
    groups, start = [], 0
    for codec in codecs:
        if codec.is_kept:
            if codec.is_categorical:
                groups.append(CategoryGroup(start, len(codec.indicated) + 1))
            start += len(codec.indicated)
    return tuple(groups)


def check_size(codecs: Sequence[Codec]) -> None:
    """Refuse columns that no model file could hold, before anything is trained.

    Raises
    ------
    DataError
        If their categories are too long; the longest is named.
    """
    sizes = [len(json.dumps(asdict(codec))) for codec in codecs]
    if sum(sizes) > MAX_CHARACTERS:
        longest = codecs[sizes.index(max(sizes))]
        raise DataError(
            f"the columns' categories take {sum(sizes):,} characters, more than the "
            f"{MAX_CHARACTERS:,} that a model file holds; most are of column {longest.name!r}. "
            "Drop or shorten columns of long text."
        )


def _characters(categories: Sequence[Category]) -> int:
    """Return how many characters of JSON categories take."""
    return len(json.dumps(categories))


def _warn_of_levels(name: str | int, ranked: RankedLevels) -> None:
    """Name a column in which texts stand for missing values, and one that is a key."""
    if ranked.n_marked:
        shown = ", ".join(repr(mark) for mark in sorted(ranked.marks)[:5])
        warnings.warn(
            f"column {name!r}: {ranked.n_marked} values ({shown}) mark missing values and are "
            "treated as such; rename those that are categories.",
            FlowSSLWarning,
            stacklevel=6,
        )
    is_text = any(isinstance(level, str) for level in ranked.levels)
    if is_text and ranked.n_present == len(ranked.levels) > MAX_DISTINCT:
        warnings.warn(
            f"column {name!r} holds another text in each of {ranked.n_present} rows: it is a key or "
            "free text, whose categories say nothing about other rows; drop it.",
            FlowSSLWarning,
            stacklevel=6,
        )
