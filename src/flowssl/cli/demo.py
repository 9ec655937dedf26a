"""The command ``demo``: fit, evaluate, predict and report on data that come with scikit-learn."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import flowssl
from flowssl._files import probe
from flowssl.cli.evaluate import evaluate_model
from flowssl.cli.fit import summary
from flowssl.cli.predict import prediction_table
from flowssl.exceptions import DataError
from flowssl.tables import write_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import pyarrow as pa

    from flowssl.cli.console import Console
    from flowssl.cli.source import Labels
    from flowssl.estimators import FlowGMMClassifier


SUMMARY = "learn scikit-learn's digits from ten labels per class"
DETAILS = "Two thirds of the 1,797 images are learned from, one third is held out."

_LABELS_PER_CLASS = 10
_SEED = 0
_WRITTEN = ("model.flowssl", "held_out.csv", "predictions.csv", "report.html")


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options."""
    parser.add_argument(
        "-o", "--output", metavar="DIR", default="demo", help="directory to write (default: demo)"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Learn the digits from ten labels per class and compare with a fit to the labels alone."""
    from flowssl._class_codes import class_codes
    from flowssl._fitted import baseline_log_proba

    folder = Path(arguments.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise DataError(f"{folder} is a file; name a directory with -o.") from None
    _check_folder(folder)
    digits = _split_digits()
    console.remark(
        f"scikit-learn's digits: {digits.train.num_rows:,} images of 8 x 8 pixels to learn from, "
        f"{_LABELS_PER_CLASS} of each class with a label; {digits.test.num_rows:,} more held out."
    )
    estimator = flowssl.FlowGMMClassifier(random_state=_SEED, verbose=0 if console.quiet else 1)
    started = time.perf_counter()
    estimator.fit(digits.train, digits.y_train)
    seconds = time.perf_counter() - started

    result = evaluate_model(estimator, digits.test, digits.y_test)
    codes = class_codes(estimator, digits.y_test)
    guess = baseline_log_proba(estimator, estimator.encoder_.transform(digits.test)).argmax(axis=1)
    labels_only = float((guess == codes).mean())
    written = _write(folder, estimator, digits)
    if not console.quiet:
        facts = summary(estimator, digits.train.num_rows)
        console.facts([*facts, ("time", f"{seconds:.1f} s")])
    console.table(
        ("on the held-out images", "accuracy", "errors"),
        [
            _figures("logistic regression, labels only", labels_only, len(codes)),
            _figures("flowssl", result.accuracy, len(codes)),
        ],
        title="\ncomparison",
    )
    console.facts(written, title="\nwritten")
    return 0


@dataclass(frozen=True)
class _Digits:
    """Two thirds of the digits with a few labels, and one third with all labels."""

    train: pa.Table
    y_train: Labels
    test: pa.Table
    y_test: Labels


def _split_digits() -> _Digits:
    import pyarrow as pa
    from sklearn.model_selection import train_test_split

    from flowssl.datasets import hide_labels, load_dataset

    digits = load_dataset("digits")
    X_train, X_test, y_train, y_test = train_test_split(
        digits.X, digits.y, test_size=1 / 3, stratify=digits.y, random_state=_SEED
    )
    y_partial = hide_labels(y_train, per_class=_LABELS_PER_CLASS, random_state=_SEED)
    train, test = (pa.table(list(X.T), names=list(digits.feature_names)) for X in (X_train, X_test))
    return _Digits(train, y_partial, test, y_test)


def _check_folder(folder: Path) -> None:
    """Refuse a folder with files of these names, unless an earlier demo has written all of them."""
    found = [name for name in _WRITTEN if (folder / name).exists()]
    if 0 < len(found) < len(_WRITTEN):
        raise DataError(
            f"{folder} holds {found[0]}, which would be replaced; name another directory with -o."
        )
    for name in _WRITTEN:
        probe(folder / name)


def _write(folder: Path, estimator: FlowGMMClassifier, digits: _Digits) -> list[tuple[str, str]]:
    """Write the model, the held-out images with their predictions, and the report; name them."""
    import pyarrow as pa

    from flowssl.report import write_report

    model, held_out, predictions, page = (str(folder / name) for name in _WRITTEN)
    estimator.save(model)
    write_table(digits.test.append_column("label", pa.array(digits.y_test)), held_out)
    write_table(prediction_table(estimator, digits.test, proba=True, log_density=True), predictions)
    write_report(
        estimator,
        digits.train,
        digits.y_train,
        page,
        X_test=digits.test,
        y_test=digits.y_test,
        title="Handwritten digits",
    )
    command = f"flowssl evaluate {shlex.quote(model)} {shlex.quote(held_out)} --target label"
    return [
        ("model", model),
        ("held-out images", held_out),
        ("their predictions", predictions),
        ("report", page),
        ("next", command),
    ]


def _figures(method: str, accuracy: float, n_rows: int) -> tuple[str, str, str]:
    return method, f"{accuracy:.3f}", f"{round((1 - accuracy) * n_rows):,} of {n_rows:,}"
