"""The kinds of rows that the commands know, and which one applies to a command.

``fit`` finds the kind of its rows from the path of the data; for a fitted model it is
``estimator.encoder_.row_kind``. Commands ask the `Source` for all that differs between kinds. A new
kind is a subclass of `Source` and a line in `SOURCES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowssl.cli.image_source import ImageSource
from flowssl.cli.table_source import TableSource

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from flowssl.cli.console import Console
    from flowssl.cli.source import Source
    from flowssl.estimators import Classifier

SOURCES: dict[str, type[Source]] = {"table": TableSource, "image": ImageSource}
"""The kinds of rows, by the ``row_kind`` of their encoders."""


def source_for_fit(arguments: argparse.Namespace, console: Console) -> Source:
    """Return the source for the rows of ``fit``, which the path of the data decides."""
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
