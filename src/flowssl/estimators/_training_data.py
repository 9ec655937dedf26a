"""From what the user gives to ``fit`` to canonical rows, and back to the rows as given."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from flowssl._labels import LabelsLike, encode_labels
from flowssl._typing import Floats, Integers, Labels
from flowssl._weights import read_weight
from flowssl.estimators._rows import Rows, check_order, counted_rows, labeled_rows
from flowssl.preprocessing.containers import TableLike, take_rows
from flowssl.preprocessing.encoders import Encoder


@dataclass(frozen=True)
class TrainingData:
    """Canonical training rows, and how they belong to the rows as given.

    Attributes
    ----------
    rows : Rows
        Distinct rows of a weight other than 0.
    encoder : Encoder
        Fitted.
    classes : ndarray of shape (C,)
        The labels of rows of a weight other than 0, sorted.
    codes : ndarray of shape (n,), int64
        Class of each given row, -1 for unlabeled.
    places : ndarray of shape (n,), int64
        Which of ``rows`` each given row is; -1 where its weight is 0.
    """

    rows: Rows
    encoder: Encoder
    classes: Labels
    codes: Integers
    places: Integers

    @classmethod
    def encode(
        cls,
        X: TableLike,
        y: LabelsLike,
        sample_weight: ArrayLike | None,
        unlabeled_value: object,
        encoder: Encoder,
        *,
        is_fitted: bool,
    ) -> TrainingData:
        """Encode rows and labels; a row of weight 0 is as if it were not given.

        Raises
        ------
        ValueError
            If the input is malformed or nothing can be learned from it.
        """
        check_order(X, y)
        weight = read_weight(sample_weight)
        counted = counted_rows(X, y, weight)
        if counted is not None:
            X = take_rows(X, counted)
        matrix = encoder.transform(X) if is_fitted else encoder.fit_transform(X)
        labels = encode_labels(y, unlabeled_value)
        places = np.full(len(labels.codes), -1)
        if counted is not None:
            labels = labels.with_classes_of(counted)
            weight = weight[counted]
        given = slice(None) if counted is None else counted
        of_given = replace(labels, codes=labels.codes[given])
        rows, places[given] = labeled_rows(matrix, of_given, weight)
        return cls(rows, encoder, labels.classes, labels.codes, places)

    @property
    def n_labeled(self) -> int:
        """Number of labeled rows of a weight other than 0."""
        return int((self.codes[self.places >= 0] >= 0).sum())

    @property
    def n_unlabeled(self) -> int:
        """Number of unlabeled rows of a weight other than 0."""
        return int((self.codes[self.places >= 0] < 0).sum())

    def as_given(self, soft_labels: Floats, prior: Floats) -> Floats:
        """Return soft labels of the given rows (n, C) from those of ``rows``.

        Rows of weight 0 have their label or the class prior (C,).
        """
        soft, left_out = soft_labels[self.places], np.flatnonzero(self.places < 0)
        soft[left_out] = prior
        known = left_out[self.codes[left_out] >= 0]
        soft[known] = np.eye(len(prior))[self.codes[known]]
        return soft
