"""What is known of the classes before propagation: some labels and perhaps the class frequencies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowssl._typing import Floats, Integers


@dataclass(frozen=True)
class KnownLabels:
    """Labels of some rows, with the regularization of logistic regression on them.

    Attributes
    ----------
    codes : ndarray of shape (n,)
        Class of each row, -1 for unlabeled.
    n_classes : int
        Number of classes C.
    class_prior : ndarray of shape (C,) or None, default=None
        Class frequencies among all rows; None where they have to be learned.
    inverse_penalty : float, default=1.0
        `C` of logistic regression.
    inverse_temperature : float, default=1.0
        Factor on its log-odds: a strong penalty finds the direction but leaves the log-odds small.
    """

    codes: Integers
    n_classes: int
    class_prior: Floats | None = None
    inverse_penalty: float = 1.0
    inverse_temperature: float = 1.0

    @property
    def rows(self) -> Integers:
        """Indices of the labeled rows, shape (m,)."""
        return np.flatnonzero(self.codes >= 0)

    @property
    def given(self) -> Integers:
        """Classes of the labeled rows, shape (m,)."""
        return self.codes[self.rows]

    @property
    def counts(self) -> Integers:
        """Number of labels of each class, shape (C,)."""
        return np.bincount(self.given, minlength=self.n_classes)

    @property
    def n_seen(self) -> int:
        """Number of classes with at least one label."""
        return len(np.unique(self.given))

    def one_hot(self) -> Floats:
        """Build indicators (n, C) of the classes; rows without a label are zero."""
        return one_hot(self.codes, self.n_classes)

    def impose(self, posteriors: Floats) -> Floats:
        """Copy of `posteriors` (n, C) with the labeled rows one-hot."""
        imposed = posteriors.copy()
        imposed[self.rows] = np.eye(self.n_classes)[self.given]
        return imposed

    def at_label_frequencies(self, posteriors: Floats) -> Floats:
        """Move posteriors (..., C) from the given class prior to the labels' class frequencies.

        Labels are evaluated with these; without a class prior nothing changes.
        """
        if self.class_prior is None:
            return posteriors
        moved = posteriors * (np.maximum(self.counts, 1) / self.class_prior)
        return np.asarray(moved / moved.sum(axis=-1, keepdims=True))


def one_hot(codes: Integers, n_classes: int) -> Floats:
    """Build indicators (n, C) of class codes (n,); rows of code -1 are zero."""
    return np.asarray((codes[:, None] == np.arange(n_classes)).astype(float))
