"""An audit of class removal: how well the class can be predicted from codes meant to be free of it.

A semi-conditional flow removes the class from rows (Atanov et al. 2019, section 1) as far as its
density is right. Attackers of several kinds, trained on codes with the true classes, measure how
much of the class is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from sklearn.base import BaseEstimator, clone

from flowssl._labels import LabelsLike, is_unlabeled
from flowssl._typing import Floats, Labels
from flowssl.densities import SemiConditionalClasses
from flowssl.models import JointModel

if TYPE_CHECKING:
    from flowssl.preprocessing.containers import TableLike


CODES = ("z_f", "z_aux", "z_h", "z_h and z_aux")
"""Latents that depend on the class, auxiliary latents, the first after class removal, all after it."""


class _HasModels(Protocol):
    @property
    def models(self) -> Sequence[JointModel]: ...


class ClassRemover(Protocol):
    """What the audit needs of a :class:`~flowssl.SemiConditionalFlowClassifier`."""

    unlabeled_value: object

    @property
    def density_(self) -> _HasModels:
        """The fitted density."""

    def predict(self, X: TableLike) -> Labels:
        """Return the predicted labels (n,)."""

    def transform(
        self,
        X: TableLike,
        *,
        remove_class: bool = False,
        noise: float = 0.0,
        random_state: int | None = None,
    ) -> Floats:
        """Return latents (n, D), or codes from which the predicted class is removed."""


@dataclass(frozen=True)
class ClassRemovalAudit:
    """Accuracy with which attackers predict the class from each code, on rows held out from them.

    Attributes
    ----------
    chance : float
        Accuracy of always predicting the most frequent class.
    predicted : float
        Accuracy of the classes that the flow predicts, with which the class was removed.
    accuracy : dict
        For each code, the accuracy of each attacker.

    Examples
    --------
    >>> from flowssl.inspection import ClassRemovalAudit
    >>> audit = ClassRemovalAudit(0.5, 0.97, {"z_h": {"linear": 0.51, "kNN": 0.55}})
    >>> audit.best("z_h")
    0.55
    """

    chance: float
    predicted: float
    accuracy: Mapping[str, Mapping[str, float]]

    def best(self, code: str) -> float:
        """Return the accuracy of the best attacker on a code."""
        return max(self.accuracy[code].values())


def attackers(random_state: int | None = None) -> dict[str, BaseEstimator]:
    """Return unfitted attackers by name: linear, neighbors, a network and boosted trees.

    Parameters
    ----------
    random_state : int or None, default=None
        Source of randomness of the network and the trees.

    Examples
    --------
    >>> from flowssl.inspection import attackers
    >>> list(attackers(0))
    ['linear', 'kNN', 'MLP', 'boosted trees']
    """
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
    estimator: ClassRemover,
    X: TableLike,
    y: LabelsLike,
    *,
    against: Mapping[str, BaseEstimator] | None = None,
    codes: Sequence[str] = CODES,
    noise: float = 0.0,
    n_folds: int = 5,
    random_state: int | None = None,
) -> ClassRemovalAudit:
    """Cross-validate attackers that predict the true class from codes of rows.

    Parameters
    ----------
    estimator : SemiConditionalFlowClassifier
        Fitted, with ``class_density="flow"``.
    X : array-like or data frame of shape (n_samples, n_features)
        Rows that it was not fitted on.
    y : array-like of shape (n_samples,)
        Their true classes; unlabeled rows are left out.
    against : mapping of str to classifier, optional
        The attackers; :func:`attackers` by default.
    codes : sequence of str, default=("z_f", "z_aux", "z_h", "z_h and z_aux")
        Codes to attack. The widest take the most time; of images z_aux is wide.
    noise : float, default=0.0
        As in :meth:`~flowssl.SemiConditionalFlowClassifier.transform`.
    n_folds : int, default=5
        Folds of the cross-validation.
    random_state : int or None, default=None
        Source of randomness of the noise, the folds and the attackers.

    Raises
    ------
    ValueError
        If there is no code of a given name.

    Examples
    --------
    >>> from flowssl import SemiConditionalFlowClassifier
    >>> from flowssl.datasets import make_moons
    >>> from flowssl.inspection import audit_class_removal, attackers
    >>> X, y = make_moons(200, random_state=0)
    >>> model = SemiConditionalFlowClassifier(max_epochs=2, random_state=0).fit(X[:100], y[:100])
    >>> linear = {"linear": attackers(0)["linear"]}
    >>> audit = audit_class_removal(model, X[100:], y[100:], against=linear, random_state=0)
    >>> audit.best("z_h") < audit.best("z_f")
    True
    """
    known = np.flatnonzero(~is_unlabeled(y, estimator.unlabeled_value))
    truth = np.asarray(y)[known]
    rows = _code_rows(estimator, X, codes, noise, random_state)
    models = attackers(random_state) if against is None else against
    return ClassRemovalAudit(
        chance=float(np.unique(truth, return_counts=True)[1].max() / len(truth)),
        predicted=float(np.mean(estimator.predict(X)[known] == truth)),
        accuracy={
            name: _accuracies(models, code[known], truth, n_folds, random_state)
            for name, code in rows.items()
        },
    )


def _code_rows(
    estimator: ClassRemover,
    X: TableLike,
    codes: Sequence[str],
    noise: float,
    random_state: int | None,
) -> dict[str, Floats]:
    """Return the codes (n, width) by name; those without any latents are left out."""
    unknown = [name for name in codes if name not in CODES]
    if unknown:
        raise ValueError(f"codes are {', '.join(CODES)}; got {unknown[0]!r}")
    z, code = (
        estimator.transform(X, remove_class=removed, noise=noise, random_state=random_state)
        for removed in (False, True)
    )
    classes = estimator.density_.models[0].class_density
    width = classes.inner.dim if isinstance(classes, SemiConditionalClasses) else classes.dim
    rows = dict(zip(CODES, (z[:, :width], z[:, width:], code[:, :width], code), strict=True))
    return {name: rows[name] for name in codes if rows[name].shape[1]}


def _accuracies(
    models: Mapping[str, BaseEstimator],
    rows: Floats,
    truth: Labels,
    n_folds: int,
    random_state: int | None,
) -> dict[str, float]:
    """Return the cross-validated accuracy of each attacker."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    return {
        name: float(cross_val_score(clone(model), rows, truth, cv=folds).mean())
        for name, model in models.items()
    }
