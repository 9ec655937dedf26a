"""The command ``evaluate``: predictions compared with known labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import flowssl
from flowssl.cli.arguments import add_data, add_labels, add_model
from flowssl.cli.console import shortened
from flowssl.cli.labels import settled_marker, spelled_label
from flowssl.cli.sources import source_for_model
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from flowssl.cli.console import Console
    from flowssl.cli.source import Inputs, Labels
    from flowssl.estimators import Classifier
    from flowssl.inspection import ImageBits

SUMMARY = "compare predictions with known labels"
DETAILS = "Unlabeled rows are left out; they never count as errors."


@dataclass(frozen=True)
class ClassFigures:
    """Figures of one class: its labeled rows, the predicted ones, recall and precision."""

    name: str
    labeled: int
    predicted: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class Evaluation:
    """Figures on the labeled rows of some data.

    Attributes
    ----------
    rows, labeled : int
        All rows, and those with a label: all other figures are on these alone.
    accuracy, balanced_accuracy : float
        Fraction of correct predictions, and its mean over the classes.
    negative_log_likelihood : float
        Mean of -log p(y given x), nats.
    calibration_error : float
        Expected calibration error: mean distance of confidence and accuracy over 15 bins of equal
        width in confidence, weighted by their rows (Guo et al. 2017, equation 3).
    classes : tuple of ClassFigures
        In the model's order.
    image_bits : ImageBits or None
        Bits per dimension of the labeled images, of 250 random ones if there are more; None for
        other rows.
    """

    rows: int
    labeled: int
    accuracy: float
    balanced_accuracy: float
    negative_log_likelihood: float
    calibration_error: float
    classes: tuple[ClassFigures, ...]
    image_bits: ImageBits | None


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options."""
    add_model(parser)
    add_data(parser)
    add_labels(parser)
    parser.add_argument("--json", action="store_true", help="write JSON instead of tables")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Compare a model's predictions with the labels of some rows."""
    estimator = flowssl.load(arguments.model)
    source = source_for_model(estimator, arguments, console)
    rows = source.read_labeled(estimator, arguments.data, arguments.labels)
    result = evaluate_model(estimator, rows.X, rows.y)
    if arguments.json:
        console.json(asdict(result))
        return 0
    bits = result.image_bits
    console.facts(
        [
            (f"labeled {source.noun}", f"{result.labeled:,} of {result.rows:,}"),
            ("accuracy", f"{result.accuracy:.4f}"),
            ("balanced accuracy", f"{result.balanced_accuracy:.4f}"),
            ("negative log-likelihood", f"{result.negative_log_likelihood:.4f} nats per label"),
            ("calibration error", f"{result.calibration_error:.4f}"),
            *([] if bits is None else [(f"bits per dimension of {bits.n_images:,}", str(bits))]),
        ]
    )
    console.table(
        ("class", "labeled", "predicted", "recall", "precision"),
        [
            (c.name, f"{c.labeled:,}", f"{c.predicted:,}", _figure(c.recall), _figure(c.precision))
            for c in result.classes
        ],
        title="\nby class",
    )
    return 0


def evaluate_model(estimator: Classifier, X: Inputs, y: Labels) -> Evaluation:
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
        If a label is not a class of the model.
    """
    import numpy as np
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    from flowssl._labels import encode_labels
    from flowssl.calibration import expected_calibration_error
    from flowssl.inspection import image_bits
    from flowssl.preprocessing.containers import take_rows

    encoded = encode_labels(y, settled_marker(y, estimator.unlabeled_value))
    rows = np.flatnonzero(encoded.codes >= 0)
    names = [spelled_label(label) for label in estimator.classes_.tolist()]
    places = _places(names, [spelled_label(label) for label in encoded.classes.tolist()])
    truth = places[encoded.codes[rows]]
    labeled = take_rows(X, rows)
    log_proba = estimator.predict_log_proba(labeled)
    guess = log_proba.argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), dtype=int)
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
            for place, name in enumerate(names)
        ),
        image_bits=(
            image_bits(estimator, labeled) if estimator.encoder_.row_kind == "image" else None
        ),
    )


def _places(known: Sequence[str], names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return where each name is among the known ones."""
    import numpy as np

    for name in names:
        if name not in known:
            raise DataError(
                f"the label {name!r} is not a class of the model, which has {shortened(known)}."
            )
    return np.array([known.index(name) for name in names])


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
