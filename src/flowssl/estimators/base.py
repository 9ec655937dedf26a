"""The scikit-learn face of every flowssl classifier.

A subclass has the signature, and says in a `ModelRequest` which model its parameters ask for. What
happens inside ``fit`` is in `_fit`, what predicts is the `FittedDensity`.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from flowssl._class_prior import GivenPrior, given_prior
from flowssl._isolation import BLAS, isolated
from flowssl._labels import LabelsLike
from flowssl._model_file import Arrays, State, grouped
from flowssl._persistence import JSON
from flowssl._records import Record
from flowssl._typing import Floats, Labels
from flowssl.bijections.images import Shape
from flowssl.estimators._domain import Domain
from flowssl.estimators._domains import domain_of
from flowssl.estimators._fit import FitSettings, Previous, fit_models
from flowssl.estimators._prediction import DensityClassifier
from flowssl.estimators._settings import TrainingSettings
from flowssl.estimators._spec import ModelRequest, ModelSpec
from flowssl.estimators._state import MAX_ESTIMATORS, FittedState
from flowssl.estimators._training_data import TrainingData
from flowssl.estimators.options import ImageOptions, ObjectiveOptions, TextOptions
from flowssl.inspection.clusters import RowClusters
from flowssl.inspection.outliers import OutlierScale
from flowssl.inspection.thresholds import OODThreshold
from flowssl.marginals import Marginal
from flowssl.models import JointModel
from flowssl.preprocessing import Completion, Pixels
from flowssl.preprocessing.containers import TableLike
from flowssl.preprocessing.text_split import ColumnNames
from flowssl.training.checkpoints import read_seed, remove_checkpoints
from flowssl.training.devices import (
    is_first_process,
    n_processes,
    prediction_device,
    resolve_device,
)


class FlowClassifier(DensityClassifier):
    """Base of the classifiers: one joint density ``p(x, y)`` behind scikit-learn's methods.

    Subclasses define ``__init__`` with at least the parameters named here.
    """

    architecture: str
    images: ImageOptions | Shape | None
    text: TextOptions | ColumnNames | None
    init: str
    objective: ObjectiveOptions | str
    class_prior: GivenPrior
    propagation_weight: float | str
    max_epochs: int | str
    batch_size: int | str
    learning_rate: float | str
    weight_decay: float
    early_stopping: bool
    temperature_scaling: bool
    n_estimators: int
    warm_start: bool
    checkpoint: str | os.PathLike[str] | None
    unlabeled_value: object
    device: str
    random_state: int | np.random.RandomState | None
    verbose: int

    used_unlabeled_: bool
    interrupted_: bool
    spec_: ModelSpec
    completion_: Completion | Pixels
    models_: list[JointModel]
    baseline_: Pipeline
    initialization_: Mapping[str, JSON]
    label_distributions_: Floats
    transduction_: Labels
    history_: list[dict[str, float]]
    training_noise_: float
    calibration_temperature_: float
    calibration_variance_: float
    outlier_scale_: OutlierScale
    marginal_: Marginal | None
    row_clusters_: RowClusters | None
    held_out_scores_: Mapping[str, Floats]
    ood_threshold_: OODThreshold | None

    _parameter_groups: ClassVar[Mapping[str, type[BaseEstimator]]] = {
        "objective": ObjectiveOptions,
        "images": ImageOptions,
        "text": TextOptions,
    }
    _automatic_learning_rate: ClassVar[float | None] = None
    """What "auto" stands for; None leaves it to the kind of rows."""

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "architecture": [str],
        "images": ["array-like", ImageOptions, None],
        "text": [str, Integral, "boolean", list, tuple, TextOptions, None],
        "init": [StrOptions({"propagate", "latent", "random"})],
        "objective": [StrOptions({"soft-labels", "likelihood", "em"}), ObjectiveOptions],
        "class_prior": [StrOptions({"uniform", "learned"}), "array-like", Mapping, None],
        "propagation_weight": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "temperature_scaling": ["boolean"],
        "n_estimators": [Interval(Integral, 1, MAX_ESTIMATORS, closed="both")],
        "warm_start": ["boolean"],
        "checkpoint": [str, os.PathLike, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _model_request(self) -> ModelRequest:
        """Return which model the parameters ask for."""

    @isolated()
    def fit(self, X: TableLike, y: LabelsLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the joint density to labeled and unlabeled rows together.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
            Rows. Missing numbers, text and categorical columns are allowed; a sparse matrix is
            turned into a dense one of at most 1 GiB.
        y : array-like of shape (n_samples,)
            Labels: text, numbers, bools or dates; unlabeled rows carry ``unlabeled_value``. They
            belong to rows by position, not by index.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, not negative. A row of weight 2 is the row given twice, one of weight 0 none.
            With categories, ties for the reference category are broken by row order.

        Returns
        -------
        self
            The fitted classifier.

        Raises
        ------
        ValueError
            If no row is labeled, no column varies, the device is not there, a parameter cannot act,
            or input is malformed; under torchrun also without a ``random_state``.
        TrainingDivergedError
            If training fails three times in spite of lower learning rates.
        """
        self._validate_params()
        resolve_device(self.device)  # a missing device is reported before the long part
        if n_processes() > 1 and self.random_state is None:
            raise ValueError(
                f"random_state is None, but {n_processes()} processes train together and must "
                "draw the same numbers; give random_state a whole number"
            )
        continued = self.warm_start and self.__sklearn_is_fitted__()
        self._check_checkpoint(continued)
        domain = self._domain
        domain.check_objective(ObjectiveOptions.of(self.objective))
        self._model_request().check()
        data = self._encode_training(X, y, sample_weight, continued)
        settings, seed = self._fit_settings(data), self._drawn_seed()
        previous, completion = None, None
        if continued:
            previous = Previous(self.spec_, self.models_, self.marginal_)
            completion = domain.continued(self.completion_)
        else:
            with BLAS:
                completion = domain.completion(data.encoder, data.rows.matrix)
        with settings.locked():
            found, soft_labels = fit_models(settings, domain, completion, data.rows, seed, previous)
            # Nothing of an earlier fit has changed up to here: a fit that fails leaves it as it was.
            self._take_encoder(data.encoder)
            self.classes_ = data.classes
            self.n_labeled_, self.n_unlabeled_ = data.n_labeled, data.n_unlabeled
            self._keep(found)
            self.label_distributions_ = data.as_given(soft_labels, self.class_prior_)
            self.transduction_ = self.classes_[self.label_distributions_.argmax(1)]
            if not found.interrupted and is_first_process():
                remove_checkpoints(settings.checkpoints)
        return self

    def set_params(self, **params: object) -> Self:
        """Set parameters; names such as ``objective__kind`` reach into groups of options.

        A group that is given in its short form becomes an object of options first.

        Parameters
        ----------
        **params : dict
            Parameters by name.

        Returns
        -------
        self
        """
        for name, options in self._parameter_groups.items():
            if any(key.startswith(f"{name}__") for key in params):
                group = options.of(params.pop(name, getattr(self, name)))
                if group is None:
                    raise ValueError(f"{name} is None and has no options; give {name} first")
                params = {name: group, **params}
        super().set_params(**params)
        return self

    def __sklearn_tags__(self) -> Tags:
        """Say to scikit-learn that NaN, categories and sparse matrices are allowed in X."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        """Fitted once the models are there."""
        return bool(getattr(self, "models_", None))

    # From parameters to what the fit takes.

    @property
    def _domain(self) -> Domain:
        images, text = ImageOptions.of(self.images), TextOptions.of(self.text)
        return domain_of(images, text, self._training_settings(), show_progress=self.verbose > 0)

    def _training_settings(self) -> TrainingSettings:
        rate = self.learning_rate
        if isinstance(rate, str) and self._automatic_learning_rate is not None:
            rate = self._automatic_learning_rate
        return TrainingSettings(
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            learning_rate=rate,
            weight_decay=self.weight_decay,
            early_stopping=self.early_stopping,
            device=self.device,
            random_start=self.init != "propagate",
        )

    def _fit_settings(self, data: TrainingData) -> FitSettings:
        objective = ObjectiveOptions.of(self.objective)
        if objective.labeled_fraction == 0 and data.rows.labeled.all():
            raise ValueError(
                "labeled_fraction is 0 and every row is labeled, so that no row would count; raise "
                "it or add unlabeled rows"
            )
        return FitSettings(
            model=self._model_request(),
            objective=objective,
            training=self._training_settings(),
            class_prior=given_prior(self.class_prior, data.classes),
            propagation_weight=self.propagation_weight,
            n_estimators=self.n_estimators,
            calibrate=self.temperature_scaling,
            checkpoint=None if self.checkpoint is None else Path(self.checkpoint),
            show_progress=self.verbose > 0,
            categories=self._domain.categories(objective, data.encoder),
        )

    def _check_checkpoint(self, continued: bool) -> None:
        if continued and self.checkpoint is not None and Path(self.checkpoint).exists():
            raise ValueError(
                f"{self.checkpoint} is the checkpoint of a fit that was stopped, which a warm start "
                "from the present models cannot continue; set warm_start=False to resume it, or "
                "delete it"
            )

    def _drawn_seed(self) -> int:
        """Draw the seed of a fit; without a ``random_state`` a checkpoint's seed is kept."""
        if self.random_state is None and self.checkpoint is not None:
            path = Path(self.checkpoint)
            if path.exists():
                return read_seed(path)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _encode_training(
        self, X: TableLike, y: LabelsLike, sample_weight: ArrayLike | None, continued: bool
    ) -> TrainingData:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        encoder = self.encoder_ if continued else self._domain.encoder()
        data = TrainingData.encode(
            X, y, sample_weight, self.unlabeled_value, encoder, is_fitted=continued
        )
        if continued and list(data.classes) != list(self.classes_):
            raise ValueError(
                f"warm_start needs the classes of the first fit, {self.classes_.tolist()}; "
                f"got {data.classes.tolist()}"
            )
        return data

    # Fitted state.

    def _keep(self, found: FittedState) -> None:
        for field in fields(found):
            setattr(self, f"{field.name}_", getattr(found, field.name))

    def _get_state(self) -> State:
        domain = self._domain
        if domain.row_kind != self.encoder_.row_kind:
            raise ValueError(
                f"images={self.images!r} or text={self.text!r} was changed after fit, so that the "
                "file would not be of this model; set it back before saving, or fit again"
            )
        if domain.image_shape != self.spec_.image_shape or domain.is_changed(self.completion_):
            raise ValueError(
                f"images={self.images!r} was changed after fit, so that the file would predict "
                "otherwise than the model; set it back before saving, or fit again"
            )
        names = (field.name for field in fields(FittedState))
        return FittedState(**{name: getattr(self, f"{name}_") for name in names}).to_file()

    def _set_state(self, manifest: Mapping[str, JSON], tensors: Arrays) -> None:
        self._validate_params()
        ObjectiveOptions.of(self.objective)
        domain = self._domain
        # The state first: it checks declared sizes against the tensors before anything is built.
        found = FittedState.from_file(manifest, tensors, domain, len(self.classes_))
        text = Record(manifest, "manifest").text("encoder")
        encoder = domain.read_encoder(text, grouped(tensors).get("encoder", {}))
        domain.check_encoder(encoder, found.completion)
        self._keep(found)
        self._take_encoder(encoder)
        device = prediction_device(self.device)
        for model in self.models_:
            model.to(device)
        if self.marginal_ is not None:
            self.marginal_.to(device)
