"""The parameter ``class_prior``: known fractions of the classes, by position or by label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from flowssl._label_vectors import LabelVector
from flowssl._labels import positions
from flowssl._plain_values import plain_values
from flowssl._typing import Floats, Labels

if TYPE_CHECKING:
    import pandas as pd

GivenPrior: TypeAlias = "ArrayLike | Mapping[object, float] | pd.Series | str | None"
"""What estimators take as ``class_prior``."""


def is_learned(parameter: GivenPrior) -> bool:
    """Return whether the parameter asks for class probabilities that are trained."""
    return isinstance(parameter, str) and parameter == "learned"


def prior_by_label(parameter: object) -> tuple[Labels, list[float]] | None:
    """Return the labels and the numbers of a mapping or a pandas Series, whose index is the labels.

    None for anything else, which is read by position.
    """
    if isinstance(parameter, Mapping):
        labels, numbers = list(parameter), list(parameter.values())
    elif isinstance(index := getattr(parameter, "index", None), Iterable):  # a Series, no list
        labels, numbers = list(index), np.asarray(parameter).tolist()
    else:
        return None
    return LabelVector.read(labels).present, numbers


def given_prior(parameter: GivenPrior, classes: Labels) -> Floats | None:
    """Return the class probabilities (C,) that the parameter gives, if it does.

    Raises
    ------
    ValueError
        If it is not one positive, finite number for each class, or names other labels.
    """
    if parameter is None or is_learned(parameter):
        return None
    if isinstance(parameter, str):
        return np.full(len(classes), 1 / len(classes))
    by_label = prior_by_label(parameter)
    numbers = parameter if by_label is None else _in_order(*by_label, classes)
    try:
        prior = np.asarray(plain_values(numbers), dtype=np.float64)
    except (TypeError, ValueError):  # a set, for example
        prior = np.empty(0)
    if prior.shape != (len(classes),) or not ((prior > 0) & np.isfinite(prior)).all():
        raise ValueError(
            f"class_prior needs {len(classes)} positive, finite numbers, one for each of the classes "
            f"{classes.tolist()}; got {parameter!r}"
        )
    normalized: Floats = prior / prior.sum()
    return normalized


def _in_order(labels: Labels, numbers: list[float], classes: Labels) -> list[float]:
    """Return numbers that are given by label in the order of the classes."""
    places = positions(labels, classes).tolist()
    if len(labels) < len(numbers) or sorted(places) != list(range(len(classes))):
        raise ValueError(
            f"class_prior must name each of the classes {classes.tolist()} once, and nothing else; "
            f"it names {labels.tolist()}. Give a dict from label to fraction, or the fractions "
            "alone, as an array in the order of the classes"
        )
    in_order = dict(zip(places, numbers, strict=True))
    return [in_order[place] for place in range(len(classes))]
