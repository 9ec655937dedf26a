"""Soft labels of the training rows: the class prior, the fallback to the labels alone."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.pipeline import Pipeline

from flowssl._persistence import JSON
from flowssl._typing import Floats
from flowssl.densities import ClassPrior
from flowssl.estimators._domain import Domain
from flowssl.estimators._preparation import Preparation
from flowssl.estimators._rows import Rows
from flowssl.exceptions import UnlabeledDataWarning
from flowssl.initialization import SoftLabels
from flowssl.initialization.pooling import match_prior

LEAST_FRACTION = 0.1
"""Of a given class fraction, what the unlabeled rows keep where the labels alone use it up: the
labeled rows were then not drawn from the rows whose fractions were given."""


@dataclass(frozen=True)
class InitialLabels:
    """Where training starts: soft labels, and how they compare with the labels alone.

    Attributes
    ----------
    posteriors : ndarray of shape (n, C)
        Class probabilities of the training rows.
    used_unlabeled : bool
        Whether the unlabeled rows took part.
    baseline : Pipeline
        Logistic regression on the labeled rows.
    summary : dict
        How the candidates scored; see `SoftLabels.summary`.
    """

    posteriors: Floats
    used_unlabeled: bool
    baseline: Pipeline
    summary: dict[str, JSON]


def initialize_labels(
    domain: Domain,
    filled: Floats,
    rows: Rows,
    prior: Floats | None,
    propagation_weight: float | str,
    seed: int,
) -> InitialLabels:
    """Propagate the labels to all rows, as far as held-out labels say that this helps.

    Parameters
    ----------
    domain : Domain
        The kind of rows.
    filled : ndarray of shape (n, D)
        Rows without missing values.
    rows : Rows
        Their labels and weights.
    prior : ndarray of shape (C,) or None
        Known class fractions among all rows.
    propagation_weight : float or "auto"
        Weight of the propagated labels; the rest is the labels-only baseline's.
    seed : int
        Of everything random.
    """
    found = domain.propagate(filled, rows, prior, seed)
    weight = _propagation_weight(propagation_weight, found, rows)
    posteriors = found.posteriors
    if weight < 1.0:
        baseline: Floats = found.baseline.predict_proba(filled)
        posteriors = weight * posteriors + (1 - weight) * baseline
    if prior is not None:
        posteriors = with_class_fractions(posteriors, prior, rows)
    return InitialLabels(posteriors, bool(weight > 0), found.baseline, found.summary())


def _propagation_weight(parameter: float | str, found: SoftLabels, rows: Rows) -> float:
    """Return the weight of the propagated labels; "auto" is all or nothing.

    Warns
    -----
    UnlabeledDataWarning
        If held-out labels say that the unlabeled rows mislead.
    """
    if not isinstance(parameter, str):
        return parameter
    if not found.misleads or rows.labeled.all():
        return 1.0
    warnings.warn(
        f"held-out labels are predicted worse with the unlabeled rows "
        f"({found.label_log_likelihood:.3f} nats each) than without them "
        f"({found.baseline_label_log_likelihood:.3f}, standard error of the "
        f"difference {found.label_gain_error:.3f}); training on the labels-only "
        "baseline's soft labels. Set propagation_weight=1 to use the unlabeled rows all the same.",
        UnlabeledDataWarning,
        stacklevel=6,
    )
    return 0.0


def with_class_fractions(posteriors: Floats, prior: Floats, rows: Rows) -> Floats:
    """Adjust the unlabeled rows' posteriors (n, C) so that all rows have the class fractions (C,).

    Labels are often drawn in equal numbers: a class that is rare among the rows is then rarer
    still among the unlabeled ones.
    """
    unlabeled = ~rows.labeled
    if not unlabeled.any():
        return posteriors
    wanted = prior * rows.weight.sum() - rows.weight @ rows.one_hot()
    wanted = np.maximum(wanted, LEAST_FRACTION * prior * rows.weight[unlabeled].sum())
    matched = posteriors.copy()
    matched[unlabeled] = match_prior(
        posteriors[unlabeled], wanted / wanted.sum(), rows.weight[unlabeled]
    )
    return matched


def class_prior(prepared: Preparation, given: Floats | None, *, learn: bool) -> ClassPrior:
    """Return the given class probabilities (C,), or the mean of the soft labels."""
    if given is None:
        mass = prepared.rows.weight @ prepared.targets + 1.0
        given = mass / mass.sum()
    return ClassPrior(torch.from_numpy(given), learn=learn)
