"""What scores of unusual rows ask of a fitted classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.special import logsumexp

from flowssl._model_file import Arrays
from flowssl._records import Record, check_arrays, shown
from flowssl._typing import Floats
from flowssl.estimators._density import CHUNK_NUMBERS, FittedDensity
from flowssl.estimators._preparation import Preparation
from flowssl.exceptions import ModelFileError
from flowssl.inspection.clusters import RowClusters
from flowssl.inspection.outliers import OutlierScale
from flowssl.inspection.scores import OOD_SCORES, RowFigures
from flowssl.inspection.thresholds import OODThreshold, usual_scores
from flowssl.preprocessing import Completion, Pixels

MAX_ROWS = 20_000
"""Rows in which clusters are searched at most."""

MIN_COLUMNS = 12
"""Columns from which on clusters are kept."""

MIN_WIDE = 100
"""Columns from which on they are the default, as of embeddings. In fewer columns clusters find the
rows of unseen classes better than log p(x) does (satimage, dry_bean, pendigits), but implausible
combinations of plausible values worse, which only a density sees."""

SHARED_UNIT = 3.0
"""Ratio of the spreads of wide and narrow columns, their 95th and 5th percentile, up to which all
columns are taken to have one unit, as those of an embedding or of pixels have."""


@dataclass(frozen=True)
class FittedRowDensity:
    """A fitted density, and other densities of the training rows beside it.

    Attributes
    ----------
    density : FittedDensity
        The density that predicts.
    clusters : RowClusters or None
        Small groups of training rows, of tables of many columns.
    """

    density: FittedDensity
    clusters: RowClusters | None

    @property
    def methods(self) -> tuple[str, ...]:
        """The scores that these rows have."""
        absent, completion = set(), self.density.completion
        if isinstance(completion, Pixels):
            absent.add("ratio")
        if not isinstance(completion, Pixels) or completion.states is None:
            absent.add("states")
        if self.clusters is None:
            absent.add("clusters")
        return tuple(name for name in OOD_SCORES if name not in absent)

    def resolve(self, method: str) -> str:
        """Return the name of a score, for "auto" the one that the rows support best.

        Raises
        ------
        ValueError
            If the rows have no such score.
        """
        if method == "auto":
            if "states" in self.methods:
                return "states"
            is_wide = self.clusters is not None and self.density.completion.dim >= MIN_WIDE
            return "clusters" if is_wide else "unlikely"
        if method not in OOD_SCORES:
            raise ValueError(f"method must be 'auto' or one of {self.methods}, got {method!r}")
        if method not in self.methods:
            raise ValueError(
                f"method={method!r} is not there for these rows: 'ratio' needs a table, 'clusters' "
                f"one of {MIN_COLUMNS} columns or more, 'states' images and a model of this version; "
                f"choose one of {self.methods}"
            )
        return method

    def log_prob(self, matrix: Floats) -> Floats:
        """Return ``log p(x)`` of encoded rows (n, D), shape (n,), nats."""
        return self.density.log_prob(matrix)[0]

    def log_background(self, matrix: Floats) -> Floats:
        """Return the log-density of the Gaussian of all training rows, shape (n,), nats.

        Missing values and categories are integrated over the same draws as for ``log p(x)``, so
        that most of the error cancels in a ratio.
        """
        completion = cast(Completion, self.density.completion)

        def of_part(part: Floats) -> Floats:
            rows = completion.completed(part)
            n, s, dim = rows.z.shape
            log_q = completion.gaussian.log_prob(rows.z.reshape(-1, dim)).reshape(n, s)
            mean: Floats = logsumexp(log_q + rows.log_weight, axis=1) - np.log(s)
            return mean

        return self._in_parts(of_part, matrix, completion.n_draws(matrix))

    def log_clusters(self, matrix: Floats) -> Floats:
        """Return the log-density of the clusters, shape (n,), nats; missing values are filled."""
        clusters = cast(RowClusters, self.clusters)
        completion = self.density.completion
        complete = completion.features if clusters.in_units else completion.typical
        return self._in_parts(lambda part: clusters.log_prob(complete(part)), matrix)

    def distance(self, matrix: Floats) -> Floats:
        """Return the distance to the nearest Gaussian per square root of a column, shape (n,).

        Missing values are filled by typical ones first. Of several flows it is the average.
        """

        def of_part(part: Floats) -> Floats:
            squared = self.density.squared_distance(part)
            return np.sqrt(squared.clip(0) / self.density.completion.dim)

        return self._in_parts(of_part, matrix)

    def unusual_states(self, matrix: Floats) -> Floats:
        """Return minus the log-density of the statistics of images (n, D), shape (n,), nats."""
        return cast(Pixels, self.density.completion).unusual(matrix)

    def _in_parts(
        self, function: Callable[[Floats], Floats], matrix: Floats, n_draws: int = 1
    ) -> Floats:
        """Apply a function of rows to some rows at a time, so that memory stays bounded."""
        size = max(1, CHUNK_NUMBERS // (n_draws * self.density.completion.row_numbers))
        parts = [function(matrix[first : first + size]) for first in range(0, len(matrix), size)]
        return np.concatenate([np.empty(0), *parts])


def fit_clusters(
    completion: Completion | Pixels, prepared: Preparation, seed: int
) -> tuple[RowClusters | None, dict[str, Floats]]:
    """Find the clusters of the training rows; none of images and few columns.

    Columns of one unit keep it: that some vary more than others means something then. Others are
    standardized.

    Returns
    -------
    clusters : RowClusters or None
        Of at most `MAX_ROWS` rows.
    scores : dict of str to ndarray of shape (m,)
        "clusters": the distribution of the score over rows whose clusters were found without them.
    """
    if completion.dim < MIN_COLUMNS or not isinstance(completion, Completion):
        return None, {}
    n = len(prepared.z)
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[:MAX_ROWS])
    rows, weight = completion.features(prepared.rows.matrix[chosen]), prepared.rows.weight[chosen]
    narrow, wide = np.quantile(rows.std(0), (0.05, 0.95))
    in_units = bool(wide <= SHARED_UNIT * narrow) and not completion.widths.any()
    if not in_units:
        rows = prepared.z[chosen]
    clusters = RowClusters.fit(rows, weight, in_units=in_units, seed=seed)
    usual = ~prepared.rows.labeled[chosen]  # labeled rows may be no fair sample
    if not usual.any():
        usual[:] = True
    log_prob = RowClusters.out_of_fold(rows, weight, in_units=in_units, seed=seed)
    scores = usual_scores(-log_prob[usual] / rows.shape[1], weight[usual])
    return clusters, {"clusters": scores}


def held_out_scores(
    density: FittedDensity, prepared: Preparation, scale: OutlierScale
) -> dict[str, Floats]:
    """Return the distribution of the density's scores over held-out rows, sorted."""
    held_out = prepared.held_out
    if not held_out.any():
        return {}
    rows, weight = FittedRowDensity(density, None), prepared.rows.weight[held_out]
    figures = RowFigures(rows, prepared.rows.matrix[held_out], scale)
    return {name: usual_scores(OOD_SCORES[name](figures), weight) for name in rows.methods}


