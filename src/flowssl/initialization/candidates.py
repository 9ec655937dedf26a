"""Cheap classifiers that turn a few labels into posteriors of all rows, each right for some tables.

Classes may be single lumps (affine and quadratic steps), manifolds (diffusion on a neighbor
graph) or groups of lumps (a mixture); no method wins everywhere, so all of them run and
`flowssl.initialization.propagate` weighs them. A source takes a `Space` and codes (-1 = unlabeled)
and returns posteriors (n, C) by name; `SOURCES` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from flowssl._typing import Floats, Integers
from flowssl.initialization.spaces import Space

AFFINE_STEPS = (1, 5, 20)
DIFFUSION = (0.9, 0.99)  # how far labels travel on the graph: locally, and through whole clusters
_QUADRATIC_COLUMNS = 64
_QUADRATIC_STEPS = 5
_EMPTY_MASS = 1e-9


@dataclass(frozen=True)
class Labels:
    """What is known of the classes.

    Attributes
    ----------
    codes : ndarray (n,)
        Class of each row, -1 = unlabeled.
    n_classes : int
        C.
    inverse_penalty : float
        `C` of logistic regression.
    inverse_temperature : float
        What its log-odds are multiplied by: a penalty that finds the direction leaves them small.
    class_prior : ndarray (C,) or None
        Shares of the classes among all rows; None where they have to be learned.
    """

    codes: Integers
    n_classes: int
    inverse_penalty: float = 1.0
    inverse_temperature: float = 1.0
    class_prior: Floats | None = None

    @property
    def rows(self) -> Integers:
        """Indices of the labeled rows."""
        return np.flatnonzero(self.codes >= 0)

    @property
    def counts(self) -> Integers:
        """How many labels each class has, (C,)."""
        return np.bincount(self.codes[self.rows], minlength=self.n_classes)

    def fix(self, posterior: Floats) -> Floats:
        """Copy of `posterior` (n, C) with the labeled rows one-hot."""
        fixed = posterior.copy()
        fixed[self.rows] = np.eye(self.n_classes)[self.codes[self.rows]]
        return fixed


def one_hot(codes: Integers, n_classes: int) -> Floats:
    """Build indicators (n, C) of the codes; unlabeled rows are zero."""
    return np.asarray((codes[:, None] == np.arange(n_classes)).astype(float))


def _normalize(mass: Floats) -> Floats:
    return np.asarray(mass / np.maximum(mass.sum(axis=1, keepdims=True), np.finfo(float).tiny))


def diffuse(space: Space, sources: Floats, alpha: float) -> Floats:
    """Solve (I - alpha G) F = `sources` on the neighbor graph G by conjugate gradients.

    The label spreading of Zhou et al. (2004), solved rather than iterated.
    """
    F = sources.copy()
    residual = alpha * (space.graph @ F)
    direction, energy = residual.copy(), (residual**2).sum(axis=0)
    tiny = np.finfo(float).tiny
    limit = 1e-6 * (sources**2).sum(axis=0)
    for _ in range(200):
        if (energy <= limit).all():
            break
        image = direction - alpha * (space.graph @ direction)
        step = energy / ((direction * image).sum(axis=0) + tiny)
        F += step * direction
        residual -= step * image
        previous, energy = energy, (residual**2).sum(axis=0)
        direction = residual + energy / (previous + tiny) * direction
    return np.asarray(np.maximum(F, 0))


def graph_posteriors(space: Space, labels: Labels) -> dict[str, Floats]:
    """Labels spread on the graph, class masses made equal (Zhu et al., 2003), and one affine step."""
    seeds = one_hot(labels.codes, labels.n_classes) * space.weight[:, None]
    found = {}
    for alpha in DIFFUSION:
        mass = diffuse(space, seeds, alpha)
        mass += _EMPTY_MASS * mass.max()
        mass /= mass.sum(axis=0)
        if labels.class_prior is not None:
            mass *= labels.class_prior
        found[f"diffusion {alpha}"] = _normalize(mass)
    if space.name == "standard":
        found["affine from diffusion"] = _affine_steps(space, labels, _normalize(mass), (1,))[1]
    return found


def fit_logistic(
    X: Floats, codes: Integers, weight: Floats, C: float, inverse_temperature: float = 1.0
) -> LogisticRegression:
    """Logistic regression on the rows with a code; two classes at least."""
    rows = np.flatnonzero(codes >= 0)
    model = LogisticRegression(C=C, max_iter=300, tol=1e-3)
    model.fit(X[rows], codes[rows], sample_weight=weight[rows])
    model.coef_ *= inverse_temperature
    model.intercept_ *= inverse_temperature
    return model


def logistic_posterior(space: Space, labels: Labels) -> Floats:
    """Posteriors of logistic regression on the labels, moved to the class prior where given."""
    posterior = np.zeros((len(space.X), labels.n_classes))
    seen = np.unique(labels.codes[labels.rows])
    if len(seen) < 2:
        posterior[:, seen] = 1
        return posterior
    model = fit_logistic(
        space.X, labels.codes, space.weight, labels.inverse_penalty, labels.inverse_temperature
    )
    posterior[:, model.classes_] = model.predict_proba(space.X)
    if labels.class_prior is not None:
        posterior *= labels.class_prior / np.maximum(labels.counts, 1)
    return _normalize(posterior)


def linear_posteriors(space: Space, labels: Labels) -> dict[str, Floats]:
    """Logistic regression, then EM of class Gaussians that share one covariance."""
    if space.name == "raw":  # the same rules as in standard units, but for the penalty
        return {}
    start = logistic_posterior(space, labels)
    found = {"logistic": start}
    for step, posterior in _affine_steps(space, labels, start, AFFINE_STEPS).items():
        found[f"affine {step}"] = posterior
    if space.X.shape[1] <= _QUADRATIC_COLUMNS:
        found["quadratic"] = _quadratic_steps(space, labels, start)
    return found


def _class_moments(space: Space, labels: Labels, P: Floats) -> tuple[Floats, Floats, Floats]:
    """Weighted masses (C,), means (C, D) and log-priors (C,) of the classes."""
    weighted = P * space.weight[:, None]
    mass = weighted.sum(axis=0) + _EMPTY_MASS
    means = weighted.T @ space.X / mass[:, None]
    prior = labels.class_prior
    if prior is None:
        prior = (mass + 1) / (mass + 1).sum()
    return mass, means, np.log(np.maximum(prior, np.finfo(float).tiny))


def _shrink(S: Floats, amount: float) -> Floats:
    D = len(S)
    level = max(float(np.trace(S)) / D, np.finfo(float).tiny)
    return (1 - amount) * S + (amount + 1e-8) * level * np.eye(D)


def _affine_steps(
    space: Space, labels: Labels, start: Floats, steps: Sequence[int]
) -> dict[int, Floats]:
    """Posteriors after the given numbers of EM steps with a pooled covariance.

    The pooled within-class covariance is the total one less that of the means, so that a step
    costs one pass over the rows.
    """
    P, found = labels.fix(start), {}
    for step in range(1, max(steps) + 1):
        mass, means, log_prior = _class_moments(space, labels, P)
        between = (means * (mass / mass.sum())[:, None]).T @ means
        S = _shrink(space.scatter - between, space.shrinkage)
        A = np.linalg.solve(S, means.T)
        Q = softmax(space.X @ A - 0.5 * (means * A.T).sum(axis=1) + log_prior, axis=1)
        P = labels.fix(Q)
        if step in steps:
            found[step] = Q
    return found


def _quadratic_steps(space: Space, labels: Labels, start: Floats) -> Floats:
    """Posteriors after EM steps in which each class has a covariance, shrunk to the pooled one."""
    X, P, D = space.X, labels.fix(start), space.X.shape[1]
    for _ in range(_QUADRATIC_STEPS):
        mass, means, log_prior = _class_moments(space, labels, P)
        weighted = P * space.weight[:, None]
        own = [
            (X * weighted[:, [k]]).T @ X / mass[k] - np.outer(means[k], means[k])
            for k in range(labels.n_classes)
        ]
        pooled = sum((m * S for m, S in zip(mass, own, strict=True)), np.zeros((D, D)))
        pooled = _shrink(pooled / mass.sum(), space.shrinkage)
        score = np.empty_like(P)
        for k, S in enumerate(own):
            trust = 0.9 * mass[k] / (mass[k] + 5 * D)
            L = np.linalg.cholesky(_shrink(trust * S + (1 - trust) * pooled, 0.0))
            Z = (X - means[k]) @ np.linalg.inv(L).T
            score[:, k] = log_prior[k] - 0.5 * (Z**2).sum(axis=1) - np.log(np.diag(L)).sum()
        Q = np.asarray(softmax(score, axis=1))
        P = labels.fix(Q)
    return Q


def mixture_posteriors(space: Space, labels: Labels) -> dict[str, Floats]:
    """Components of a mixture, labeled by diffusion between components that share rows."""
    if space.name == "raw":
        return {}
    R = space.components
    seeds = (R * space.weight[:, None]).T @ one_hot(labels.codes, labels.n_classes)
    overlap = R.T @ R
    root = 1 / np.sqrt(overlap.sum(axis=0) + _EMPTY_MASS)
    overlap = overlap * root * root[:, None]
    F = np.linalg.solve(np.eye(len(overlap)) - 0.9 * overlap, seeds + 1e-4)
    if labels.class_prior is not None:
        F *= labels.class_prior / np.maximum(F.sum(axis=0), _EMPTY_MASS)
    return {"mixture": _normalize(R @ _normalize(np.maximum(F, 0)))}


SOURCES: tuple[Callable[[Space, Labels], dict[str, Floats]], ...] = (
    linear_posteriors,
    graph_posteriors,
    mixture_posteriors,
)
