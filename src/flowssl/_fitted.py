"""What plots, reports and the demo ask about a fitted classifier and the rows they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowssl._isolation import isolated
from flowssl._typing import Floats, Integers

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier


def baseline_log_proba(estimator: FlowClassifier, matrix: Floats) -> Floats:
    """Return log p(y=k | x) of the labels-only baseline for encoded rows (n, D), shape (n, C)."""
    n_classes = len(estimator.classes_)
    if n_classes == 1:
        return np.zeros((len(matrix), 1))
    baseline = estimator.baseline_
    log_proba = np.full((len(matrix), n_classes), -np.inf)
    features = estimator.completion_.features(matrix)
    with isolated():  # a class far away has the probability 0
        log_proba[:, baseline.classes_] = baseline.predict_log_proba(features)
    return log_proba


def is_planar(estimator: FlowClassifier) -> bool:
    """Return whether the encoded rows are two numbers of a table, so that the data can be drawn."""
    columns = estimator.encoder_.output_columns_
    is_table = estimator.encoder_.row_kind == "table"
    return is_table and len(columns) == 2 and all(column.category is None for column in columns)


def subsample(index: Integers, limit: int) -> Integers:
    """Return at most `limit` of the row numbers, in ascending order.

    The choice is random with a fixed seed, so that plots and reports are reproducible.
    """
    if len(index) <= limit:
        return index
    return np.sort(np.random.default_rng(0).choice(index, limit, replace=False))
