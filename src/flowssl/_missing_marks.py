"""The texts that mark a missing value, or a row without a label, in a column of text.

One list serves tables on disk, labels in Python and features: a mark means the same everywhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

ERRORS_OF_SPREADSHEETS = (
    *("#N/A N/A", "#NV", "#N/D", "#N/DISP"),
    *("#DIV/0!", "#\u00a1DIV/0!"),
    *("#VALUE!", "#WERT!", "#VALEUR!", "#\u00a1VALOR!", "#VALORE!", "#VALOR!"),
    *("#REF!", "#BEZUG!", "#\u00a1REF!", "#RIF!"),
    *("#NUM!", "#ZAHL!", "#NOMBRE!", "#\u00a1NUM!", "#N\u00daM!"),
    *("#NAME?", "#NOM?", "#\u00bfNOMBRE?", "#NOME?"),
    *("#NULL!", "#NUL!", "#\u00a1NULO!", "#NULLO!", "#NULO!"),
    *("#SPILL!", "#CALC!", "#FIELD!", "#BLOCKED!", "#GETTING_DATA"),
)
"""Errors beside "#N/A", in English, German, French, Spanish, Italian and Portuguese."""

MARKS = (
    "",
    "?",
    "NA",
    "na",
    "N/A",
    "n/a",
    "#N/A",
    "#NA",
    *ERRORS_OF_SPREADSHEETS,
    "<NA>",
    "NaN",
    "NAN",
    "nan",
    "-NaN",
    "-nan",
    "NaT",
    "NULL",
    "Null",
    "null",
    "<NULL>",
    "<null>",
    "None",
    "\\N",  # of MySQL and PostgreSQL
    "1.#QNAN",  # of the C library of Windows
    "-1.#IND",
    "-nan(ind)",
)
"""Marks among words, as pandas, R, SQL, spreadsheets and the UCI repository write them.

"none" and "unknown" are not among them: as words they are values, such as a severity."""

MARKS_AMONG_NUMBERS = (
    *MARKS,
    "-",
    "--",
    "\u2013",
    "\u2014",
    ".",
)
"""Marks in a column whose other values are all numbers, dates or times."""

NO_LABEL = ("-1", "-1.0")
"""Marks of a row without a label among words, after scikit-learn's -1."""

_TWO_LETTERS = {"NA": re.compile(r"[A-Z]{2}"), "na": re.compile(r"[a-z]{2}")}


def missing_marks(
    levels: Iterable[str], *, labels: bool = False, known: Collection[object] = ()
) -> frozenset[str]:
    """Find the marks of missing values among the distinct values of a column of text.

    Parameters
    ----------
    levels : iterable of str
        The distinct values. Blanks around them do not count.
    labels : bool, default=False
        Whether the column holds labels, where "-1" is a mark, too. Among features it is one only
        if no other value is a number.
    known : collection, default=()
        Values that a fitted model knows: they are never marks.

    Returns
    -------
    frozenset of str
        Those levels, as they were given, that mark a missing value. "NA" stays a value if more than
        half of the other values are codes of two capital letters, as those of countries are ("na":
        of two small letters).

    Examples
    --------
    >>> sorted(missing_marks(["cat", "dog", "<NA>", " "]))
    [' ', '<NA>']
    >>> missing_marks(["DE", "FR", "NA"])
    frozenset()
    >>> missing_marks(["cat", "-1"], labels=True)
    frozenset({'-1'})
    """
    stripped = {level: level.strip() for level in levels}
    values = {text for text in stripped.values() if text not in MARKS and text not in NO_LABEL}
    marks = {*MARKS}
    if labels or not any(is_number(value) for value in values):
        marks.update(NO_LABEL)
    for mark, code in _TWO_LETTERS.items():
        n_codes = sum(code.fullmatch(value) is not None for value in values)
        if 2 * n_codes > len(values):
            marks.discard(mark)
    return frozenset(
        level for level, text in stripped.items() if text in marks and text not in known
    )


def is_number(text: str) -> bool:
    """Whether Python reads a text as a number; NaN and infinity are such, too."""
    try:
        float(text)
    except ValueError:
        return False
    return True
