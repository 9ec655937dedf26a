"""Classifiers as model files: what every kind of them writes, and how one is rebuilt.

A file holds a manifest of names and numbers, and tensors; see `flowssl._persistence`. Loading runs no
code from the file: every object is rebuilt here, or by the classifier itself, from numbers and names.
"""

from __future__ import annotations

import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import ClassVar, Self, TypeAlias, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from flowssl._class_prior import prior_by_label
from flowssl._isolation import isolated
from flowssl._label_vectors import LabelVector, is_missing
from flowssl._persistence import JSON, write_model_file
from flowssl._plain_values import plain_values
from flowssl._records import Record, TensorKind, shown
from flowssl._typing import Labels
from flowssl.bijections import Bijection
from flowssl.exceptions import ModelFileError
from flowssl.preprocessing.encoders import Encoder

Arrays: TypeAlias = Mapping[str, NDArray[np.generic]]
State: TypeAlias = tuple[dict[str, JSON], dict[str, NDArray[np.generic]]]
"""Facts of the manifest, and tensors."""

M = TypeVar("M", bound=nn.Module)

KIND = "estimator"

MAX_CLASS_BYTES = 2**26
"""Memory that the classes take at most: a type may be far longer than the labels in it."""

_CLASS_DTYPE = re.compile(
    r"[<>|=]?(b1|[iu][1248]|f[248]|U[0-9]{1,9}|O|[mM]8\[[0-9]{0,4}([YMWDhms]|[munpfa]s)\])"
)
_CLASS_VALUES: dict[str, tuple[type, ...]] = {
    "b": (bool,),
    "i": (int,),
    "u": (int,),
    "f": (int, float),
    "U": (str,),
    "M": (str,),
    "m": (int,),
    "O": (bool, int, float, str),
}
"""Types of the values of JSON for each kind of NumPy's types."""

MISSING = {"missing": True}
"""What stands for NaN, which JSON does not have."""

RENAMED = {"calibrate": "temperature_scaling"}
"""Parameters in files of earlier versions that have another name now."""


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
        of_encoder = {f"encoder.{key}": value for key, value in self.encoder_.to_arrays().items()}
        write_model_file(path, manifest, {**tensors, **of_encoder})

    def _take_encoder(self, encoder: Encoder) -> None:
        """Take a fitted encoder and what it knows of the columns."""
        if isinstance(encoder, TransformerMixin):
            # Arrays, whatever scikit-learn's setting transform_output is when it is called.
            encoder.set_output(transform="default")
        self.encoder_ = encoder
        self.n_features_in_ = encoder.n_features_in_
        if hasattr(encoder, "feature_names_in_"):
            self.feature_names_in_ = encoder.feature_names_in_
        elif hasattr(self, "feature_names_in_"):  # of an earlier fit to a frame
            del self.feature_names_in_

    @classmethod
    @isolated()
    def _from_file(cls, manifest: Mapping[str, JSON], tensors: Arrays) -> Self:
        """Rebuild a fitted classifier; a manifest that does not describe one raises any error."""
        facts = Record(manifest, "manifest")
        found = facts.record("parameters").values
        record = {RENAMED.get(name, name): value for name, value in found.items()}
        if unknown := record.keys() - set(cls._get_param_names()):
            raise ModelFileError(f"{cls.__name__} has no parameter {shown(min(unknown))}")
        estimator = cls(**parameters_from_json(record, cls._parameter_groups))
        estimator.classes_ = classes_from_json(facts.get("classes"))
        estimator.n_labeled_ = facts.whole("n_labeled", least=1)
        estimator.n_unlabeled_ = facts.whole("n_unlabeled")
        estimator._set_state(manifest, tensors)
        return estimator


def grouped(tensors: Arrays) -> dict[str, dict[str, NDArray[np.generic]]]:
    """Return the tensors by the part of their names before the first dot, and by the rest."""
    groups: dict[str, dict[str, NDArray[np.generic]]] = {}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        groups.setdefault(first, {})[rest] = tensor
    return groups


def kinds_of(network: nn.Module) -> dict[str, TensorKind]:
    """Return the kind and shape of each tensor that a file must have for a network."""
    return {
        key: ("f" if value.is_floating_point() else "i", tuple(value.shape))
        for key, value in network.state_dict().items()
    }


def filled(blank: M, arrays: Arrays) -> M:
    """Put a file's numbers, whose kinds and shapes have been checked, into a network without memory.

    Returns
    -------
    Module
        The network, in double precision and evaluation mode.

    Raises
    ------
    ValueError
        If fixed numbers make no bijection.
    """
    state = {}
    for key, value in blank.state_dict().items():
        dtype = torch.float64 if value.is_floating_point() else value.dtype
        # The layout is that of the network, in which images have their channels last.
        memory = torch.empty_strided(value.shape, value.stride(), dtype=dtype, device="cpu")
        state[key] = memory.copy_(torch.from_numpy(arrays[key]))
    blank.load_state_dict(state, assign=True)
    for module in blank.modules():
        if isinstance(module, Bijection):
            module.check_buffers()
    return blank.double().eval()


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
    by_label = prior_by_label(value) if name == "class_prior" else None
    if by_label is not None:
        labels, numbers = by_label
        return {"labels": classes_to_json(labels), "numbers": [float(x) for x in numbers]}
    if name == "class_prior" and value is not None and not isinstance(value, str):
        return cast(JSON, np.asarray(plain_values(value), dtype=np.float64).tolist())
    if isinstance(value, date | np.datetime64 | np.timedelta64 | Decimal):  # a label
        return {"label": classes_to_json(LabelVector.read([value]).present)}
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if hasattr(value, "to_numpy"):  # a Series
        value = value.to_numpy()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple | set | frozenset):
        return [_parameter_to_json(name, item) for item in value]
    if callable(value):  # code does not go into a file; only a further fit would need it
        return None
    return cast(JSON, value)


