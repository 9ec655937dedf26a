"""The scikit-learn face of every flowssl model.

A subclass says how its model and its objective are built from the start; encoding of tables and
labels, training, prediction, scores, samples and files are the same for all and live here.
"""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.metrics import accuracy_score
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from flowssl.bijections.images import Shape
from flowssl.calibration import fit_temperature
from flowssl.estimators._fitting import Preparation, prepare, training_config, training_rows
from flowssl.estimators._images import image_shape, propagate_images
from flowssl.estimators._rows import Rows, canonical_rows
from flowssl.exceptions import FlowSSLWarning, UnlabeledDataWarning
from flowssl.initialization import Start, propagate
from flowssl.inspection.outliers import OutlierScale
from flowssl.labels import LabelsLike, encode_labels, is_unlabeled
from flowssl.models import JointModel
from flowssl.objectives import Objective
from flowssl.persistence import JSON
from flowssl.preprocessing import Completion, ImageEncoder, Pixels, TableEncoder
from flowssl.preprocessing.containers import TableLike
from flowssl.training import TrainingResult, train

__all__ = ["FlowClassifier"]

Floats = NDArray[np.float64]

CHUNK_NUMBERS = 2_000_000
"""Numbers (rows x draws x columns) that go through a flow at once in prediction."""