def read_scores(arrays: Arrays) -> dict[str, Floats]:
    """Return the scores of held-out rows in a file; none in files of earlier versions.

    Raises
    ------
    ModelFileError
        If they are not sorted scores of known names.
    """
    unknown = sorted(arrays.keys() - OOD_SCORES.keys())
    if unknown:
        raise ModelFileError(f"its scores {shown(unknown[0])} are of no known method")
    check_arrays(arrays, {name: ("f", (arrays[name].size,)) for name in arrays}, "held_out_scores")
    scores = {name: array.astype(np.float64) for name, array in arrays.items()}
    if any((np.diff(values) < 0).any() for values in scores.values()):
        raise ModelFileError("its scores of held-out rows must increase")
    return scores


def read_threshold(facts: Record) -> OODThreshold | None:
    """Return the threshold in a file's facts; none in files of earlier versions.

    Raises
    ------
    ModelFileError
        If it is none.
    """
    if facts.values.get("ood_threshold") is None:
        return None
    threshold = facts.record("ood_threshold")
    return OODThreshold(
        method=threshold.text("method", OOD_SCORES.keys()),
        alpha=threshold.number("alpha", least=0.0),
        value=threshold.number("value"),
        rate=threshold.number("rate", least=0.0),
        spread=threshold.number("spread", least=0.0),
        n_rows=threshold.whole("n_rows", least=1),
    )
