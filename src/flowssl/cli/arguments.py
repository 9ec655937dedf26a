"""Options that several commands have. Nothing heavy is imported: ``--help`` must answer at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowssl.cli.sources import SOURCES

if TYPE_CHECKING:
    import argparse


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add MODEL."""
    parser.add_argument("model", metavar="MODEL", help="a model file that fit has written")


def add_data(parser: argparse.ArgumentParser, *, fitting: bool = False) -> None:
    """Add DATA and the options with which each kind of rows is read."""
    kinds = "; or ".join(dict.fromkeys(kind.data for kind in SOURCES.values()))
    parser.add_argument("data", metavar="DATA", help=kinds)
    add_reading(parser, fitting=fitting)


def add_reading(parser: argparse.ArgumentParser, *, fitting: bool = False) -> None:
    """Add the options with which each kind of rows is read."""
    for kind in SOURCES.values():
        kind.add_options(parser, fitting=fitting)


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the labels are."""
    parser.add_argument(
        "--target", metavar="COLUMN", help="the column of labels (for images: label by default)"
    )
    parser.add_argument(
        "--labels",
        metavar="TABLE",
        help="for images: a table with the columns file and label; other images are unlabeled",
    )


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that write a table with a row for each row of DATA."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="CSV or Parquet file to write; CSV on standard output by default",
    )
    parser.add_argument(
        "--id",
        metavar="COLUMN",
        help="column of DATA to copy to the front, as it is written (for images: file by default)",
    )
    add_safe_csv(parser)


def add_safe_csv(parser: argparse.ArgumentParser) -> None:
    """Add ``--safe-csv``."""
    parser.add_argument(
        "--safe-csv",
        action="store_true",
        help="put an apostrophe before text that a spreadsheet would take for a formula: that which "
        "begins with =, +, - or @ and is no number (default: text as it is in the data, which "
        "other programs need)",
    )
