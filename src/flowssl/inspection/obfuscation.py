"""An audit of class removal: how well the class is told from a code that should not know it.

A semi-conditional flow removes the class from rows (Atanov et al. 2019, section 1) as far as its
density is right. Here attackers of several kinds, trained on codes with the true classes, try.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, clone

from flowssl._labels import LabelsLike, is_unlabeled

if TYPE_CHECKING:
    from flowssl.estimators import SemiConditionalFlowClassifier
    from flowssl.preprocessing.containers import TableLike


CODES = ("z_f", "z_aux", "z_h", "z_h and z_aux")
"""The latents that know the class, the others, the first without the class, and all without it."""


@dataclass(frozen=True)
class ClassRemovalAudit:
    """How well attackers tell the class from each code, on rows that they were not trained on.

    Attributes
    ----------
    chance : float
        Accuracy of always naming the most frequent class.
    predicted : float
        Accuracy of the classes that the flow predicts, with which the class was removed.
    accuracy : dict
        For each code the accuracy of each attacker.
    """

    chance: float
    predicted: float
    accuracy: Mapping[str, Mapping[str, float]]

    def best(self, code: str) -> float:
        """Return the accuracy of the best attacker on a code."""
        return max(self.accuracy[code].values())


def attackers(random_state: int | None = None) -> dict[str, BaseEstimator]:
    """Return untrained attackers by name: linear, neighbors, a network and boosted trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "kNN": make_pipeline(StandardScaler(), KNeighborsClassifier(10)),
        "MLP": make_pipeline(
            StandardScaler(),
            MLPClassifier((256, 256), early_stopping=True, random_state=random_state),
        ),
        "boosted trees": HistGradientBoostingClassifier(random_state=random_state),
    }


def audit_class_removal(
    estimator: SemiConditionalFlowClassifier,
    X: TableLike,
    y: LabelsLike,
    *,
    against: Mapping[str, BaseEstimator] | None = None,
    codes: Sequence[str] = CODES,
    noise: float = 0.0,
    n_folds: int = 5,
    random_state: int | None = None,
) -> ClassRemovalAudit:
    """Let attackers recover the class from the codes of rows; the class is removed as predicted.

    Parameters
    ----------
    estimator : SemiConditionalFlowClassifier
        Fitted, with ``class_density="flow"``.
    X : array-like or data frame of shape (n_samples, n_features)
        Rows that it was not fitted on.
    y : array-like of shape (n_samples,)
        Their true classes, which the attackers learn from; unlabeled rows are left out.
    against : mapping of str to classifier, optional
        The attackers; `attackers` by default.
    codes : sequence of str, default=("z_f", "z_aux", "z_h", "z_h and z_aux")
        What they get to see. The most time goes into the widest; of images z_aux is wide.
    noise : float, default=0.0
        Standard deviation of noise added to the rows first; see
        :meth:`~flowssl.SemiConditionalFlowClassifier.transform`.
    n_folds : int, default=5
        Each attacker is trained on all but one part of the rows and judged on that part.
    random_state : int or None, default=None
        Source of randomness of the noise, of the parts and of the attackers.

    Returns
    -------
    ClassRemovalAudit

    Raises
    ------
    ValueError
        If there is no code of a given name.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    unknown = [name for name in codes if name not in CODES]
    if unknown:
        raise ValueError(f"codes are {', '.join(CODES)}; got {unknown[0]!r}")
    known = np.flatnonzero(~is_unlabeled(y, estimator.unlabeled_value))
    truth = np.asarray(y)[known]
    z, code = (
        estimator.transform(X, remove_class=removed, noise=noise, random_state=random_state)[known]
        for removed in (False, True)
    )
    width = estimator.class_features_
    rows = dict(zip(CODES, (z[:, :width], z[:, width:], code[:, :width], code), strict=True))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    if against is None:
        against = attackers(random_state)
    return ClassRemovalAudit(
        chance=float(np.unique(truth, return_counts=True)[1].max() / len(truth)),
        predicted=float(np.mean(estimator.predict(X)[known] == truth)),
        accuracy={
            name: {
                attacker: float(cross_val_score(clone(model), rows[name], truth, cv=folds).mean())
                for attacker, model in against.items()
            }
            for name in codes
            if rows[name].shape[1]
        },
    )
