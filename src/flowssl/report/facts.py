"""The figures behind a report, computed once before anything is written."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr

from flowssl._fitted import baseline_log_proba, class_codes, draw, judge
from flowssl._labels import LabelsLike
from flowssl._typing import Floats, Integers
from flowssl.calibration import expected_calibration_error
from flowssl.preprocessing import ImageEncoder
from flowssl.report.images import ImageRows
from flowssl.report.markup import shortened
from flowssl.report.tables import TableRows

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier
    from flowssl.preprocessing.containers import TableLike
    from flowssl.report.kinds import RowKind


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

    ``matrix`` (n, D) are the encoded rows, ``log_density`` (n,) is log p(x); ``log_proba`` and
    ``baseline`` (n, C) are log p(y=k | x) of the model and of the baseline.
    """

    matrix: Floats
    codes: Integers
    log_density: Floats
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
class Facts:
    """All that a report says about a model on its table.

    ``encoded`` (n, D) and ``all_codes`` are all rows; ``index`` are the judged rows' places among
    them, to which ``log_density`` and ``proba`` belong. ``names`` are what the user calls the rows.
    """

    estimator: FlowClassifier
    kind: RowKind
    X: TableLike
    y: LabelsLike
    names: Sequence[str] | None
    encoded: Floats
    all_codes: Integers
    index: Integers
    log_density: Floats
    proba: Floats
    test: TestRows | None

    @cached_property
    def matrix(self) -> Floats:
        """The judged rows, encoded."""
        return self.encoded[self.index]

    @property
    def codes(self) -> Integers:
        """Classes of the judged rows, -1 for unlabeled."""
        return self.all_codes[self.index]

    @property
    def likelihoods(self) -> tuple[float, float]:
        """Cross-fitted log-likelihood of start and baseline, nats a label; NaN if unknown."""
        start = self.estimator.initialization_
        values = (start.get("label_log_likelihood"), start.get("baseline_label_log_likelihood"))
        ours, baseline = (float(v) if isinstance(v, int | float) else math.nan for v in values)
        return ours, baseline

    def name(self, row: int) -> str:
        """Return what a judged row is called: by its number, if by nothing else."""
        place = int(self.index[row])
        return f"{place:,}" if self.names is None else shortened(self.names[place])

    def judged_note(self) -> str:
        """Say how many rows were judged, where these are not all."""
        shown, all_rows = len(self.index), len(self.all_codes)
        if shown == all_rows:
            return ""
        return f" {shown:,} of {all_rows:,} {self.kind.noun}, chosen at random, were looked at."

    def dots_note(self) -> str:
        """Say how many rows pictures show at most."""
        return (
            f"At most {self.kind.max_dots:,} labeled and as many unlabeled {self.kind.noun} are "
            "drawn."
        )

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
    names: Sequence[str] | None = None,
) -> Facts:
    """Compute the facts of a report; the arguments are those of ``write_report``.

    Raises
    ------
    ValueError
        If only one of `X_test` and `y_test` is given, rows, labels and names differ in number, a
        label is unknown to the estimator, or no test row is labeled.
    """
    encoded = estimator.encoder_.transform(X)
    codes = class_codes(estimator, y)
    _check_lengths(encoded, codes, "X", "y")
    if names is not None:
        _check_lengths(encoded, names, "X", "names")
    kind = kind_of(estimator, encoded)
    index = draw(np.arange(len(encoded)), kind.max_judged)
    log_density, log_proba = judge(estimator, encoded[index])
    test = _test_rows(estimator, X_test, y_test)
    return Facts(
        estimator,
        kind,
        X,
        y,
        names,
        encoded,
        codes,
        index,
        log_density,
        np.exp(log_proba),
        test,
    )


def kind_of(estimator: FlowClassifier, encoded: Floats) -> RowKind:
    """Return the kind of an estimator's rows, (n, D) of which are given."""
    encoder = estimator.encoder_
    if isinstance(encoder, ImageEncoder):
        return ImageRows(*encoder.shape)
    return TableRows.of(encoder, encoded)


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
    baseline = baseline_log_proba(estimator, matrix)
    return TestRows(matrix, codes[known], *judge(estimator, matrix), baseline)


def _check_lengths(matrix: Floats, others: Sized, rows: str, name: str) -> None:
    if len(matrix) != len(others):
        raise ValueError(f"{rows} has {len(matrix)} rows but {name} has {len(others)}")
