"""The command ``fit``: a table in, a model file and a summary out."""

from __future__ import annotations

import re
import shlex
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from flowssl._labels import is_unlabeled
from flowssl.cli.columns import (
    choose_features,
    doubts_about,
    labels,
    looks_missing,
    mark_unlabeled,
    require_column,
    split_names,
    typed_marker,
)
from flowssl.cli.options import METHODS, chosen_options
from flowssl.cli.pictures import labels_of, pictures_to_fit
from flowssl.exceptions import DataError
from flowssl.pictures import Pictures, holds_pictures
from flowssl.tables import read_table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from flowssl.bijections.images import Shape
    from flowssl.cli.console import Console
    from flowssl.estimators import Classifier


INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_SHOWN_CLASSES = 10


def fit(arguments: argparse.Namespace, console: Console) -> int:
    """Learn a model from a table or pictures and save it.

    Ctrl-C ends the training early: the best model so far is saved, and the exit code is 130.
    """
    for path in (arguments.output, arguments.report):
        check_directory(path)
    method = METHODS[arguments.method]
    if not method.is_flow and (arguments.report or arguments.resume):
        option = "--report explains flows" if arguments.report else "--resume needs a checkpoint"
        raise DataError(f"{option}; leave it out with --method {arguments.method}.")
    options: dict[str, object] = dict(chosen_options(arguments))
    X: pa.Table | npt.NDArray[np.uint8]
    names: list[str] | None = None
    if holds_pictures(arguments.data):
        pictures, y, marker, options["image_shape"] = _read_pictures(arguments, console)
        X, names = pictures.images, pictures.names
    else:
        X, y, marker = _read(arguments, console)
    if marker != "auto":
        options["unlabeled_value"] = marker
    estimator = getattr(import_module(method.home), method.estimator)(**method.fixed)
    checkpoint = None
    if method.is_flow:
        checkpoint = _checkpoint(
            arguments, options.get("checkpoint", _default_checkpoint(arguments))
        )
        options = {"verbose": 0 if console.quiet else 1, **options, "checkpoint": checkpoint}
    started = time.perf_counter()
    estimator.set_params(**options).fit(X, y)
    seconds = time.perf_counter() - started
    if method.is_flow:
        estimator.set_params(checkpoint=None)  # of this run, no part of the model
    estimator.save(arguments.output)
    if arguments.report:
        from flowssl.report import write_report

        write_report(estimator, X, y, arguments.report, names=names)
    if not console.quiet:
        console.facts([*summary(estimator, len(y)), *_outcome(arguments, seconds)])
    if method.is_flow and estimator.interrupted_:
        can_resume = checkpoint is not None and Path(checkpoint).exists()
        console.remark(
            f"interrupted: {arguments.output} holds the best model so far"
            + ("; the same command with --resume goes on from here." if can_resume else ".")
        )
        return INTERRUPTED
    return 0


def summary(estimator: Classifier, rows: int) -> list[tuple[str, str]]:
    """Say in names and values what a model has learned from and how well.

    Parameters
    ----------
    estimator : Classifier
        Fitted.
    rows : int
        How many rows it was fitted on.
    """
    shape = estimator.image_shape
    facts = [
        (
            "rows" if shape is None else "images",
            f"{rows:,}: {estimator.n_labeled_:,} labeled, {estimator.n_unlabeled_:,} not",
        ),
        ("columns", f"{estimator.n_features_in_:,}")
        if shape is None
        else ("channels, height, width", " x ".join(map(str, shape))),
        ("classes", _shortened([str(label) for label in estimator.classes_])),
    ]
    start: Mapping[str, object] = getattr(estimator, "initialization_", {})  # of flows alone
    for name, key in (
        ("labels only", "baseline_label_log_likelihood"),
        ("with unlabeled rows", "label_log_likelihood"),
    ):
        value = start.get(key)
        if isinstance(value, float):  # None where no class has two labels to cross-fit with
            facts.append((name, f"{value:.3f} nats a label, cross-fitted"))
    return facts


def check_directory(path: str | None) -> None:
    """Raise `DataError` at once if an output cannot be written because of where it is to go."""
    if path is None:
        return
    if Path(path).is_dir():
        raise DataError(f"{path} is a directory; name a file in it.")
    if not Path(path).parent.is_dir():
        raise DataError(f"{path}: there is no directory {Path(path).parent}; create it first.")


