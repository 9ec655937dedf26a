"""Read NumPy's masked arrays: a masked value is a missing one."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_EXACT_INTEGERS = 2**53


def without_mask(values: T) -> T | NDArray[np.generic]:
    """Return a masked array as a plain one with missing values; anything else as it is.

    Parameters
    ----------
    values : object
        A `numpy.ma.MaskedArray`, a list or tuple of them, or anything else.

    Returns
    -------
    object
        Of a masked array with masked values a copy of which these are NaN, NaT or None. Integers
        become float64 if that holds them exactly and else objects, as do texts and bools.
    """
    if isinstance(values, np.ma.MaskedArray):
        return _plain(values)
    if isinstance(values, list | tuple) and any(isinstance(v, np.ma.MaskedArray) for v in values):
        return _plain(np.ma.stack([np.ma.asarray(row) for row in values]))
    return values


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
