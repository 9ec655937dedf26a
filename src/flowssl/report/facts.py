"""The figures behind a report, computed once before anything is written."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import narwhals as nw
import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from flowssl._fitted import baseline_log_proba, class_codes, draw, judge
from flowssl.calibration import expected_calibration_error
from flowssl.labels import LabelsLike
from flowssl.report.markup import significant

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier
    from flowssl.preprocessing.containers import TableLike

__all__ = ["Column", "Facts", "Scores", "TestRows", "gather", "pick"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_ROWS = 50_000
"""Rows of the training table that are judged at most; a random choice of larger ones."""


@dataclass(frozen=True)
class Scores:
    """How well probabilities fit known labels: accuracy, mean -log p(y | x), calibration error."""

    accuracy: float
    negative_log_likelihood: float
    calibration_error: float

    @classmethod
    def of(cls, log_proba: Floats, codes: Integers) -> Scores:
        """Compare log-probabilities (n, C) with classes (n,)."""
        return cls(
            float((log_proba.argmax(1) == codes).mean()),
            float(-log_proba[np.arange(len(codes)), codes].mean()),
            expected_calibration_error(np.exp(log_proba), codes),
        )


@dataclass(frozen=True)
class TestRows:
    """Labeled rows that were not trained on.

    ``log_proba`` and ``baseline`` (n, C) are log p(y=k | x) of the model and of the baseline.
    """

    X: TableLike
    y: LabelsLike
    codes: Integers
    log_proba: Floats
    baseline: Floats

    @cached_property
    def model_scores(self) -> Scores:
        """Scores of the model."""
        return Scores.of(self.log_proba, self.codes)

    @cached_property
    def baseline_scores(self) -> Scores:
        """Scores of the labels-only baseline."""
        return Scores.of(self.baseline, self.codes)

    @cached_property
    def confusion(self) -> Integers:
        """Rows by true and predicted class, shape (C, C)."""
        counts = np.zeros((self.log_proba.shape[1],) * 2, dtype=np.int64)
        np.add.at(counts, (self.codes, self.log_proba.argmax(1)), 1)
        return counts


@dataclass(frozen=True)
class Column:
    """A column of the user's table, as the model takes it."""

    name: str | int
    kind: str
    missing: float
    values: str
    is_dropped: bool


@dataclass(frozen=True)
class Facts:
    """All that a report says about a model on its table.

    ``index`` are the judged rows' places in the table; ``matrix`` (n, D), ``codes``, ``log_density``
    and ``proba`` belong to them.
    """

    estimator: FlowClassifier
    X: TableLike
    y: LabelsLike
    all_codes: Integers
    index: Integers
    matrix: Floats
    log_density: Floats
    proba: Floats
    columns: tuple[Column, ...]
    test: TestRows | None

    @property
    def codes(self) -> Integers:
        """Classes of the judged rows, -1 for unlabeled."""
        return self.all_codes[self.index]

    @property
    def likelihoods(self) -> tuple[float, float]:
        """Cross-fitted log-likelihood of start and baseline, nats a label; NaN if unknown."""
        start = self.estimator.start_
        values = (start.get("label_log_likelihood"), start.get("baseline_label_log_likelihood"))
        ours, baseline = (float(v) if isinstance(v, int | float) else math.nan for v in values)
        return ours, baseline

    def rows_by_density(self, count: int, *, least: bool) -> Integers:
        """Return the judged rows of lowest or highest density, the most extreme first."""
        order = np.argsort(self.log_density, kind="stable")
        return order[:count] if least else order[::-1][:count]

    def rows_to_label(self, count: int) -> Integers:
        """Return the unlabeled rows of highest entropy, strange rows (1 %) left aside."""
        usual = self.log_density >= np.quantile(self.log_density, 0.01)
        candidates = np.flatnonzero((self.codes < 0) & usual)
        entropy = entr(self.proba[candidates]).sum(1)
        return candidates[np.argsort(-entropy, kind="stable")[:count]]


