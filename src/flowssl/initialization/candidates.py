"""Candidates: inexpensive classifiers that turn a few labels into posteriors of all rows.

Classes may be unimodal clusters (affine and quadratic EM steps), manifolds (diffusion on a neighbor
graph) or groups of clusters (a mixture). No method is best on every table, so all of them run and
`flowssl.initialization.propagate` weighs them. `SOURCES` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np
from scipy.special import softmax

from flowssl._typing import Booleans, Floats, Integers
from flowssl.initialization.graphs import diffuse
from flowssl.initialization.known_labels import KnownLabels
from flowssl.initialization.logistic import fit_logistic
from flowssl.initialization.pooling import mean_label_log_likelihood
from flowssl.initialization.spaces import Scaling, Space

AFFINE_STEPS = (1, 5, 20)
DIFFUSION = (0.9, 0.99)  # label spreading among close neighbors, and through whole clusters
_QUADRATIC_COLUMNS = 64
_QUADRATIC_STEPS = 5
_EMPTY_MASS = 1e-9


class Kind(Enum):
    """What a candidate uses besides the labels."""

    LABELS_ONLY = auto()
    """Nothing: its standardized version is the baseline."""

    GRAPH = auto()
    """The space's neighbor graph, which gains weight in the smoothing with this candidate's."""

    DENSITY = auto()
    """Means, covariances or a mixture of all rows."""

    EXTRA = auto()
    """Whatever the caller's model uses."""


@dataclass(frozen=True)
class Candidate:
    """Posteriors of all rows by one method.

    Attributes
    ----------
    name : str
        Name in records and reports, "scaling: method".
    kind : Kind
        What it uses besides the labels.
    scaling : Scaling or None
        Space that it runs in; None for a candidate of the caller.
    posteriors : ndarray of shape (n, C)
        Class probabilities of all rows, fitted to all labels.
    cross_fitted : ndarray of shape (m, C)
        Class probabilities of the labeled rows by fits without their labels, at the labels' class
        frequencies; NaN for labels that have not been left out.
    """

    name: str
    kind: Kind
    scaling: Scaling | None
    posteriors: Floats
    cross_fitted: Floats

    def score(self, given: Integers, evaluated: Booleans) -> float:
        """Mean cross-fitted log-likelihood of the labels that are evaluated, nats per label."""
        return mean_label_log_likelihood(self.cross_fitted[evaluated], given[evaluated])


Method = tuple[str, Kind, Floats]
"""Name of a method within its space, its kind and its posteriors (n, C)."""


@dataclass(frozen=True)
class Source:
    """A family of methods and the spaces in which they are worth running.

    Attributes
    ----------
    run : callable
        Takes a space and the labels, and yields the methods' results.
    scalings : tuple of Scaling, default=all
        Spaces in which it runs.
    """

    run: Callable[[Space, KnownLabels], Iterator[Method]]
    scalings: tuple[Scaling, ...] = tuple(Scaling)


def run_sources(spaces: Sequence[Space], labels: Sequence[KnownLabels]) -> list[Candidate]:
    """Run every source in its spaces, each space with its own regularization.

    Posteriors are kept in single precision; none are cross-fitted yet.
    """
    not_left_out = np.full((len(labels[0].rows), labels[0].n_classes), np.nan)
    return [
        Candidate(
            f"{space.scaling}: {method}",
            kind,
            space.scaling,
            posteriors.astype(np.float32),
            not_left_out,
        )
        for space, known in zip(spaces, labels, strict=True)
        for source in SOURCES
        if space.scaling in source.scalings
        for method, kind, posteriors in source.run(space, known)
    ]


def run_without(spaces: Sequence[Space], labels: Sequence[KnownLabels], codes: Integers) -> Floats:
    """Posteriors (J, n, C) of the same candidates fitted to other codes (n,): those of a fold."""
    hidden = [replace(known, codes=codes) for known in labels]
    return np.stack([candidate.posteriors for candidate in run_sources(spaces, hidden)])


def _normalize(mass: Floats) -> Floats:
    return np.asarray(mass / np.maximum(mass.sum(axis=1, keepdims=True), np.finfo(float).tiny))


def graph_methods(space: Space, labels: KnownLabels) -> Iterator[Method]:
    """Label spreading with equal class masses (Zhu et al., 2003) or those of the class prior.

    In the standardized space, one affine step from the last of them as well.
    """
    seeds = labels.one_hot() * space.weight[:, None]
    for alpha in DIFFUSION:
        mass = diffuse(space.graph, seeds, alpha)
        mass += _EMPTY_MASS * mass.max()
        mass /= mass.sum(axis=0)
        if labels.class_prior is not None:
            mass *= labels.class_prior
        spread = _normalize(mass)
        yield f"diffusion {alpha}", Kind.GRAPH, spread
    if space.scaling is Scaling.STANDARD:
        yield "affine from diffusion", Kind.DENSITY, _affine_steps(space, labels, spread, (1,))[1]


def logistic_posteriors(space: Space, labels: KnownLabels) -> Floats:
    """Posteriors (n, C) of logistic regression, moved to the class prior where it is given."""
    Z = space.coordinates
    posteriors = np.zeros((len(Z), labels.n_classes))
    if labels.n_seen < 2:
        posteriors[:, np.unique(labels.given)] = 1
        return posteriors
    model = fit_logistic(
        Z, labels.codes, space.weight, labels.inverse_penalty, labels.inverse_temperature
    )
    posteriors[:, model.classes_] = model.predict_proba(Z)
    if labels.class_prior is not None:
        posteriors *= labels.class_prior / np.maximum(labels.counts, 1)
    return _normalize(posteriors)


