"""Turn sparse matrices into dense ones, within a limit."""

from __future__ import annotations

from typing import TypeVar, cast

import numpy as np
from scipy.sparse import sparray, spmatrix

from flowssl.exceptions import DataError

MAX_DENSE_BYTES = 2**30
"""Largest dense matrix that a sparse one is turned into: 1 GiB, of float64."""

T = TypeVar("T")


def densified(X: T) -> T:
    """Return a sparse matrix or array as a dense array, anything else as it is.

    Every column of a flow depends on every other one, so that it takes dense rows.

    Raises
    ------
    DataError
        If the dense matrix would take more than `MAX_DENSE_BYTES`.
    """
    if not isinstance(X, sparray | spmatrix):
        return X
    size = 8 * int(np.prod(X.shape, dtype=np.int64))
    if size > MAX_DENSE_BYTES:
        raise DataError(
            f"X is a sparse matrix of shape {X.shape}, which as a dense one takes "
            f"{size / 2**30:.1f} GiB; the limit is {MAX_DENSE_BYTES / 2**30:.1f} GiB. Reduce its "
            "columns, for example with sklearn.decomposition.TruncatedSVD(100) in a pipeline, or "
            "take fewer rows."
        )
    return cast(T, X.toarray())