def table_target(target: str | None, label_table: str | None, option: str = "--labels") -> str:
    """Return the name of a table's column of labels.

    Raises
    ------
    DataError
        If none is named, or a table of labels is, with ``option``, as for pictures.
    """
    if label_table is not None:
        raise DataError(f"{option} is for pictures; a table has its labels in --target COLUMN.")
    if target is None:
        raise DataError("a table needs --target COLUMN, the column of labels.")
    return target


def _read(
    arguments: argparse.Namespace, console: Console
) -> tuple[pa.Table, npt.NDArray[np.generic], object]:
    target = table_target(arguments.target, arguments.labels)
    table = read_table(arguments.data)
    require_column(table, target, "--target")
    X = choose_features(table, target, split_names(arguments.features), split_names(arguments.drop))
    for doubt in doubts_about(X):
        console.remark(f"note: {doubt}")
    return X, *_marked(arguments, labels(table, target), target, console)


def _read_pictures(
    arguments: argparse.Namespace, console: Console
) -> tuple[Pictures, npt.NDArray[np.generic], object, Shape]:
    if not METHODS[arguments.method].takes_pictures:
        raise DataError(f"--method {arguments.method} learns from tables; leave it out.")
    pictures, shape = pictures_to_fit(
        arguments, chosen_options(arguments).get("image_shape"), console
    )
    y = labels_of(pictures, arguments.labels, arguments.target)
    return pictures, *_marked(arguments, y, arguments.target or "label", console), shape


def _marked(
    arguments: argparse.Namespace, y: npt.NDArray[np.generic], target: str, console: Console
) -> tuple[npt.NDArray[np.generic], object]:
    """Return the labels with one marker for unlabeled rows, and that marker."""
    marker = typed_marker(str(chosen_options(arguments).get("unlabeled_value", "auto")), y)
    y = mark_unlabeled(y, marker)
    unlabeled = is_unlabeled(y, marker)
    if unlabeled.all():
        raise DataError(
            f"{arguments.data}: column {target!r} has no labeled row; label at least one "
            "row, or name another column with --target."
        )
    suspects = looks_missing(list(Counter(y[~unlabeled].tolist())))
    if suspects:
        console.remark(
            f"note: {suspects[0]!r} in column {target!r} is taken for a class; if it marks a row "
            f"without a label, add --unlabeled-value {shlex.quote(suspects[0])}"
        )
    return y, marker


def _default_checkpoint(arguments: argparse.Namespace) -> str:
    return f"{arguments.output}.checkpoint"


def _checkpoint(arguments: argparse.Namespace, chosen: object) -> str | None:
    """Make sure that there is a checkpoint to resume from, or none to mistake for this fit's."""
    if chosen is None:
        if arguments.resume:
            raise DataError("--resume needs a checkpoint; leave --checkpoint none out.")
        return None
    path = Path(str(chosen))
    check_directory(str(path))
    if arguments.resume and not path.exists():
        raise DataError(f"--resume: there is no checkpoint {path}; leave --resume out to start.")
    if not arguments.resume and path.exists():
        if str(path) != _default_checkpoint(arguments):  # not ours to delete
            raise DataError(f"{path} exists; add --resume to continue from it, or delete it.")
        for left_over in (path, *_of_further_flows(path)):
            left_over.unlink()
    return str(path)


def _of_further_flows(checkpoint: Path) -> list[Path]:
    """List the checkpoints of the second and later flows: CHECKPOINT.1, CHECKPOINT.2, ..."""
    siblings = checkpoint.parent.iterdir()
    pattern = re.escape(checkpoint.name) + r"\.\d+"
    return [sibling for sibling in siblings if re.fullmatch(pattern, sibling.name)]


def _outcome(arguments: argparse.Namespace, seconds: float) -> list[tuple[str, str]]:
    new = f"NEW{Path(arguments.data).suffix if arguments.data.endswith('.parquet') else '.csv'}"
    if holds_pictures(arguments.data):
        new = "NEW_PICTURES/"
    model = shlex.quote(arguments.output)
    facts = [("time", f"{seconds:.1f} s"), ("saved", arguments.output)]
    if arguments.report:
        facts.append(("report", arguments.report))
    return [*facts, ("next", f"flowssl predict {model} {new} --proba -o predictions.csv")]


def _shortened(names: list[str]) -> str:
    more = len(names) - _SHOWN_CLASSES
    shown = ", ".join(names[:_SHOWN_CLASSES])
    return f"{len(names):,}: {shown}" + (f" and {more:,} more" if more > 0 else "")
