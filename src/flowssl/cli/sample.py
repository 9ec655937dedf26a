"""The command ``sample``: new rows drawn from a model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import flowssl
from flowssl.cli.arguments import add_model, add_reading, add_safe_csv
from flowssl.cli.console import shortened
from flowssl.cli.flows import require_flow
from flowssl.cli.sources import source_for_model
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowssl.cli.console import Console
    from flowssl.cli.source import Inputs
    from flowssl.estimators import Classifier
    from flowssl.preprocessing.containers import TableLike

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
    parser.add_argument(
        "--judge",
        metavar="DATA",
        help="rows that the model was not fitted to: say how well boosted trees tell the samples "
        "from them",
    )
    add_reading(parser)
    add_safe_csv(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Draw rows from a model and write them with their classes."""
    estimator = flowssl.load(arguments.model)
    source = source_for_model(estimator, arguments, console)
    source.check_sample_output(arguments.output)
    label = None if arguments.label is None else _class_named(estimator, arguments.label)
    real = None if arguments.judge is None else source.read(estimator, arguments.judge).X
    X, y = estimator.sample(arguments.number, label, arguments.temperature, arguments.random_state)
    source.write_samples(estimator, X, y, arguments.output)
    if real is not None:
        console.remark(_judgment(estimator, real, X))
    return 0


def _judgment(estimator: Classifier, real: Inputs, X: TableLike) -> str:
    """Say how well boosted trees tell samples from real rows, and by which columns."""
    from flowssl.inspection import two_sample_test

    of_table = estimator.encoder_.row_kind == "table"
    rows = (real, X) if of_table else map(require_flow(estimator, "--judge").transform, (real, X))
    found = two_sample_test(*rows)
    low, high = found.interval
    prefix = "x" if of_table else "latent"  # of columns without names
    telling = [n if isinstance(n, str) else f"{prefix}{n}" for n in found.telling(3)]
    return (
        f"two-sample AUC {found.auc:.3f} ({low:.3f} to {high:.3f}; 0.5 is perfect) on "
        f"{found.n_rows:,} {'rows' if of_table else 'latents'} of each kind; told most by {shortened(telling)}"
    )


def _class_named(estimator: Classifier, text: str) -> object:
    named: dict[str, object] = {str(label): label for label in estimator.classes_}
    if text not in named:
        raise DataError(f"--label: there is no class {text!r}; the model has {', '.join(named)}.")
    return named[text]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)
