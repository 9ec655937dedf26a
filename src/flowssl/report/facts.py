"""The facts of a report, computed once before anything is written."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr

from flowssl._class_codes import class_codes
from flowssl._fitted import baseline_log_proba, subsample
from flowssl._labels import LabelsLike
from flowssl._typing import Floats, Integers
from flowssl.calibration import expected_calibration_error
from flowssl.report.markup import shortened

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier
    from flowssl.preprocessing.containers import TableLike


@dataclass(frozen=True)
class RowTraits:
    """What differs between kinds of rows in the facts and in the sections of every report.

    Attributes
    ----------
    noun : str
        Name of the rows, plural.
    baseline_features : str
        Features of the labels-only baseline.
    candidate_features : str
        Features of the candidates for the soft labels.
    max_evaluated : int
        Maximum number of training rows that are evaluated; of more rows, a random choice is.
    max_points : int
        Maximum number of labeled, and of unlabeled, rows in the plot of the latent space.
    """

    noun: str
    baseline_features: str
    candidate_features: str
    max_evaluated: int
    max_points: int


@dataclass(frozen=True)
class Scores:
    """Agreement of probabilities with known labels.

    Attributes
    ----------
    accuracy : float
        Fraction of correct predictions.
    negative_log_likelihood : float
        Mean -log p(y | x), nats.
    calibration_error : float
        Expected calibration error in 15 bins.
    """

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
    """Labeled rows that were not used in training.

    Attributes
    ----------
    X : table or images
        All test rows as given.
    n_rows : int
        Number of all of them.
    index : ndarray of shape (n,)
        Positions of the labeled ones among them.
    matrix : ndarray of shape (n, D)
        The labeled rows, encoded.
    codes : ndarray of shape (n,)
        True classes.
    log_density : ndarray of shape (n,)
        log p(x) of the model, nats.
    log_proba, baseline : ndarray of shape (n, C)
        log p(y=k | x) of the model and of the labels-only baseline.
    """

    X: TableLike
    n_rows: int
    index: Integers
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
    def errors(self) -> Integers:
        """Misclassified rows, the most confident predictions first."""
        wrong = np.flatnonzero(self.log_proba.argmax(1) != self.codes)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]

    @cached_property
    def confidence(self) -> Floats:
        """Probability of the predicted class, shape (n,)."""
        return np.asarray(np.exp(self.log_proba.max(1)))

    @cached_property
    def confusion(self) -> Integers:
        """Number of rows by true and predicted class, shape (C, C)."""
        counts = np.zeros((self.log_proba.shape[1],) * 2, dtype=np.int64)
        np.add.at(counts, (self.codes, self.log_proba.argmax(1)), 1)
        return counts


@dataclass(frozen=True)
class Facts:
    """All that a report states about a model and its data.

    Attributes
    ----------
    estimator : FlowClassifier
        Fitted.
    traits : RowTraits
        Words and limits of the kind of rows.
    X, y : table or images, and array-like of shape (n,)
        The training rows and labels as given.
    names : sequence of str or None
        Names of the training rows; None if they are numbered.
    encoded : ndarray of shape (n, D)
        All training rows.
    all_codes : ndarray of shape (n,)
        Their classes, -1 for unlabeled.
    index : ndarray of shape (m,)
        Positions of the evaluated rows among all rows.
    log_density : ndarray of shape (m,)
        log p(x) of the evaluated rows, nats.
    proba : ndarray of shape (m, C)
        p(y=k | x) of the evaluated rows.
    test : TestRows or None
        Labeled test rows, if any were given.
    """

    estimator: FlowClassifier
    traits: RowTraits
    X: TableLike
    y: LabelsLike
    names: Sequence[str] | None
    encoded: Floats
    all_codes: Integers
    index: Integers
    log_density: Floats
    proba: Floats
    test: TestRows | None

    @property
    def noun(self) -> str:
        """Name of the rows, plural."""
        return self.traits.noun

    @cached_property
    def matrix(self) -> Floats:
        """The evaluated rows, encoded."""
        return self.encoded[self.index]

    @property
    def codes(self) -> Integers:
        """Classes of the evaluated rows, -1 for unlabeled."""
        return self.all_codes[self.index]

    @property
    def class_names(self) -> list[str]:
        """The classes as short texts."""
        return [shortened(label) for label in self.estimator.classes_.tolist()]

    @property
    def cross_fitted(self) -> tuple[float, float]:
        """Cross-fitted log-likelihood of soft labels and baseline, nats per label; NaN if unknown."""
        known = self.estimator.initialization_
        values = (known.get("label_log_likelihood"), known.get("baseline_label_log_likelihood"))
        ours, baseline = (float(v) if isinstance(v, int | float) else math.nan for v in values)
        return ours, baseline

    def name(self, row: int) -> str:
        """Return the name of an evaluated row, or its number if rows have no names."""
        position = int(self.index[row])
        return f"{position:,}" if self.names is None else shortened(self.names[position])

    def evaluated_note(self) -> str:
        """Return a sentence on how many rows were evaluated, where these are not all."""
        shown, all_rows = len(self.index), len(self.all_codes)
        if shown == all_rows:
            return ""
        return f" A random {shown:,} of the {all_rows:,} {self.noun} were evaluated."

    def points_note(self) -> str:
        """Return a sentence on how many rows figures show."""
        return (
            f"At most {self.traits.max_points:,} labeled and as many unlabeled {self.noun} are "
            "drawn."
        )

    def rows_by_density(self, count: int, *, lowest: bool) -> Integers:
        """Return the evaluated rows of lowest or highest density, the most extreme first."""
        order = np.argsort(self.log_density, kind="stable")
        return order[:count] if lowest else order[::-1][:count]

    def rows_to_label(self, count: int) -> Integers:
        """Return the unlabeled rows of highest entropy, except the 1 % of lowest density."""
        usual = self.log_density >= np.quantile(self.log_density, 0.01)
        candidates = np.flatnonzero((self.codes < 0) & usual)
        entropy = entr(self.proba[candidates]).sum(1)
        return candidates[np.argsort(-entropy, kind="stable")[:count]]


def gather(
    estimator: FlowClassifier,
    traits: RowTraits,
    X: TableLike,
    y: LabelsLike,
    *,
    X_test: TableLike | None = None,
    y_test: LabelsLike | None = None,
    names: Sequence[str] | None = None,
) -> Facts:
    """Compute the facts of a report.

    Parameters
    ----------
    estimator, X, y, X_test, y_test, names
        As in :func:`flowssl.report.write_report`.
    traits : RowTraits
        Words and limits of the kind of rows.

    Returns
    -------
    Facts

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
    index = subsample(np.arange(len(encoded)), traits.max_evaluated)
    log_density, log_proba = estimator.density_.evaluate(encoded[index])
    return Facts(
        estimator=estimator,
        traits=traits,
        X=X,
        y=y,
        names=names,
        encoded=encoded,
        all_codes=codes,
        index=index,
        log_density=log_density,
        proba=np.exp(log_proba),
        test=_test_rows(estimator, X_test, y_test),
    )


def _test_rows(
    estimator: FlowClassifier, X_test: TableLike | None, y_test: LabelsLike | None
) -> TestRows | None:
    if X_test is None and y_test is None:
        return None
    if X_test is None or y_test is None:
        raise ValueError("X_test and y_test must be given together; one of them is missing")
    matrix = estimator.encoder_.transform(X_test)
    codes = class_codes(estimator, y_test)
    _check_lengths(matrix, codes, "X_test", "y_test")
    known = np.flatnonzero(codes >= 0)
    if not len(known):
        raise ValueError("y_test has no labeled row, so there is nothing to compare with")
    matrix = matrix[known]
    baseline = baseline_log_proba(estimator, matrix)
    density, log_proba = estimator.density_.evaluate(matrix)
    return TestRows(X_test, len(codes), known, matrix, codes[known], density, log_proba, baseline)


def _check_lengths(matrix: Floats, others: Sized, rows: str, name: str) -> None:
    if len(matrix) != len(others):
        raise ValueError(f"{rows} has {len(matrix)} rows but {name} has {len(others)}")
