"""Cross-fitting: predict each label by models that were fitted without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.model_selection import StratifiedKFold

from flowssl._typing import Booleans, Floats, Integers
from flowssl.initialization.graphs import diffuse

_REACH_ALPHA = 0.99  # label spreading through whole clusters
_LEAST_REACHED = 0.01  # quantile of the unlabeled rows that sets the limit of reach


@dataclass(frozen=True)
class Fold:
    """Some labels, hidden from a fit that then predicts their rows.

    Attributes
    ----------
    codes : ndarray of shape (n,)
        Class of each row, -1 for unlabeled rows and those of this fold.
    left_out : ndarray of shape (m,), bool
        Which of the m labeled rows are in this fold.
    rows : ndarray
        Their indices among all n rows.
    """

    codes: Integers
    left_out: Booleans
    rows: Integers


@dataclass(frozen=True)
class CrossFit:
    """Folds of the labeled rows; iterating yields each :class:`Fold`.

    Attributes
    ----------
    codes : ndarray of shape (n,)
        Class of each row, -1 for unlabeled.
    folds : ndarray of shape (m,)
        Fold of each labeled row, in row order; -1 for a label that is never left out.
    """

    codes: Integers
    folds: Integers

    @property
    def rows(self) -> Integers:
        """Indices of the labeled rows, shape (m,)."""
        return np.flatnonzero(self.codes >= 0)

    @property
    def left_out(self) -> Booleans:
        """Which of the labeled rows are in any fold, shape (m,)."""
        return self.folds >= 0

    def __len__(self) -> int:
        return int(self.folds.max()) + 1

    def __iter__(self) -> Iterator[Fold]:
        for fold in range(len(self)):
            left_out = self.folds == fold
            codes, rows = self.codes.copy(), self.rows[left_out]
            codes[rows] = -1
            yield Fold(codes, left_out, rows)

    def subset(self, chosen: Integers) -> CrossFit:
        """Cross-fitting with some of the labels; `chosen` are ascending indices below m."""
        codes = np.full_like(self.codes, -1)
        codes[self.rows[chosen]] = self.codes[self.rows[chosen]]
        return CrossFit(codes, self.folds[chosen])

    def gather(self, predictions: Sequence[Floats], shape: tuple[int, ...]) -> Floats:
        """Put the predictions of the folds together in the order of the labeled rows.

        Parameters
        ----------
        predictions : sequence of ndarray of shape (..., k, C)
            For each fold, posteriors of the k rows that it leaves out.
        shape : tuple of int
            Shape (..., m, C) of the result.

        Returns
        -------
        ndarray of shape (..., m, C)
            NaN for labels that are never left out.
        """
        gathered = np.full(shape, np.nan)
        for fold, posteriors in enumerate(predictions):
            gathered[..., self.folds == fold, :] = posteriors
        return gathered


def label_folds(given: Integers, n_folds: int, rng: np.random.Generator) -> Integers:
    """Assign labels of classes `given` (m,) to stratified folds of equal size.

    scikit-learn's `StratifiedKFold` refuses more folds than the largest class has labels, and it
    leaves out the only label of a class. Here the classes are dealt to the folds one after the
    other, and the only label of a class gets the fold -1: it is never left out.
    """
    counts = np.bincount(given)
    several = counts[counts > 1]
    folds = np.full(len(given), -1)
    if len(several):
        n_folds = max(2, min(n_folds, int(several.sum())))
        offset = 0
        for k in np.flatnonzero(counts > 1):
            members = rng.permutation(np.flatnonzero(given == k))
            folds[members] = (np.arange(len(members)) + offset) % n_folds
            offset += len(members)
    return folds


def stratified_folds(given: Integers, n_folds: int, seed: int) -> Integers:
    """Assign labels of classes `given` (m,) to folds of scikit-learn's `StratifiedKFold`.

    Every class needs at least `n_folds` labels, and then has some in every fold.
    """
    folds = np.empty(len(given), dtype=np.int64)
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed % 2**32)
    for fold, (_, left_out) in enumerate(splitter.split(given, given)):
        folds[left_out] = fold
    return folds


def within_reach(graph: sp.csr_array, crossfit: CrossFit) -> Booleans:
    """Mark the labels (m,) that the labels of the other folds still reach on the graph.

    A fold may hold the only label of a cluster. Without that label, its row is farther from all
    labels than any unlabeled row is with it, so that its prediction says nothing about them. The
    reach of a set of labels is their mean mass spread on the graph; the limit is the 1 % quantile
    over the unlabeled rows. This is importance-weighted validation (Sugiyama et al., 2007) with
    weights 0 and 1.
    """

    def reach(codes: Integers) -> Floats:
        known = np.flatnonzero(codes >= 0)
        seeds = np.zeros((len(codes), 1))
        seeds[known, 0] = 1 / len(known)
        return diffuse(graph, seeds, _REACH_ALPHA)[:, 0]

    within = np.ones(len(crossfit.folds), dtype=bool)
    unlabeled = crossfit.codes < 0
    if unlabeled.any():
        limit = np.quantile(reach(crossfit.codes)[unlabeled], _LEAST_REACHED)
        for fold in crossfit:
            within[fold.left_out] = reach(fold.codes)[fold.rows] >= limit
    return within