def parameters_from_json(
    record: Mapping[str, JSON], groups: Mapping[str, type[BaseEstimator]]
) -> dict[str, object]:
    """Return constructor parameters from their JSON; ``groups`` are those that hold options."""
    parameters: dict[str, object] = dict(record)
    marker, prior = record.get("unlabeled_value"), record.get("class_prior")
    if isinstance(marker, list):
        parameters["unlabeled_value"] = [_marker_from_json(each) for each in marker]
    else:
        parameters["unlabeled_value"] = _marker_from_json(marker)
    if isinstance(prior, Mapping):
        labels = classes_from_json(cast(Mapping[str, JSON], prior["labels"]), is_sorted=False)
        numbers = cast("list[float]", prior["numbers"])
        parameters["class_prior"] = dict(zip(labels.tolist(), numbers, strict=True))
    for name, options in groups.items():
        value = parameters.get(name)
        if isinstance(value, Mapping):
            parameters[name] = options(**{key: _untupled(item) for key, item in value.items()})
        else:
            parameters[name] = _untupled(value)
    return parameters


def _marker_from_json(value: JSON) -> object:
    """Return what marks an unlabeled row."""
    if value == MISSING:
        return np.nan
    if isinstance(value, Mapping):
        labels = classes_from_json(cast(Mapping[str, JSON], value["label"]))
        return labels[0]
    return value


def _untupled(value: object) -> object:
    """Return a list of JSON as the tuple that it was."""
    return tuple(value) if isinstance(value, list) else value


def classes_to_json(classes: Labels) -> dict[str, JSON]:
    """Return classes as JSON.

    Raises
    ------
    TypeError
        If they are of a type that JSON cannot hold.
    ValueError
        If they take more memory than a file may ask for.
    """
    values = _class_values(classes)
    name = classes.dtype.str
    if not (_CLASS_DTYPE.fullmatch(name) and _are_labels(values, classes.dtype.kind)):
        kind = type(values[0]).__name__ if classes.dtype.kind == "O" else str(classes.dtype)
        raise TypeError(
            f"classes of type {kind} cannot be written to a model file; "
            "use strings, numbers or dates as labels"
        )
    if classes.nbytes > MAX_CLASS_BYTES:
        raise ValueError(
            f"{len(values):,} classes of {classes.itemsize:,} bytes each are more than a model "
            f"file holds, {MAX_CLASS_BYTES:,} bytes; use shorter names"
        )
    return {"dtype": name, "values": values}


def classes_from_json(value: JSON, *, is_sorted: bool = True) -> Labels:
    """Rebuild classes from their JSON.

    Raises
    ------
    ModelFileError
        If it is not that of distinct labels, sorted unless ``is_sorted`` is False.
    """
    record = Record(value, "classes")
    name, values = record.text("dtype"), record.items("values")
    if not _CLASS_DTYPE.fullmatch(name):
        raise ModelFileError(f"its classes have the type {shown(name)}, which labels do not have")
    dtype = np.dtype(name)
    if dtype.itemsize * len(values) > MAX_CLASS_BYTES:
        raise ModelFileError(
            f"its {len(values):,} classes of {dtype.itemsize:,} bytes each are more than the limit, "
            f"{MAX_CLASS_BYTES:,} bytes"
        )
    if not values or not _are_labels(values, dtype.kind):
        raise ModelFileError(f"its classes must be labels of type {dtype}, got {shown(values)}")
    try:
        with np.errstate(all="ignore"):
            classes: Labels = np.array(values, dtype=dtype)
        is_sound = _class_values(classes) == values
        if dtype.kind in "mM":
            is_sound = is_sound and not np.isnat(classes).any()
        ordered = np.unique(classes)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelFileError(f"its classes cannot be read as {dtype}: {error}") from error
    if not is_sound:
        raise ModelFileError(f"its classes {shown(values)} do not fit the type {dtype}")
    if len(ordered) < len(classes) or (is_sorted and not np.array_equal(ordered, classes)):
        raise ModelFileError("its classes must be sorted and different from each other")
    return classes


def _class_values(classes: Labels) -> list[JSON]:
    """Return classes as values of JSON, if they are such."""
    kind = classes.dtype.kind
    written = classes.astype({"M": str, "m": np.int64}[kind]) if kind in "Mm" else classes
    values: list[JSON] = written.tolist()
    return values


def _are_labels(values: list[JSON], kind: str) -> bool:
    """Return whether values of JSON are those of classes of a kind of NumPy's types."""
    return all(
        type(value) in _CLASS_VALUES[kind]
        and not (isinstance(value, float) and not math.isfinite(value))
        for value in values
    )
