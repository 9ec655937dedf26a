"""Classifiers as model files: what every kind of them writes, and how one is rebuilt.

A file holds a manifest of names and numbers, and tensors; see `flowssl._persistence`. Loading runs no
code from the file: every object is rebuilt here, or by the classifier itself, from numbers and names.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from flowssl._labels import is_missing
from flowssl._persistence import JSON, write_model_file
from flowssl._typing import Labels
from flowssl.preprocessing.encoders import Encoder
from flowssl.preprocessing.text_rows import TextTableEncoder

Arrays: TypeAlias = Mapping[str, NDArray[np.generic]]
State: TypeAlias = tuple[dict[str, JSON], dict[str, NDArray[np.generic]]]
"""Facts of the manifest, and tensors."""

KIND = "estimator"
MISSING = {"missing": True}
"""What stands for NaN, which JSON does not have."""


class ModelFileMixin(BaseEstimator, ABC):
    """A classifier that can be written to a model file and rebuilt from it.

    A subclass gives and takes its own fitted state; parameters, classes, encoder and counts are the
    same for all. ``_parameter_groups`` names the parameters that may hold a group of options.
    """

    classes_: Labels
    encoder_: Encoder
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    n_labeled_: int
    n_unlabeled_: int

    _parameter_groups: ClassVar[Mapping[str, type[BaseEstimator]]] = {}

    @abstractmethod
    def _get_state(self) -> State:
        """Return the fitted state that is this kind's own."""

    @abstractmethod
    def _set_state(self, manifest: Mapping[str, JSON], tensors: Arrays) -> None:
        """Take that state from a file; parameters and classes are there already."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted classifier to one file, atomically; :func:`flowssl.load` reads it.

        Parameters
        ----------
        path : path
            Usually ends in ``.flowssl``; an existing file is replaced only when all is written.

        Raises
        ------
        NotFittedError
            If the classifier is not fitted.
        TypeError
            If its classes are of a type that JSON cannot hold, such as arbitrary objects.
        """
        check_is_fitted(self)
        facts, tensors = self._get_state()
        manifest: dict[str, JSON] = {
            "kind": KIND,
            "estimator": type(self).__name__,
            "parameters": parameters_to_json(self),
            "classes": classes_to_json(self.classes_),
            "encoder": self.encoder_.to_json(),
            "n_labeled": self.n_labeled_,
            "n_unlabeled": self.n_unlabeled_,
            **facts,
        }
        if isinstance(self.encoder_, TextTableEncoder):
            arrays = self.encoder_.to_arrays()
            tensors = {**tensors, **{f"encoder.{name}": array for name, array in arrays.items()}}
        write_model_file(path, manifest, tensors)

    def _take_encoder(self, encoder: Encoder) -> None:
        """Take a fitted encoder and what it knows of the columns."""
        self.encoder_ = encoder
        self.n_features_in_ = encoder.n_features_in_
        if hasattr(encoder, "feature_names_in_"):
            self.feature_names_in_ = encoder.feature_names_in_
        elif hasattr(self, "feature_names_in_"):  # of an earlier fit to a frame
            del self.feature_names_in_

    @classmethod
    def _from_file(cls, manifest: Mapping[str, JSON], tensors: Arrays) -> Self:
        """Rebuild a fitted classifier; a manifest that does not describe one raises any error."""
        record = cast(Mapping[str, JSON], manifest["parameters"])
        estimator = cls(**parameters_from_json(record, cls._parameter_groups))
        estimator.classes_ = classes_from_json(cast(Mapping[str, JSON], manifest["classes"]))
        estimator._set_state(manifest, tensors)
        estimator.n_labeled_ = cast(int, manifest["n_labeled"])
        estimator.n_unlabeled_ = cast(int, manifest["n_unlabeled"])
        return estimator


def group(tensors: Arrays, name: str) -> dict[str, NDArray[np.generic]]:
    """Return the tensors whose names begin with ``name.``, without that prefix."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def parameters_to_json(estimator: BaseEstimator) -> dict[str, JSON]:
    """Return the constructor's parameters as JSON; a RandomState or a function becomes None."""
    return {
        name: _parameter_to_json(name, value)
        for name, value in estimator.get_params(deep=False).items()
    }


def _parameter_to_json(name: str, value: object) -> JSON:
    if isinstance(value, BaseEstimator):  # a group of options
        return cast(JSON, parameters_to_json(value))
    if name == "random_state" and not isinstance(value, int | np.integer):
        return None
    if name == "unlabeled_value" and value is not None and is_missing(value):
        return cast(JSON, MISSING)
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if isinstance(value, np.ndarray | np.generic):
        return cast(JSON, value.tolist())
    if isinstance(value, list | tuple):
        return [_parameter_to_json(name, item) for item in value]
    if hasattr(value, "to_numpy"):  # a Series
        return cast(JSON, value.to_numpy().tolist())
    if callable(value):  # code does not go into a file; only a further fit would need it
        return None
    return cast(JSON, value)


def parameters_from_json(
    record: Mapping[str, JSON], groups: Mapping[str, type[BaseEstimator]]
) -> dict[str, object]:
    """Return constructor parameters from their JSON; ``groups`` are those that hold options."""
    parameters: dict[str, object] = dict(record)
    if parameters.get("unlabeled_value") == MISSING:
        parameters["unlabeled_value"] = np.nan
    for name, options in groups.items():
        value = parameters.get(name)
        if isinstance(value, Mapping):
            parameters[name] = options(**{key: _untupled(item) for key, item in value.items()})
        else:
            parameters[name] = _untupled(value)
    return parameters


def _untupled(value: object) -> object:
    """Return a list of JSON as the tuple that it was."""
    return tuple(value) if isinstance(value, list) else value


def classes_to_json(classes: Labels) -> dict[str, JSON]:
    """Return classes as JSON.

    Raises
    ------
    TypeError
        If they are of a type that JSON cannot hold.
    """
    values = classes.astype(str).tolist() if classes.dtype.kind in "mM" else classes.tolist()
    if not all(isinstance(value, bool | int | float | str) for value in values):
        raise TypeError(
            f"classes of type {type(values[0]).__name__} cannot be written to a model file; "
            "use strings, numbers or dates as labels"
        )
    return {"dtype": classes.dtype.str, "values": values}


def classes_from_json(record: Mapping[str, JSON]) -> Labels:
    """Rebuild classes from their JSON.

    Raises
    ------
    ValueError, TypeError, OverflowError
        If the record is not that of sorted, distinct labels.
    """
    dtype = np.dtype(str(record["dtype"]))
    classes: Labels = np.asarray(record["values"], dtype=dtype)
    if classes.ndim != 1 or dtype.fields is not None or not len(classes):
        raise ValueError(f"classes must be a list of labels, got shape {classes.shape}")
    if not np.array_equal(np.unique(classes), classes):
        raise ValueError("classes must be sorted and different from each other")
    return classes
