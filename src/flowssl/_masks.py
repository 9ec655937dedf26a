"""Read NumPy's masked arrays: a masked value is a missing one."""

from __future__ import annotations

from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_EXACT_INTEGERS = 2**53


def without_mask(values: T) -> T:
    """Return a masked array as a plain one with missing values; anything else as it is.

    Parameters
    ----------
    values : object
        A `numpy.ma.MaskedArray`, `numpy.ma.masked`, a list or tuple with some, or anything else.

    Returns
    -------
    object
        Of a masked array with masked values a copy of which these are NaN, NaT or None. Integers
        become float64 if that holds them exactly and else objects, as do texts and bools.
    """
    plain: object = values
    if values is np.ma.masked:
        plain = None
    elif isinstance(values, np.ma.MaskedArray):
        plain = _plain(values)
    elif isinstance(values, list | tuple):
        rows = [without_mask(row) for row in values]
        if any(after is not before for after, before in zip(rows, values, strict=True)):
            plain = rows
    return cast(T, plain)


def _plain(values: np.ma.MaskedArray[tuple[int, ...], np.dtype[np.generic]]) -> NDArray[np.generic]:
    plain, masked = np.asarray(values.data), np.ma.getmaskarray(values)
    if not masked.any():
        return plain
    kind, missing = plain.dtype.kind, np.array(None, dtype=object)
    if kind in "Mm":
        missing = np.array("NaT", dtype=plain.dtype)
    elif kind in "fc":
        missing = np.array(np.nan, dtype=plain.dtype)
    elif kind in "iu" and np.abs(plain[~masked].astype(float)).max(initial=0) < _EXACT_INTEGERS:
        missing = np.array(np.nan)
    plain = plain.astype(missing.dtype)  # a copy
    plain[masked] = missing
    return plain
