"""Cross-validation and scoring for partly labeled data.

scikit-learn's splitters and scorers treat the marker of an unlabeled row as a class, so that a model
that is right on every row scores no more than the fraction of labeled rows. Use
`LabeledStratifiedKFold` with any scorer, or any splitter with a scorer of `make_labeled_scorer` or
`labeled_scorers`.

Examples
--------
>>> from sklearn.model_selection import KFold, cross_val_score
>>> from sklearn.semi_supervised import LabelSpreading
>>> from flowssl.datasets import hide_labels, make_moons
>>> from flowssl.model_selection import labeled_scorers
>>> X, y = make_moons(200, random_state=0)
>>> y = hide_labels(y, per_class=20, random_state=0)
>>> model, cv = LabelSpreading(kernel="knn"), KFold(4, shuffle=True, random_state=0)
>>> cross_val_score(model, X, y, cv=cv, scoring=labeled_scorers["accuracy"]).tolist()
[1.0, 1.0, 1.0, 1.0]
"""

from collections.abc import Iterator
from typing import Protocol, Self
from warnings import warn

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, check_scoring, log_loss
from sklearn.model_selection import BaseCrossValidator, StratifiedKFold
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.metadata_routing import MetadataRequest

from flowssl._labels import LabelsLike, check_same_type, encode_labels, is_unlabeled, positions
from flowssl._typing import Integers, Labels
from flowssl._weights import read_weight
from flowssl.exceptions import FlowSSLWarning
from flowssl.preprocessing.containers import TableLike, take_rows

__all__ = [
    "LabeledStratifiedKFold",
    "labeled_accuracy",
    "labeled_scorers",
    "make_labeled_scorer",
    "unlabeled_log_likelihood_scorer",
]


class Scorer(Protocol):
    """A callable like scikit-learn's scorers: larger is better."""

    def __call__(
        self, estimator: BaseEstimator, X: TableLike, y: Labels, **metadata: object
    ) -> float: ...


def labeled_accuracy(
    y: LabelsLike,
    predicted: Labels,
    unlabeled_value: object = "auto",
    sample_weight: ArrayLike | None = None,
    classes: Labels | None = None,
) -> float:
    """Accuracy on the labeled rows; unlabeled rows do not count.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, with unlabeled rows marked.
    predicted : ndarray of shape (n,)
        Predicted classes.
    unlabeled_value : object, default="auto"
        Marker of an unlabeled row, or several in a list; as the classifiers' `unlabeled_value`.
    sample_weight : array-like of shape (n,), optional
        Weights of the rows.
    classes : ndarray of shape (n_classes,), optional
        Classes of the model, which are never marks of unlabeled rows in text.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If no row is labeled, or the numbers of rows differ.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.model_selection import labeled_accuracy
    >>> labeled_accuracy(["a", None, "b"], np.array(["a", "a", "a"]))
    0.5
    """
    truth = encode_labels(y, unlabeled_value, known=_known_classes(classes))
    known, weight = truth.codes >= 0, None
    check_consistent_length(predicted, truth.codes, sample_weight)
    if sample_weight is not None:
        weight = check_array(
            read_weight(sample_weight),
            ensure_2d=False,
            dtype=np.float64,
            input_name="sample_weight",
        )[known]
    check_same_type(truth.classes, np.asarray(predicted))
    # As codes: scikit-learn's metrics do not take labels of every type.
    found = positions(np.asarray(predicted)[known], truth.classes)
    return float(accuracy_score(truth.codes[known], found, sample_weight=weight))


