"""Read NumPy's masked arrays: a masked value is a missing one."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


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
    if isinstance(values, list | tuple) and any(
        isinstance(row, np.ma.MaskedArray) for row in values
    ):
        values = np.ma.stack([np.ma.asarray(row) for row in values])  # type: ignore[no-untyped-call]
    if not isinstance(values, np.ma.MaskedArray):
        return values
    plain: NDArray[np.generic] = np.asarray(values.data)
    masked = np.ma.getmaskarray(values)
    if not masked.any():
        return plain
    if plain.dtype.kind in "iu" and np.abs(plain[~masked].astype(np.float64)).max(initial=0) < 2**53:
        plain = plain.astype(np.float64)
    elif plain.dtype.kind not in "fcMm":
        plain = plain.astype(object)
    else:
        plain = plain.copy()
    plain[masked] = None if plain.dtype == object else np.array("NaT" if plain.dtype.kind in "Mm" else np.nan, plain.dtype)
    return plain
