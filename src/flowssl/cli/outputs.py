"""Where results go: a table on standard output or in a file."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flowssl._files import probe
from flowssl.cli.columns import require_column, split_names
from flowssl.cli.places import check_places, table_output
from flowssl.exceptions import DataError
from flowssl.tables import check_format, is_parquet, write_csv, write_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    import pyarrow as pa

    from flowssl.cli.console import Console


def check_results(arguments: argparse.Namespace, inputs: Mapping[str, str | None]) -> None:
    """Refuse a place for results that is an input, holds something else or cannot be written.

    Parameters
    ----------
    arguments : Namespace
        The parsed command line, with the options ``-o`` and ``--safe-csv``.
    inputs : mapping of str to str or None
        The files that the command reads, by the names that messages give them.

    Raises
    ------
    DataError, OSError
        As `check_places` does, or if no table can be written there.
    """
    path = arguments.output
    if path is None:
        if sys.stdout is None:
            raise DataError("standard output is closed; name a file with -o.")
        return
    check_format(path)
    if arguments.safe_csv and is_parquet(path):
        raise DataError(f"--safe-csv is for CSV, and {path} is Parquet; leave it out.")
    check_places(inputs, [table_output("-o", path)])


def check_folder(path: str, ours: str) -> None:
    """Refuse a folder for results that holds anything else, or that cannot be written to.

    Parameters
    ----------
    path : str
        The folder; it need not exist.
    ours : str
        A pattern of the names of files that may be there, and may be replaced.

    Raises
    ------
    DataError, OSError
        If it is not a folder, holds other files, or cannot be written to.
    """
    folder = Path(path)
    if folder.is_dir():
        for entry in folder.iterdir():
            if not re.fullmatch(ours, entry.name) and not entry.name.startswith("."):
                raise DataError(
                    f"-o {path} holds {entry.name}; name a folder that is new or empty, so that "
                    "nothing is replaced or mixed up."
                )
    elif folder.exists():
        raise DataError(f"-o {path} is a file; name a folder.")
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    probe(folder / "new")


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


def write_results(
    table: pa.Table, path: str | None, console: Console, *, safe_csv: bool = False
) -> None:
    """Write a table to a file, or as CSV to standard output.

    A file or a pipe gets the text as it is, a terminal with escapes for what would control it.
    """
    if path is not None:
        write_table(table, path, safe_csv=safe_csv)
        console.remark(f"{table.num_rows:,} rows written to {path}")
        return
    sys.stdout.flush()
    if sys.stdout.isatty():
        stream = io.BytesIO()
        write_csv(table, stream, safe=safe_csv)
        console.lines(stream.getvalue().decode())
    else:
        write_csv(table, sys.stdout.buffer, safe=safe_csv)
