"""The kinds of rows that the commands know, and which one applies to a command.

``fit`` finds the kind of its rows from the path of the data; for a fitted model it is
``estimator.encoder_.row_kind``. Commands ask the `Source` for all that differs between kinds. A new
kind is a subclass of `Source` and a line in `SOURCES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowssl.cli.image_source import ImageSource
from flowssl.cli.options import chosen_options, option_of
from flowssl.cli.table_source import TableSource
from flowssl.cli.text_source import TextSource
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from flowssl.cli.console import Console
    from flowssl.cli.source import Source
    from flowssl.estimators import Classifier

SOURCES: dict[str, type[Source]] = {
    "table": TableSource,
    "image": ImageSource,
    "text": TextSource,
}
"""The kinds of rows, by the ``row_kind`` of their encoders."""


def source_for_fit(arguments: argparse.Namespace, console: Console) -> Source:
    """Return the source for the rows of ``fit``: the path of the data, and ``--text``, decide.

    Raises
    ------
    DataError
        If texts are asked for where there are none.
    """
    options = chosen_options(arguments).get("text")
    if arguments.text is not None:
        if not TextSource.holds(arguments.data):
            raise DataError(f"--text names columns of a table; {arguments.data} is none.")
        return TextSource(arguments, console)
    if isinstance(options, dict):
        option = option_of("text", next(iter(options)))
        raise DataError(f"{option} is for texts; name their columns with --text COLUMN.")
    kind = next(kind for kind in SOURCES.values() if kind.holds(arguments.data))
    return kind(arguments, console)


def source_for_model(
    estimator: Classifier, arguments: argparse.Namespace, console: Console
) -> Source:
    """Return the source of the kind of rows that a model was fitted on."""
    return SOURCES[estimator.encoder_.row_kind](arguments, console)


def source_described_by(record: Mapping[str, object]) -> type[Source] | None:
    """Return the kind of rows that an encoder's JSON record describes, None if it is unknown."""
    return SOURCES.get(str(record["row_kind"]))
