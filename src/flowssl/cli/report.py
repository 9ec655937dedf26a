"""The command ``report``: an HTML page that explains a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import flowssl
from flowssl.cli.arguments import add_data, add_labels, add_model
from flowssl.cli.flows import require_flow
from flowssl.cli.places import check_places, page_output
from flowssl.cli.sources import source_for_model

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from flowssl.cli.console import Console

SUMMARY = "write an HTML page that explains a model"
DETAILS = ""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options."""
    add_model(parser)
    add_data(parser)
    add_labels(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="HTML", help="the page to write (.html)"
    )
    parser.add_argument("--test", metavar="DATA", help="held-out rows with labels, like DATA")
    parser.add_argument(
        "--test-labels", metavar="TABLE", help="for held-out images: a table like that of --labels"
    )
    parser.add_argument("--title", help="headline of the page")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write one HTML page that explains a model on its data."""
    inputs = {
        "MODEL": arguments.model,
        "DATA": arguments.data,
        "--labels": arguments.labels,
        "--test": arguments.test,
        "--test-labels": arguments.test_labels,
    }
    check_places(inputs, [page_output("-o", arguments.output)])
    from flowssl.report import write_report

    estimator = require_flow(flowssl.load(arguments.model), "report")
    source = source_for_model(estimator, arguments, console)
    rows = source.read_labeled(estimator, arguments.data, arguments.labels)
    test = None
    if arguments.test:
        test = source.read_labeled(
            estimator, arguments.test, arguments.test_labels, "--test-labels"
        )
    write_report(
        estimator,
        rows.X,
        rows.y,
        arguments.output,
        X_test=None if test is None else test.X,
        y_test=None if test is None else test.y,
        names=rows.names,
        title=arguments.title,
    )
    console.remark(f"report written to {arguments.output}")
    return 0
