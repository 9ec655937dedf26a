"""The command ``demo``: fit, evaluate, predict and report on data that come with scikit-learn."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import flowssl
from flowssl.cli.evaluate import evaluate_model
from flowssl.cli.fit import summary
from flowssl.cli.predict import prediction_table
from flowssl.exceptions import DataError
from flowssl.tables import write_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from flowssl.cli.console import Console


SUMMARY = "learn scikit-learn's digits from ten labels per class"
DETAILS = "Two thirds of the 1,797 images are learned from, one third is held out."

_LABELS_PER_CLASS = 10
_SEED = 0


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options."""
    parser.add_argument(
        "-o", "--output", metavar="DIR", default="demo", help="directory to write (default: demo)"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Learn the digits from ten labels per class and compare with a fit to the labels alone."""
    import pyarrow as pa
    from sklearn.model_selection import train_test_split

    from flowssl._fitted import baseline_log_proba, class_codes
    from flowssl.datasets import hide_labels, load
    from flowssl.report import write_report

    folder = Path(arguments.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise DataError(f"{folder} is a file; name a directory with -o.") from None
    digits = load("digits")
    X_train, X_test, y_train, y_test = train_test_split(
        digits.X, digits.y, test_size=1 / 3, stratify=digits.y, random_state=_SEED
    )
    y_partial = hide_labels(y_train, per_class=_LABELS_PER_CLASS, random_state=_SEED)
    train, test = (pa.table(list(X.T), names=list(digits.feature_names)) for X in (X_train, X_test))
    console.remark(
        f"scikit-learn's digits: {len(X_train):,} images of 8 x 8 pixels to learn from, "
        f"{_LABELS_PER_CLASS} of each class with a label; {len(X_test):,} more held out."
    )
    estimator = flowssl.FlowGMMClassifier(random_state=_SEED, verbose=0 if console.quiet else 1)
    started = time.perf_counter()
    estimator.fit(train, y_partial)
    seconds = time.perf_counter() - started

    result = evaluate_model(estimator, test, y_test)
    codes = class_codes(estimator, y_test)
    alone = baseline_log_proba(estimator, estimator.encoder_.transform(test)).argmax(axis=1)
    alone_accuracy = float((alone == codes).mean())
    model, held_out, predictions, page = (
        str(folder / name)
        for name in ("model.flowssl", "held_out.csv", "predictions.csv", "report.html")
    )
    estimator.save(model)
    write_table(test.append_column("label", pa.array(y_test)), held_out)
    write_table(prediction_table(estimator, test, proba=True, log_density=True), predictions)
    write_report(
        estimator, train, y_partial, page, X_test=test, y_test=y_test, title="Handwritten digits"
    )
    if not console.quiet:
        console.facts([*summary(estimator, len(X_train)), ("time", f"{seconds:.1f} s")])
    console.table(
        ("on the held-out images", "accuracy", "errors"),
        [
            (
                "logistic regression, labels only",
                f"{alone_accuracy:.3f}",
                _errors(alone_accuracy, len(y_test)),
            ),
            ("flowssl", f"{result.accuracy:.3f}", _errors(result.accuracy, len(y_test))),
        ],
        title="\ncomparison",
    )
    console.facts(
        [
            ("model", model),
            ("held-out images", held_out),
            ("their predictions", predictions),
            ("report", page),
            (
                "next",
                f"flowssl evaluate {shlex.quote(model)} {shlex.quote(held_out)} --target label",
            ),
        ],
        title="\nwritten",
    )
    return 0


def _errors(accuracy: float, rows: int) -> str:
    return f"{round((1 - accuracy) * rows):,} of {rows:,}"
