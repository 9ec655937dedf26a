"""Where results go: a table on standard output or in a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flowssl.cli.columns import require_column, split_names
from flowssl.exceptions import DataError
from flowssl.tables import write_csv, write_table

if TYPE_CHECKING:
    import pyarrow as pa

    from flowssl.cli.console import Console


def check_directory(path: str | None) -> None:
    """Raise `DataError` at once if a file cannot be written because of its directory."""
    if path is None:
        return
    if Path(path).is_dir():
        raise DataError(f"{path} is a directory; name a file in it.")
    if not Path(path).parent.is_dir():
        raise DataError(f"{path}: there is no directory {Path(path).parent}; create it first.")


def with_id(results: pa.Table, columns: pa.Table, name: str | None) -> pa.Table:
    """Put a column of the data in front of the results; none if the name is None."""
    if name is None:
        return results
    (name, *more) = split_names(name, columns.column_names) or [name]
    if more:
        raise DataError(f"--id: one column, please; {name!r} and {more[0]!r} are two.")
    require_column(columns, name, "--id")
    if name in results.column_names:
        raise DataError(f"--id: the results have a column {name!r}, too; rename it in the file.")
    return results.add_column(0, name, columns.column(name))


def write_results(table: pa.Table, path: str | None, console: Console) -> None:
    """Write a table to a file, or as CSV to standard output."""
    if path is not None:
        write_table(table, path)
        console.remark(f"{table.num_rows:,} rows written to {path}")
    else:
        sys.stdout.flush()
        write_csv(table, sys.stdout.buffer)
