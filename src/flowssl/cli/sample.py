"""The command ``sample``: new rows drawn from a model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import flowssl
from flowssl.cli.arguments import add_model, add_safe_csv
from flowssl.cli.sources import source_for_model
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowssl.cli.console import Console
    from flowssl.estimators import Classifier

SUMMARY = "draw new rows from a model"
DETAILS = ""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options."""
    add_model(parser)
    parser.add_argument(
        "-n", "--number", type=_positive, required=True, metavar="N", help="number of rows"
    )
    parser.add_argument("--label", metavar="CLASS", help="draw from this class only")
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="factor on the variances of the latent Gaussians; below 1, samples are more typical "
        "(default: 1)",
    )
    parser.add_argument(
        "--random-state", type=int, metavar="SEED", help="seed; the same seed, the same rows"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="CSV or Parquet file to write, CSV on standard output by default; for images a "
        "folder for PNG files",
    )
    add_safe_csv(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Draw rows from a model and write them with their classes."""
    estimator = flowssl.load(arguments.model)
    source = source_for_model(estimator, arguments, console)
    source.check_sample_output(arguments.output)
    label = None if arguments.label is None else _class_named(estimator, arguments.label)
    X, y = estimator.sample(arguments.number, label, arguments.temperature, arguments.random_state)
    source.write_samples(estimator, X, y, arguments.output)
    return 0


def _class_named(estimator: Classifier, text: str) -> object:
    named: dict[str, object] = {str(label): label for label in estimator.classes_}
    if text not in named:
        raise DataError(f"--label: there is no class {text!r}; the model has {', '.join(named)}.")
    return named[text]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)
