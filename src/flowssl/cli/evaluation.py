"""The commands that judge and explain a model: ``evaluate`` and ``report``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import flowssl
from flowssl._labels import encode_labels, is_unlabeled
from flowssl.cli.columns import labels, mark_unlabeled, require_column
from flowssl.cli.inference import flow_in, model_inputs
from flowssl.cli.pictures import LABEL, labels_of, pictures_for
from flowssl.cli.training import check_directory, table_target
from flowssl.exceptions import DataError
from flowssl.pictures import holds_pictures
from flowssl.tables import read_table

if TYPE_CHECKING:
    import argparse

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from flowssl.cli.console import Console
    from flowssl.estimators import Classifier

    Images = npt.NDArray[np.uint8]


_SHOWN_ITEMS = 8


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is found: its labeled rows, those predicted, and the shares of both."""

    name: str
    labeled: int
    predicted: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class Evaluation:
    """Figures on the labeled rows of a table.

    Attributes
    ----------
    rows, labeled : int
        Rows of the table, and those with a label: all other figures are on these alone.
    accuracy, balanced_accuracy : float
        Share of right predictions, and its mean over the classes.
    negative_log_likelihood : float
        Mean of -log p(y given x), nats.
    calibration_error : float
        Expected calibration error: mean distance of confidence and accuracy over 15 bins of equal
        width in confidence, weighted by their rows (Guo et al. 2017, equation 3).
    classes : tuple of ClassFigures
        In the model's order.
    """

    rows: int
    labeled: int
    accuracy: float
    balanced_accuracy: float
    negative_log_likelihood: float
    calibration_error: float
    classes: tuple[ClassFigures, ...]


def evaluate(arguments: argparse.Namespace, console: Console) -> int:
    """Compare predictions with the labels of a table or of pictures, as far as there are labels."""
    estimator = flowssl.load(arguments.model)
    rows = _with_labels(estimator, arguments.data, arguments, console)
    result = evaluate_model(estimator, rows.X, rows.y)
    if arguments.json:
        print(json.dumps(asdict(result), indent=2))
        return 0
    console.facts(
        [
            (
                "labeled rows" if estimator.image_shape is None else "labeled images",
                f"{result.labeled:,} of {result.rows:,}",
            ),
            ("accuracy", f"{result.accuracy:.4f}"),
            ("balanced accuracy", f"{result.balanced_accuracy:.4f}"),
            ("negative log-likelihood", f"{result.negative_log_likelihood:.4f} nats a label"),
            ("calibration error", f"{result.calibration_error:.4f}"),
        ]
    )
    console.table(
        ("class", "labeled", "predicted", "recall", "precision"),
        [
            (c.name, f"{c.labeled:,}", f"{c.predicted:,}", _share(c.recall), _share(c.precision))
            for c in result.classes
        ],
        title="\nby class",
    )
    return 0


def evaluate_model(
    estimator: Classifier, X: pa.Table | Images, y: npt.NDArray[np.generic]
) -> Evaluation:
    """Compare a model's predictions with labels; unlabeled rows are left out.

    Parameters
    ----------
    estimator : Classifier
        Fitted.
    X : pyarrow.Table of n rows, or ndarray of n images
        Rows with the model's columns.
    y : ndarray of shape (n,)
        Labels; at least one row has one.

    Raises
    ------
    DataError
        If a label is no class of the model.
    """
    import numpy as np
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    from flowssl.calibration import expected_calibration_error

    encoded = encode_labels(y, estimator.unlabeled_value)
    rows = np.flatnonzero(encoded.codes >= 0)
    place_of = {_spelled(label): place for place, label in enumerate(estimator.classes_.tolist())}
    names = [_spelled(label) for label in encoded.classes.tolist()]
    for name in names:
        if name not in place_of:
            known = ", ".join(list(place_of)[:_SHOWN_ITEMS])
            raise DataError(f"the label {name!r} is no class of the model, which has {known}.")
    places = np.array([place_of[name] for name in names])
    truth = places[encoded.codes[rows]]
    log_proba = estimator.predict_log_proba(X[rows] if isinstance(X, np.ndarray) else X.take(rows))
    guess = log_proba.argmax(axis=1)
    confusion = np.zeros((len(place_of), len(place_of)), dtype=int)
    np.add.at(confusion, (truth, guess), 1)
    return Evaluation(
        rows=len(encoded.codes),
        labeled=len(rows),
        accuracy=float(accuracy_score(truth, guess)),
        balanced_accuracy=float(balanced_accuracy_score(truth, guess)),
        negative_log_likelihood=float(-log_proba[np.arange(len(rows)), truth].mean()),
        calibration_error=expected_calibration_error(np.exp(log_proba), truth),
        classes=tuple(
            ClassFigures(
                name,
                int(confusion[place].sum()),
                int(confusion[:, place].sum()),
                _ratio(confusion[place, place], confusion[place].sum()),
                _ratio(confusion[place, place], confusion[:, place].sum()),
            )
            for name, place in place_of.items()
        ),
    )


def report(arguments: argparse.Namespace, console: Console) -> int:
    """Write one HTML page that explains a model on its data."""
    check_directory(arguments.output)
    from flowssl.report import write_report

    estimator = flow_in(flowssl.load(arguments.model), "report")
    rows = _with_labels(estimator, arguments.data, arguments, console)
    test = None
    if arguments.test:
        test = _with_labels(estimator, arguments.test, arguments, console, "--test-labels")
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


@dataclass(frozen=True)
class _Labeled:
    """Rows that a model takes, their labels with its mark of unlabeled rows, and pictures' names."""

    X: pa.Table | Images
    y: npt.NDArray[np.generic]
    names: list[str] | None


def _with_labels(
    estimator: Classifier,
    path: str,
    arguments: argparse.Namespace,
    console: Console,
    option: str = "--labels",
) -> _Labeled:
    """Read rows with labels; ``option`` names the table of the labels of pictures."""
    names: list[str] | None = None
    X: pa.Table | Images
    table = getattr(arguments, option.removeprefix("--").replace("-", "_"))
    if holds_pictures(path):
        pictures = pictures_for(estimator, path, arguments, console)
        y = labels_of(pictures, table, arguments.target, option)
        X, names = pictures.images, pictures.names
    else:
        target = table_target(arguments.target, table, option)
        read = read_table(path)
        require_column(read, target, "--target")
        y = labels(read, target)
        X = model_inputs(estimator, read.drop_columns([target]), arguments.features)
    y = mark_unlabeled(y, estimator.unlabeled_value)
    if is_unlabeled(y, estimator.unlabeled_value).all():
        column = arguments.target or LABEL
        raise DataError(f"{path}: column {column!r} has no labeled row to compare with.")
    return _Labeled(X, y, names)


def _spelled(label: object) -> str:
    """Give a label as text, so that 1, 1.0 and "1", as files have it, are one class."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
