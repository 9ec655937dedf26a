"""The command ``score``: log-densities of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import flowssl
from flowssl.cli.arguments import add_data, add_model, add_results
from flowssl.cli.flows import require_flow
from flowssl.cli.outputs import check_results, with_id, write_results
from flowssl.cli.sources import source_for_model

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from flowssl.cli.console import Console

SUMMARY = "write the log-density of each row"
DETAILS = (
    "It is log p(x) in nats: exact for rows of numbers, approximate for images and for rows with "
    "categories or missing values."
)


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options."""
    add_model(parser)
    add_data(parser)
    add_results(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write the log-density of each row, in nats."""
    import pyarrow as pa

    check_results(arguments, {"MODEL": arguments.model, "DATA": arguments.data})
    estimator = require_flow(flowssl.load(arguments.model), "score")
    source = source_for_model(estimator, arguments, console)
    rows = source.read(estimator, arguments.data)
    scores = pa.table({"log_density": estimator.score_samples(rows.X)})
    results = with_id(scores, rows.columns, arguments.id or source.id_column)
    write_results(results, arguments.output, console, safe_csv=arguments.safe_csv)
    return 0
