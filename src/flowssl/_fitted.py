"""What pictures and reports ask of a fitted classifier.

Rows are encoded once into the matrix that the model sees, and everything else is asked of that
matrix, so that a table of any kind costs one reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax, logsumexp

from flowssl._labels import LabelsLike, encode_labels, is_unlabeled
from flowssl._typing import Floats, Integers

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier


def class_codes(estimator: FlowClassifier, y: LabelsLike) -> Integers:
    """Return each label's place in ``classes_``, shape (n,), -1 for unlabeled rows.

    Raises
    ------
    ValueError
        If a label is no class of the estimator.
    """
    unlabeled = is_unlabeled(y, estimator.unlabeled_value)
    if unlabeled.all():
        return np.full(len(unlabeled), -1, dtype=np.int64)
    encoded = encode_labels(y, estimator.unlabeled_value)
    place = {label: code for code, label in enumerate(estimator.classes_.tolist())}
    unknown = [label for label in encoded.classes.tolist() if label not in place]
    if unknown:
        raise ValueError(
            f"y holds the label {unknown[0]!r}, which is none of the estimator's "
            f"{len(place)} classes {list(place)[:10]}"
        )
    # The last entry is what the code -1 of an unlabeled row picks.
    places = np.array([place[label] for label in encoded.classes.tolist()] + [-1])
    codes: Integers = places[encoded.codes]
    return codes


def judge(estimator: FlowClassifier, matrix: Floats) -> tuple[Floats, Floats]:
    """Return log p(x), shape (n,), and calibrated log p(y=k | x), shape (n, C), in nats.

    The same as ``score_samples`` and ``predict_log_proba``, of encoded rows (n, D) and in one pass.
    """
    log_joint = estimator.density_.log_joint(matrix)
    log_proba = log_softmax(log_joint / estimator.calibration_temperature_, axis=1)
    return np.asarray(logsumexp(log_joint, axis=1)), np.asarray(log_proba)


def latents(estimator: FlowClassifier, matrix: Floats) -> Floats:
    """Return ``f(x)`` of encoded rows under the first flow, shape (n, D)."""
    return estimator.density_.latents(matrix)


def baseline_log_proba(estimator: FlowClassifier, matrix: Floats) -> Floats:
    """Return the labels-only baseline's log p(y=k | x) of encoded rows, shape (n, C)."""
    n_classes = len(estimator.classes_)
    if n_classes == 1:
        return np.zeros((len(matrix), 1))
    baseline = estimator.baseline_
    log_proba = np.full((len(matrix), n_classes), -np.inf)
    filled = estimator.completion_.filled(matrix)
    log_proba[:, baseline.classes_] = baseline.predict_log_proba(filled)
    return log_proba


def is_planar(estimator: FlowClassifier) -> bool:
    """Return whether the model sees two columns of numbers, so that its data can be drawn."""
    columns = estimator.encoder_.output_columns_
    return len(columns) == 2 and all(column.category is None for column in columns)


def draw(index: Integers, limit: int, random_state: int = 0) -> Integers:
    """Return at most `limit` of the row numbers, at random and in ascending order."""
    if len(index) <= limit:
        return index
    return np.sort(np.random.default_rng(random_state).choice(index, limit, replace=False))
