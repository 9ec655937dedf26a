"""Tables in binary files: Parquet, Feather, Arrow, NPZ and NPY."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pyarrow as pa

_ARRAY_KEYS = (("X", "y"), ("X_train", "y_train"), ("X_test", "y_test"))


def read_parquet(path: Path) -> pa.Table:
    from pyarrow import parquet

    # Not the path: from "year=2020/a.parquet" Arrow would add a column "year".
    with path.open("rb") as stream:
        return _without_index(parquet.read_table(stream))


def read_feather(path: Path) -> pa.Table:
    from pyarrow import feather

    with path.open("rb") as stream:
        return _without_index(feather.read_table(stream, memory_map=False))


def _without_index(table: pa.Table) -> pa.Table:
    # pandas keeps an index that is not 0, 1, 2, ... in columns of these names.
    index = [name for name in table.column_names if re.fullmatch(r"__index_level_\d+__", name)]
    return table.drop_columns(index) if index else table


def read_npy(path: Path) -> pa.Table:
    import numpy as np

    return _from_matrix(path, np.load(path, allow_pickle=False), None, None)


def read_npz(path: Path) -> pa.Table:
    import numpy as np

    # Our own stream: np.load leaves the file open when the archive is damaged.
    with path.open("rb") as stream:
        arrays = np.load(stream, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise DataError(f"{path}: holds one array, not an archive; rename it to end in .npy.")
        for x_key, y_key in _ARRAY_KEYS:
            if x_key in arrays:
                y, names = arrays.get(y_key), arrays.get("feature_names")
                return _from_matrix(path, arrays[x_key], y, names)
    wanted = "; ".join(f"{x} and {y}" for x, y in _ARRAY_KEYS)
    raise DataError(
        f"{path}: has no matrix under a known key ({wanted}); "
        f"its keys: {', '.join(arrays.files) or 'none'}."
    )


def _from_matrix(
    path: Path, X: np.ndarray, y: np.ndarray | None, names: np.ndarray | None
) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    if X.ndim != 2:
        raise DataError(
            f"{path}: X has the shape {X.shape}; it must have two dimensions, rows and columns."
        )
    if X.dtype.kind not in "biuf":
        raise DataError(f"{path}: X holds {X.dtype}, not numbers; save it with a numeric dtype.")
    # Arrow knows neither half precision well nor another machine's byte order.
    kind = np.dtype("f4") if X.dtype == np.float16 else X.dtype.newbyteorder("=")
    kind = np.dtype("u1") if X.dtype.kind == "b" else kind
    columns = [pa.array(column) for column in np.ascontiguousarray(X.T, dtype=kind)]
    headings = _headings(names, X.shape[1])
    if y is not None:
        if y.size != len(X) or y.dtype.kind not in "biufSU":
            raise DataError(
                f"{path}: y holds {y.size} values of type {y.dtype} for {len(X)} rows of X; "
                "it must hold one number or string per row."
            )
        labels = y.reshape(-1).astype(str) if y.dtype.kind in "SU" else y.reshape(-1)
        columns.append(pa.array(labels, from_pandas=True))  # NaN becomes missing
        headings.append("y")
    return pa.Table.from_arrays(columns, names=headings)


def _headings(names: np.ndarray | None, width: int) -> list[str]:
    if names is not None and names.dtype.kind == "U" and names.shape == (width,):
        given = [str(name) for name in names]
        if len({*given, "", "y"}) == width + 2:
            return given
    return [f"x{place}" for place in range(width)]