class FlowClassifier(ClassifierMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of the classifiers: one joint density ``p(x, y)`` behind scikit-learn's methods.

    Subclasses define ``__init__`` with the parameters named here and build the model.
    """

    architecture: str
    init: str
    objective: str
    class_prior: ArrayLike | str | None
    unlabeled_weight: float | str
    labeled_share: float | str | None
    noise: float | str
    max_epochs: int | str
    batch_size: int | str
    learning_rate: float | str
    weight_decay: float
    early_stopping: bool
    calibrate: bool
    n_flows: int
    warm_start: bool
    checkpoint: str | os.PathLike[str] | None
    unlabeled_value: object
    device: str
    random_state: int | np.random.RandomState | None
    verbose: int
    image_shape: Shape | None = None
    dequantization_draws: int = 0

    classes_: NDArray[np.generic]
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    n_labeled_: int
    n_unlabeled_: int
    used_unlabeled_: bool
    interrupted_: bool
    architecture_: str
    encoder_: TableEncoder | ImageEncoder
    completion_: Completion | Pixels
    models_: list[JointModel]
    baseline_: Pipeline
    start_: Mapping[str, JSON]
    history_: list[dict[str, float]]
    temperature_: float
    outlier_scale_: OutlierScale

    _shape: ClassVar[tuple[str, ...]] = ("architecture_",)
    """Fitted attributes that say what :meth:`_blank_model` builds; model files keep them."""

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "architecture": [str],
        "class_prior": [StrOptions({"uniform", "learned"}), "array-like", None],
        "unlabeled_weight": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "labeled_share": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both"), None],
        "noise": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "calibrate": ["boolean"],
        "n_flows": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "checkpoint": [str, os.PathLike, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _build_model(self, prepared: Preparation, seed: int) -> JointModel:
        """Build the untrained model on standardized rows."""

    @abstractmethod
    def _build_objective(self, model: JointModel, dim: int) -> Objective:
        """Build what training minimizes."""

    @abstractmethod
    def _blank_model(self, dim: int, n_classes: int) -> JointModel:
        """Build a model of the shape that ``_shape`` says, whose weights a file then fills."""

    def fit(self, X: TableLike, y: LabelsLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the joint density to labeled and unlabeled rows together.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows. Missing numbers are allowed; text and categorical columns of data frames too.
        y : array-like of shape (n_samples,)
            Labels of any sortable type; unlabeled rows carry ``unlabeled_value``.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, not negative. A row of weight 2 is the same as the row given twice.

        Returns
        -------
        self
            The fitted classifier.

        Raises
        ------
        ValueError
            If no row is labeled, no column varies, or input is malformed.
        TrainingDivergedError
            If training fails three times in spite of lower learning rates.
        """
        self._validate_params()
        continued = self.warm_start and hasattr(self, "models_")
        rows = self._encode_training(X, y, sample_weight, continued)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        posteriors = self._start(rows, seed)
        prepared = prepare(self.completion_, rows, posteriors, self.early_stopping, seed)
        previous = self.models_ if continued else []
        self.models_ = []
        results: list[TrainingResult] = []
        for member in range(self.n_flows):
            if member < len(previous):
                model = previous[member].float()
            else:
                model = self._build_model(prepared, seed + member)
            results.append(self._train(model, prepared, member, seed + member))
            self.models_.append(model.double())
        self.history_ = results[0].history
        self.interrupted_ = any(result.interrupted for result in results)
        self._calibrate(prepared)
        if not self.interrupted_:
            for member in range(self.n_flows):
                path = self._checkpoint_of(member)
                if path is not None:
                    path.unlink(missing_ok=True)
        return self

    def predict(self, X: TableLike) -> NDArray[np.generic]:
        """Return the most probable class of each row, shape (n_samples,)."""
        log_joint = self._log_joint(X)
        labels: NDArray[np.generic] = self.classes_[log_joint.argmax(1)]
        return labels

    def predict_log_proba(self, X: TableLike) -> Floats:
        """Return ``log p(y=k | x)``, shape (n_samples, n_classes), calibrated unless switched off.

        Columns follow ``classes_``. Bayes' rule on the joint density (Izmailov et al. 2020,
        eq. 5) with the log-odds divided by ``temperature_``.
        """
        log_joint = self._log_joint(X)
        log_proba: Floats = log_softmax(log_joint / self.temperature_, axis=1)
        return log_proba

    def predict_proba(self, X: TableLike) -> Floats:
        """Return ``p(y=k | x)``, shape (n_samples, n_classes); see :meth:`predict_log_proba`."""
        return np.exp(self.predict_log_proba(X))

    def score(self, X: TableLike, y: LabelsLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy on the labeled rows; unlabeled rows are never counted as errors.

        Raises
        ------
        ValueError
            If no row is labeled.
        """
        unlabeled = is_unlabeled(y, self.unlabeled_value)
        predicted = self.predict(X)
        truth = encode_labels(y, self.unlabeled_value)
        weight = _check_sample_weight(sample_weight, predicted, dtype=np.float64)
        known = ~unlabeled
        return float(
            accuracy_score(
                truth.decode(truth.codes[known]), predicted[known], sample_weight=weight[known]
            )
        )

    def score_samples(self, X: TableLike) -> Floats:
        """Return ``log p(x)`` of each row in nats, per unit of the columns' own scales.

        Exact for rows of numbers. Missing numbers are integrated out (the density is that of the
        observed part), categories count with their probability; see
        :class:`~flowssl.preprocessing.Completion`. Constant and duplicate columns do not count.
        """
        log_prob: Floats = logsumexp(self._log_joint(X), axis=1)
        return log_prob

    def ood_score(
        self, X: TableLike, *, method: Literal["unlikely", "atypical", "distance"] = "unlikely"
    ) -> Floats:
        """Return how unusual each row is, shape (n_samples,); higher is stranger.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        method : {"unlikely", "atypical", "distance"}, default="unlikely"
            "unlikely": robust standard deviations by which log p(x) lies below that of usual rows.
            "atypical": off it, either way; for many dimensions, where simple inputs are too
            likely (appendix F). "distance": latent distance to the nearest class mean, divided by
            the square root of the number of columns.
        """
        if method == "distance":
            z = self.transform(X)
            means = self.models_[0].classes.class_means().detach().numpy()
            squared = np.min([((z - mean) ** 2).sum(1) for mean in means], axis=0)
            distance: Floats = np.sqrt(squared / z.shape[1])
            return distance
        log_prob = self.score_samples(X)
        scale = self.outlier_scale_
        if method == "unlikely":
            return scale.unlikely(log_prob)
        if method == "atypical":
            return scale.atypical(log_prob)
        raise ValueError(f"method must be 'unlikely', 'atypical' or 'distance', got {method!r}")

    def transform(self, X: TableLike) -> Floats:
        """Map rows to latents ``z = f(x)``, shape (n_samples, n_latents).

        Holes are filled by typical values first. Of several flows the first one is used.
        """
        return self._latents(X)

    def inverse_transform(self, Z: ArrayLike) -> TableLike:
        """Map latents back to rows of the kind of table that ``fit`` saw."""
        check_is_fitted(self)
        latents = np.asarray(Z, dtype=np.float64)
        rows = self._through(self.models_[0].flow.inverse, latents)
        return self._decode(rows)

    def sample(
        self,
        n_samples: int = 1,
        y: ArrayLike | object | None = None,
        temperature: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> tuple[TableLike, NDArray[np.generic]]:
        """Draw rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
            How many; ignored when ``y`` is an array.
        y : label or array-like of shape (n_samples,), optional
            Class of all rows, or of each. By default classes are drawn from the prior.
        temperature : float, default=1.0
            Factor of the latent covariances: ``z ~ N(mu_k, T Sigma_k)``; below 1 rows are more
            typical.
        random_state : int, RandomState or None, default=None
            Source of randomness.

        Returns
        -------
        X : table like that of ``fit``, of shape (n_samples, n_features)
            Rows.
        y : ndarray of shape (n_samples,)
            Their classes.

        Raises
        ------
        ValueError
            If a label is not one of ``classes_`` or the temperature is negative.
        """
        check_is_fitted(self)
        if not temperature >= 0:
            raise ValueError(f"temperature must not be negative, got {temperature}")
        random = check_random_state(random_state)
        generator = torch.Generator().manual_seed(int(random.randint(2**31 - 1)))
        if y is None:
            prior = self.models_[0].classes.log_prior().detach().exp()
            codes = torch.multinomial(prior, n_samples, replacement=True, generator=generator)
        else:
            labels = np.asarray(y)
            labels = np.repeat(labels, n_samples) if labels.ndim == 0 else labels.ravel()
            codes = torch.from_numpy(self._codes_of(labels))
        z = np.empty((len(codes), self.completion_.dim))
        member = torch.randint(len(self.models_), (len(codes),), generator=generator)
        with torch.no_grad():
            for i, model in enumerate(self.models_):
                chosen = member == i
                z[chosen.numpy()] = model.sample(codes[chosen], temperature, generator).numpy()
        return self._decode(z), self.classes_[codes.numpy()]

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """Return the names of the latents: ``latent0``, ``latent1``, ..."""
        check_is_fitted(self)
        n_latents = len(self.encoder_.output_columns_)
        return np.asarray([f"latent{i}" for i in range(n_latents)], dtype=object)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted classifier to one ``.flowssl`` file; see :func:`flowssl.load`."""
        from flowssl.estimators.files import save

        save(self, path)

    def __sklearn_tags__(self) -> Tags:
        """Say to scikit-learn that NaN is allowed in X."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        """Fitted once the models are there."""
        return bool(getattr(self, "models_", None))

    # Fitting, step by step.

    def _encode_training(
        self, X: TableLike, y: LabelsLike, sample_weight: ArrayLike | None, continued: bool
    ) -> Rows:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        encoder = self.encoder_ if continued else self._new_encoder().fit(X)
        matrix = encoder.transform(X)
        labels = encode_labels(y, self.unlabeled_value)
        if len(labels.codes) != len(matrix):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: "
                f"{[len(matrix), len(labels.codes)]}"
            )
        if len(matrix) < 2:
            raise ValueError(f"a density needs at least 2 rows, got n_samples = {len(matrix)}")
        if matrix.shape[1] == 0:
            raise ValueError("every column of X is constant: there is nothing to learn from")
        weight = _check_sample_weight(
            sample_weight, matrix, dtype=np.float64, ensure_non_negative=True
        )
        rows = canonical_rows(matrix, labels.codes, weight, len(labels.classes))
        if len(labels.classes) == 1 and (labels.codes < 0).any():
            warnings.warn(
                f"all labeled rows are of class {labels.classes[0]!r}. If -1 is a class of yours "
                "and not the mark of an unlabeled row, set unlabeled_value=None",
                FlowSSLWarning,
                stacklevel=3,
            )
        present = np.bincount(rows.codes[rows.labeled], minlength=rows.n_classes) > 0
        if not present.all():
            raise ValueError(
                f"classes {labels.classes[~present].tolist()} have only rows of weight 0; give "
                "them a weight or leave their rows out"
            )
        if continued and list(labels.classes) != list(self.classes_):
            raise ValueError(
                f"warm_start needs the classes of the first fit, {self.classes_.tolist()}; "
                f"got {labels.classes.tolist()}"
            )
        self.encoder_ = encoder
        if not continued:
            self.completion_ = self._new_completion(encoder, rows.matrix)
        self.classes_ = labels.classes
        self.n_features_in_ = encoder.n_features_in_
        if hasattr(encoder, "feature_names_in_"):
            self.feature_names_in_ = encoder.feature_names_in_
        self.n_labeled_ = int((labels.codes >= 0).sum())
        self.n_unlabeled_ = len(labels.codes) - self.n_labeled_
        return rows

    def _new_encoder(self) -> TableEncoder | ImageEncoder:
        if self.image_shape is None:
            return TableEncoder()
        return ImageEncoder(image_shape(self.image_shape))

    def _new_completion(
        self, encoder: TableEncoder | ImageEncoder, matrix: Floats
    ) -> Completion | Pixels:
        if isinstance(encoder, ImageEncoder):
            return Pixels.fit(matrix, self.dequantization_draws)
        return Completion.fit(matrix, encoder.dequantization_width_)

    def _train(
        self, model: JointModel, prepared: Preparation, member: int, seed: int
    ) -> TrainingResult:
        config = training_config(
            prepared,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            labeled_share=self.labeled_share,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            noise=self.noise,
            early_stopping=self.early_stopping,
            seed=seed,
            device=self.device,
            images=self.image_shape is not None,
        )
        training, held_out = training_rows(self.completion_, prepared, seed)
        objective = self._build_objective(model, prepared.z.shape[1])
        return train(
            model,
            objective,
            training,
            held_out,
            config,
            checkpoint=self._checkpoint_of(member),
            show_progress=self.verbose > 0,
        )

    def _start(self, rows: Rows, seed: int) -> Floats:
        """Return soft labels of all rows; keep the labels-only baseline and how they compare."""
        filled = self.completion_.filled(rows.matrix)
        prior = self._given_prior(rows.n_classes)
        if self.image_shape is not None:
            start = propagate_images(filled, rows, class_prior=prior, random_state=seed)
        else:
            start = propagate(
                filled,
                rows.codes,
                rows.n_classes,
                class_prior=prior,
                sample_weight=rows.weight,
                random_state=seed,
            )
        self.baseline_ = start.baseline
        self.start_ = _summary(start)
        weight = self.unlabeled_weight
        if isinstance(weight, str):
            weight = 1.0
            if start.misleads and not rows.labeled.all():
                weight = 0.0
                warnings.warn(
                    f"held-out labels are predicted worse with the unlabeled rows "
                    f"({start.label_log_likelihood:.3f} nats each) than without them "
                    f"({start.baseline_label_log_likelihood:.3f}, standard error of the "
                    f"difference {start.label_gain_error:.3f}); training on the labels-only "
                    "baseline's soft labels. Set unlabeled_weight=1 to use them all the same.",
                    UnlabeledDataWarning,
                    stacklevel=4,
                )
        self.used_unlabeled_ = weight > 0
        if weight == 1.0:
            return start.posteriors
        baseline: Floats = start.baseline.predict_proba(filled)
        return weight * start.posteriors + (1 - weight) * baseline

    def _given_prior(self, n_classes: int) -> Floats | None:
        if self.class_prior is None or (
            isinstance(self.class_prior, str) and self.class_prior == "learned"
        ):
            return None
        if isinstance(self.class_prior, str):
            return np.full(n_classes, 1 / n_classes)
        prior = np.asarray(self.class_prior, dtype=np.float64)
        if prior.shape != (n_classes,) or not (prior > 0).all():
            raise ValueError(
                f"class_prior needs {n_classes} positive numbers, one for each of the classes "
                f"{self.classes_.tolist()}; got {self.class_prior!r}"
            )
        normalized: Floats = prior / prior.sum()
        return normalized

    def _checkpoint_of(self, member: int) -> Path | None:
        if self.checkpoint is None:
            return None
        path = Path(self.checkpoint)
        return path if member == 0 else path.with_name(f"{path.name}.{member}")

    def _calibrate(self, prepared: Preparation) -> None:
        judged = prepared.held_out if prepared.held_out.any() else ~prepared.rows.labeled
        if not judged.any():
            judged = prepared.rows.labeled
        matrix, weight = prepared.rows.matrix[judged], prepared.rows.weight[judged]
        log_joint = self._log_joint_of(matrix)
        self.outlier_scale_ = OutlierScale.fit(logsumexp(log_joint, axis=1))
        self.temperature_ = 1.0
        if self.calibrate and not prepared.rows.labeled[judged].any():
            self.temperature_ = fit_temperature(log_joint, prepared.targets[judged], weight)

    # Prediction, step by step.

    def _encode(self, X: TableLike) -> Floats:
        check_is_fitted(self)
        matrix: Floats = self.encoder_.transform(X)
        return matrix

    def _latents(self, X: TableLike) -> Floats:
        z = self.completion_.typical(self._encode(X))
        return self._through(self.models_[0].latent, z)

    def _log_joint(self, X: TableLike) -> Floats:
        """Return ``log p(x, y=k)``, shape (n, C), nats per unit of the user's scales."""
        return self._log_joint_of(self._encode(X))

    def _log_joint_of(self, matrix: Floats) -> Floats:
        n_draws = self.completion_.n_draws(matrix)
        size = max(1, CHUNK_NUMBERS // (n_draws * self.completion_.row_numbers))
        parts = [np.empty((0, len(self.classes_)))]
        for first in range(0, len(matrix), size):
            rows = self.completion_.completed(matrix[first : first + size])
            n, s, dim = rows.z.shape
            flat = rows.z.reshape(-1, dim)
            members = [self._through(model.log_joint, flat) for model in self.models_]
            log_joint = logsumexp(members, axis=0) - np.log(len(members))
            log_joint = log_joint.reshape(n, s, -1) + rows.log_weight[:, :, None]
            parts.append(logsumexp(log_joint, axis=1) - np.log(s))
        return np.concatenate(parts)

    def _through(self, function: Callable[[torch.Tensor], torch.Tensor], rows: Floats) -> Floats:
        """Run rows through a function of the model in chunks, without gradients, in float64."""
        parameter = next(self.models_[0].parameters())
        size = max(1, CHUNK_NUMBERS // self.completion_.row_numbers)
        whole = torch.from_numpy(np.ascontiguousarray(rows)).to(torch.float64)
        with torch.no_grad():
            parts = [function(part.to(parameter.device)).cpu() for part in torch.split(whole, size)]
        out: Floats = torch.cat(parts).numpy()
        return out

    def _decode(self, z: Floats) -> TableLike:
        table: TableLike = self.encoder_.inverse_transform(self.completion_.restore(z))
        return table

    def _codes_of(self, labels: NDArray[np.generic]) -> NDArray[np.int64]:
        known = {label: code for code, label in enumerate(self.classes_.tolist())}
        unknown = [label for label in labels.tolist() if label not in known]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not one of the classes {self.classes_.tolist()}")
        return np.asarray([known[label] for label in labels.tolist()], dtype=np.int64)


def _summary(start: Start) -> dict[str, JSON]:
    """Return how the start's candidates fared, without the posteriors; NaN becomes None."""

    def number(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    candidates = zip(start.candidates, start.weights, start.label_log_likelihoods, strict=True)
    return {
        "candidates": [
            {"name": name, "weight": float(weight), "label_log_likelihood": number(value)}
            for name, weight, value in candidates
        ],
        "label_log_likelihood": number(start.label_log_likelihood),
        "baseline_label_log_likelihood": number(start.baseline_label_log_likelihood),
    }
