"""Model files of the estimators: what goes into the manifest and what into the tensors.

Loading runs no code from the file: every object is rebuilt here from numbers and names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from flowssl._labels import is_missing
from flowssl._persistence import JSON, read_model_file, write_model_file
from flowssl.baselines.m2_vae import M2VAEClassifier
from flowssl.exceptions import ModelFileError
from flowssl.inspection.outliers import OutlierScale
from flowssl.models import JointModel

if TYPE_CHECKING:
    from flowssl.estimators import Classifier
    from flowssl.estimators.base import FlowClassifier


Arrays = Mapping[str, NDArray[np.generic]]
KIND = "estimator"
MISSING = {"missing": True}


def save(estimator: Classifier, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to one file, atomically.

    Parameters
    ----------
    estimator : FlowClassifier or M2VAEClassifier
        Fitted.
    path : path
        Usually ends in ``.flowssl``; an existing file is replaced only when all is written.

    Raises
    ------
    NotFittedError
        If it is not fitted.
    TypeError
        If its classes are of a type that JSON cannot hold, such as arbitrary objects.
    """
    check_is_fitted(estimator)
    facts, tensors = (
        estimator._get_state() if isinstance(estimator, M2VAEClassifier) else _of_flow(estimator)
    )
    manifest: dict[str, JSON] = {
        "kind": KIND,
        "estimator": type(estimator).__name__,
        "parameters": _parameters(estimator),
        "classes": _classes_to_json(estimator.classes_),
        "encoder": estimator.encoder_.to_json(),
        "n_labeled": estimator.n_labeled_,
        "n_unlabeled": estimator.n_unlabeled_,
        **facts,
    }
    write_model_file(path, manifest, tensors)


def load(path: str | os.PathLike[str]) -> Classifier:
    """Read an estimator that :func:`save` has written; it predicts the same bits.

    Parameters
    ----------
    path : path
        A ``.flowssl`` file. It may come from a stranger: nothing in it is executed.

    Returns
    -------
    FlowClassifier or M2VAEClassifier
        Fitted, of the class that was saved.

    Raises
    ------
    ModelFileError
        If the file is damaged, forged, of a newer version, or not an estimator.
    FileNotFoundError
        If there is no such file.
    """
    file = read_model_file(path)
    if file.manifest.get("kind") != KIND:
        raise ModelFileError(f"{path} holds a {file.manifest.get('kind')!r}, not a fitted model")
    try:
        return _rebuild(file.manifest, file.tensors)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{path} does not describe a fitted model: {error}") from error


def _rebuild(manifest: Mapping[str, JSON], tensors: Arrays) -> Classifier:
    from flowssl import estimators

    name = manifest["estimator"]
    if name not in estimators.ESTIMATORS:
        raise ValueError(f"unknown estimator {name!r}")
    parameters = dict(cast(Mapping[str, JSON], manifest["parameters"]))
    if parameters.get("unlabeled_value") == MISSING:
        parameters["unlabeled_value"] = np.nan
    build = cast("Callable[..., Classifier]", estimators.ESTIMATORS[str(name)])
    estimator = build(**parameters)
    estimator.classes_ = _classes_from_json(cast(Mapping[str, JSON], manifest["classes"]))
    if isinstance(estimator, M2VAEClassifier):
        estimator._set_state(manifest, tensors)
    else:
        _fill_flow(estimator, manifest, tensors)
    estimator.n_features_in_ = estimator.encoder_.n_features_in_
    if hasattr(estimator.encoder_, "feature_names_in_"):
        estimator.feature_names_in_ = estimator.encoder_.feature_names_in_
    estimator.n_labeled_ = cast(int, manifest["n_labeled"])
    estimator.n_unlabeled_ = cast(int, manifest["n_unlabeled"])
    return estimator


def _of_flow(estimator: FlowClassifier) -> tuple[dict[str, JSON], Arrays]:
    facts: dict[str, JSON] = {
        **{name.rstrip("_"): getattr(estimator, name) for name in estimator._shape},
        "start": estimator.initialization_,
        "history": cast(JSON, estimator.history_),
        "used_unlabeled": estimator.used_unlabeled_,
        "interrupted": estimator.interrupted_,
        "noise": estimator.training_noise_,
        "temperature": estimator.calibration_temperature_,
        "outlier_scale": asdict(estimator.outlier_scale_),
    }
    return facts, _tensors(estimator)


