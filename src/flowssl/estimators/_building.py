"""What the classifiers build in the same way: the class prior and the terms of the objective."""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike

from flowssl.densities import ClassPrior
from flowssl.estimators._fitting import Preparation
from flowssl.initialization.spaces import Floats
from flowssl.objectives import (
    CrossEntropy,
    ExpectationMaximization,
    Likelihood,
    SoftLabelLikelihood,
    Term,
)

__all__ = ["OBJECTIVES", "class_prior", "likelihood_terms"]

OBJECTIVES = ("soft-labels", "likelihood", "em")


def class_prior(
    prepared: Preparation, given: Floats | None, parameter: ArrayLike | str | None
) -> ClassPrior:
    """Return the given class probabilities (C,), or the mean of the soft labels.

    They are learned if the estimator's ``class_prior`` parameter says so.
    """
    if given is None:
        mass = prepared.rows.weight @ prepared.targets + 1.0
        given = mass / mass.sum()
    learn = isinstance(parameter, str) and parameter == "learned"
    return ClassPrior(torch.from_numpy(given), learn=learn)


def likelihood_terms(objective: str, cross_entropy_weight: float, em_refresh: int) -> list[Term]:
    """Return the likelihood of the named objective and, unless it weighs nothing, cross-entropy."""
    terms: list[Term] = []
    if objective == "soft-labels":
        terms.append(SoftLabelLikelihood())
    elif objective == "em":
        terms.append(ExpectationMaximization(refresh=em_refresh))
    else:
        terms.append(Likelihood())
    if cross_entropy_weight:
        labeled_only = objective != "soft-labels"
        terms.append(CrossEntropy(cross_entropy_weight, labeled_only=labeled_only))
    return terms
