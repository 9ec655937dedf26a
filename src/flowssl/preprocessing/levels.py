"""Find the level of a categorical column that a value names, whatever type it has.

A column that was text in one file is read as integers, bools or dates in another one, which holds
other rows. What a value names must not depend on that: levels are compared by one text for each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np

from flowssl._label_vectors import is_missing
from flowssl._missing_marks import MARKS, missing_marks
from flowssl._typing import Integers
from flowssl.preprocessing.containers import Category, as_category, is_category

MISSING, UNSEEN = -1, -2
"""Codes of values that name no level."""

_BOOLS = {"true": "1", "false": "0", "1": "true", "0": "false"}
_EXACT_INTEGERS = 2**53
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_NAMED_BY_TEXT = (time, timedelta)
_PANDAS_NAMED_BY_TEXT = ("Interval", "Period")


def text_of(value: object) -> str:
    """Return the text by which a value is compared with the levels of a column.

    Text is taken without the blanks around it, "True" and "TRUE" like the bool; a whole number is
    written without a point, a date as in ISO 8601, without a time at midnight.

    Raises
    ------
    TypeError
        If it is neither text, a number, a bool nor a date.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        text = value.strip()
        return text.lower() if text.lower() in ("true", "false") else text
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal):
        number = float(value)
        return (
            str(int(number))
            if abs(number) < _EXACT_INTEGERS and number.is_integer()
            else repr(number)
        )
    if isinstance(value, datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, _NAMED_BY_TEXT) or type(value).__name__ in _PANDAS_NAMED_BY_TEXT:
        return str(value)
    raise TypeError(f"argument must be a string or a real number, not {type(value).__name__!r}")


@dataclass(frozen=True)
class RankedLevels:
    """The distinct levels of a column.

    Attributes
    ----------
    levels : tuple
        Most frequent first, ties in the order of appearance; each as it was first given.
    n_present : int
        Number of values that are not missing.
    marks : frozenset of str
        Values that mark a missing one.
    n_marked : int
        Number of those values.
    """

    levels: tuple[Category, ...]
    n_present: int
    marks: frozenset[str]
    n_marked: int

    @classmethod
    def of(cls, values: Iterable[object], *, are_declared: bool) -> RankedLevels:
        """Rank the levels; those of a type that lists its categories are never marks."""
        listed = list(values)
        counts, firsts = Counter(_keys(listed)), dict(zip(_keys(listed), listed, strict=True))
        present = {key: value for key, value in firsts.items() if not is_missing(value)}
        texts = {value for value in present.values() if isinstance(value, str)}
        marks = frozenset[str]() if are_declared else missing_marks(texts)
        of_text: dict[str, Category] = {}
        total: Counter[str] = Counter()
        for key, value in present.items():
            if isinstance(value, str) and value in marks:
                continue
            text = text_of(value)
            of_text.setdefault(text, as_category(value) if is_category(value) else text)
            total[text] += counts[key]
        n_marked = sum(counts[key] for key, value in present.items()) - total.total()
        levels = tuple(of_text[text] for text, _ in total.most_common())
        return cls(levels, total.total(), marks, n_marked)


class Levels:
    """The levels of a fitted column, by the values that name them.

    Parameters
    ----------
    own : sequence of str, bool, int or float
        Levels with a code of their own: their positions.
    infrequent : sequence of str, bool, int or float
        Levels that share the last code.
    is_open : bool
        Whether values that name no level have this last code, too.

    Notes
    -----
    Where the levels are no others than true and false or 0 and 1, these stand for one another. A
    number names a level of text that is the same number ("1.0", "2.50"), if one only is.

    Examples
    --------
    >>> Levels(["1", "2", "x"], [], is_open=False).codes([2.0, 1, "x", None, "y"]).tolist()
    [1, 0, 2, -1, -2]
    """

    def __init__(
        self, own: Sequence[Category], infrequent: Sequence[Category], *, is_open: bool
    ) -> None:
        shared = len(own)
        self._unknown = shared if is_open else UNSEEN
        self._code = {text_of(level): shared for level in infrequent}
        self._code |= {text_of(level): code for code, level in enumerate(own)}
        if self._code.keys() <= _BOOLS.keys():
            for text, code in list(self._code.items()):
                self._code.setdefault(_BOOLS[text], code)
        plain = [text for text in self._code if _PLAIN_NUMBER.fullmatch(text)]
        numbers = Counter(map(float, plain))
        self._of_number = {
            float(text): self._code[text] for text in plain if numbers[float(text)] == 1
        }

    def codes(self, values: list[object]) -> Integers:
        """Return the code of each value, shape (n,); `MISSING` or `UNSEEN` where it has none.

        Raises
        ------
        TypeError
            If a value is of a type that names no level.
        """
        keys = _keys(values)
        found = {
            key: self._find(value) for key, value in dict(zip(keys, values, strict=True)).items()
        }
        return np.fromiter(map(found.__getitem__, keys), dtype=np.int64, count=len(values))

    def _find(self, value: object) -> int:
        if is_missing(value):
            return MISSING
        text = text_of(value)
        code = self._code.get(text)
        is_bool = isinstance(value, bool)
        if code is None and isinstance(value, int | float | Decimal | np.number) and not is_bool:
            code = self._of_number.get(float(value))
        if code is None:
            code = MISSING if text in MARKS else self._unknown
        return code


def _keys(values: list[object]) -> list[object]:
    """Return a key for each value that tells True from 1; equal values of one type share it."""
    kinds = set(map(type, values)) - {type(None)}
    return values if len(kinds) <= 1 else [(type(value), value) for value in values]
