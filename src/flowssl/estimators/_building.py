"""What the classifiers build in the same way: the class prior and the terms of the objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from flowssl._typing import Floats
from flowssl.densities import ClassPrior
from flowssl.estimators._fitting import Preparation
from flowssl.objectives import (
    CrossEntropy,
    ExpectationMaximization,
    Likelihood,
    SoftLabelLikelihood,
    Term,
)

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier


OBJECTIVES = ("soft-labels", "likelihood", "em")


def is_learned(parameter: ArrayLike | str | None) -> bool:
    """Tell whether the ``class_prior`` parameter asks for class probabilities that are trained."""
    return isinstance(parameter, str) and parameter == "learned"


def given_prior(parameter: ArrayLike | str | None, classes: NDArray[np.generic]) -> Floats | None:
    """Return the class probabilities (C,) that the ``class_prior`` parameter gives, if it does.

    Raises
    ------
    ValueError
        If it is not one positive, finite number for each class.
    """
    if parameter is None or is_learned(parameter):
        return None
    if isinstance(parameter, str):
        return np.full(len(classes), 1 / len(classes))
    prior = np.asarray(parameter, dtype=np.float64)
    if prior.shape != (len(classes),) or not ((prior > 0) & np.isfinite(prior)).all():
        raise ValueError(
            f"class_prior needs {len(classes)} positive, finite numbers, one for each of the classes "
            f"{classes.tolist()}; got {parameter!r}"
        )
    normalized: Floats = prior / prior.sum()
    return normalized


def class_prior(
    prepared: Preparation, parameter: ArrayLike | str | None, classes: NDArray[np.generic]
) -> ClassPrior:
    """Return the given class probabilities, or the mean of the soft labels; learned if wanted."""
    prior = given_prior(parameter, classes)
    if prior is None:
        mass = prepared.rows.weight @ prepared.targets + 1.0
        prior = mass / mass.sum()
    return ClassPrior(torch.from_numpy(prior), learn=is_learned(parameter))


def likelihood_terms(
    estimator: FlowClassifier, class_weight: float, *, of_view: bool = False
) -> list[Term]:
    """Return the estimator's likelihood and, unless it weighs nothing, cross-entropy."""
    terms: list[Term] = []
    if estimator.objective == "soft-labels":
        terms.append(SoftLabelLikelihood())
    elif estimator.objective == "em":
        terms.append(ExpectationMaximization(refresh=estimator.e_step_interval))
    else:
        terms.append(Likelihood())
    if class_weight:
        labeled_only = estimator.objective != "soft-labels"
        terms.append(CrossEntropy(class_weight, labeled_only=labeled_only, of_view=of_view))
    return terms
