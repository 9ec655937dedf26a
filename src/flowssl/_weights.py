"""Read sample weights of any container."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowssl._plain_values import plain_values
from flowssl.preprocessing.objects import as_numbers


def read_weight(sample_weight: ArrayLike | None) -> NDArray[np.generic]:
    """Return weights as an array of numbers: NaN where missing, one number for all rows alike.

    Raises
    ------
    ValueError
        If they are not numbers.
    """
    weight: NDArray[np.generic] = np.asarray(
        1.0 if sample_weight is None else plain_values(sample_weight)
    )
    if weight.dtype.kind in "OUTS":  # None and pd.NA are not 0
        try:
            return as_numbers(weight.ravel().tolist()).reshape(weight.shape)
        except ValueError as error:
            raise ValueError(f"sample_weight must hold numbers: {error}") from error
    if weight.dtype.kind not in "biuf":
        raise ValueError(f"sample_weight must hold numbers, got an array of {weight.dtype}")
    return weight
