"""The scikit-learn face of every flowssl model.

A subclass says how its model and its objective are built from the start; encoding of tables and
labels, training, prediction, scores, samples and files are the same for all and live here.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from flowssl._labels import EncodedLabels, LabelsLike, codes_of, encode_labels
from flowssl._persistence import JSON
from flowssl._typing import Floats
from flowssl.bijections.images import Shape
from flowssl.calibration import fit_temperature
from flowssl.estimators._building import OBJECTIVES, given_prior
from flowssl.estimators._density import FittedDensity
from flowssl.estimators._domain import Domain
from flowssl.estimators._fitting import (
    Preparation,
    chosen,
    prepare,
    propagation_weight,
    summary,
    training_config,
    training_rows,
    with_shares,
)
from flowssl.estimators._image_domain import ImageDomain
from flowssl.estimators._refit import refit_class_density
from flowssl.estimators._rows import Rows, counted_rows, labeled_rows
from flowssl.estimators._table_domain import TableDomain
from flowssl.inspection.outliers import OutlierScale
from flowssl.model_selection import labeled_accuracy
from flowssl.models import JointModel
from flowssl.preprocessing import Completion, ImageEncoder, Pixels, TableEncoder
from flowssl.preprocessing.containers import TableLike, take_rows
from flowssl.training import TrainingResult, train
from flowssl.training.checkpoints import read_seed
from flowssl.training.devices import n_processes, resolve_device


class FlowClassifier(ClassifierMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of the classifiers: one joint density ``p(x, y)`` behind scikit-learn's methods.

    Subclasses define ``__init__`` with the parameters named here and build the model.
    """

    architecture: str
    init: str
    objective: str
    cross_entropy_weight: float | str
    e_step_interval: int
    class_prior: ArrayLike | str | None
    propagation_weight: float | str
    labeled_fraction: float | str | None
    noise: float | str
    max_epochs: int | str
    batch_size: int | str
    learning_rate: float | str
    weight_decay: float
    early_stopping: bool
    calibrate: bool
    n_estimators: int
    warm_start: bool
    checkpoint: str | os.PathLike[str] | None
    unlabeled_value: object
    device: str
    random_state: int | np.random.RandomState | None
    verbose: int
    image_shape: Shape | None = None
    views: str | Callable[..., object] | None = None
    dequantization_draws: int = 0
    consistency_weight: float | str = "auto"
    consistency_noise: float | None = None

    classes_: NDArray[np.generic]
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    n_labeled_: int
    n_unlabeled_: int
    training_noise_: float
    used_unlabeled_: bool
    interrupted_: bool
    architecture_: str
    encoder_: TableEncoder | ImageEncoder
    completion_: Completion | Pixels
    models_: list[JointModel]
    baseline_: Pipeline
    initialization_: Mapping[str, JSON]
    history_: list[dict[str, float]]
    calibration_temperature_: float
    outlier_scale_: OutlierScale

    _shape: ClassVar[tuple[str, ...]] = ("architecture_",)
    """Fitted attributes that say what :meth:`_blank_model` builds; model files keep them."""

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "architecture": [str],
        "image_shape": ["array-like", None],
        "views": [StrOptions({"translate", "translate-flip"}), callable, None],
        "dequantization_draws": [Interval(Integral, 0, None, closed="left")],
        "objective": [StrOptions(set(OBJECTIVES))],
        "cross_entropy_weight": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "e_step_interval": [Interval(Integral, 1, None, closed="left")],
        "class_prior": [StrOptions({"uniform", "learned"}), "array-like", None],
        "propagation_weight": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "labeled_fraction": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both"), None],
        "noise": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "calibrate": ["boolean"],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
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
            Weights, not negative. A row of weight 2 is the same as the row given twice, one of
            weight 0 as none. (With text or categories, which of two equally frequent ones the
            others are told from goes by the rows as given.)

        Returns
        -------
        self
            The fitted classifier.

        Raises
        ------
        ValueError
            If no row is labeled, no column varies, the device is not there, or input is malformed;
            under torchrun also without a ``random_state``.
        TrainingDivergedError
            If training fails three times in spite of lower learning rates.
        """
        self._validate_params()
        resolve_device(self.device)  # one that is not there is better noticed before the start
        if n_processes() > 1 and self.random_state is None:
            raise ValueError(
                f"random_state is None, but {n_processes()} processes train together and must "
                "draw the same numbers; give random_state a whole number"
            )
        continued = self.warm_start and self.__sklearn_is_fitted__()
        self._check_checkpoint(continued)
        previous = self.models_ if continued else []
        self.models_ = previous
        rows = self._encode_training(X, y, sample_weight, continued)
        self._domain.check(self.architecture)
        if self.labeled_fraction == 0 and rows.labeled.all():
            raise ValueError(
                "labeled_fraction is 0 and every row is labeled, so that no row would count; raise it "
                "or add unlabeled rows"
            )
        seed = self._drawn_seed()
        posteriors = self._start(rows, seed)
        max_held_out = self._domain.max_held_out if self.early_stopping else 0
        prepared = prepare(self.completion_, rows, posteriors, max_held_out, seed)
        models = self._models_to_train(prepared, seed, previous)
        self.history_, self.interrupted_ = [], False
        for member, model in enumerate(models):
            try:
                result = self._train(model.float(), prepared, member, seed + member)
            finally:
                model.double()
            self.models_ = models[: max(member + 1, len(previous))]
            self.history_ = self.history_ or result.history
            self.interrupted_ = result.interrupted
            if self.interrupted_:
                break
        self._calibrate(prepared)
        if not self.interrupted_:
            for member in range(self.n_estimators):
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
        eq. 5) with the log-odds divided by ``calibration_temperature_``.
        """
        log_joint = self._log_joint(X)
        return self.density_.log_proba(log_joint)

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
        return labeled_accuracy(y, self.predict(X), self.unlabeled_value, sample_weight)

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
            means = self.density_.class_centers()
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
        rows = self.density_.invert(np.asarray(Z, dtype=np.float64))
        table: TableLike = self.encoder_.inverse_transform(rows)
        return table

    def sample(
        self,
        n_samples: int = 1,
        y: ArrayLike | object | None = None,
        temperature: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> tuple[TableLike, NDArray[np.generic]]:
        """Draw rows from the model.

        A row with a number farther out of its column's range in training than half that range is
        drawn anew, up to 100 times: flows put some per cent of their mass where no row is.

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
            prior = self.models_[0].class_density.log_prior().detach().exp()
            codes = torch.multinomial(prior, n_samples, replacement=True, generator=generator)
        else:
            codes = torch.from_numpy(codes_of(y, self.classes_, n_samples))
        rows = self.density_.sample(codes, temperature, generator)
        return self.encoder_.inverse_transform(rows), self.classes_[codes.numpy()]

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

    @property
    def _domain(self) -> Domain:
        """The kind of rows that the parameters speak of."""
        if self.image_shape is None:
            return TableDomain()
        return ImageDomain(
            self.image_shape, self.views, self.dequantization_draws, self.max_epochs, self.device
        )

    # Fitting, step by step.

    def _encode_training(
        self, X: TableLike, y: LabelsLike, sample_weight: ArrayLike | None, continued: bool
    ) -> Rows:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        counted = counted_rows(X, y, sample_weight)
        if counted is not None:
            X = take_rows(X, counted)
        encoder = self.encoder_ if continued else self._domain.encoder().fit(X)
        labels = encode_labels(y, self.unlabeled_value)
        if counted is not None:
            labels = EncodedLabels(labels.codes[counted], labels.classes)
            sample_weight = np.asarray(sample_weight)[counted]
        rows = labeled_rows(encoder.transform(X), labels, sample_weight)
        if continued and list(labels.classes) != list(self.classes_):
            raise ValueError(
                f"warm_start needs the classes of the first fit, {self.classes_.tolist()}; "
                f"got {labels.classes.tolist()}"
            )
        self.encoder_ = encoder
        if not continued:
            self.completion_ = self._domain.completion(encoder, rows.matrix)
        self.classes_ = labels.classes
        self.n_features_in_ = encoder.n_features_in_
        if hasattr(encoder, "feature_names_in_"):
            self.feature_names_in_ = encoder.feature_names_in_
        self.n_labeled_ = int((labels.codes >= 0).sum())
        self.n_unlabeled_ = len(labels.codes) - self.n_labeled_
        return rows

    def _models_to_train(
        self, prepared: Preparation, seed: int, previous: list[JointModel]
    ) -> list[JointModel]:
        """Return the models that are there already, and new ones up to ``n_estimators``."""
        models = previous[: self.n_estimators]
        before = {name: getattr(self, name) for name in self._shape} if models else {}
        for member in range(len(models), self.n_estimators):
            models.append(self._build_model(prepared, seed + member))
            other = {name: getattr(self, name) for name in before}
            if other != before:
                for name, value in before.items():
                    setattr(self, name, value)
                raise ValueError(
                    f"n_estimators={self.n_estimators}, but a new flow for these rows would have {other} and "
                    f"those to go on from have {before}; set these parameters to what they have, "
                    "or fit anew with warm_start=False"
                )
        return models

    def _train(
        self, model: JointModel, prepared: Preparation, member: int, seed: int
    ) -> TrainingResult:
        dim = prepared.z.shape[1]
        automatic = self._domain.automatic(prepared.n_trained, dim)
        training, held_out = training_rows(self.completion_, prepared, seed)
        config = training_config(self, automatic, prepared.n_trained, seed)
        self.training_noise_ = chosen(self.noise, automatic.noise)
        objective = self._domain.objective(self, model, prepared, self.training_noise_)
        result = train(
            model,
            objective,
            training,
            held_out,
            config,
            checkpoint=self._checkpoint_of(member),
            show_progress=self.verbose > 0,
        )
        weight = self._domain.settling_share * self._domain.class_weight(self, dim)
        stopped = refit_class_density(
            model, prepared, self._domain.settling_rows, objective.noise, weight, config
        )
        return replace(result, interrupted=result.interrupted or stopped)

    def _start(self, rows: Rows, seed: int) -> Floats:
        """Return soft labels of all rows; keep the labels-only baseline and how they compare."""
        filled = self.completion_.filled(rows.matrix)
        prior = given_prior(self.class_prior, self.classes_)
        start = self._domain.propagate(filled, rows, prior, seed)
        self.baseline_ = start.baseline
        self.initialization_ = summary(start)
        weight = propagation_weight(self.propagation_weight, start, rows)
        self.used_unlabeled_ = weight > 0
        posteriors = start.posteriors
        if weight < 1.0:
            baseline: Floats = start.baseline.predict_proba(filled)
            posteriors = weight * posteriors + (1 - weight) * baseline
        return posteriors if prior is None else with_shares(posteriors, prior, rows)

    def _check_checkpoint(self, continued: bool) -> None:
        path = self._checkpoint_of(0)
        if continued and path is not None and path.exists():
            raise ValueError(
                f"{path} is the checkpoint of a fit that was stopped, which a warm start from the "
                "models at hand cannot go on from; set warm_start=False to resume it, or delete it"
            )

    def _drawn_seed(self) -> int:
        """Draw the seed of a fit; where none is asked for, go on with that of the checkpoint."""
        path = self._checkpoint_of(0)
        if self.random_state is None and path is not None and path.exists():
            return read_seed(path)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

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
        self.calibration_temperature_ = 1.0
        log_joint = self.density_.log_joint(matrix)
        self.outlier_scale_ = OutlierScale.fit(logsumexp(log_joint, axis=1))
        if self.calibrate and not prepared.rows.labeled[judged].any():
            self.calibration_temperature_ = fit_temperature(
                log_joint, prepared.targets[judged], weight
            )

    # Prediction, step by step.

    @property
    def density_(self) -> FittedDensity:
        """The density of encoded rows with which the classifier predicts."""
        check_is_fitted(self)
        return FittedDensity(self.models_, self.completion_, self.calibration_temperature_)

    def _latents(
        self,
        X: TableLike,
        noise: float = 0.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> Floats:
        """Return ``z = f(x)`` of rows with that much noise, in standardized units."""
        density, matrix = self.density_, self.encoder_.transform(X)
        if not noise:
            return density.latents(matrix)
        shape = len(matrix), self.completion_.dim
        drawn = check_random_state(random_state).standard_normal(shape)
        return density.latents(matrix, noise * drawn)

    def _log_joint(self, X: TableLike) -> Floats:
        """Return ``log p(x, y=k)``, shape (n, C), nats per unit of the user's scales."""
        return self.density_.log_joint(self.encoder_.transform(X))
