"""Cross-validation and scoring that are right when most of y is unlabeled.

scikit-learn's own splitters and scorers take the marker of an unlabeled row for a class, so that a
model that is right on every row scores no more than the labeled share. Use `LabeledStratifiedKFold`
with any scorer, or any splitter with a scorer of `make_labeled_scorer`.
"""

from collections.abc import Iterator
from typing import Protocol, Self, TypeAlias
from warnings import warn

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, check_scoring, log_loss
from sklearn.model_selection import BaseCrossValidator, StratifiedKFold
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import _check_sample_weight

from flowssl._labels import LabelsLike, encode_labels, is_unlabeled
from flowssl.exceptions import FlowSSLWarning

__all__ = [
    "LabeledScorer",
    "LabeledStratifiedKFold",
    "labeled_accuracy",
    "labeled_scorers",
    "make_labeled_scorer",
    "unlabeled_log_likelihood_scorer",
]

Indices: TypeAlias = NDArray[np.intp]


class Scorer(Protocol):
    """A callable like scikit-learn's scorers: larger is better."""

    def __call__(
        self, estimator: BaseEstimator, X: object, y: object, **metadata: object
    ) -> float: ...


def labeled_accuracy(
    y: LabelsLike,
    predicted: NDArray[np.generic],
    unlabeled_value: object = "auto",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Return the accuracy on the labeled rows; unlabeled rows are never counted as errors.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, with unlabeled rows marked.
    predicted : ndarray of shape (n,)
        Predicted classes.
    unlabeled_value : object, default="auto"
        What marks an unlabeled row; see `flowssl._labels.encode_labels`.
    sample_weight : array-like of shape (n,), optional
        Weights of the rows.

    Raises
    ------
    ValueError
        If no row is labeled.
    """
    truth = encode_labels(y, unlabeled_value)
    weight = _check_sample_weight(sample_weight, predicted, dtype=np.float64)
    known = truth.codes >= 0
    return float(
        accuracy_score(
            truth.decode(truth.codes[known]), predicted[known], sample_weight=weight[known]
        )
    )


class LabeledStratifiedKFold(BaseCrossValidator):
    """K-fold splits of the labeled rows, with the unlabeled rows always in training.

    The labeled rows are dealt out as scikit-learn's `StratifiedKFold` would deal them on their
    own, so each test fold holds labeled rows only and about the same share of every class. The
    training part is everything else: the other labeled rows and all unlabeled ones. Any estimator
    that takes unlabeled rows, any scorer and every tool that takes `cv` works with it;
    `cross_val_predict` does not, because unlabeled rows are in no test fold.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to deal the rows of a class out at random instead of in order.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling; only with `shuffle=True`.
    unlabeled_value : object, default="auto"
        What marks an unlabeled row; see `flowssl._labels.encode_labels`.

    Notes
    -----
    Every class keeps a label in every training part. A class with a single label is therefore in
    no test fold (`FlowSSLWarning`), and the folds say nothing about it. A class with fewer labels
    than splits is missing from some test folds (scikit-learn's `UserWarning`).

    Examples
    --------
    >>> y = ["a", None, "b", "a", None, "b"]
    >>> for train, test in LabeledStratifiedKFold(n_splits=2).split(y, y):
    ...     print(train, test)
    [1 3 4 5] [0 2]
    [0 1 2 4] [3 5]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
        unlabeled_value: object = "auto",
    ) -> None:
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state
        self.unlabeled_value = unlabeled_value

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of folds, whatever the arguments.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(
        self, X: object, y: LabelsLike, groups: object = None
    ) -> Iterator[tuple[Indices, Indices]]:
        """Yield the row numbers of each training part and test fold.

        Parameters
        ----------
        X : array-like of length n
            Ignored.
        y : array-like of shape (n,)
            Labels, with unlabeled rows marked.
        groups : object, default=None
            Ignored, present for scikit-learn's interface.

        Yields
        ------
        train, test : ndarray of int
            Ascending row numbers. Together they are all rows.

        Raises
        ------
        ValueError
            If no row is labeled, or if no class has as many labels as there are splits.
        """
        encoded = encode_labels(y, self.unlabeled_value)
        counts = np.bincount(encoded.codes[encoded.codes >= 0])
        if counts.max() < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} cannot be greater than the number of labels in each "
                f"class; the best-labeled class has {counts.max()}. Use at most that many splits, "
                "or label more rows."
            )
        if (counts == 1).any():
            single = encoded.classes[counts == 1].tolist()
            warn(
                f"The classes {single} have a single label each, which stays in every training "
                "part: no test fold holds these classes.",
                FlowSSLWarning,
                stacklevel=2,
            )
        # The unlabeled code -1 looks up the appended False.
        rows = np.flatnonzero(np.append(counts > 1, False)[encoded.codes])
        codes = encoded.codes[rows]
        folds = StratifiedKFold(self.n_splits, shuffle=self.shuffle, random_state=self.random_state)
        for _, test in folds.split(codes, codes):
            in_train = np.ones(len(encoded.codes), dtype=bool)
            in_train[rows[test]] = False
            yield np.flatnonzero(in_train), rows[test]


