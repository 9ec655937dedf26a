"""Usual rows beside sets of other rows: what each score of unusual rows says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from flowssl._isolation import isolated
from flowssl._typing import Floats
from flowssl.inspection.scores import OOD_SCORES, RowFigures

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier
    from flowssl.preprocessing.containers import TableLike

RECALL = 0.95
"""Fraction of the unusual rows that are found where the rate of false alarms is read off."""


@dataclass(frozen=True)
class OODFigures:
    """What a model says about a set of rows.

    Attributes
    ----------
    name : str
        Of the set.
    n_rows : int
        Rows of it.
    log_prob : ndarray of shape (n_rows,)
        log p(x), nats.
    scores : mapping of str to ndarray of shape (n_rows,)
        Each score that the rows have.
    auroc : mapping of str to float
        For each score, the probability that a row of this set has a larger score than one of the
        first set; empty for the first.
    fpr95 : mapping of str to float
        For each score, the fraction of the first set above the threshold that 95 % of the rows of
        this set exceed; empty for the first.
    class_shares : mapping of str to float
        Fraction of the rows that are predicted to be of each class.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.inspection import OODFigures
    >>> figures = OODFigures("test", 3, np.array([-2.0, -1.0, -9.0]), {}, {}, {}, {"a": 1.0})
    >>> figures.median_log_prob
    -2.0
    >>> figures.record()
    {'name': 'test', 'n_rows': 3, 'median_log_prob': -2.0, 'share_a': 1.0}
    """

    name: str
    n_rows: int
    log_prob: Floats
    scores: Mapping[str, Floats]
    auroc: Mapping[str, float]
    fpr95: Mapping[str, float]
    class_shares: Mapping[str, float]

    @property
    def median_log_prob(self) -> float:
        """Median log p(x), nats."""
        return float(np.median(self.log_prob))

    def record(self) -> dict[str, str | int | float]:
        """Return the figures in one flat record, for a data frame."""
        out: dict[str, str | int | float] = {
            "name": self.name,
            "n_rows": self.n_rows,
            "median_log_prob": self.median_log_prob,
        }
        out |= {f"auroc_{method}": value for method, value in self.auroc.items()}
        out |= {f"fpr95_{method}": value for method, value in self.fpr95.items()}
        return out | {f"share_{name}": value for name, value in self.class_shares.items()}


@dataclass(frozen=True)
class OODTable:
    """Sets of rows under one model, the first of usual rows.

    Attributes
    ----------
    sets : tuple of OODFigures
        In the given order.
    automatic : str
        The score that ``method="auto"`` stands for.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.inspection import OODFigures, OODTable
    >>> figures = OODFigures("test", 1, np.array([-2.0]), {}, {}, {}, {"a": 1.0})
    >>> [record["name"] for record in OODTable((figures,), automatic="unlikely").records()]
    ['test']
    """

    sets: tuple[OODFigures, ...]
    automatic: str

    def records(self) -> list[dict[str, str | int | float]]:
        """Return a flat record of each set: ``pandas.DataFrame(table.records())``."""
        return [figures.record() for figures in self.sets]


def ood_table(estimator: FlowClassifier, sets: Mapping[str, TableLike]) -> OODTable:
    """Compare sets of rows with usual ones, by every score that the estimator has for them.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted.
    sets : mapping of str to table
        Rows by name. The first set is of usual rows that were not trained on; the others are
        compared with it.

    Raises
    ------
    ValueError
        If there is no set, or the estimator refuses its rows.

    Examples
    --------
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> from flowssl.inspection import ood_table
    >>> X, truth = make_moons(120, random_state=0)
    >>> y = hide_labels(truth[:60], per_class=5, random_state=0)
    >>> model = FlowGMMClassifier(architecture="affine", max_epochs=1, random_state=0)
    >>> table = ood_table(model.fit(X[:60], y), {"test": X[60:], "far": X[60:] + 10})
    >>> table.sets[1].auroc["unlikely"]
    1.0
    """
    if not sets:
        raise ValueError("ood_table needs at least one set of rows")
    found: list[OODFigures] = []
    for name, X in sets.items():
        usual = found[0].scores if found else {}
        found.append(_figures(estimator, name, X, usual))
    return OODTable(tuple(found), estimator.row_density_.resolve("auto"))


def _figures(
    estimator: FlowClassifier, name: str, X: TableLike, usual: Mapping[str, Floats]
) -> OODFigures:
    """Return the figures of a set beside the scores of usual rows."""
    with isolated():
        density = estimator.row_density_
        rows = RowFigures(density, estimator.encoder_.transform(X), estimator.outlier_scale_)
        scores = {method: OOD_SCORES[method](rows) for method in density.methods}
    predicted = estimator.predict(X)
    return OODFigures(
        name=name,
        n_rows=len(rows.log_prob),
        log_prob=rows.log_prob,
        scores=scores,
        auroc={method: auroc(usual[method], scores[method]) for method in usual},
        fpr95={method: fpr95(usual[method], scores[method]) for method in usual},
        class_shares={
            str(label): float((predicted == label).mean()) for label in estimator.classes_
        },
    )


def auroc(usual: Floats, unusual: Floats) -> float:
    """Return the probability that an unusual row has a larger score; ties count half."""
    is_unusual = np.repeat([0, 1], [len(usual), len(unusual)])
    return float(roc_auc_score(is_unusual, np.concatenate((usual, unusual))))


def fpr95(usual: Floats, unusual: Floats) -> float:
    """Return the false alarms among usual rows where 95 % of the unusual ones are found."""
    is_unusual = np.repeat([0, 1], [len(usual), len(unusual)])
    alarms, found, _ = roc_curve(is_unusual, np.concatenate((usual, unusual)))
    return float(alarms[found >= RECALL].min())
