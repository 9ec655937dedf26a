"""Candidates of the caller: any model that gives class probabilities, pooled with the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

import numpy as np

from flowssl._typing import Floats, Integers
from flowssl.initialization.candidates import Candidate, Kind
from flowssl.initialization.crossfit import CrossFit, stratified_folds
from flowssl.initialization.pooling import fit_tempered_pool
from flowssl.initialization.soft_labels import SoftLabels, evaluate

FOLDS = 5  # each costs a training; with fewer, a model trained on far fewer labels seems worse


class ExtraCandidate(Protocol):
    """A model of the caller that `propagate` pools with its own candidates.

    Attributes
    ----------
    name : str
        Name in the record.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> from flowssl.initialization import propagate
    >>> X, y = make_moons(200, random_state=0)
    >>> class NearestLabel:
    ...     name = "nearest label"
    ...
    ...     def fit_predict(self, codes, rows):
    ...         known = codes >= 0
    ...         model = KNeighborsClassifier(1).fit(X[known], codes[known])
    ...         return model.predict_proba(X[rows])
    >>> codes = hide_labels(y, per_class=5, random_state=0)
    >>> propagate(X, codes, 2, extra=[NearestLabel()], random_state=0).candidates[-1]
    'nearest label'
    """

    @property
    def name(self) -> str:
        """Name in the record."""

    def fit_predict(self, codes: Integers, rows: Integers) -> Floats:
        """Fit to the labels and return class probabilities of some rows.

        Parameters
        ----------
        codes : ndarray of shape (n,)
            Class of each row, -1 for unlabeled; every class has a label.
        rows : ndarray of shape (k,)
            Indices of the rows to predict: all of them, or those whose labels are hidden.

        Returns
        -------
        ndarray of shape (k, C)
        """


def add_candidates(
    soft: SoftLabels, extra: Iterable[ExtraCandidate], codes: Integers, seed: int
) -> SoftLabels:
    """Fit and cross-fit models of the caller and pool them with the soft labels one by one.

    Nothing is done where there is nothing to gain, as no row is unlabeled, or where a class has
    fewer than two labels: one to train on and one to predict.

    Parameters
    ----------
    soft : SoftLabels
        Soft labels of n rows.
    extra : iterable of ExtraCandidate
        The models.
    codes : ndarray of shape (n,)
        Class of each row, -1 for unlabeled.
    seed : int
        Seed of the folds.
    """
    n_classes = soft.posteriors.shape[1]
    given = codes[codes >= 0]
    n_folds = min(FOLDS, int(np.bincount(given, minlength=n_classes).min()))
    if n_folds < 2 or (codes >= 0).all():
        return soft
    crossfit = CrossFit(codes, stratified_folds(given, n_folds, seed))
    for model in extra:
        cross_fitted = crossfit.gather(
            [model.fit_predict(fold.codes, fold.rows) for fold in crossfit],
            (len(given), n_classes),
        )
        posteriors = model.fit_predict(codes, np.arange(len(codes)))
        candidate = Candidate(model.name, Kind.EXTRA, None, posteriors, cross_fitted)
        soft = pool_with(soft, candidate, given)
    return soft


def pool_with(soft: SoftLabels, candidate: Candidate, given: Integers) -> SoftLabels:
    """Pool soft labels with one candidate, by the cross-fitted likelihood of the labels.

    Parameters
    ----------
    soft : SoftLabels
        Soft labels of n rows, of which m are labeled.
    candidate : Candidate
        Posteriors of the same rows, with cross-fitted ones.
    given : ndarray of shape (m,)
        Classes of the labeled rows.
    """
    evaluated = np.isfinite(soft.cross_fitted[:, 0])
    pool, cross_fitted, posteriors = fit_tempered_pool(
        np.stack([soft.cross_fitted, candidate.cross_fitted]),
        np.stack([soft.posteriors, candidate.posteriors]),
        given,
        evaluated,
    )
    evaluation = evaluate(
        cross_fitted[evaluated], soft.baseline_cross_fitted[evaluated], given[evaluated]
    )
    return replace(
        soft,
        posteriors=posteriors,
        candidates=(*soft.candidates, candidate.name),
        weights=np.append(soft.weights * pool.weights[0], pool.weights[1]),
        label_log_likelihoods=np.append(
            soft.label_log_likelihoods, candidate.score(given, evaluated)
        ),
        label_log_likelihood=evaluation.log_likelihood,
        cross_fitted=cross_fitted,
        label_gain=evaluation.gain,
        label_gain_error=evaluation.gain_error,
    )