def gather(
    estimator: FlowClassifier,
    X: TableLike,
    y: LabelsLike,
    X_test: TableLike | None,
    y_test: LabelsLike | None,
) -> Facts:
    """Compute the facts of a report; the arguments are those of ``write_report``.

    Raises
    ------
    ValueError
        If only one of `X_test` and `y_test` is given, rows and labels differ in number, a label is
        unknown to the estimator, or no test row is labeled.
    """
    matrix = estimator.encoder_.transform(X)
    codes = class_codes(estimator, y)
    _check_lengths(matrix, codes, "X", "y")
    index = draw(np.arange(len(matrix)), MAX_ROWS)
    columns = _columns(estimator, matrix)
    log_density, log_proba = judge(estimator, matrix[index])
    test = _test_rows(estimator, X_test, y_test)
    return Facts(
        estimator, X, y, codes, index, matrix[index], log_density, np.exp(log_proba), columns, test
    )


def _test_rows(
    estimator: FlowClassifier, X_test: TableLike | None, y_test: LabelsLike | None
) -> TestRows | None:
    if X_test is None and y_test is None:
        return None
    if X_test is None or y_test is None:
        raise ValueError("X_test and y_test come together or not at all")
    matrix = estimator.encoder_.transform(X_test)
    codes = class_codes(estimator, y_test)
    _check_lengths(matrix, codes, "X_test", "y_test")
    known = codes >= 0
    if not known.any():
        raise ValueError("y_test holds no labeled row: there is nothing to compare with")
    matrix = matrix[known]
    return TestRows(
        X_test,
        y_test,
        codes[known],
        judge(estimator, matrix)[1],
        baseline_log_proba(estimator, matrix),
    )


def _check_lengths(matrix: Floats, codes: Integers, rows: str, labels: str) -> None:
    if len(matrix) != len(codes):
        raise ValueError(f"{rows} has {len(matrix)} rows but {labels} has {len(codes)}")


def _columns(estimator: FlowClassifier, matrix: Floats) -> tuple[Column, ...]:
    """Describe the table's columns by the encoder's own record of them."""
    encoder = estimator.encoder_
    records = json.loads(encoder.to_json())["columns"]
    first: dict[str | int, int] = {}
    for position, column in enumerate(encoder.output_columns_):
        first.setdefault(column.column, position)
    described = []
    for record in records:
        name, kind = record["name"], record["type"]["kind"]
        place = first.get(name)
        if place is None:
            if name in encoder.constant_:
                why = f"left out: constant, {encoder.constant_[name]}"
            else:
                why = f"left out: repeats {encoder.duplicate_of_[name]}"
            described.append(Column(name, kind, math.nan, why, True))
            continue
        values = matrix[:, place]
        levels = [*record["levels"], *record["infrequent"]]
        text = (
            _levels(levels)
            if levels
            else _range(values, is_time=record["type"]["dtype"] in ("Date", "Datetime"))
        )
        described.append(Column(name, kind, float(np.isnan(values).mean()), text, False))
    return tuple(described)


def _levels(levels: list[object]) -> str:
    more = f" and {len(levels) - 3:,} more" if len(levels) > 3 else ""
    return ", ".join(str(level) for level in levels[:3]) + more


def _range(values: Floats, *, is_time: bool) -> str:
    known = values[~np.isnan(values)]
    if not len(known):
        return ""
    low, middle, high = np.quantile(known, (0, 0.5, 1)).tolist()
    if is_time:
        low, middle, high = (str(np.datetime64(int(v), "s"))[:16] for v in (low, middle, high))
        return f"{low} … {middle} … {high}"
    return f"{significant(low)} … {significant(middle)} … {significant(high)}"


def pick(X: TableLike, rows: Integers, columns: list[int]) -> list[list[object]]:
    """Return some cells of the user's table as Python values, row by row."""
    frame = nw.from_native(X, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        part = frame[rows.tolist(), columns]
        return [list(row) for row in part.iter_rows()]
    array = np.asarray(X, dtype=None if isinstance(X, np.ndarray) else object)
    cells: list[list[object]] = array[rows][:, columns].tolist()
    return cells
