"""Where labels stand among the classes of a fitted classifier."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from flowssl._labels import LabelsLike, encode_labels, is_unlabeled, positions
from flowssl._typing import Integers, Labels


class Classes(Protocol):
    """What `class_codes` asks of a fitted classifier."""

    classes_: Labels
    unlabeled_value: object


def class_codes(estimator: Classes, y: LabelsLike) -> Integers:
    """Return the position of each label in ``classes_``, shape (n,), -1 for unlabeled rows.

    Raises
    ------
    ValueError
        If a label is not one of the estimator's classes.
    """
    classes = estimator.classes_
    unlabeled = is_unlabeled(y, estimator.unlabeled_value, known=set(classes.tolist()))
    if unlabeled.all():
        return np.full(len(unlabeled), -1, dtype=np.int64)
    encoded = encode_labels(y, estimator.unlabeled_value, known=set(classes.tolist()))
    places = positions(encoded.classes, classes)
    if (places < 0).any():
        unknown = encoded.classes[places < 0].tolist()
        raise ValueError(
            f"y holds the label {unknown[0]!r}, which is not one of the estimator's "
            f"{len(classes)} classes {classes.tolist()[:10]}"
        )
    # The code -1 of an unlabeled row selects the last entry.
    codes: Integers = np.append(places, -1)[encoded.codes]
    return codes