class LabeledScorer:
    """A scorer that looks at the labeled rows only; made by `make_labeled_scorer`.

    Parameters
    ----------
    scorer : callable
        Called as `scorer(estimator, X, y)` with the labeled rows of X and y.
    unlabeled_value : object, default="auto"
        What marks an unlabeled row; see `flowssl._labels.encode_labels`.
    """

    def __init__(self, scorer: Scorer, unlabeled_value: object = "auto") -> None:
        self.scorer = scorer
        self.unlabeled_value = unlabeled_value
        self._sample_weight_request: bool | str | None = None

    def __call__(
        self, estimator: BaseEstimator, X: object, y: LabelsLike, sample_weight: object = None
    ) -> float:
        """Score the predictions for the labeled rows.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        X : array-like or data frame of shape (n, n_features)
            Rows to predict.
        y : array-like of shape (n,)
            Labels, with unlabeled rows marked.
        sample_weight : array-like of shape (n,), default=None
            Weights, handed to the inner scorer for the labeled rows.

        Returns
        -------
        float
            Larger is better.

        Raises
        ------
        ValueError
            If no row is labeled.
        """
        encoded = encode_labels(y, self.unlabeled_value)
        rows = np.flatnonzero(encoded.codes >= 0)
        metadata: dict[str, object] = {}
        if sample_weight is not None:
            metadata["sample_weight"] = _safe_indexing(sample_weight, rows)
        labels = encoded.decode(encoded.codes[rows])
        return self.scorer(estimator, _safe_indexing(X, rows), labels, **metadata)

    def __repr__(self) -> str:
        return f"LabeledScorer({self.scorer!r}, unlabeled_value={self.unlabeled_value!r})"

    def set_score_request(self, *, sample_weight: bool | str | None) -> Self:
        """Ask scikit-learn's metadata routing for sample weights.

        Parameters
        ----------
        sample_weight : bool, str or None
            As in scikit-learn's `set_score_request`: True asks for the weights, a string names
            the metadata that holds them.

        Returns
        -------
        LabeledScorer
            This scorer, changed.
        """
        self._sample_weight_request = sample_weight
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Metadata that scikit-learn routes to this scorer.

        Returns
        -------
        MetadataRequest
        """
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_weight", alias=self._sample_weight_request)
        return request

    def _accept_sample_weight(self) -> bool:
        # scikit-learn's searches ask this of a scorer where metadata routing is off.
        return True


def make_labeled_scorer(
    scoring: str | Scorer = "accuracy", unlabeled_value: object = "auto"
) -> LabeledScorer:
    """Make a scorer that looks at the labeled rows only.

    With it, a plain `KFold` gives right scores on partly labeled data (as long as every test fold
    holds a labeled row).

    Parameters
    ----------
    scoring : str or callable, default="accuracy"
        Name of a scikit-learn scorer, or a scorer called as `scoring(estimator, X, y)`; make one
        of a metric with `sklearn.metrics.make_scorer`. "neg_log_loss" here also works where a
        test fold lacks a class that the estimator knows.
    unlabeled_value : object, default="auto"
        What marks an unlabeled row; see `flowssl._labels.encode_labels`.

    Returns
    -------
    LabeledScorer

    Raises
    ------
    ValueError
        If `scoring` is no scorer's name, or a metric function instead of a scorer.
    """
    scorer = _neg_log_loss if scoring == "neg_log_loss" else check_scoring(scoring=scoring)
    return LabeledScorer(scorer, unlabeled_value)


def unlabeled_log_likelihood_scorer(
    estimator: BaseEstimator, X: object, y: LabelsLike, unlabeled_value: object = "auto"
) -> float:
    """Mean log p(x) over the unlabeled rows, in nats.

    For models with `score_samples`, under a splitter whose test folds hold unlabeled rows
    (`KFold`, not `LabeledStratifiedKFold`).

    Parameters
    ----------
    estimator : estimator with `score_samples`
        Fitted.
    X : array-like or data frame of shape (n, n_features)
        Rows to score.
    y : array-like of shape (n,)
        Labels, with unlabeled rows marked.
    unlabeled_value : object, default="auto"
        What marks an unlabeled row; see `flowssl._labels.encode_labels`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If every row is labeled.
    """
    rows = np.flatnonzero(is_unlabeled(y, unlabeled_value))
    if not len(rows):
        raise ValueError(
            "every row to score is labeled, so there is no unlabeled likelihood; split with "
            "KFold(shuffle=True), whose test folds hold unlabeled rows too."
        )
    return float(np.mean(estimator.score_samples(_safe_indexing(X, rows))))


def _neg_log_loss(estimator: BaseEstimator, X: object, y: object, **metadata: object) -> float:
    # scikit-learn's scorer takes the classes from y, and fails where a small fold lacks one.
    probabilities = estimator.predict_proba(X)
    return -float(log_loss(y, probabilities, labels=estimator.classes_, **metadata))


labeled_scorers: dict[str, LabeledScorer] = {
    name: make_labeled_scorer(name)
    for name in ("accuracy", "balanced_accuracy", "neg_log_loss", "roc_auc")
}
"""Scorers of the labeled rows by scikit-learn's names, with `unlabeled_value="auto"`."""
