"""The methods: flowssl's configurations and the usual alternatives.

Every method gets all training rows and labels with -1 for "unlabeled" and returns class
probabilities. Columns are standardized (or made quantile-normal) with the statistics of all training
rows, which no method has to pay labels for. Whatever is tuned is tuned by cross-validation on the
labels of the draw.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

RBF_ROWS = 3000
REGULARIZATION = tuple(10.0**k for k in range(-4, 4))

Matrix = npt.NDArray[np.floating]
Codes = npt.NDArray[np.int64]


class Classifier(Protocol):
    """The interface of a method."""

    def fit(self, X: Matrix, y: Codes) -> Any:
        """Learn from rows `X` (n, D) and codes `y` (n,), -1 where unlabeled."""

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        """Class probabilities (n, C)."""


@dataclass(frozen=True)
class Situation:
    """What a method may use besides the rows.

    `common_units` says that the columns are parts of one vector (an embedding, principal components),
    whose lengths mean something and should not be made equal.
    """

    seed: int
    is_text: bool = False
    common_units: bool = False


@dataclass
class OnColumns:
    """A classifier on transformed columns; fitted on the labeled rows alone, or on all rows."""

    columns: BaseEstimator
    classifier: Any
    labels_only: bool

    def fit(self, X: Matrix, y: Codes) -> "OnColumns":
        """Fit the columns on all rows, and the classifier on those that it can use."""
        Z = self.columns.fit_transform(X)
        keep = y >= 0 if self.labels_only else np.full(len(y), True)
        self.classifier.fit(Z[keep], y[keep])
        return self

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        """Class probabilities (n, C)."""
        return self.classifier.predict_proba(self.columns.transform(X))


class Tuned(BaseEstimator):
    """The candidate with the best cross-validated log-likelihood of the labels.

    With a single label in some class there is no cross-validation and the first candidate is used.
    """

    def __init__(self, candidates: list[BaseEstimator], seed: int, max_folds: int = 5) -> None:
        self.candidates = candidates
        self.seed = seed
        self.max_folds = max_folds

    def fit(self, X: Matrix, y: Codes) -> "Tuned":
        """Choose by folds of the labeled rows, as many as the labels allow."""
        labeled = np.flatnonzero(y >= 0)
        n_folds = min(self.max_folds, int(np.bincount(y[labeled]).min()))
        best = self.candidates[0]
        if n_folds > 1 and len(self.candidates) > 1:
            folds = StratifiedKFold(n_folds, shuffle=True, random_state=self.seed)
            splits = [labeled[held] for _, held in folds.split(labeled, y[labeled])]
            losses = [self._loss(model, X, y, splits) for model in self.candidates]
            best = self.candidates[int(np.argmin(losses))]
        self.best_ = clone(best).fit(X, y)
        return self

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        """Class probabilities (n, C)."""
        return self.best_.predict_proba(X)

    def _loss(self, model: BaseEstimator, X: Matrix, y: Codes, splits: list[Codes]) -> float:
        total = 0.0
        for held in splits:
            visible = y.copy()
            visible[held] = -1
            proba = np.nan_to_num(clone(model).fit(X, visible).predict_proba(X[held]))
            proba = (proba + 1e-3) / (proba + 1e-3).sum(axis=1, keepdims=True)
            total += log_loss(y[held], proba, labels=np.arange(proba.shape[1]), normalize=False)
        return total


class LabeledRows(BaseEstimator):
    """A supervised classifier that leaves unlabeled rows out, so that `Tuned` can hide labels."""

    def __init__(self, classifier: BaseEstimator) -> None:
        self.classifier = classifier

    def fit(self, X: Matrix, y: Codes) -> "LabeledRows":
        """Fit on the labeled rows."""
        self.fitted_ = clone(self.classifier).fit(X[y >= 0], y[y >= 0])
        return self

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        """Class probabilities (n, C)."""
        return self.fitted_.predict_proba(X)


class Nearest(BaseEstimator):
    """k nearest neighbors with k at most the number of labels."""

    def __init__(self, k: int) -> None:
        self.k = k

    def fit(self, X: Matrix, y: Codes) -> "Nearest":
        """Fit on the labeled rows."""
        self.fitted_ = KNeighborsClassifier(min(self.k, len(y))).fit(X, y)
        return self

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        """Class probabilities (n, C)."""
        return self.fitted_.predict_proba(X)


class Boosted(BaseEstimator):
    """Histogram gradient boosting whose leaves are small enough for few labels.

    The default of 20 rows per leaf allows no split below 40 labels.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, X: Matrix, y: Codes) -> "Boosted":
        """Fit on the labeled rows."""
        leaf = int(np.clip(len(y) // 10, 1, 20))
        model = HistGradientBoostingClassifier(min_samples_leaf=leaf, random_state=self.seed)
        self.fitted_ = model.fit(X, y)
        return self

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        """Class probabilities (n, C)."""
        return self.fitted_.predict_proba(X)


class CappedSpreading(BaseEstimator):
    """RBF label spreading on all labeled rows and a sample of the others: it needs an n x n matrix.

    The kernel's width is `width` over the number of columns.
    """

    def __init__(self, width: float, seed: int) -> None:
        self.width = width
        self.seed = seed

    def fit(self, X: Matrix, y: Codes) -> "CappedSpreading":
        """Fit on at most `RBF_ROWS` rows."""
        labeled, rest = np.flatnonzero(y >= 0), np.flatnonzero(y < 0)
        room = max(RBF_ROWS - len(labeled), 0)
        sample = np.random.default_rng(self.seed).permutation(rest)[:room]
        keep = np.concatenate([labeled, sample])
        spreading = LabelSpreading(
            "rbf", gamma=self.width / X.shape[1], alpha=0.8, tol=1e-4, max_iter=100
        )
        self.fitted_ = spreading.fit(X[keep], y[keep])
        return self

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        """Class probabilities (n, C), in blocks so that memory stays small."""
        blocks = np.array_split(X, max(len(X) // 2000, 1))
        return np.concatenate([self.fitted_.predict_proba(block) for block in blocks])


def _logistic_candidates() -> list[BaseEstimator]:
    # C = 1 first: it is taken where nothing can be compared.
    order = sorted(REGULARIZATION, key=lambda c: abs(np.log(c)))
    return [LabeledRows(LogisticRegression(C=c, max_iter=2000)) for c in order]


class SelfTraining(BaseEstimator):
    """Self-training of the logistic regression that cross-validation on the labels chooses."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, X: Matrix, y: Codes) -> "SelfTraining":
        """Choose C on the labels, then add confident rows."""
        base = Tuned(_logistic_candidates(), self.seed).fit(X, y).best_.classifier
        self.fitted_ = SelfTrainingClassifier(clone(base)).fit(X, y)
        return self

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        """Class probabilities (n, C)."""
        return self.fitted_.predict_proba(X)


class CommonScale(TransformerMixin, BaseEstimator):
    """Center the columns and divide all of them by one number, so that their mean variance is 1."""

    def fit(self, X: Matrix, y: None = None) -> "CommonScale":
        """Measure the columns of `X` (n, D)."""
        self.mean_ = X.mean(axis=0)
        self.scale_ = np.sqrt(X.var(axis=0).mean())
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Rows (n, D) in the new units."""
        return (X - self.mean_) / self.scale_


def _columns(s: Situation) -> BaseEstimator:
    return CommonScale() if s.common_units else StandardScaler()


def _quantile_normal() -> QuantileTransformer:
    return QuantileTransformer(n_quantiles=1000, output_distribution="normal", random_state=0)


def _logreg(s: Situation) -> Classifier:
    return OnColumns(_columns(s), Tuned(_logistic_candidates(), s.seed), labels_only=False)


def _logreg_quantile(s: Situation) -> Classifier:
    return OnColumns(_quantile_normal(), Tuned(_logistic_candidates(), s.seed), labels_only=False)


def _knn(s: Situation) -> Classifier:
    candidates = [LabeledRows(Nearest(k)) for k in (1, 3, 5, 10, 20)]
    return OnColumns(_columns(s), Tuned(candidates, s.seed), labels_only=False)


def _forest(s: Situation) -> Classifier:
    forest = RandomForestClassifier(300, random_state=s.seed)
    return OnColumns(_columns(s), forest, labels_only=True)


def _boosting(s: Situation) -> Classifier:
    return OnColumns(_columns(s), Boosted(s.seed), labels_only=True)


def _self_training(s: Situation) -> Classifier:
    return OnColumns(_columns(s), SelfTraining(s.seed), labels_only=False)


def _spreading_knn(s: Situation) -> Classifier:
    # scikit-learn's defaults (alpha .2, tol 1e-3) stop after a few steps: on moons with 5 labels a
    # class .74 instead of 1.00, and on most sets some rows are never reached (NaN).
    spreading = LabelSpreading("knn", n_neighbors=10, alpha=0.8, tol=1e-6, max_iter=1000)
    return OnColumns(_columns(s), spreading, labels_only=False)


def _spreading_rbf(s: Situation) -> Classifier:
    candidates = [CappedSpreading(width, s.seed) for width in (1.0, 0.3, 3.0, 30.0)]
    tuned = Tuned(candidates, s.seed, max_folds=3)  # each fit iterates on 3,000 x 3,000 numbers
    return OnColumns(_columns(s), tuned, labels_only=False)


def _dropout_mlp(s: Situation) -> Classifier:
    from flowssl.baselines import DropoutMLPClassifier

    return OnColumns(_columns(s), DropoutMLPClassifier(random_state=s.seed), labels_only=False)


def _pi_model(s: Situation) -> Classifier:
    from flowssl.baselines import PiModelClassifier

    # Appendix D has 200 rows for AG News and 2,000 for sets of 65,000 rows and more; on these
    # smaller sets 200 give more steps in less time.
    model = PiModelClassifier(unlabeled_batch_size=200, random_state=s.seed)
    return OnColumns(_columns(s), model, labels_only=False)


class WithoutUnlabeled:
    """FlowGMM fitted on the labeled rows alone: n_unlabeled = 0."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def fit(self, X: Matrix, y: Codes) -> "WithoutUnlabeled":
        """Fit on the labeled rows."""
        self.classifier.fit(X[y >= 0], y[y >= 0])
        return self

    def predict_proba(self, X: Matrix) -> npt.NDArray[np.float64]:
        """Class probabilities (n, C)."""
        return self.classifier.predict_proba(X)


def _flow(s: Situation) -> Classifier:
    from flowssl import FlowGMMClassifier

    return FlowGMMClassifier(random_state=s.seed)


def _flow_labels_only(s: Situation) -> Classifier:
    return WithoutUnlabeled(_flow(s))


def _flow_ensemble(s: Situation) -> Classifier:
    from flowssl import FlowGMMClassifier

    return FlowGMMClassifier(n_estimators=3, random_state=s.seed)


def _flow_paper(s: Situation) -> Classifier:
    """Return the recipe of Izmailov et al. (2020): appendix D, and their code where it gives no value.

    Random fixed means, plain likelihood with labeled and unlabeled rows counted alike as groups,
    uniform prior, no calibration, one fixed learning rate for each kind of data (table 5).
    """
    from flowssl import FlowGMMClassifier, ObjectiveOptions

    recipe = FlowGMMClassifier(
        architecture="paper-text" if s.is_text else "paper-uci",
        init="random",
        objective=ObjectiveOptions(
            "likelihood", labeled_fraction=0.5, cross_entropy_weight=0.0, training_noise=0.0
        ),
        learn_gaussians=False,
        class_prior="uniform",
        learning_rate=1e-4 if s.is_text else 1e-3,
        weight_decay=1e-5,
        temperature_scaling=False,
        random_state=s.seed,
    )
    return OnColumns(_columns(s), recipe, labels_only=False)


METHODS: dict[str, Callable[[Situation], Classifier]] = {
    "flowssl": _flow,
    "flowssl-ensemble": _flow_ensemble,
    "flowssl-paper": _flow_paper,
    "flowssl-labels-only": _flow_labels_only,
    "logreg": _logreg,
    "logreg-quantile": _logreg_quantile,
    "knn": _knn,
    "random-forest": _forest,
    "hist-gradient-boosting": _boosting,
    "self-training": _self_training,
    "label-spreading-knn": _spreading_knn,
    "label-spreading-rbf": _spreading_rbf,
    "dropout-mlp": _dropout_mlp,
    "pi-model": _pi_model,
}
OURS = tuple(name for name in METHODS if name.startswith("flowssl"))