def linear_methods(space: Space, labels: KnownLabels) -> Iterator[Method]:
    """Logistic regression, then EM of class Gaussians with one covariance or one for each."""
    first = logistic_posteriors(space, labels)
    yield "logistic", Kind.LABELS_ONLY, first
    for step, posteriors in _affine_steps(space, labels, first, AFFINE_STEPS).items():
        yield f"affine {step}", Kind.DENSITY, posteriors
    if space.X.shape[1] <= _QUADRATIC_COLUMNS:
        yield "quadratic", Kind.DENSITY, _quadratic_steps(space, labels, first)


def _class_moments(
    X: Floats, weight: Floats, labels: KnownLabels, P: Floats
) -> tuple[Floats, Floats, Floats]:
    """Weighted masses (C,), means (C, D) and log-priors (C,) of the classes of rows (n, D)."""
    weighted = P * weight[:, None]
    mass = weighted.sum(axis=0) + _EMPTY_MASS
    means = weighted.T @ X / mass[:, None]
    prior = labels.class_prior
    if prior is None:
        prior = (mass + 1) / (mass + 1).sum()
    return mass, means, np.log(np.maximum(prior, np.finfo(float).tiny))


def _shrink(S: Floats, amount: float, dim: int) -> Floats:
    """Shrink a covariance toward a multiple of the identity.

    It is that of ``dim`` columns, perhaps in a basis of the span of the rows.
    """
    variance = max(float(np.trace(S)) / dim, np.finfo(float).tiny)
    return (1 - amount) * S + (amount + 1e-8) * variance * np.eye(len(S))


def _affine_steps(
    space: Space, labels: KnownLabels, first: Floats, steps: Sequence[int]
) -> dict[int, Floats]:
    """Posteriors after the given numbers of EM steps with a pooled covariance.

    The pooled within-class covariance is the total covariance less that of the means, so that a
    step costs one pass over the rows.
    """
    P, found = labels.impose(first), {}
    Z, D = space.coordinates, space.X.shape[1]
    for step in range(1, max(steps) + 1):
        mass, means, log_prior = _class_moments(Z, space.weight, labels, P)
        between = (means * (mass / mass.sum())[:, None]).T @ means
        S = _shrink(space.scatter - between, space.shrinkage, D)
        A = np.linalg.solve(S, means.T)
        Q = softmax(Z @ A - 0.5 * (means * A.T).sum(axis=1) + log_prior, axis=1)
        P = labels.impose(Q)
        if step in steps:
            found[step] = Q
    return found


def _quadratic_steps(space: Space, labels: KnownLabels, first: Floats) -> Floats:
    """Posteriors after EM steps with a covariance for each class, shrunk to the pooled one."""
    X, P, D = space.X, labels.impose(first), space.X.shape[1]
    for _ in range(_QUADRATIC_STEPS):
        mass, means, log_prior = _class_moments(X, space.weight, labels, P)
        weighted = P * space.weight[:, None]
        own = [
            (X * weighted[:, [k]]).T @ X / mass[k] - np.outer(means[k], means[k])
            for k in range(labels.n_classes)
        ]
        pooled = sum((m * S for m, S in zip(mass, own, strict=True)), np.zeros((D, D)))
        pooled = _shrink(pooled / mass.sum(), space.shrinkage, D)
        score = np.empty_like(P)
        for k, S in enumerate(own):
            trust = 0.9 * mass[k] / (mass[k] + 5 * D)
            L = np.linalg.cholesky(_shrink(trust * S + (1 - trust) * pooled, 0.0, D))
            Z = (X - means[k]) @ np.linalg.inv(L).T
            score[:, k] = log_prior[k] - 0.5 * (Z**2).sum(axis=1) - np.log(np.diag(L)).sum()
        Q = np.asarray(softmax(score, axis=1))
        P = labels.impose(Q)
    return Q


def mixture_methods(space: Space, labels: KnownLabels) -> Iterator[Method]:
    """Label the components of a mixture by diffusion between components that share rows."""
    R = space.components
    seeds = (R * space.weight[:, None]).T @ labels.one_hot()
    overlap = R.T @ R
    root = 1 / np.sqrt(overlap.sum(axis=0) + _EMPTY_MASS)
    overlap = overlap * root * root[:, None]
    F = np.linalg.solve(np.eye(len(overlap)) - 0.9 * overlap, seeds + 1e-4)
    if labels.class_prior is not None:
        F *= labels.class_prior / np.maximum(F.sum(axis=0), _EMPTY_MASS)
    yield "mixture", Kind.DENSITY, _normalize(R @ _normalize(np.maximum(F, 0)))


# In the columns' own units linear rules differ from the standardized ones by the penalty only.
LINEAR = Source(linear_methods, (Scaling.STANDARD, Scaling.RANK))
GRAPH = Source(graph_methods)
MIXTURE = Source(mixture_methods, (Scaling.STANDARD, Scaling.RANK))
SOURCES = (LINEAR, GRAPH, MIXTURE)
