"""Read the records and tensors of a model file, whose every value may have been forged.

A `Record` gives the values of a JSON object by key and type, and `check_arrays` compares tensors
with the shapes that the records declare. Both name the place of what they refuse.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from reprlib import Repr
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from flowssl._persistence import JSON, parse_json
from flowssl.exceptions import ModelFileError

MAX_SIZE = 2**32
"""No size of a model is larger: a model file has at most 4 GiB."""

TensorKind: TypeAlias = tuple[str, tuple[int, ...]]
"""NumPy's letter of the kind of numbers that a tensor holds, and its shape."""

_KINDS = {"f": "floating-point numbers", "i": "integers", "b": "booleans"}
_SHORT = Repr()
_SHORT.maxlevel = 3
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 4
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 60


def shown(value: object) -> str:
    """Return a value of a file for a message, short however long it is."""
    return _SHORT.repr(value)


class Record:
    """A JSON object of a model file.

    Parameters
    ----------
    value : JSON
        What should be the object.
    name : str
        What messages call it, such as "model".

    Raises
    ------
    ModelFileError
        If it is no object; and from every method, if the value is missing or not as asked for.

    Examples
    --------
    >>> Record({"dim": 3}, "model").whole("dim", least=1)
    3
    >>> Record({"dim": True}, "model").whole("dim", least=1)
    Traceback (most recent call last):
    ...
    flowssl.exceptions.ModelFileError: its model.dim must be a whole number from 1 to 4294967296, got True
    """

    def __init__(self, value: JSON, name: str) -> None:
        if not isinstance(value, Mapping):
            raise ModelFileError(f"its {name} must be a record, got {shown(value)}")
        self.values = value
        self.name = name

    @classmethod
    def parse(cls, text: str, name: str) -> Record:
        """Parse the JSON text of an object."""
        return cls(parse_json(text.encode("utf-8", "surrogatepass")), name)

    def get(self, key: str) -> JSON:
        """Return any value."""
        if key not in self.values:
            raise ModelFileError(f"its {self.name} lacks {key!r}")
        return self.values[key]

    def record(self, key: str) -> Record:
        """Return an object."""
        return Record(self.get(key), f"{self.name}.{key}")

    def items(self, key: str) -> list[JSON]:
        """Return a list."""
        value = self.get(key)
        if not isinstance(value, list):
            raise self._wrong(key, "a list")
        return value

    def whole(self, key: str, *, least: int = 0, most: int = MAX_SIZE) -> int:
        """Return a whole number within bounds."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self._wrong(key, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, *, least: float = -math.inf) -> float:
        """Return a number from ``least`` on that is finite as a float."""
        value = self.get(key)
        of_type = isinstance(value, int | float) and not isinstance(value, bool)
        largest = np.finfo(np.float64).max
        if not of_type or not max(least, -largest) <= value <= largest:  # type: ignore[operator]
            bound = "a finite number" + ("" if least == -math.inf else f" from {least:g} on")
            raise self._wrong(key, bound)
        return float(value)  # type: ignore[arg-type]

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.get(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def text(self, key: str, choices: Collection[str] | None = None) -> str:
        """Return a text, which must be one of the choices, if there are any."""
        value = self.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        if choices is not None and value not in choices:
            raise self._wrong(key, f"one of {', '.join(choices)}")
        return value

    def optional_text(self, key: str, choices: Collection[str] | None = None) -> str | None:
        """Return a text or null."""
        return None if self.get(key) is None else self.text(key, choices)

    def optional_texts(self, key: str) -> list[str] | None:
        """Return a list of texts or null."""
        if self.get(key) is None:
            return None
        values = self.items(key)
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) < len(values):
            raise self._wrong(key, "a list of texts")
        return texts

    def sizes(self, key: str) -> list[int]:
        """Return a list of whole numbers from 1 on."""
        values = self.items(key)
        entries = Record({str(i): value for i, value in enumerate(values)}, f"{self.name}.{key}")
        return [entries.whole(str(i), least=1) for i in range(len(values))]

    def _wrong(self, key: str, wanted: str) -> ModelFileError:
        value = shown(self.values[key])
        return ModelFileError(f"its {self.name}.{key} must be {wanted}, got {value}")


def check_arrays(
    arrays: Mapping[str, NDArray[np.generic]], wanted: Mapping[str, TensorKind], name: str
) -> None:
    """Compare tensors with what they must be, before anything is built from them.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The tensors of a group.
    wanted : mapping of str to (str, tuple of int)
        For each that must be there, NumPy's letter of its kind ("f", "i" or "b"), and its shape.
    name : str
        Name of the group, such as "model0"; empty for the tensors outside of all.

    Raises
    ------
    ModelFileError
        If one is missing or is too many, differs in kind or shape, or holds NaN or infinity.
    """
    prefix = f"{name}." if name else ""
    for key, (kind, shape) in wanted.items():
        if key not in arrays:
            raise ModelFileError(f"its tensor {shown(prefix + key)} is missing")
        found = arrays[key]
        if (found.dtype.kind, found.shape) != (kind, shape):
            raise ModelFileError(
                f"its tensor {shown(prefix + key)} must hold {_KINDS[kind]} in the shape "
                f"{shown(shape)}, got {found.dtype} in {shown(found.shape)}"
            )
        if kind == "f" and not np.isfinite(found).all():
            raise ModelFileError(f"its tensor {shown(prefix + key)} holds NaN or infinity")
    if extra := arrays.keys() - wanted.keys():
        raise ModelFileError(f"its tensor {shown(prefix + min(extra))} belongs to nothing")
