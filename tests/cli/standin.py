"""A small estimator with the real one's methods, for tests of what surrounds it."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.naive_bayes import GaussianNB

from flowssl._labels import encode_labels
from flowssl._persistence import read_manifest, read_model_file, write_model_file
from flowssl.estimators.options import ImageOptions, ObjectiveOptions
from flowssl.preprocessing import TableEncoder
from flowssl.training.checkpoints import remove_checkpoints

Kind = Literal["good", "slow", "broken", "wrong", "stopped"]


class FlowGMMClassifier(ClassifierMixin, BaseEstimator):
    """One Gaussian per class: fast, and with the real estimator's methods.

    Parameters
    ----------
    smoothing : float, default=1e-9
        Fraction of the largest variance that is added to all. More is ignored. See [1]_.
    kind : {"good", "slow", "broken", "wrong", "stopped"} or int, default="good"
        How `fit` ends, in 100 % of cases.

        A second paragraph.
    early, other : bool, default=True
        Two switches
        over two lines.
    objective : {"soft-labels"} or ObjectiveOptions, default="soft-labels"
        What is maximized, which is never looked at.
    images : tuple of int, ImageOptions or None, default=None
        Shape of images, which it cannot learn from.
    class_prior : {"uniform"}, array-like of shape (n_classes,) or None, default=None
        Probabilities of the classes. "uniform": equal ones.
    unlabeled_value : object, default="auto"
        What marks an unlabeled row.
    checkpoint : path or None, default=None
        File of the training's checkpoint.
    warm_start : bool, default=False
        Go on from the last fit.
    random_state : int, default=None
        Seed.
    verbose : int, default=0
        How much to report.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    """

    def __init__(
        self,
        *,
        smoothing: float = 1e-9,
        kind: Kind | int = "good",
        early: bool = True,
        other: bool = True,
        objective: str | ObjectiveOptions = "soft-labels",
        images: ImageOptions | None = None,
        class_prior: npt.ArrayLike | str | None = None,
        unlabeled_value: object = "auto",
        checkpoint: str | os.PathLike[str] | None = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.smoothing = smoothing
        self.kind = kind
        self.early = early
        self.other = other
        self.objective = objective
        self.images = images
        self.class_prior = class_prior
        self.unlabeled_value = unlabeled_value
        self.checkpoint = checkpoint
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: object, y: object) -> "FlowGMMClassifier":
        encoded = encode_labels(y, self.unlabeled_value)
        if isinstance(X, pa.Table):
            self.feature_names_in_ = np.array(X.column_names, dtype=object)
        matrix = self._matrix(X)
        rows = encoded.codes >= 0
        self._set(
            GaussianNB(var_smoothing=self.smoothing, priors=self.class_prior).fit(
                matrix[rows], encoded.codes[rows]
            ),
            encoded.classes,
        )
        self.encoder_ = TableEncoder().fit(X)
        self.completion_ = SimpleNamespace(features=np.asarray)
        self.baseline_ = GaussianNB(var_smoothing=0.1).fit(
            self.encoder_.transform(X)[rows], encoded.codes[rows]
        )
        self.n_labeled_, self.n_unlabeled_ = int(rows.sum()), int((~rows).sum())
        self.initialization_ = {
            "baseline_label_log_likelihood": -0.5,
            "label_log_likelihood": -0.25,
        }
        self.used_unlabeled_, self.interrupted_ = True, False
        self._end()
        return self

    def _end(self) -> None:
        if self.checkpoint is not None:
            if Path(self.checkpoint).exists():
                self.resumed_ = read_manifest(self.checkpoint)["note"]
            write_state(self.checkpoint, "state")
        if self.kind == "broken":
            raise RuntimeError("some\nbug")
        if self.kind == "wrong":
            raise ValueError("two\nlines")
        if self.kind == "stopped":
            # A shell's background jobs ignore Ctrl-C, and so would tests run in one.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            except KeyboardInterrupt:
                self.interrupted_ = True
                return
        if self.checkpoint is not None:
            remove_checkpoints([Path(self.checkpoint)])

    def _set(self, model: GaussianNB, classes: npt.NDArray[np.generic]) -> None:
        self.model_, self.classes_, self.n_features_in_ = model, classes, model.n_features_in_

    def _matrix(self, X: object) -> npt.NDArray[np.float64]:
        if isinstance(X, pa.Table):
            return np.column_stack([column.to_numpy() for column in X.columns]).astype(float)
        return np.asarray(X, dtype=float)

    def predict_log_proba(self, X: object) -> npt.NDArray[np.float64]:
        return self.model_.predict_log_proba(self._matrix(X))

    def predict_proba(self, X: object) -> npt.NDArray[np.float64]:
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: object) -> npt.NDArray[np.generic]:
        return self.classes_[self.predict_log_proba(X).argmax(axis=1)]

    def score_samples(self, X: object) -> npt.NDArray[np.float64]:
        return logsumexp(self.model_.predict_joint_log_proba(self._matrix(X)), axis=1)

    def ood_score(self, X: object) -> npt.NDArray[np.float64]:
        return -self.score_samples(X)

    def sample(
        self,
        n_samples: int,
        y: object = None,
        temperature: float = 1.0,
        random_state: int | None = None,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.generic]]:
        rng = np.random.default_rng(random_state)
        codes = rng.integers(len(self.classes_), size=n_samples)
        if y is not None:
            codes[:] = self.classes_.tolist().index(y)
        noise = rng.standard_normal((n_samples, self.n_features_in_))
        scale = np.sqrt(temperature * self.model_.var_[codes])
        return self.model_.theta_[codes] + noise * scale, self.classes_[codes]

    def save(self, path: str) -> None:
        names = getattr(self, "feature_names_in_", None)
        manifest = {
            "classes": self.classes_.tolist(),
            "columns": None if names is None else names.tolist(),
            "encoder": self.encoder_.to_json(),
            "parameters": {
                "unlabeled_value": self.unlabeled_value,
                "kind": self.kind,
                "seen": str(self.checkpoint),
            },
        }
        model = self.model_
        tensors = {"theta": model.theta_, "var": model.var_, "prior": model.class_prior_}
        write_model_file(path, manifest, tensors)


def write_state(path: str | os.PathLike[str], note: str) -> None:
    """Write a checkpoint that holds nothing but a note."""
    write_model_file(path, {"kind": "checkpoint", "seed": 0, "note": note}, {})


def load(path: str) -> FlowGMMClassifier:
    file = read_model_file(path)
    estimator = FlowGMMClassifier(unlabeled_value=file.manifest["parameters"]["unlabeled_value"])
    model = GaussianNB()
    model.theta_, model.var_ = file.tensors["theta"], file.tensors["var"]
    model.class_prior_ = file.tensors["prior"]
    model.classes_ = np.arange(len(model.theta_))
    model.n_features_in_ = model.theta_.shape[1]
    estimator.encoder_ = TableEncoder.from_json(file.manifest["encoder"])
    estimator._set(model, np.asarray(file.manifest["classes"]))
    if file.manifest["columns"] is not None:
        estimator.feature_names_in_ = np.array(file.manifest["columns"], dtype=object)
    return estimator
