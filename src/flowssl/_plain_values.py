"""Read masked arrays, whose masked values are missing ones, and PyTorch's tensors."""

from __future__ import annotations

from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

T = TypeVar("T")

_EXACT_INTEGERS = 2**53


def plain_values(values: T) -> T:
    """Return masked arrays and tensors as plain arrays, anything else as it is.

    Parameters
    ----------
    values : object
        A `numpy.ma.MaskedArray`, `numpy.ma.masked`, a `torch.Tensor`, a list or tuple with some of
        these, or anything else.

    Returns
    -------
    object
        Of a masked array with masked values a copy of which these are NaN, NaT or None. Integers
        become float64 if that holds them exactly and else objects, as do texts and bools. Of a
        tensor its values without gradient, on the CPU; types that NumPy lacks, such as bfloat16, as
        float32.

    Raises
    ------
    ValueError
        If a tensor is sparse, nested or quantized, or has no values (on the device "meta").
    """
    plain: object = values
    if values is np.ma.masked:
        plain = None
    elif isinstance(values, np.ma.MaskedArray):
        plain = _plain(values)
    elif isinstance(values, torch.Tensor):
        plain = _values_of(values)
    elif isinstance(values, list | tuple):
        rows = [plain_values(row) for row in values]
        if any(after is not before for after, before in zip(rows, values, strict=True)):
            plain = rows
    return cast(T, plain)


def _values_of(tensor: torch.Tensor) -> NDArray[np.generic]:
    is_plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_nested
    if tensor.is_meta or not is_plain:
        raise ValueError(
            "a tensor that is sparse, nested, quantized or on the device 'meta' has no plain array of "
            "numbers; convert it first, for example with tensor.to_dense()"
        )
    dense = tensor.detach().cpu().resolve_conj().resolve_neg()
    try:
        array: NDArray[np.generic] = dense.numpy()
    except TypeError:  # a type that NumPy lacks
        array = dense.float().numpy()
    return array


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
