"""Labels of a table: their values, and which rows have none.

Labels of a file of text stay as they are written, unless whole numbers give the text back.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from flowssl._arrow import is_text
from flowssl._field_facts import CELLS, fact
from flowssl._missing_marks import NO_LABEL, missing_marks
from flowssl.cli.console import option
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Labels: TypeAlias = npt.NDArray[np.generic]

_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")
_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_WHOLE_AS_FLOAT = re.compile(r"(-?\d+)\.0+")
_MANY = 10
_INEXACT = 2**53  # from here on float64 does not hold every whole number
_DOUBTFUL = ("none", "-", "unknown", "unlabeled", "unlabelled", "missing", "na", "null", "nan")


@dataclass(frozen=True, eq=False)
class MarkedLabels:
    """Labels of which it is known which rows have none.

    Attributes
    ----------
    y : ndarray of shape (n,)
        Labels; unlabeled rows carry `marker` or, where this is "auto", None or the number -1.
    marker : str, int, bool or None
        The estimator's ``unlabeled_value``.
    remarks : list of str
        What was decided that the data left open.
    """

    y: Labels
    marker: object
    remarks: list[str] = field(default_factory=list)


def labels(table: pa.Table, target: str) -> Labels:
    """Return the labels of a table: an array of numbers or, with text or empty cells, of objects.

    Empty cells are None; other marks of unlabeled rows are left as they are. What a file of text
    has becomes whole numbers if it is written like these, marks aside.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    DataError
        If the column does not hold numbers, text, or true and false, or it holds quantities.
    """
    import numpy as np
    import pyarrow as pa

    column = table.column(target)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if is_text(kind):
        texts: list[str | None] = column.to_pylist()
        is_written = fact(table.schema.field(target), CELLS) is not None
        return _from_cells(texts, target) if is_written else _tidy(texts)
    if not (_is_numeric(kind) or pa.types.is_null(kind)):
        raise DataError(
            f"--target: column {target!r} holds {kind}; labels are numbers, text, or true and false."
        )
    if pa.types.is_floating(kind):
        numbers = column.to_numpy().astype(np.float64)
        known = numbers[~np.isnan(numbers)]
        if not (known == np.round(known)).all():
            raise DataError(_quantities(target, f"{known[known != np.round(known)][0]:g}"))
        large = known[np.abs(known) >= _INEXACT]
        if len(large):
            raise DataError(
                f"--target: column {target!r} holds {large[0]:g}, a number of floating point of which "
                "not every digit is known; save the labels as whole numbers or text."
            )
        # 1.0 came from a column of whole numbers with gaps: its class is 1.
        column = pa.chunked_array([pa.array(numbers, from_pandas=True).cast(pa.int64())])
    if column.null_count:
        return _tidy(column.to_pylist())
    return cast("Labels", column.to_numpy())


def marked_for_fit(y: Labels, chosen: str, target: str) -> MarkedLabels:
    """Decide which rows have no label, given ``--unlabeled-value``.

    A value that the column has names these rows. Otherwise "none" says that every row is labeled,
    and "auto" that empty cells, -1 and the usual marks of missing values mean "no label".

    Raises
    ------
    DataError
        If the labels are numbers and `chosen` is not.
    """
    if chosen != "auto":
        y = _of_one_kind(y, chosen)
        marker = typed_marker(chosen, y)
        named = marker in (None, "") or marker in y.tolist()
        remark = f"no label in column {target!r} is {chosen!r}, which --unlabeled-value names"
        remarks = [*([] if named else [remark]), *_alike(set(y.tolist()) - {marker}, target)]
        return MarkedLabels(mark_unlabeled(y, marker), marker, remarks)
    counts = Counter(str(label) for label in y.tolist() if label is not None)
    texts = {label for label in y.tolist() if isinstance(label, str)}
    marks = missing_marks(counts, labels=True) & texts
    y = _tidy([None if label in marks else label for label in y.tolist()])
    remarks = _alike(texts - marks, target)
    remarks += [
        f"{label!r} in column {target!r} is taken for a class; if it marks unlabeled rows, add "
        f"{option('--unlabeled-value', label)}"
        for label in sorted(texts - marks)
        if label.lower() in _DOUBTFUL
    ]
    if marks:
        found = ", ".join(f"{mark!r} ({counts[mark]:,})" for mark in sorted(marks))
        remarks.append(
            f"rows without a label in column {target!r}: {found}; if this is a class, add "
            "--unlabeled-value '', and only empty cells mark unlabeled rows"
        )
    return MarkedLabels(y, "auto", remarks)


def marked_for_model(y: Labels, classes: Sequence[object], marker: object) -> Labels:
    """Express labels in the classes of a model, and mark the rows that have none as it does.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels of a table.
    classes : sequence of labels
        The model's. They are found by how they are written; failing that, 1.0 is 1 and TRUE is True.
    marker : object
        The model's ``unlabeled_value``; for "auto", None marks unlabeled rows here, and of several
        markers the first.
    """
    from flowssl._labels import markers_of

    named = {spelled_label(label): label for label in classes}
    likes = Counter(map(_loosely, classes))
    alike = {_loosely(label): label for label in classes if likes[_loosely(label)] == 1}
    spelled = {label: spelled_label(label) for label in set(y.tolist()) if label is not None}
    if marker == "auto":
        markers: list[object] = []
        marks = missing_marks(spelled.values(), labels=True, known=named)
    else:
        markers = markers_of(marker)
        marks = frozenset(spelled_label(each) for each in markers if each is not None)
    blank = next(iter(markers), None)
    expressed = {
        label: blank if text in marks else named.get(text, alike.get(_loosely(label), label))
        for label, text in spelled.items()
    }
    return _tidy([expressed.get(label, blank) for label in y.tolist()])


def settled_marker(y: Labels, marker: object) -> object:
    """Return what marks unlabeled rows among labels whose other marks are None by now.

    What looks like a mark is a class then, such as "NA" for Namibia.
    """
    is_auto = isinstance(marker, str) and marker == "auto"
    has_text = any(isinstance(label, str) for label in y.tolist())
    return float("nan") if is_auto and has_text else marker


def typed_marker(text: str, y: Labels) -> str | int | bool | None:
    """Turn ``--unlabeled-value`` into a value of the labels' own type.

    ``auto`` means what it means to the estimator, and so does ``none`` unless it is a label.

    Raises
    ------
    DataError
        If the labels are numbers, and the text is neither a number nor among them.
    """
    values = set(y.tolist())
    if text in values or text in ("auto", ""):
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


def mark_unlabeled(y: Labels, marker: object) -> Labels:
    """Replace empty cells by the marker of unlabeled rows, unless this is ``"auto"`` or None.

    In a file, an empty cell means an unlabeled row whatever the marker is.
    """
    if marker is None or (isinstance(marker, str) and marker == "auto") or y.dtype != object:
        return y
    return _tidy([marker if value is None else value for value in y.tolist()])


def _is_numeric(kind: pa.DataType) -> bool:
    """Whether a type is that of numbers, or of true and false."""
    import pyarrow as pa

    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _from_cells(cells: list[str | None], target: str) -> Labels:
    """Convert labels as a file of text has them."""
    levels = {cell for cell in cells if cell is not None}
    known = levels - (missing_marks(levels, labels=True) - {*NO_LABEL})
    if known and all(_DECIMAL.fullmatch(level) for level in known):
        fractions = [n for n in known if "." in n and not _WHOLE_AS_FLOAT.fullmatch(n)]
        n_labeled = sum(cell in known for cell in cells)
        # Versions such as 1.10 are few, and repeat; quantities hardly do.
        if fractions and len(known) >= _MANY and 2 * len(known) > n_labeled:
            raise DataError(_quantities(target, min(fractions)))
    if not all(_WHOLE.fullmatch(level) for level in known):
        return _tidy(cells)
    return _tidy([int(cell) if cell in known else cell for cell in cells])


def _of_one_kind(y: Labels, marker: str) -> Labels:
    """Make whole numbers text again if text other than the marker is among them."""
    if all(not isinstance(label, str) or label == marker for label in y.tolist()):
        return y
    return _tidy([None if label is None else str(label) for label in y.tolist()])


def _quantities(target: str, example: str) -> str:
    return (
        f"--target: column {target!r} holds fractions such as {example}; flowssl predicts classes, "
        "not quantities: give it a column of classes, such as low, medium and high."
    )


def _alike(classes: Collection[object], target: str) -> list[str]:
    """Point out classes that a reader would take for one."""
    groups: dict[str, list[str]] = {}
    for label in sorted(label for label in classes if isinstance(label, str)):
        key = unicodedata.normalize("NFKC", label).casefold()
        groups.setdefault("".join(filter(str.isprintable, key)).replace(" ", ""), []).append(label)
    return [
        f"the classes {' and '.join(map(repr, group))} in column {target!r} differ only in case, blanks "
        "or the form of characters; if they are one class, write them alike"
        for group in groups.values()
        if len(group) > 1
    ]


def spelled_label(label: object) -> str:
    """Give a label as text, so that 1, 1.0 and "1", as files have it, are one class."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _loosely(label: object) -> str:
    """Give a label as text that "1.0" and "1" share, and "TRUE" and true."""
    text = spelled_label(label)
    if text.lower() in ("true", "false"):
        return text.lower()
    whole = _WHOLE_AS_FLOAT.fullmatch(text)
    return whole[1] if whole else text


def _tidy(values: Sequence[object]) -> Labels:
    """Return an array of the values: of their own type if it is that of numbers, or of objects."""
    import numpy as np

    if all(isinstance(value, int) for value in values):  # true and false, too
        return np.array(values)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
