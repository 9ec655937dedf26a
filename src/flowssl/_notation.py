"""How the numbers of a column of text are written, and their values.

A `Notation` says which character separates the fraction, which the thousands, and whether a percent
or currency sign belongs to each number. A column is read as numbers in one notation or not at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from flowssl._field_facts import is_notation

_MINUS = "^([-+]?)[\u2212\u2013\ufe63\uff0d]"
_BLANK = "[ \u00a0\u2009\u202f]"
_GROUPS = {",": ",", ".": r"\.", " ": _BLANK, "'": "['\u2019]"}
_EXPONENT = r"(?:[eE][-+]?\d+)?"
_PREFIXED = rf"^([-+]?){_BLANK}?(\p{{Sc}}){_BLANK}?[-+]?[\d.,].*$"
_SUFFIXED = rf"^(.*\d[.,]?){_BLANK}?(%|\p{{Sc}})$"


@dataclass(frozen=True)
class Notation:
    """How the numbers of a column are written.

    Parameters
    ----------
    decimal : {".", ","}, default="."
        What separates the fraction.
    group : {"", ",", ".", " ", "'"}, default=""
        What separates thousands where they are separated; a blank is one of any width.
    sign : str, default=""
        The percent or currency sign that each number has, before or behind it.
    """

    decimal: str = "."
    group: str = ""
    sign: str = ""

    @classmethod
    def from_text(cls, text: str | None) -> Self:
        """Read a notation from `to_text`; None is the plain one.

        Raises
        ------
        ValueError
            If the text is not that of a notation.
        """
        if text is None:
            return cls()
        if not is_notation(text):
            raise ValueError(f"not how numbers are written: {text!r}")
        decimal, group, sign = text.split("|")
        return cls(decimal, group, sign)

    def to_text(self) -> str | None:
        """Return the notation as a text for model files; None for the plain one."""
        return None if self == PLAIN else f"{self.decimal}|{self.group}|{self.sign}"

    @property
    def example(self) -> str:
        """A number of the column, for messages."""
        return f"1{self.group}234{self.decimal}5{self.sign}"

    @property
    def pattern(self) -> str:
        """A regular expression for the numbers of the column."""
        whole = r"\d+"
        if self.group:
            group = _GROUPS[self.group]
            # Thousands in threes, or above the first thousand in twos, as in India.
            threes, twos = rf"(?:{group}\d{{3}})+", rf"(?:{group}\d{{2}})+{group}\d{{3}}"
            whole = rf"(?:[1-9]\d{{0,2}}{threes}|[1-9]\d?{twos}|\d+)"
        decimal, sign = re.escape(self.decimal), re.escape(self.sign)
        number = rf"[-+]?(?:{whole}(?:{decimal}\d*)?|{decimal}\d+){_EXPONENT}"
        if not sign:
            return rf"^{number}$"
        return rf"^(?:[-+]?{_BLANK}?{sign}{_BLANK}?{number}|{number}{_BLANK}?{sign})$"


PLAIN = Notation()
"""Decimal points, nothing else: what programs write."""

CANDIDATES = (
    PLAIN,
    Notation(","),
    Notation(".", ","),
    Notation(",", "."),
    Notation(".", " "),
    Notation(",", " "),
    Notation(".", "'"),
    Notation(",", "'"),
)
"""The notations of decimals and thousands, those without separators of thousands first."""


def with_ascii_minus(cells: pa.Array) -> pa.Array:
    """Replace the minus signs of typesetters at the beginning of cells."""
    return pc.replace_substring_regex(cells, _MINUS, r"\1-")


def sign_of(cells: pa.Array) -> str:
    """Return the percent or currency sign that all cells have; empty if there is none."""
    for pattern in (_SUFFIXED, _PREFIXED):
        if pc.all(pc.match_substring_regex(cells, pattern)).as_py():
            signs = pc.unique(pc.replace_substring_regex(cells, pattern, r"\2"))
            if len(signs) == 1:
                return str(signs[0].as_py())
    return ""


def notations_of(cells: pa.Array) -> list[Notation]:
    """Return the notations in which every one of the cells, with plain minus signs, is a number."""
    sign = sign_of(cells)
    notations = [replace(notation, sign=sign) for notation in CANDIDATES]
    return [n for n in notations if pc.all(pc.match_substring_regex(cells, n.pattern)).as_py()]


def without_separators(cells: pa.ChunkedArray, notation: Notation) -> pa.ChunkedArray:
    """Rewrite numbers of a notation, with plain minus signs, in the plain one without its sign."""
    if notation.sign:
        sign = re.escape(notation.sign)
        cells = pc.replace_substring_regex(cells, f"{_BLANK}?{sign}{_BLANK}?", "")
    if notation.group:
        cells = pc.replace_substring_regex(cells, _GROUPS[notation.group], "")
    if notation.decimal == ",":
        cells = pc.replace_substring(cells, ",", ".")
    return cells


def written(numbers: pa.ChunkedArray, notation: Notation) -> pa.ChunkedArray:
    """Write numbers as text in a notation, without separators of thousands."""
    if notation.sign == "%":
        numbers = pc.multiply(pc.cast(numbers, pa.float64()), 100.0)
    cells = pc.replace_substring(pc.cast(numbers, pa.string()), ".", notation.decimal)
    return pc.binary_join_element_wise(cells, notation.sign, "")
