"""The fitted state of flow classifiers: what a fit finds, and its form in a model file."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from flowssl._model_file import Arrays, State, filled, grouped, kinds_of
from flowssl._persistence import JSON
from flowssl._records import Record, TensorKind, check_arrays, shown
from flowssl._typing import Floats
from flowssl.estimators._domain import Domain
from flowssl.estimators._spec import ModelSpec
from flowssl.estimators._unusual import read_scores, read_threshold
from flowssl.exceptions import ModelFileError
from flowssl.inspection.clusters import RowClusters
from flowssl.inspection.outliers import OutlierScale
from flowssl.inspection.thresholds import OODThreshold
from flowssl.marginals import Marginal
from flowssl.marginals.files import marginal_from_arrays, marginal_to_arrays
from flowssl.models import JointModel
from flowssl.preprocessing import Completion, Pixels

MAX_ESTIMATORS = 256
"""Models that an estimator averages at most."""

LEAST_TEMPERATURE = 1e-9
LEAST_SPREAD = 1e-12
"""Smallest temperature of a calibration, and smallest spread of log-densities, in a file."""


@dataclass(frozen=True)
class FittedState:
    """What a fit found. Each field is a fitted attribute of the estimators, with a trailing underscore."""

    spec: ModelSpec
    models: list[JointModel]
    completion: Completion | Pixels
    baseline: Pipeline
    initialization: Mapping[str, JSON]
    used_unlabeled: bool
    history: list[dict[str, float]]
    interrupted: bool
    training_noise: float
    calibration_temperature: float
    outlier_scale: OutlierScale
    row_clusters: RowClusters | None
    held_out_scores: Mapping[str, Floats]
    ood_threshold: OODThreshold | None = None
    marginal: Marginal | None = None
    calibration_variance: float = 1.0

    def to_file(self) -> State:
        """Return the state as JSON and tensors."""
        facts: dict[str, JSON] = {
            "model": self.spec.to_json(),
            "initialization": dict(self.initialization),
            "history": cast(JSON, self.history),
            "used_unlabeled": self.used_unlabeled,
            "interrupted": self.interrupted,
            "training_noise": self.training_noise,
            "calibration_temperature": self.calibration_temperature,
            "calibration_variance": self.calibration_variance,
            "outlier_scale": asdict(self.outlier_scale),
            "ood_threshold": None if self.ood_threshold is None else asdict(self.ood_threshold),
        }
        tensors = models_to_arrays(self.models)
        tensors |= {f"completion.{k}": v for k, v in self.completion.to_arrays().items()}
        tensors |= {f"baseline.{k}": v for k, v in baseline_to_arrays(self.baseline).items()}
        if self.marginal is not None:
            of_marginal = marginal_to_arrays(self.marginal)
            tensors |= {f"marginal.{k}": v for k, v in of_marginal.items()}
        tensors |= {f"held_out_scores.{k}": v for k, v in self.held_out_scores.items()}
        if self.row_clusters is not None:
            tensors |= {f"clusters.{k}": v for k, v in self.row_clusters.to_arrays().items()}
        return facts, tensors

    @classmethod
    def from_file(
        cls, manifest: Mapping[str, JSON], tensors: Arrays, domain: Domain, n_classes: int
    ) -> FittedState:
        """Rebuild the state.

        Declared sizes are compared with the tensors before anything is built.

        Raises
        ------
        ModelFileError, ValueError, RuntimeError
            If the file does not describe a fitted state of this kind of rows.
        """
        facts = Record(manifest, "manifest")
        parts = grouped(tensors)
        completion = domain.read_completion(parts.pop("completion", {}))
        spec = ModelSpec.from_json(Record(facts.get("model"), "model"))
        of_file = spec.dim, spec.n_classes, spec.image_shape
        of_rows = completion.dim, n_classes, domain.image_shape
        if of_file != of_rows:
            raise ModelFileError(
                f"columns, classes and image shape are {shown(of_file)} of the model, "
                f"{shown(of_rows)} of the rows"
            )
        features = completion.features(np.zeros((1, completion.dim)))
        baseline = parts.pop("baseline", {})
        parts.pop("encoder", None)  # read by the encoder
        scale = facts.record("outlier_scale")
        marginal = None
        if of_marginal := parts.pop("marginal", None):  # which files of earlier versions lack
            if not isinstance(completion, Completion):
                raise ModelFileError("its tensors 'marginal' are those of tables, not of images")
            marginal = marginal_from_arrays(of_marginal, completion)
        clusters = parts.pop("clusters", None)
        held_out_scores = read_scores(parts.pop("held_out_scores", {}))
        return cls(
            spec=spec,
            models=models_from_arrays(spec, domain, parts),
            completion=completion,
            baseline=baseline_from_arrays(baseline, features.shape[1], n_classes),
            initialization=facts.record("initialization").values,
            used_unlabeled=facts.flag("used_unlabeled"),
            history=_history(facts),
            interrupted=facts.flag("interrupted"),
            training_noise=facts.number("training_noise", least=0.0),
            calibration_temperature=facts.number(
                "calibration_temperature", least=LEAST_TEMPERATURE
            ),
            outlier_scale=OutlierScale(
                scale.number("median"), scale.number("spread", least=LEAST_SPREAD)
            ),
            marginal=marginal,
            calibration_variance=facts.number("calibration_variance", least=LEAST_TEMPERATURE)
            if "calibration_variance" in facts.values  # files of earlier versions have none
            else 1.0,
            row_clusters=(
                None if clusters is None else RowClusters.from_arrays(clusters, features.shape[1])
            ),
            held_out_scores=held_out_scores,
            ood_threshold=read_threshold(facts),
        )


def _history(facts: Record) -> list[dict[str, float]]:
    """Return the figures of each epoch."""
    epochs = [Record(epoch, "history") for epoch in facts.items("history")]
    return [{key: epoch.number(key) for key in epoch.values} for epoch in epochs]


def models_to_arrays(models: Sequence[JointModel]) -> dict[str, NDArray[np.generic]]:
    """Return the weights of all models by name."""
    return {
        f"model{i}.{key}": value.cpu().numpy()
        for i, model in enumerate(models)
        for key, value in model.state_dict().items()
    }


def models_from_arrays(
    spec: ModelSpec, domain: Domain, parts: Mapping[str, Arrays]
) -> list[JointModel]:
    """Rebuild the models of a file.

    Parameters
    ----------
    spec : ModelSpec
        Which model.
    domain : Domain
        The kind of rows.
    parts : mapping of str to mapping
        The tensors of "model0", "model1" and so on, and no others.

    Raises
    ------
    ModelFileError, ValueError
        If there is none, the spec does not fit the tensors, or these make no bijection.
    """
    # No size of a model is larger than that of its largest tensor. Without this bound, a product of
    # sizes could overflow in the shapes themselves.
    arrays = [array for part in parts.values() for array in part.values() if array.size]
    largest = max((side for array in arrays for side in array.shape), default=0)
    if spec.largest() > largest:
        raise ModelFileError(
            f"its model's largest size is {spec.largest()}, but no tensor has more than {largest}"
        )
    names = [f"model{i}" for i in range(len(parts))]
    if not parts or parts.keys() != set(names):
        unknown = sorted(parts.keys() - set(names)) or ["model0"]
        raise ModelFileError(f"its tensors {shown(unknown[0])} are missing or belong to nothing")
    if len(names) > MAX_ESTIMATORS:
        raise ModelFileError(f"it holds {len(names)} models; at most {MAX_ESTIMATORS} are read")
    blank = spec.blank(domain)
    wanted = kinds_of(blank)
    for name in names:
        check_arrays(parts[name], wanted, name)
    return [filled(copy.deepcopy(blank), parts[name]) for name in names]


def baseline_to_arrays(baseline: Pipeline) -> dict[str, NDArray[np.generic]]:
    """Return the numbers of the labels-only baseline."""
    scaler, regression = (step for _, step in baseline.steps)
    arrays = {"mean": scaler.mean_, "scale": scaler.scale_}
    if isinstance(regression, DummyClassifier):  # there is only one class
        return arrays
    return arrays | {
        "coefficients": regression.coef_,
        "intercepts": regression.intercept_,
        "classes": regression.classes_,
    }


def baseline_from_arrays(arrays: Arrays, dim: int, n_classes: int) -> Pipeline:
    """Rebuild the labels-only baseline of rows of ``dim`` numbers.

    Raises
    ------
    ModelFileError
        If the arrays are not those of one.
    """
    wanted: dict[str, TensorKind] = {"mean": ("f", (dim,)), "scale": ("f", (dim,))}
    known = arrays.get("classes")
    if known is not None:
        known = known.reshape(-1)
        n_rows = 1 if len(known) == 2 else len(known)
        wanted["classes"] = ("i", known.shape)
        wanted |= {"coefficients": ("f", (n_rows, dim)), "intercepts": ("f", (n_rows,))}
    check_arrays(arrays, wanted, "baseline")
    if not (arrays["scale"].astype(np.float64) > 0).all():
        raise ModelFileError("its tensor 'baseline.scale' must be positive")
    scaler, regression = StandardScaler(), LogisticRegression()
    scaler.mean_, scaler.scale_ = arrays["mean"], arrays["scale"]
    scaler.n_features_in_ = regression.n_features_in_ = dim
    if known is None:
        return make_pipeline(scaler, DummyClassifier().fit(arrays["mean"][None], [0]))
    if (
        len(known) < 2
        or not np.isin(known, np.arange(n_classes)).all()
        or (np.diff(known) < 1).any()
    ):
        raise ModelFileError(
            f"its tensor 'baseline.classes' must hold several of 0 to {n_classes - 1} in order"
        )
    regression.coef_, regression.intercept_ = arrays["coefficients"], arrays["intercepts"]
    regression.classes_ = known
    return make_pipeline(scaler, regression)