class LabeledStratifiedKFold(BaseCrossValidator):
    """K-fold splits of the labeled rows, with the unlabeled rows always in training.

    The labeled rows are split as scikit-learn's `StratifiedKFold` splits them on their own: test
    folds hold labeled rows only, with about the same fraction of every class. The other labeled
    rows and all unlabeled rows are the training part. This works with any estimator that takes
    unlabeled rows, any scorer and every tool that takes `cv`, except `cross_val_predict`, because
    unlabeled rows are in no test fold.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to assign the rows of a class to folds at random instead of in order.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling; only with `shuffle=True`.
    unlabeled_value : object, default="auto"
        Marker of an unlabeled row, or several in a list; as the classifiers' `unlabeled_value`.

    Notes
    -----
    Every class has a label in every training part. A class with a single label is therefore in no
    test fold and not evaluated (`FlowSSLWarning`). A class with fewer labels than splits is missing
    from some test folds (scikit-learn's `UserWarning`).

    Examples
    --------
    >>> from flowssl.model_selection import LabeledStratifiedKFold
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
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored; present for scikit-learn's interface.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(
        self, X: object, y: LabelsLike, groups: object = None
    ) -> Iterator[tuple[Integers, Integers]]:
        """Yield the row numbers of each training part and test fold.

        Parameters
        ----------
        X : array-like of length n
            Ignored.
        y : array-like of shape (n,)
            Labels, with unlabeled rows marked.
        groups : object, default=None
            Ignored; present for scikit-learn's interface.

        Yields
        ------
        train, test : ndarray of int
            Ascending row numbers; together all rows.

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
                f"class; the class with most labels has {counts.max()}. Use at most that many "
                "splits, or label more rows."
            )
        if (counts == 1).any():
            single = encoded.classes[counts == 1].tolist()
            warn(
                f"The classes {single} have a single label each, which is in every training part: "
                "no test fold has these classes.",
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
    """A scorer of the labeled rows only, as `make_labeled_scorer` makes it.

    Parameters
    ----------
    scorer : callable
        Called as `scorer(estimator, X, y)` with the labeled rows of X and y.
    unlabeled_value : object, default="auto"
        Marker of an unlabeled row, or several in a list; as the classifiers' `unlabeled_value`.
    """

    def __init__(self, scorer: Scorer, unlabeled_value: object = "auto") -> None:
        self.scorer = scorer
        self.unlabeled_value = unlabeled_value
        self._sample_weight_request: bool | str | None = None

    def __call__(
        self,
        estimator: BaseEstimator,
        X: TableLike,
        y: LabelsLike,
        sample_weight: ArrayLike | None = None,
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
            Weights; those of the labeled rows are passed to the inner scorer.

        Returns
        -------
        float
            Larger is better.

        Raises
        ------
        ValueError
            If no row is labeled.
        """
        known = _known_classes(getattr(estimator, "classes_", None))
        encoded = encode_labels(y, self.unlabeled_value, known=known)
        rows = np.flatnonzero(encoded.codes >= 0)
        metadata: dict[str, object] = {}
        if sample_weight is not None:
            metadata["sample_weight"] = read_weight(sample_weight)[rows]
        labels = encoded.decode(encoded.codes[rows])
        return self.scorer(estimator, take_rows(X, rows), labels, **metadata)

    def __repr__(self) -> str:
        return f"LabeledScorer({self.scorer!r}, unlabeled_value={self.unlabeled_value!r})"

    def set_score_request(self, *, sample_weight: bool | str | None) -> Self:
        """Request sample weights from scikit-learn's metadata routing.

        Parameters
        ----------
        sample_weight : bool, str or None
            As in scikit-learn's `set_score_request`: True requests the weights, a string is the
            name under which they are passed.

        Returns
        -------
        LabeledScorer
            This scorer, changed.
        """
        self._sample_weight_request = sample_weight
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Metadata that this scorer requests from scikit-learn.

        Returns
        -------
        MetadataRequest
        """
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_weight", alias=self._sample_weight_request)
        return request

    def _accept_sample_weight(self) -> bool:
        # scikit-learn's searches call this if metadata routing is off.
        return True


def make_labeled_scorer(
    scoring: str | Scorer = "accuracy", unlabeled_value: object = "auto"
) -> LabeledScorer:
    """Make a scorer of the labeled rows only.

    With it, a plain `KFold` gives correct scores on partly labeled data, provided that every test
    fold has a labeled row.

    Parameters
    ----------
    scoring : str or callable, default="accuracy"
        Name of a scikit-learn scorer, or a scorer called as `scoring(estimator, X, y)`;
        `sklearn.metrics.make_scorer` makes one from a metric. Unlike scikit-learn's own,
        "neg_log_loss" allows for test folds without some of the classes.
    unlabeled_value : object, default="auto"
        Marker of an unlabeled row, or several in a list; as the classifiers' `unlabeled_value`.

    Returns
    -------
    LabeledScorer
        Called as `scorer(estimator, X, y, sample_weight=None)`.

    Raises
    ------
    ValueError
        If `scoring` is not the name of a scorer, or a metric function instead of a scorer.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from flowssl.model_selection import make_labeled_scorer
    >>> model = DummyClassifier(strategy="constant", constant=1).fit([[0], [1]], [0, 1])
    >>> scorer = make_labeled_scorer("accuracy")
    >>> scorer(model, [[0], [1], [2]], [0, 1, -1])
    0.5
    """
    scorer = _neg_log_loss if scoring == "neg_log_loss" else check_scoring(scoring=scoring)
    return LabeledScorer(scorer, unlabeled_value)


def unlabeled_log_likelihood_scorer(
    estimator: BaseEstimator, X: TableLike, y: LabelsLike, unlabeled_value: object = "auto"
) -> float:
    """Mean log p(x) of the unlabeled rows, in nats: a scorer of the density.

    It needs a splitter whose test folds have unlabeled rows: `KFold`, not
    `LabeledStratifiedKFold`.

    Parameters
    ----------
    estimator : estimator with `score_samples`
        Fitted.
    X : array-like or data frame of shape (n, n_features)
        Rows to score.
    y : array-like of shape (n,)
        Labels, with unlabeled rows marked.
    unlabeled_value : object, default="auto"
        Marker of an unlabeled row, or several in a list; as the classifiers' `unlabeled_value`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If every row is labeled.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.mixture import GaussianMixture
    >>> from flowssl.model_selection import unlabeled_log_likelihood_scorer
    >>> X = np.array([[-1.0], [1.0], [-1.0], [1.0]])
    >>> model = GaussianMixture(1).fit(X)  # a standard normal distribution
    >>> round(unlabeled_log_likelihood_scorer(model, X, [0, 1, -1, -1]), 3)
    -1.419
    """
    known = _known_classes(getattr(estimator, "classes_", None))
    rows = np.flatnonzero(is_unlabeled(y, unlabeled_value, known=known))
    if not len(rows):
        raise ValueError(
            "every row to score is labeled, so there is no unlabeled likelihood; split with "
            "KFold(shuffle=True), whose test folds have unlabeled rows too."
        )
    return float(np.mean(estimator.score_samples(take_rows(X, rows))))


def _known_classes(classes: Labels | None) -> frozenset[object]:
    """Return a model's classes, which are never marks of unlabeled rows."""
    return frozenset() if classes is None else frozenset(classes.tolist())


def _neg_log_loss(estimator: BaseEstimator, X: TableLike, y: Labels, **metadata: object) -> float:
    # scikit-learn's scorer takes the classes from y, and fails where a small fold lacks one.
    probabilities = estimator.predict_proba(X)
    return -float(log_loss(y, probabilities, labels=estimator.classes_, **metadata))


labeled_scorers: dict[str, LabeledScorer] = {
    name: make_labeled_scorer(name)
    for name in ("accuracy", "balanced_accuracy", "neg_log_loss", "roc_auc")
}
"""Scorers of the labeled rows by scikit-learn's names, with `unlabeled_value="auto"`."""
