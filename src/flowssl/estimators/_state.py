"""The fitted state of flow classifiers: what a fit finds, and its form in a model file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from flowssl._model_file import Arrays, State, group
from flowssl._persistence import JSON
from flowssl.estimators._domain import Domain
from flowssl.estimators._spec import ModelSpec
from flowssl.inspection.outliers import OutlierScale
from flowssl.models import JointModel
from flowssl.preprocessing import Completion, Pixels


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
            "outlier_scale": asdict(self.outlier_scale),
        }
        tensors = models_to_arrays(self.models)
        tensors |= {f"completion.{k}": v for k, v in self.completion.to_arrays().items()}
        tensors |= {f"baseline.{k}": v for k, v in baseline_to_arrays(self.baseline).items()}
        return facts, tensors

    @classmethod
    def from_file(
        cls, manifest: Mapping[str, JSON], tensors: Arrays, domain: Domain, n_classes: int
    ) -> FittedState:
        """Rebuild the state.

        Raises
        ------
        KeyError, TypeError, ValueError, RuntimeError
            If the file does not describe a fitted state of this kind of rows.
        """
        completion = domain.read_completion(group(tensors, "completion"))
        spec = ModelSpec.from_json(cast("Mapping[str, JSON]", manifest["model"]))
        if spec.image_shape is not None and math.prod(spec.image_shape) != spec.dim:
            raise ValueError(f"images of shape {spec.image_shape} do not have {spec.dim} columns")
        of_file = spec.dim, spec.n_classes, spec.image_shape
        of_rows = completion.dim, n_classes, domain.image_shape
        if of_file != of_rows:
            raise ValueError(
                f"columns, classes and image shape are {of_file} of the model, {of_rows} of the rows"
            )
        initialization, history = manifest["initialization"], manifest["history"]
        if not isinstance(initialization, Mapping) or not isinstance(history, list):
            raise TypeError("initialization must be a record and history a list")
        return cls(
            spec=spec,
            models=models_from_arrays(spec, domain, tensors),
            completion=completion,
            baseline=baseline_from_arrays(group(tensors, "baseline")),
            initialization=initialization,
            used_unlabeled=bool(manifest["used_unlabeled"]),
            history=cast("list[dict[str, float]]", history),
            interrupted=bool(manifest["interrupted"]),
            training_noise=_number(manifest["training_noise"], least=0.0),
            calibration_temperature=_number(manifest["calibration_temperature"], least=1e-9),
            outlier_scale=OutlierScale(**cast("dict[str, float]", manifest["outlier_scale"])),
        )


def _number(value: JSON, *, least: float) -> float:
    """Return a finite number of a manifest."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a number is needed, got {value!r}")
    if not least <= value < math.inf:
        raise ValueError(f"a number from {least:g} on is needed, got {value}")
    return float(value)


def models_to_arrays(models: Sequence[JointModel]) -> dict[str, NDArray[np.generic]]:
    """Return the weights of all models by name."""
    return {
        f"model{i}.{key}": value.cpu().numpy()
        for i, model in enumerate(models)
        for key, value in model.state_dict().items()
    }


def models_from_arrays(spec: ModelSpec, domain: Domain, tensors: Arrays) -> list[JointModel]:
    """Rebuild the models of a file.

    Raises
    ------
    ValueError
        If there is none, or the spec is larger than its tensors.
    """
    # No size of a model is larger than that of its largest tensor, which bounds what is built.
    largest = max((side for array in tensors.values() for side in array.shape), default=0)
    if not 1 <= spec.largest() <= largest:
        raise ValueError(
            f"the model's largest size is {spec.largest()}, but must be 1 to {largest}"
        )
    models: list[JointModel] = []
    while arrays := group(tensors, f"model{len(models)}"):
        model = spec.blank(domain).double()
        model.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
        models.append(model.eval())
    if not models:
        raise ValueError("it holds no flow")
    return models


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


def baseline_from_arrays(arrays: Arrays) -> Pipeline:
    """Rebuild the labels-only baseline."""
    scaler, regression = StandardScaler(), LogisticRegression()
    scaler.mean_, scaler.scale_ = arrays["mean"], arrays["scale"]
    scaler.n_features_in_ = regression.n_features_in_ = len(arrays["mean"])
    if "classes" not in arrays:
        return make_pipeline(scaler, DummyClassifier().fit(arrays["mean"][None], [0]))
    regression.coef_, regression.intercept_ = arrays["coefficients"], arrays["intercepts"]
    regression.classes_ = arrays["classes"]
    return make_pipeline(scaler, regression)
