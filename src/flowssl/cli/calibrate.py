"""The command ``calibrate``: class probabilities fitted to validation labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import flowssl
from flowssl.cli.arguments import add_data, add_labels, add_model
from flowssl.cli.evaluate import evaluate_model
from flowssl.cli.flows import require_flow
from flowssl.cli.places import check_places, model_output
from flowssl.cli.sources import source_for_model

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from flowssl.cli.console import Console

SUMMARY = "fit the class probabilities to validation labels"
DETAILS = (
    "DATA holds labeled rows that the model was not fitted to; some hundred suffice. Densities and "
    "samples stay as they are."
)


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options."""
    add_model(parser)
    add_data(parser)
    add_labels(parser)
    parser.add_argument(
        "--method",
        choices=("temperature", "variance"),
        default="temperature",
        help="what is fitted: a divisor of the log-odds, or a factor of the variances of the class "
        "Gaussians (default: temperature)",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="NEW", help="the model file to write"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Calibrate a model on validation labels and write it to a new file."""
    inputs = {
        "MODEL": arguments.model,
        "DATA": arguments.data,
        "--labels": arguments.labels,
    }
    check_places(inputs, [model_output("-o", arguments.output)])
    estimator = require_flow(flowssl.load(arguments.model), "calibrate")
    source = source_for_model(estimator, arguments, console)
    rows = source.read_labeled(estimator, arguments.data, arguments.labels)
    before = evaluate_model(estimator, rows.X, rows.y)
    estimator.calibrate(rows.X, rows.y, method=arguments.method)
    after = evaluate_model(estimator, rows.X, rows.y)
    estimator.save(arguments.output)
    pairs = (
        (
            "negative log-likelihood",
            before.negative_log_likelihood,
            after.negative_log_likelihood,
        ),
        ("calibration error", before.calibration_error, after.calibration_error),
        ("accuracy", before.accuracy, after.accuracy),
    )
    console.facts(
        [
            (f"labeled {source.noun}", f"{after.labeled:,} of {after.rows:,}"),
            ("temperature", f"{estimator.calibration_temperature_:.4g}"),
            ("variance", f"{estimator.calibration_variance_:.4g}"),
            *((name, f"{old:.4f} before, {new:.4f} after") for name, old, new in pairs),
            ("saved", arguments.output),
        ]
    )
    return 0
