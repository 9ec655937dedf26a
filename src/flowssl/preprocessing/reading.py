"""Read a table from any container."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals as nw
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array

from flowssl._plain_values import plain_values
from flowssl.preprocessing.containers import (
    Column,
    ColumnType,
    Kind,
    Table,
    TableLike,
    check_finite,
    frame_or_other,
)
from flowssl.preprocessing.frames import read_frame
from flowssl.preprocessing.objects import read_objects, seconds_of_ticks
from flowssl.preprocessing.sparse import densified


def as_table(X: TableLike, estimator: BaseEstimator, kinds: Sequence[Kind] = ()) -> Table:
    """Convert a container to a `Table`.

    Parameters
    ----------
    X : array-like of shape (n, n_columns), sparse matrix or data frame
        Anything that NumPy or narwhals accepts, except lazy frames. Masked values are missing.
    estimator : estimator
        Estimator named in scikit-learn's error messages.
    kinds : sequence of {"numeric", "datetime", "categorical"}, default=()
        Kinds of the columns in fit. Where a column was categorical, its values are read as they
        are, whatever type they have now; the others are read by their own type.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        With scikit-learn's message if X is not two-dimensional, empty, complex or infinite.
    TypeError
        If X is lazy, or a column holds neither numbers, times nor categories.
    DataError
        If two columns share a name, or a sparse matrix is too large.
    """
    X = densified(plain_values(X))
    frame = frame_or_other(X)
    if isinstance(frame, nw.LazyFrame):
        raise TypeError("X is a lazy frame; collect it first, with X.collect().")
    if isinstance(frame, nw.DataFrame):
        return read_frame(frame, kinds)
    return _read_array(X, estimator, kinds)


def _read_array(X: TableLike, estimator: BaseEstimator, kinds: Sequence[Kind]) -> Table:
    if isinstance(X, list | tuple) and np.asarray(X).dtype.kind in "US":
        # NumPy would convert numbers, None and NaN next to strings to strings.
        X = np.asarray(X, dtype=object)
    if isinstance(X, np.ndarray) and X.dtype.kind == "T":  # texts of variable length
        X = X.astype(object)
    array = check_array(
        X, dtype=None, ensure_all_finite="allow-nan", estimator=estimator, input_name="X"
    )
    kind = array.dtype.kind
    if kind == "V":
        raise TypeError(
            f"X is an array of records, {array.dtype}; convert it to a data frame, for example with "
            "pandas.DataFrame(X)."
        )
    if kind in "fiu":
        numeric = ColumnType("numeric", "Float64")
        # torch cannot share the memory of an array that must not be written to.
        with np.errstate(over="ignore"):  # of long doubles, which the check below reports
            matrix = array.astype(np.float64, copy=not array.flags.writeable)
        if array.dtype.itemsize > matrix.itemsize:
            for j, values in enumerate(matrix.T):
                check_finite(values, j)
        columns = [Column(j, numeric, matrix[:, j]) for j in range(matrix.shape[1])]
        return Table("array", len(matrix), _with_levels(columns, array, kinds), matrix)
    if kind in "Mm":
        time = ColumnType("datetime", "Datetime" if kind == "M" else "Duration", unit="us")
        seconds = seconds_of_ticks(array.astype(f"{kind}8[us]"))
        columns = [Column(j, time, values) for j, values in enumerate(seconds.T)]
        return Table("array", len(array), _with_levels(columns, array, kinds))
    if kind == "b":
        boolean = ColumnType("categorical", "Boolean")
        columns = [Column(j, boolean, values.tolist()) for j, values in enumerate(array.T)]
        return Table("array", len(array), columns)
    text = array.astype(np.str_) if kind == "S" else array.astype(object)
    columns = [
        Column(j, ColumnType("categorical", "Object"), values.tolist())
        if j < len(kinds) and kinds[j] == "categorical"
        else read_objects(j, values.tolist(), parse_strings=True)
        for j, values in enumerate(text.T)
    ]
    return Table("array", len(array), columns)


def _with_levels(
    columns: list[Column], array: NDArray[np.generic], kinds: Sequence[Kind]
) -> list[Column]:
    """Give the values as they are of columns that were categorical in fit."""
    levels = ColumnType("categorical", "Object")
    return [
        Column(column.name, levels, array[:, j].tolist())
        if j < len(kinds) and kinds[j] == "categorical"
        else column
        for j, column in enumerate(columns)
    ]