def _fill_flow(estimator: FlowClassifier, manifest: Mapping[str, JSON], tensors: Arrays) -> None:
    # No size of the model is larger than that of its largest tensor, which bounds what is built.
    largest = max((side for array in tensors.values() for side in array.shape), default=0)
    for name in estimator._shape:
        value = manifest[name.rstrip("_")]
        if isinstance(value, int) and not 1 <= value <= largest:
            raise ValueError(f"{name.rstrip('_')} is {value}, but must be 1 to {largest}")
        setattr(estimator, name, value)
    estimator.encoder_ = estimator._domain.encoder().from_json(str(manifest["encoder"]))
    estimator.initialization_ = cast("dict[str, JSON]", manifest["start"])
    estimator.history_ = cast("list[dict[str, float]]", manifest["history"])
    estimator.used_unlabeled_ = bool(manifest["used_unlabeled"])
    estimator.interrupted_ = bool(manifest["interrupted"])
    estimator.training_noise_ = float(cast(float, manifest["noise"]))
    estimator.calibration_temperature_ = float(cast(float, manifest["temperature"]))
    estimator.outlier_scale_ = OutlierScale(**cast("dict[str, float]", manifest["outlier_scale"]))
    estimator.completion_ = estimator._domain.read_completion(_group(tensors, "completion"))
    dim = estimator.completion_.dim
    models: list[JointModel] = []
    while group := _group(tensors, f"model{len(models)}"):
        model = estimator._blank_model(dim, len(estimator.classes_)).double()
        model.load_state_dict({key: torch.from_numpy(value) for key, value in group.items()})
        models.append(model.eval())
    if not models:
        raise ValueError("it holds no flow")
    estimator.models_ = models
    estimator.baseline_ = _baseline_from_arrays(_group(tensors, "baseline"))


def _tensors(estimator: FlowClassifier) -> dict[str, NDArray[np.generic]]:
    arrays: dict[str, NDArray[np.generic]] = {}
    for key, array in estimator.completion_.to_arrays().items():
        arrays[f"completion.{key}"] = array
    for i, model in enumerate(estimator.models_):
        for key, value in model.state_dict().items():
            arrays[f"model{i}.{key}"] = value.cpu().numpy()
    for key, array in _baseline_to_arrays(estimator.baseline_).items():
        arrays[f"baseline.{key}"] = array
    return arrays


def _group(tensors: Arrays, name: str) -> dict[str, NDArray[np.generic]]:
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _baseline_to_arrays(baseline: Pipeline) -> dict[str, NDArray[np.generic]]:
    scaler, regression = (step for _, step in baseline.steps)
    arrays = {"mean": scaler.mean_, "scale": scaler.scale_}
    if isinstance(regression, DummyClassifier):  # there is only one class
        return arrays
    return arrays | {
        "coefficients": regression.coef_,
        "intercepts": regression.intercept_,
        "classes": regression.classes_,
    }


def _baseline_from_arrays(arrays: Arrays) -> Pipeline:
    scaler, regression = StandardScaler(), LogisticRegression()
    scaler.mean_, scaler.scale_ = arrays["mean"], arrays["scale"]
    scaler.n_features_in_ = regression.n_features_in_ = len(arrays["mean"])
    if "classes" not in arrays:
        return make_pipeline(scaler, DummyClassifier().fit(arrays["mean"][None], [0]))
    regression.coef_, regression.intercept_ = arrays["coefficients"], arrays["intercepts"]
    regression.classes_ = arrays["classes"]
    return make_pipeline(scaler, regression)


def _parameters(estimator: Classifier) -> dict[str, JSON]:
    """Return the constructor's parameters as JSON; a RandomState or a function becomes None."""
    parameters: dict[str, JSON] = {}
    for key, value in estimator.get_params(deep=False).items():
        if key == "random_state" and not isinstance(value, int | np.integer):
            value = None
        elif key == "unlabeled_value" and value is not None and is_missing(value):
            value = MISSING
        elif isinstance(value, os.PathLike):
            value = os.fspath(value)
        elif isinstance(value, np.ndarray | np.generic):
            value = value.tolist()
        elif isinstance(value, tuple):
            value = list(value)
        elif callable(value):  # code does not go into a file; only a further fit would need it
            value = None
        parameters[key] = value
    return parameters


def _classes_to_json(classes: NDArray[np.generic]) -> dict[str, JSON]:
    values = classes.astype(str).tolist() if classes.dtype.kind in "mM" else classes.tolist()
    if not all(isinstance(value, bool | int | float | str) for value in values):
        raise TypeError(
            f"classes of type {type(values[0]).__name__} cannot be written to a model file; "
            "use strings, numbers or dates as labels"
        )
    return {"dtype": classes.dtype.str, "values": values}


def _classes_from_json(record: Mapping[str, JSON]) -> NDArray[np.generic]:
    dtype = np.dtype(str(record["dtype"]))
    return np.asarray(record["values"], dtype=dtype)
