"""From a few labels to class probabilities of every row, without validation labels.

Cheap candidates on several views of the table (`candidates.SOURCES`) are scored by their
cross-fitted likelihood of the labels, pooled with weights from those scores, smoothed on the
neighbor graphs of the views that proved themselves, and tempered. A flow is then trained on the
result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from flowssl._typing import Floats, Integers
from flowssl.initialization.candidates import DIFFUSION, SOURCES, Labels, diffuse, fit_logistic
from flowssl.initialization.pooling import (
    Pool,
    blind_pool,
    doubted,
    fit_pool,
    floored_log,
    label_log_likelihood,
    neighbor_cut,
    shift_prior,
    temper,
)
from flowssl.initialization.spaces import Space, nearest_neighbors, prepare_spaces

MAX_ROWS = 40_000  # rows that take part; the others follow their neighbors among REFERENCE_ROWS
REFERENCE_ROWS = 8_192
# The fewer labels a fold takes away, the better it tells how the candidates do with all of them;
# but each fold costs a run of every candidate, and many labels need no more than five.
FOLDS_UP_TO = ((2_500, 20), (10_000, 10))  # rows, folds
MIN_FOLDS = 5
_FOLDED_LABELS = 400
COMPONENTS_PER_CLASS = 3
INVERSE_PENALTIES = (1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0)
SMOOTHING = (0.0, 0.8, 0.95)
_PENALTY_ROWS = 2_000
_LEAST_REACHED = 0.01  # share of the unlabeled rows that labels, left out, may be farther off than
_GRAPH_PRIOR = 0.02  # weight of a view's graph before its diffusion has earned any


@dataclass(frozen=True)
class SoftLabels:
    """What `propagate` found.

    Attributes
    ----------
    posteriors : ndarray (n, C)
        Class probabilities as fitted, labeled rows included.
    candidates : tuple of str
        Names "view: method".
    weights : ndarray (J,)
        Weight of each candidate in the log-linear pool.
    label_log_likelihoods : ndarray (J,)
        Cross-fitted log-likelihood of the labels of each candidate, nats per label; NaN where
        cross-fitting is impossible (no class with two labels).
    smoothing : ndarray (3,)
        Weights of the pool smoothed with strengths 0, 0.8 and 0.95.
    label_log_likelihood : float
        The same of the final combination.
    cross_fitted : ndarray (n_labeled, C)
        Posteriors of the labeled rows, in row order, by combinations of candidates that had not
        seen their labels; three weights of smoothing and a temperature are fitted to them. NaN for
        the only label of a class or of a part of the rows that no other label reaches, and for
        labels left out of more than 40,000 rows. They assume the labels' class shares.
    baseline : Pipeline
        Labels-only logistic regression on standardized columns.
    baseline_label_log_likelihood : float
        Its cross-fitted log-likelihood, nats per label.
    baseline_cross_fitted : ndarray (n_labeled, C)
        Its cross-fitted posteriors of the labeled rows.
    label_gain, label_gain_error : float
        Mean and standard error of what the combination gains on the baseline, nats per label.
    """

    posteriors: Floats
    candidates: tuple[str, ...]
    weights: Floats
    label_log_likelihoods: Floats
    smoothing: Floats
    label_log_likelihood: float
    cross_fitted: Floats
    baseline: Pipeline
    baseline_label_log_likelihood: float
    baseline_cross_fitted: Floats
    label_gain: float
    label_gain_error: float

    @property
    def misleads(self) -> bool:
        """Whether the labels alone predict held-out labels better, by two standard errors.

        A handful of held-out labels is a poor judge: where they were 1.7 standard errors against
        the combination it has been right on 10 % more of the rows than the labels alone.
        """
        return self.label_gain < -2 * self.label_gain_error

    def fixed(self, codes: Integers) -> Floats:
        """Posteriors (n, C) with the labeled rows one-hot."""
        return Labels(codes, self.posteriors.shape[1]).fix(self.posteriors)


def propagate(
    X: Floats,
    codes: Integers,
    n_classes: int,
    *,
    class_prior: Floats | None = None,
    sample_weight: Floats | None = None,
    random_state: int | np.random.Generator | None = None,
) -> SoftLabels:
    """Class probabilities of all rows from a few labels.

    Parameters
    ----------
    X : ndarray (n, D)
        Finite rows, in whatever units: the views rescale them.
    codes : ndarray (n,)
        Class 0 .. C - 1 of each row, -1 = unlabeled.
    n_classes : int
        C.
    class_prior : ndarray (C,) or None, default=None
        Shares of the classes among all rows, to which every candidate is moved; the result has
        them only about (see `match_prior`). By default they are not assumed to follow the labels:
        EM candidates learn them.
    sample_weight : ndarray (n,) or None, default=None
        Weights of the rows, labeled and unlabeled. Neighbor graphs and mixtures ignore them.
    random_state : int, Generator or None, default=None
        Folds, mixtures and, beyond 40,000 rows, the rows that take part.

    Returns
    -------
    SoftLabels
        Posteriors, the candidates' record, and labels-only logistic regression.

    Raises
    ------
    ValueError
        If no row is labeled, a code is out of range, or shapes disagree.
    """
    X = np.asarray(X, dtype=float)
    codes = np.asarray(codes, dtype=np.int64)
    weight = _checked_weight(X, codes, n_classes, sample_weight)
    rng = np.random.default_rng(random_state)
    prior = None if class_prior is None else np.asarray(class_prior, dtype=float)
    labels = Labels(codes, n_classes, class_prior=prior)
    # The rows are put in an order of their own, so that results do not depend on the one given.
    order = np.lexsort((codes, X @ np.random.default_rng(0).standard_normal(X.shape[1])))
    core = _core_rows(codes[order], rng)
    chosen = order[core]
    start = _propagate_core(X[chosen], replace(labels, codes=codes[chosen]), weight[chosen], rng)
    posteriors = np.empty((len(X), n_classes))
    posteriors[chosen] = start.posteriors
    rest = np.setdiff1d(order, chosen)
    if len(rest):
        reference = rng.choice(len(chosen), min(REFERENCE_ROWS, len(chosen)), replace=False)
        posteriors[rest] = follow(X[chosen[reference]], start.posteriors[reference], X[rest])
    # Labeled rows back in the order given.
    labeled = chosen[codes[chosen] >= 0]
    place = np.searchsorted(np.flatnonzero(codes >= 0), labeled)
    crossed = [np.full((labels.rows.size, n_classes), np.nan) for _ in range(2)]
    crossed[0][place], crossed[1][place] = start.cross_fitted, start.baseline_cross_fitted
    return replace(
        start,
        posteriors=posteriors,
        cross_fitted=crossed[0],
        baseline_cross_fitted=crossed[1],
    )


def join(
    start: SoftLabels, name: str, posteriors: Floats, crossed: Floats, given: Integers
) -> SoftLabels:
    """Pool a start with one more candidate, by the cross-fitted likelihood of the labels.

    Parameters
    ----------
    start : SoftLabels
        Of rows of which m are labeled.
    name : str
        Of the candidate.
    posteriors : ndarray (n, C)
        Its class probabilities of all rows.
    crossed : ndarray (m, C)
        Those of the labeled rows when it had not seen their labels.
    given : ndarray (m,)
        The labels' codes.
    """
    judged = np.isfinite(start.cross_fitted[:, 0])
    codes = given[judged]
    pool, final_crossed, final = _pooled(
        np.stack([start.cross_fitted, crossed]),
        np.stack([start.posteriors, posteriors]),
        given,
        judged,
    )
    gain, gain_error = _gain(final_crossed[judged], start.baseline_cross_fitted[judged], codes)
    own = _mean_likelihood(crossed[judged], codes)
    return replace(
        start,
        posteriors=final,
        candidates=(*start.candidates, name),
        weights=np.append(start.weights * pool.weights[0], pool.weights[1]),
        label_log_likelihoods=np.append(start.label_log_likelihoods, own),
        label_log_likelihood=_mean_likelihood(final_crossed[judged], codes),
        cross_fitted=final_crossed,
        label_gain=gain,
        label_gain_error=gain_error,
    )


def smooth(posteriors: Floats, graph: sp.csr_array, strength: float) -> Floats:
    """Average posteriors (n, C) with their neighbors: H <- a G H + (1 - a) P, to convergence.

    `strength` a is in [0, 1); rows are normalized in the end.
    """
    H = posteriors
    steps = 0 if strength == 0 else int(np.ceil(np.log(1e-2) / np.log(strength)))
    for _ in range(steps):
        H = strength * (graph @ H) + (1 - strength) * posteriors
    return np.asarray(H / H.sum(axis=1, keepdims=True))


def _checked_weight(
    X: Floats, codes: Integers, n_classes: int, sample_weight: Floats | None
) -> Floats:
    n = len(X)
    if codes.shape != (n,):
        raise ValueError(f"codes has shape {codes.shape}; X has {n} rows, so ({n},) is expected.")
    if not (codes >= 0).any():
        raise ValueError("No row is labeled: at least one code must be 0 or more.")
    if codes.max() >= n_classes:
        raise ValueError(f"codes holds {codes.max()}, but n_classes is {n_classes}.")
    if sample_weight is None:
        return np.ones(n)
    weight = np.asarray(sample_weight, dtype=float)
    if weight.shape != (n,) or not weight.sum() > 0 or weight.min() < 0:
        raise ValueError(f"sample_weight must hold {n} numbers, none negative, not all zero.")
    return np.asarray(weight / weight.mean())


def _core_rows(codes: Integers, rng: np.random.Generator) -> Integers:
    """Rows that take part: all, or labeled and unlabeled ones, half of each if there are as many.

    Two labels of each class come first, so that no rare class is lost.
    """
    if len(codes) <= MAX_ROWS:
        return np.arange(len(codes))
    labeled = rng.permutation(np.flatnonzero(codes >= 0))
    others = rng.permutation(np.flatnonzero(codes < 0))
    given = codes[labeled]
    first = np.concatenate([np.flatnonzero(given == k)[:2] for k in np.unique(given)])
    labeled = np.concatenate([labeled[first], np.delete(labeled, first)])
    labeled = labeled[: max(MAX_ROWS // 2, MAX_ROWS - len(others))]
    return np.sort(np.concatenate([labeled, others[: MAX_ROWS - len(labeled)]]))


def follow(X: Floats, posteriors: Floats, queries: Floats) -> Floats:
    """Mean posteriors of the ten nearest of the rows `X` in standardized columns, for each query."""
    scaler = StandardScaler().fit(X)
    index, _ = nearest_neighbors(scaler.transform(X), 10, scaler.transform(queries))
    return np.asarray(sum(posteriors[column] for column in index.T) / index.shape[1])


def _propagate_core(
    X: Floats, labels: Labels, weight: Floats, rng: np.random.Generator
) -> SoftLabels:
    spaces = prepare_spaces(X, COMPONENTS_PER_CLASS * labels.n_classes, weight, rng)
    rows, given = labels.rows, labels.codes[labels.rows]
    most = next((folds for n, folds in FOLDS_UP_TO if len(X) <= n), MIN_FOLDS)
    n_folds = min(most, max(MIN_FOLDS, _FOLDED_LABELS // len(given)))
    folds = _label_folds(given, n_folds, rng)
    given_to = [_regularized(space, labels, folds) for space in spaces]
    names, full = _run(spaces, given_to)
    held_out = []  # candidates' posteriors (J, n, C) of all rows, by fold left out
    for fold in range(folds.max() + 1):
        codes = labels.codes.copy()
        codes[rows[folds == fold]] = -1
        held_out.append(_run(spaces, [replace(known, codes=codes) for known in given_to])[1])
    crossed = np.full((len(names), len(rows), labels.n_classes), np.nan)
    for fold, posteriors in enumerate(held_out):
        crossed[:, folds == fold] = _as_labeled(posteriors[:, rows[folds == fold]], labels)
    scored = (folds >= 0) & _within_reach(spaces[0], labels, folds)

    edges = spaces[0].graph  # of the standardized columns
    cuts = np.array([neighbor_cut(P, edges) for P in full])

    def combine(known: NDArray[np.bool_], posteriors: Floats) -> tuple[Pool, Floats]:
        if known.any():
            pool = fit_pool(crossed[:, known], given[known], cuts)
        else:
            pool = blind_pool(posteriors, cuts)
        pooled = pool(posteriors)
        graph = _mean_graph(spaces, names, pool.weights)
        return pool, np.stack([smooth(pooled, graph, a) for a in SMOOTHING])

    pool, stages = combine(scored, full)
    smoothed = np.full((len(SMOOTHING), len(rows), labels.n_classes), np.nan)
    for fold, posteriors in enumerate(held_out):
        here = folds == fold
        stages_here = combine(scored & ~here, posteriors)[1]
        smoothed[:, here] = _as_labeled(stages_here[:, rows[here]], labels)
    if scored.any():
        last, final_crossed, final = _pooled(smoothed, stages, given, scored)
        if labels.class_prior is None:
            final = shift_prior(final, labels.counts / len(given))
    else:
        last = blind_pool(stages, np.ones(len(SMOOTHING)))
        final_crossed, final = np.full(crossed.shape[1:], np.nan), last(stages)
    final = doubted(final, int(scored.sum()))

    each = [_mean_likelihood(P[scored], given[scored]) for P in crossed]
    baseline_crossed = crossed[names.index("standard: logistic")]
    gain, gain_error = _gain(final_crossed[scored], baseline_crossed[scored], given[scored])
    return SoftLabels(
        posteriors=final,
        candidates=names,
        weights=pool.weights,
        label_log_likelihoods=np.array(each),
        smoothing=last.weights,
        label_log_likelihood=_mean_likelihood(final_crossed[scored], given[scored]),
        cross_fitted=final_crossed,
        baseline=_baseline(X, given_to[0], weight),
        baseline_label_log_likelihood=_mean_likelihood(baseline_crossed[scored], given[scored]),
        baseline_cross_fitted=baseline_crossed,
        label_gain=gain,
        label_gain_error=gain_error,
    )


def _pooled(
    crossed: Floats, full: Floats, given: Integers, judged: NDArray[np.bool_]
) -> tuple[Pool, Floats, Floats]:
    """Pool candidates by the labels alone and temper the result.

    Cross-fitted posteriors (J, m, C) of the labels `given`, of which `judged` (m,) count, decide;
    returned are the pool, its cross-fitted posteriors (m, C), NaN where not judged, and those of
    all rows, from `full` (J, n, C).
    """
    known, codes = crossed[:, judged], given[judged]
    pool = fit_pool(known, codes, np.ones(len(crossed)))
    P = pool(known)
    b = temper(P, codes)
    final_crossed = np.full(crossed.shape[1:], np.nan)
    final_crossed[judged] = _power(P, b)
    return pool, final_crossed, _power(pool(full), b)


def _power(P: Floats, exponent: float) -> Floats:
    Q = np.exp(exponent * floored_log(P, 1e-6))
    return np.asarray(Q / Q.sum(axis=1, keepdims=True))


def _as_labeled(P: Floats, labels: Labels) -> Floats:
    """Posteriors (..., C) as labels see them: with their class shares instead of given ones."""
    if labels.class_prior is None:
        return P
    Q = P * (np.maximum(labels.counts, 1) / labels.class_prior)
    return np.asarray(Q / Q.sum(axis=-1, keepdims=True))


def _mean_likelihood(P: Floats, codes: Integers) -> float:
    return label_log_likelihood(P, codes) / len(codes) if len(codes) else float("nan")


def _gain(P: Floats, baseline: Floats, codes: Integers) -> tuple[float, float]:
    """Mean and standard error of the gain in log-likelihood, nats per label; NaN without any."""
    if not len(codes):
        return float("nan"), float("nan")
    each = (floored_log(P) - floored_log(baseline))[np.arange(len(codes)), codes]
    return float(each.mean()), float(each.std() / np.sqrt(len(each)))


def _label_folds(given: Integers, most: int, rng: np.random.Generator) -> Integers:
    """Stratified folds of the labeled rows; -1 for the only row of a class, always trained on."""
    counts = np.bincount(given)
    several = counts[counts > 1]
    folds = np.full(len(given), -1)
    if len(several):
        n_folds = max(2, min(most, int(several.sum())))
        offset = 0
        for k in np.flatnonzero(counts > 1):
            members = rng.permutation(np.flatnonzero(given == k))
            folds[members] = (np.arange(len(members)) + offset) % n_folds
            offset += len(members)
    return folds


def _within_reach(space: Space, labels: Labels, folds: Integers) -> NDArray[np.bool_]:
    """Tell which labels, left out, lie where the others reach as far as they reach any row.

    A cluster loses its only label to the fold that holds it; no unlabeled row is that far from all
    labels when none is left out, so such a label says nothing about them. How far labels reach is
    their mean mass spread on the graph; the least reached hundredth of the rows sets the limit.
    This is importance-weighted validation (Sugiyama et al., 2007) with weights 0 and 1.
    """
    spread = DIFFUSION[-1]

    def reach(known: NDArray[np.bool_]) -> Floats:
        seeds = np.zeros((len(space.X), 1))
        seeds[labels.rows[known], 0] = 1 / known.sum()
        return diffuse(space, seeds, spread)[:, 0]

    within = np.ones(len(folds), dtype=bool)
    unlabeled = labels.codes < 0
    if unlabeled.any():
        limit = np.quantile(reach(within)[unlabeled], _LEAST_REACHED)
        for fold in range(folds.max() + 1):
            here = folds == fold
            within[here] = reach(~here)[labels.rows[here]] >= limit
    return within


def _run(spaces: Sequence[Space], labels: Sequence[Labels]) -> tuple[tuple[str, ...], Floats]:
    """Names (J) and posteriors (J, n, C) of all candidates in all spaces."""
    found = {
        f"{space.name}: {method}": posterior.astype(np.float32)
        for space, known in zip(spaces, labels, strict=True)
        for source in SOURCES
        for method, posterior in source(space, known).items()
    }
    return tuple(found), np.stack(list(found.values()))


def _regularized(space: Space, labels: Labels, folds: Integers) -> Labels:
    """Choose `C` and temperature of logistic regression by the cross-fitted label likelihood.

    Both at once: a strong penalty often finds the best direction (AG News, 200 labels: .845 of
    the test rows right, .827 with the `C` that is best at temperature one) but leaves the
    log-odds small.
    """
    if space.name == "raw" or folds.max() < 0:  # no linear candidates there; nothing to judge by
        return labels
    # Of many labels some, from all over the table: neighbors in it may be of one class.
    chosen = np.sort(np.random.default_rng(0).permutation(len(folds))[:_PENALTY_ROWS])
    judged, rows = folds[chosen], labels.rows[chosen]
    found: list[tuple[float, float, float]] = []
    for C in INVERSE_PENALTIES:
        P = np.zeros((len(rows), labels.n_classes))
        for fold in range(judged.max() + 1):
            train, test = rows[judged != fold], judged == fold
            if len(np.unique(labels.codes[train])) < 2 or not test.any():
                return labels
            model = fit_logistic(space.X[train], labels.codes[train], space.weight[train], C)
            P[np.ix_(test, model.classes_)] = model.predict_proba(space.X[rows[test]])
        P, given = P[judged >= 0], labels.codes[rows[judged >= 0]]
        b = temper(P, given)
        found.append((label_log_likelihood(_power(P, b), given), C, b))
    _, C, b = max(found)
    return replace(labels, inverse_penalty=C, inverse_temperature=b)


def _mean_graph(spaces: Sequence[Space], names: Sequence[str], weights: Floats) -> sp.csr_array:
    """Average of the spaces' graphs, weighted by what their diffusion earned in the pool."""
    trust = np.array(
        [
            _GRAPH_PRIOR
            + sum(w for w, n in zip(weights, names, strict=True) if n.startswith(f"{s.name}: diff"))
            for s in spaces
        ]
    )
    graph = spaces[0].graph * (trust[0] / trust.sum())
    for s, t in zip(spaces[1:], trust[1:], strict=True):
        graph = graph + s.graph * (t / trust.sum())
    return graph.tocsr()


def _baseline(X: Floats, labels: Labels, weight: Floats) -> Pipeline:
    """Labels-only logistic regression on columns standardized with all rows."""
    scaler = StandardScaler().fit(X)
    Z = scaler.transform(X)
    if len(np.unique(labels.codes[labels.rows])) < 2:
        model: LogisticRegression | DummyClassifier = DummyClassifier(strategy="prior")
        model.fit(Z[labels.rows], labels.codes[labels.rows])
    else:
        model = fit_logistic(
            Z, labels.codes, weight, labels.inverse_penalty, labels.inverse_temperature
        )
    pipeline = make_pipeline(scaler, model)
    return pipeline
