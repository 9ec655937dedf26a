"""A two-sample test of sampled rows: how well boosted trees tell them from real ones.

A density can be judged by its samples: if they come from the distribution of the data, no classifier
tells them apart (Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample tests").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import narwhals as nw
import numpy as np
from narwhals.typing import IntoDataFrame
from sklearn.base import BaseEstimator

from flowssl._label_vectors import is_missing
from flowssl._typing import Floats, Integers
from flowssl.preprocessing.containers import Column, Table, frame_or_other
from flowssl.preprocessing.reading import as_table

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

    from flowssl.preprocessing.containers import TableLike

MAX_CATEGORIES = 254
"""Categories that boosted trees take; the rarest of more are taken together."""

MIN_ROWS = 50
"""Rows of each kind; a leaf of the trees holds at least 20."""

NORMAL_QUANTILE = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class TwoSampleResult:
    """How well boosted trees tell sampled rows from real ones.

    Attributes
    ----------
    auc : float
        Cross-validated area under the ROC curve, the mean over the repeats: the probability that a
        sampled row looks more like a sample than a real row does. 0.5 is perfect samples.
    interval : tuple of float
        95 % interval of it for other rows of the same distributions (Hanley and McNeil 1982, with
        the correction for cross-validation of Nadeau and Bengio 2003).
    spread : float
        Standard deviation of the AUC over the repeats, which differ in folds and choice of rows;
        NaN for one.
    n_rows : int
        Rows of each kind that were compared in a repeat.
    importance : dict
        By how much the AUC falls where a column is shuffled, for each column, the largest first. Of
        columns that say the same, each alone may seem unimportant.

    Examples
    --------
    >>> from flowssl.inspection import TwoSampleResult
    >>> TwoSampleResult(0.61, (0.58, 0.64), 0.01, 500, {"b": 0.08, "a": 0.01}).telling(1)
    ['b']
    """

    auc: float
    interval: tuple[float, float]
    spread: float
    n_rows: int
    importance: dict[str | int, float]

    def telling(self, count: int) -> list[str | int]:
        """Return the columns that tell most, at most ``count``."""
        return list(self.importance)[:count]


def two_sample_test(
    real: TableLike,
    sampled: TableLike,
    *,
    n_folds: int = 5,
    n_repeats: int = 3,
    max_rows: int = 5000,
    mask: bool = True,
    random_state: int = 0,
) -> TwoSampleResult:
    """Cross-validate boosted trees that tell sampled rows from real ones.

    Of images, compare latents, ``model.transform(images)``, which are the images in other
    coordinates; the classes differ in the first ``model.class_features_``. Of texts, compare
    embeddings.

    Parameters
    ----------
    real : array-like, sparse matrix or data frame of shape (n_real, n_columns)
        Rows that the model was not fitted on: samples of one that has learned its rows by heart
        look like these. Missing values and categories are allowed.
    sampled : like ``real``, of shape (n_sampled, n_columns)
        Samples, ``model.sample(len(real))[0]``, written alike: trees see at once where whole
        numbers of ``real`` are fractions here.
    n_folds, n_repeats : int, default=5 and 3
        Folds of the stratified cross-validation; repeats with other folds and choices of rows.
    max_rows : int, default=5000
        Rows of each kind at most. As many of the one as of the other are compared.
    mask : bool, default=True
        Whether samples without any missing value, as models draw them, lose those values that a
        real row at random misses. Trees would tell a complete sample at once.
    random_state : int, default=0
        Seed of the choice of rows, the folds and the trees.

    Raises
    ------
    ValueError
        If the tables have different columns, there are fewer than 50 rows of each kind, a number
        of folds or repeats is out of range, or the rows are images.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.inspection import two_sample_test
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.9], [0.9, 1.0]], size=400)
    >>> two_sample_test(rows[:200], rng.normal(size=(200, 2))).auc > 0.75
    True
    """
    tables = _read(real, sampled)
    n_rows = min(*(table.n_rows for table in tables), max_rows)
    _check(tables, n_rows, n_folds, n_repeats)
    matrices = _matrices(tables)
    trials = [
        _trial(tables, _chosen(matrices, n_rows, mask, seed), n_folds, seed)
        for seed in np.random.SeedSequence(random_state).generate_state(n_repeats).tolist()
    ]
    return _result(trials, [column.name for column in tables[0].columns], n_rows, n_folds)


def _check(tables: tuple[Table, Table], n_rows: int, n_folds: int, n_repeats: int) -> None:
    """Refuse numbers of rows, folds and repeats with which nothing can be told."""
    if n_rows < MIN_ROWS:
        raise ValueError(
            f"two_sample_test needs at least {MIN_ROWS} rows of each kind, as trees learn nothing "
            f"from fewer; got {tables[0].n_rows} real and {tables[1].n_rows} sampled ones, of which "
            f"max_rows leaves {n_rows}"
        )
    if not 2 <= n_folds <= n_rows:
        raise ValueError(f"n_folds must be from 2 to {n_rows}, the number of rows, got {n_folds}")
    if n_repeats < 1:
        raise ValueError(f"n_repeats must be at least 1, got {n_repeats}")


def _chosen(matrices: tuple[Floats, Floats], n_rows: int, mask: bool, seed: int) -> Floats:
    """Return ``n_rows`` real rows at random and, below them, as many samples."""
    rng = np.random.default_rng(seed)
    real, sampled = (matrix[rng.permutation(len(matrix))[:n_rows]] for matrix in matrices)
    if mask and not np.isnan(sampled).any():
        sampled[np.isnan(real)] = np.nan
    return np.concatenate((real, sampled))


def _trial(
    tables: tuple[Table, Table], rows: Floats, n_folds: int, seed: int
) -> tuple[float, Floats]:
    """Return the AUC of one cross-validation, and its fall for each column (D,)."""
    truth = np.repeat([0, 1], len(rows) // 2)
    categorical = [isinstance(column.values, list) for column in tables[0].columns]
    rng = np.random.default_rng(seed)
    aucs, falls = [], []
    for judge, test in _judges(rows, truth, categorical, n_folds, seed):
        aucs.append(_auc(judge, rows[test], truth[test]))
        falls.append(_falls(judge, rows[test], truth[test], aucs[-1], rng))
    return float(np.mean(aucs)), np.mean(falls, axis=0)


def _result(
    trials: list[tuple[float, Floats]], names: Sequence[str | int], n_rows: int, n_folds: int
) -> TwoSampleResult:
    """Average the AUCs of trials, and its falls (D,) where columns are shuffled."""
    by_trial = np.array([auc for auc, _ in trials])
    falls = np.mean([of_columns for _, of_columns in trials], axis=0)
    auc = float(by_trial.mean())
    # The folds' judges share most of their rows, so that their errors are not independent.
    dependence = math.sqrt(1 + n_folds / (n_folds - 1))
    error = NORMAL_QUANTILE * dependence * standard_error(auc, n_rows)
    return TwoSampleResult(
        auc=auc,
        interval=(max(0.0, auc - error), min(1.0, auc + error)),
        spread=float(by_trial.std(ddof=1)) if len(trials) > 1 else math.nan,
        n_rows=n_rows,
        importance={names[j]: float(falls[j]) for j in np.argsort(-falls, kind="stable").tolist()},
    )


def _read(real: TableLike, sampled: TableLike) -> tuple[Table, Table]:
    """Read both tables; columns of the samples stand as in the real rows."""
    for name, X in (("real", real), ("sampled", sampled)):
        shape = np.shape(X) if isinstance(X, np.ndarray) else ()
        if len(shape) > 2:
            raise ValueError(
                f"{name} has shape {shape}; of images, compare features, such as "
                "model.transform(images)"
            )
    reader = BaseEstimator()
    first = as_table(real, reader)
    kinds = [column.type.kind for column in first.columns]
    frame = frame_or_other(sampled)
    if first.container != "array" and isinstance(frame, nw.DataFrame):
        sampled = _selected(frame, [str(column.name) for column in first.columns])
    second = as_table(sampled, reader, kinds)
    if len(first.columns) != len(second.columns):
        raise ValueError(
            f"real has {len(first.columns)} columns but sampled has {len(second.columns)}"
        )
    return first, second


def _selected(frame: nw.DataFrame[IntoDataFrame], names: list[str]) -> TableLike:
    """Return a frame's columns of the given names.

    Raises
    ------
    ValueError
        If one is missing, or there are more.
    """
    known = [str(name) for name in frame.columns]
    for one, other, there, lacks in (
        (names, known, "real", "sampled"),
        (known, names, "sampled", "real"),
    ):
        if lost := [name for name in one if name not in other]:
            raise ValueError(
                f"{there} has a column {lost[0]!r}, which {lacks} lacks; its columns are {other[:10]}"
            )
    return cast("TableLike", frame[:, [known.index(name) for name in names]].to_native())


def _matrices(tables: Sequence[Table]) -> tuple[Floats, Floats]:
    """Return both tables as numbers (n, D), with the same codes for categories."""
    pairs = [_numbers(*columns) for columns in zip(*(t.columns for t in tables), strict=True)]
    first, second = (np.column_stack(side) for side in zip(*pairs, strict=True))
    return first, second


def _numbers(first: Column, second: Column) -> tuple[Floats, Floats]:
    """Return a column of both tables as numbers; codes of categories, the most frequent first.

    Raises
    ------
    ValueError
        If it holds categories in one of them and numbers in the other.
    """
    if isinstance(first.values, list) != isinstance(second.values, list):
        kinds = ["categories" if isinstance(c.values, list) else "numbers" for c in (first, second)]
        raise ValueError(
            f"column {first.name!r} holds {kinds[0]} in real but {kinds[1]} in sampled; convert one"
        )
    if not isinstance(first.values, list) or not isinstance(second.values, list):
        return np.asarray(first.values, float), np.asarray(second.values, float)
    sides = [_categories(first.values), _categories(second.values)]
    known = [value for side in sides for value in side if value is not None]
    names, counts = np.unique(np.array(known, dtype=str), return_counts=True)
    order = names[np.argsort(-counts, kind="stable")].tolist()
    code = {name: float(min(i, MAX_CATEGORIES - 1)) for i, name in enumerate(order)}
    code_of = [np.array([math.nan if v is None else code[v] for v in side]) for side in sides]
    return code_of[0], code_of[1]


def _categories(values: list[object]) -> list[str | None]:
    """Return categories as texts, None where one is missing."""
    return [None if is_missing(value) else str(value) for value in values]


def _judges(
    rows: Floats, truth: Integers, categorical: list[bool], n_folds: int, seed: int
) -> Iterator[tuple[HistGradientBoostingClassifier, Integers]]:
    """Fit boosted trees without each fold; yield them with the rows of the fold."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for train, test in folds.split(rows, truth):
        judge = HistGradientBoostingClassifier(categorical_features=categorical, random_state=seed)
        yield judge.fit(rows[train], truth[train]), test


def _auc(judge: HistGradientBoostingClassifier, rows: Floats, truth: Integers) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, judge.decision_function(rows)))


def _falls(
    judge: HistGradientBoostingClassifier,
    rows: Floats,
    truth: Integers,
    auc: float,
    rng: np.random.Generator,
) -> Floats:
    """Return by how much the AUC falls where each column is shuffled, shape (D,)."""
    falls = np.empty(rows.shape[1])
    for j in range(rows.shape[1]):
        shuffled = rows.copy()
        shuffled[:, j] = rng.permutation(rows[:, j])
        falls[j] = auc - _auc(judge, shuffled, truth)
    return falls


def standard_error(auc: float, n: int) -> float:
    """Return the standard error of an AUC of n rows of each kind (Hanley and McNeil 1982, eq. 2)."""
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n - 1) * (one - auc**2 + two - auc**2)
    return math.sqrt(max(variance, 0.0)) / n
