"""Class probabilities of every row from a few labels, without validation labels.

Candidates (`candidates.SOURCES`) in several spaces are evaluated by their cross-fitted likelihood
of the labels, pooled with weights from these scores, smoothed on the neighbor graphs of the spaces
whose graph candidates have weight, and tempered. A flow is then trained on the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from flowssl._typing import Floats, Integers
from flowssl.initialization.candidates import LINEAR, Candidate, Kind, run_sources, run_without
from flowssl.initialization.combining import SMOOTHING, Combiner, combine_stages
from flowssl.initialization.crossfit import CrossFit, label_folds, within_reach
from flowssl.initialization.extra import ExtraCandidate, add_candidates
from flowssl.initialization.known_labels import KnownLabels
from flowssl.initialization.logistic import fit_baseline, tune_logistic
from flowssl.initialization.soft_labels import SoftLabels, evaluate
from flowssl.initialization.spaces import Scaling, Space, prepare_spaces
from flowssl.initialization.subsampling import RowLimits, canonical_order

# The fewer labels a fold hides, the better it predicts the accuracy with all of them; but each
# fold costs a run of every candidate, and many labels need no more than five.
FOLDS_UP_TO = ((2_500, 20), (10_000, 10))  # rows, folds
MIN_FOLDS = 5
COMPONENTS_PER_CLASS = 3
_FOLDED_LABELS = 400


def propagate(
    X: Floats,
    codes: Integers,
    n_classes: int,
    *,
    class_prior: Floats | None = None,
    sample_weight: Floats | None = None,
    limits: RowLimits | None = None,
    extra: Iterable[ExtraCandidate] = (),
    random_state: int | np.random.Generator | None = None,
) -> SoftLabels:
    """Class probabilities of all rows from a few labels.

    Parameters
    ----------
    X : ndarray of shape (n, D)
        Finite rows in any units: the spaces rescale them.
    codes : ndarray of shape (n,)
        Class 0 .. C - 1 of each row, -1 for unlabeled.
    n_classes : int
        Number of classes C.
    class_prior : ndarray of shape (C,) or None, default=None
        Class frequencies among all rows, to which every candidate is moved; the result has them
        approximately. By default they are learned, not taken from the labels.
    sample_weight : ndarray of shape (n,) or None, default=None
        Weights of labeled and unlabeled rows. Neighbor graphs and mixtures ignore them.
    limits : RowLimits or None, default=None
        How many rows take part; None takes the defaults of `RowLimits`.
    extra : iterable of ExtraCandidate, default=()
        Models pooled with the result, if some rows are unlabeled and every class has two labels.
    random_state : int, Generator or None, default=None
        Seed of folds, mixtures and the choice of the rows that take part.

    Returns
    -------
    SoftLabels

    Raises
    ------
    ValueError
        If no row is labeled, a code is out of range, or shapes disagree.

    Examples
    --------
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, y = make_moons(300, random_state=0)
    >>> soft = propagate(X, hide_labels(y, per_class=5, random_state=0), 2, random_state=0)
    >>> float((soft.posteriors.argmax(axis=1) == y).mean())
    1.0
    """
    limits = RowLimits() if limits is None else limits
    X, labels, weight = _checked(X, codes, n_classes, class_prior, sample_weight)
    seed = _as_seed(random_state)
    soft = _propagate_within(limits, X, labels, weight, seed)
    return add_candidates(soft, extra, labels.codes, seed)


def _checked(
    X: Floats,
    codes: Integers,
    n_classes: int,
    class_prior: Floats | None,
    sample_weight: Floats | None,
) -> tuple[Floats, KnownLabels, Floats]:
    """Check the arguments; return rows (n, D), labels and weights (n,), ones by default."""
    X, codes = np.asarray(X, dtype=float), np.asarray(codes, dtype=np.int64)
    n = len(X)
    if codes.shape != (n,):
        raise ValueError(f"codes has shape {codes.shape}; X has {n} rows, so ({n},) is expected.")
    if not (codes >= 0).any():
        raise ValueError("No row is labeled: at least one code must be 0 or more.")
    if codes.max() >= n_classes:
        raise ValueError(f"codes holds {codes.max()}, but n_classes is {n_classes}.")
    weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    if weight.shape != (n,) or not weight.sum() > 0 or weight.min() < 0:
        raise ValueError(f"sample_weight must hold {n} numbers, none negative, not all zero.")
    prior = None if class_prior is None else np.asarray(class_prior, dtype=float)
    return X, KnownLabels(codes, n_classes, prior), weight


def _as_seed(random_state: int | np.random.Generator | None) -> int:
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(np.random.default_rng(random_state).integers(2**63))


def _propagate_within(
    limits: RowLimits, X: Floats, labels: KnownLabels, weight: Floats, seed: int
) -> SoftLabels:
    """Propagate among the rows that take part, and let the others follow."""
    codes, rng = labels.codes, np.random.default_rng(seed)
    # A stream of its own, so that the folds do not depend on this limit.
    eligible = limits.eligible(codes, np.random.default_rng(seed))
    order = canonical_order(X, codes)
    order = order[eligible[order]]
    core = order[limits.choose(codes[order], rng)]
    soft = _propagate_all(
        X[core], replace(labels, codes=codes[core]), weight[core] / weight[eligible].mean(), rng
    )
    # Core rows are in canonical order, the record of the labels is in the order given.
    labeled = np.searchsorted(labels.rows, core[codes[core] >= 0])
    recorded = np.full((2, len(labels.rows), labels.n_classes), np.nan)
    recorded[:, labeled] = soft.cross_fitted, soft.baseline_cross_fitted
    return replace(
        soft,
        posteriors=limits.complete(X, core, soft.posteriors, rng),
        cross_fitted=recorded[0],
        baseline_cross_fitted=recorded[1],
    )


def _propagate_all(
    X: Floats, labels: KnownLabels, weight: Floats, rng: np.random.Generator
) -> SoftLabels:
    """Propagate the labels among rows that all take part."""
    spaces = prepare_spaces(X, COMPONENTS_PER_CLASS * labels.n_classes, weight, rng)
    folds = label_folds(labels.given, _n_folds(len(X), len(labels.rows)), rng)
    crossfit = CrossFit(labels.codes, folds)
    tuned = [
        tune_logistic(space, labels, crossfit) if space.scaling in LINEAR.scalings else labels
        for space in spaces
    ]
    candidates, held_out = _cross_fit(spaces, tuned, crossfit)
    evaluated = crossfit.left_out & within_reach(spaces[0].graph, crossfit)
    combine = Combiner.of(spaces, candidates, labels.given)

    pool, stages = combine(np.stack([c.posteriors for c in candidates]), evaluated)
    # The same without each fold's labels, to weigh the smoothing strengths.
    stages_without = crossfit.gather(
        [
            combine(posteriors, evaluated & ~fold.left_out)[1][:, fold.rows]
            for fold, posteriors in zip(crossfit, held_out, strict=True)
        ],
        (len(SMOOTHING), len(folds), labels.n_classes),
    )
    smoothing, cross_fitted, posteriors = combine_stages(
        labels.at_label_frequencies(stages_without), stages, labels, evaluated
    )

    baseline = _baseline_of(candidates)
    given = labels.given[evaluated]
    evaluation = evaluate(cross_fitted[evaluated], baseline[evaluated], given)
    return SoftLabels(
        posteriors=posteriors,
        candidates=tuple(c.name for c in candidates),
        weights=pool.weights,
        label_log_likelihoods=np.array([c.score(labels.given, evaluated) for c in candidates]),
        smoothing_weights=smoothing.weights,
        label_log_likelihood=evaluation.log_likelihood,
        cross_fitted=cross_fitted,
        baseline=fit_baseline(X, tuned[0], weight),
        baseline_label_log_likelihood=evaluation.baseline_log_likelihood,
        baseline_cross_fitted=baseline,
        label_gain=evaluation.gain,
        label_gain_error=evaluation.gain_error,
    )


def _n_folds(n_rows: int, n_labels: int) -> int:
    most = next((folds for n, folds in FOLDS_UP_TO if n_rows <= n), MIN_FOLDS)
    return min(most, max(MIN_FOLDS, _FOLDED_LABELS // n_labels))


def _cross_fit(
    spaces: Sequence[Space], labels: Sequence[KnownLabels], crossfit: CrossFit
) -> tuple[list[Candidate], list[Floats]]:
    """Run the candidates with all labels and without those of each fold.

    Returns the J candidates with their cross-fitted posteriors, and for each fold the posteriors
    (J, n, C) of all rows without its labels.
    """
    candidates = run_sources(spaces, labels)
    held_out = [run_without(spaces, labels, fold.codes) for fold in crossfit]
    cross_fitted = crossfit.gather(
        [P[:, fold.rows] for fold, P in zip(crossfit, held_out, strict=True)],
        (len(candidates), len(crossfit.folds), labels[0].n_classes),
    )
    cross_fitted = labels[0].at_label_frequencies(cross_fitted)
    pairs = zip(candidates, cross_fitted, strict=True)
    return [replace(candidate, cross_fitted=P) for candidate, P in pairs], held_out


def _baseline_of(candidates: Sequence[Candidate]) -> Floats:
    """Cross-fitted posteriors of logistic regression on the labels in standardized columns."""
    return next(
        c.cross_fitted
        for c in candidates
        if c.kind is Kind.LABELS_ONLY and c.scaling is Scaling.STANDARD
    )
