"""Model files of a patient forger: small, with right checksums, and each with one lie that costs.

Each entry of `FORGERIES` changes the parts of a sound file of one kind. All of them must be refused.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from benchmarks.robustness.model_mutants import RAW, Parts, Tensor
from numpy.typing import ArrayLike


class Forgery(NamedTuple):
    """The kind of file that is changed, and the change."""

    kind: str
    change: Callable[[Parts], object]


def set_tensor(parts: Parts, name: str, values: ArrayLike) -> None:
    """Put numbers in the place of a tensor."""
    array = np.ascontiguousarray(values)
    names = {"float64": "F64", "float32": "F32", "int64": "I64", "bool": "BOOL", "uint8": "U8"}
    parts.tensors[name] = Tensor(names[array.dtype.name], list(array.shape), array.tobytes())


def numbers_of(parts: Parts, name: str) -> np.ndarray:
    """Return a tensor's numbers, which may be changed."""
    tensor = parts.tensors[name]
    dtype = {"F64": np.float64, "I64": np.int64}[tensor.dtype]
    return np.frombuffer(tensor.data, dtype).reshape(tensor.shape).copy()


def forged(files: Mapping[str, Parts], name: str) -> Parts:
    """Return the parts of a forged file."""
    kind, change = FORGERIES[name]
    parts = copy.deepcopy(files[kind])
    change(parts)
    return parts


def _change(path: str, value: object) -> Callable[[Parts], None]:
    """Set one value of the manifest."""

    def change(parts: Parts) -> None:
        holder: Any = parts.manifest
        *outer, last = path.split(".")
        for key in outer:
            holder = holder[int(key) if isinstance(holder, list) else key]
        holder[int(last) if isinstance(holder, list) else last] = value

    return change


def _number(name: str, value: float, at: int = 0) -> Callable[[Parts], None]:
    """Set one number of a tensor."""

    def change(parts: Parts) -> None:
        numbers = numbers_of(parts, name)
        numbers.flat[at] = value
        set_tensor(parts, name, numbers)

    return change


def _tensor(name: str, make: Callable[[], ArrayLike]) -> Callable[[Parts], None]:
    return lambda parts: set_tensor(parts, name, make())


def _all(*changes: Callable[[Parts], object]) -> Callable[[Parts], None]:
    def change(parts: Parts) -> None:
        for one in changes:
            one(parts)

    return change


def _without(name: str) -> Callable[[Parts], object]:
    return lambda parts: parts.tensors.pop(name)


def _many_models(parts: Parts) -> None:
    """Claim 200 models, the last of which lacks a tensor."""
    first = {k: v for k, v in parts.tensors.items() if k.startswith("model0.")}
    for i in range(1, 200):
        parts.tensors |= {k.replace("model0", f"model{i}"): v for k, v in first.items()}
    del parts.tensors["model199.class_density.means"]


def _columns(n: int, **changes: object) -> Callable[[Parts], None]:
    """Give the encoder many columns."""

    def change(parts: Parts) -> None:
        encoder: Any = parts.manifest["encoder"]
        first = encoder["columns"][0]
        encoder["columns"] = [{**first, "name": i, **changes} for i in range(n)]

    return change


def _wide_image(parts: Parts) -> None:
    """Claim images of 400 million pixels wherever a file speaks of them."""
    shape = [1, 20_000, 20_000]
    _change("parameters.images", shape)(parts)
    _change("model.image_shape", shape)(parts)
    _change("model.dim", 400_000_000)(parts)
    _change("encoder.shape", shape)(parts)


def _raw_header(text: str) -> Callable[[Parts], None]:
    def change(parts: Parts) -> None:
        parts.header = text.encode()

    return change


HUGE = 150_000_000
MEANS = "model0.class_density.means"

FORGERIES: dict[str, Forgery] = {
    "a zero-byte tensor beside n_components": Forgery(
        "flowgmm",
        _all(
            lambda parts: parts.tensors.update(x=Tensor("F64", [0, HUGE], b"")),
            _change("model.options.n_components", HUGE),
        ),
    ),
    "a zero-byte tensor of means": Forgery(
        "flowgmm",
        _all(
            lambda parts: parts.tensors.update({MEANS: Tensor("F64", [2, HUGE, 0], b"")}),
            _change("model.options.n_components", HUGE),
        ),
    ),
    "30,000 widths": Forgery("flowgmm", _tensor("completion.widths", lambda: np.zeros(30_000))),
    "30,000 widths and columns": Forgery(
        "flowgmm",
        _all(
            _tensor("completion.widths", lambda: np.zeros(30_000)),
            _change("model.dim", 30_000),
            _columns(10_000),
        ),
    ),
    "400 million pixels": Forgery("flowgmm-images", _wide_image),
    "an encoder of 400 million pixels": Forgery(
        "flowgmm-images", _change("encoder.shape", [1, 20_000, 20_000])
    ),
    "a billion draws": Forgery(
        "flowgmm-images",
        _change("parameters.images", {"shape": [1, 4, 4], "dequantization_draws": 10**9}),
    ),
    "pixels of long texts": Forgery("flowgmm-images", _change("encoder.dtype", "<U200000000")),
    "classes of long texts": Forgery(
        "flowgmm", _change("classes", {"dtype": "<U200000000", "values": ["a", "b"]})
    ),
    "structured classes": Forgery(
        "flowgmm", _change("classes", {"dtype": "<i8,<f8", "values": [0, 1]})
    ),
    "500,000 classes": Forgery(
        "flowgmm",
        _all(
            _change("classes.values", list(range(500_000))),
            _change("model.n_classes", 500_000),
        ),
    ),
    "500,000 classes of the network": Forgery(
        "m2-vae", _change("classes", {"dtype": "<i8", "values": list(range(500_000))})
    ),
    "a class of 31 digits": Forgery("flowgmm", _change("classes.values.1", 10**30)),
    "a class of 401 digits": Forgery("flowgmm", _change("classes.values.1", RAW + "1" + 400 * "0")),
    "classes twice": Forgery("flowgmm", _change("classes.values", [1, 1])),
    "class names twice": Forgery(
        "flowgmm-frame", _change("classes", {"dtype": "<U3", "values": ["yes", "yes"]})
    ),
    "class names that are cut": Forgery(
        "flowgmm-frame", _change("classes", {"dtype": "<U2", "values": ["no", "yes"]})
    ),
    "classes that are no times": Forgery(
        "flowgmm", _change("classes", {"dtype": "<M8[D]", "values": ["2020-01-01", "NaT"]})
    ),
    "classes beyond half precision": Forgery(
        "flowgmm", _change("classes", {"dtype": "<f2", "values": [1.0, 100000.0]})
    ),
    "numbers as texts of classes": Forgery("flowgmm", _change("classes.values", ["0", "1"])),
    "a noise of 401 digits": Forgery("flowgmm", _change("training_noise", RAW + "1" + 400 * "0")),
    "a noise that overflows": Forgery("flowgmm", _change("training_noise", RAW + "1e999")),
    "a noise that is true": Forgery("flowgmm", _change("training_noise", True)),
    "temperature 0": Forgery("flowgmm", _change("calibration_temperature", 0)),
    "a negative temperature": Forgery("flowgmm", _change("calibration_temperature", -1.5)),
    "spread 0": Forgery("flowgmm", _change("outlier_scale.spread", 0.0)),
    "a history of texts": Forgery("flowgmm", _change("history.0.loss", "low")),
    "NaN in the means": Forgery("flowgmm", _number(MEANS, np.nan)),
    "infinity in a prior": Forgery(
        "flowgmm", _number("model0.class_density.prior.logits", -np.inf)
    ),
    "NaN in the knots": Forgery("flowgmm", _number("completion.x_knots", np.nan)),
    "knots that do not increase": Forgery("flowgmm", _number("completion.x_knots", 1e9)),
    "slopes of 0": Forgery("flowgmm", _number("completion.slopes", 0.0)),
    "an indefinite covariance": Forgery("flowgmm", _number("completion.covariance", -1.0)),
    "an asymmetric covariance": Forgery("flowgmm", _number("completion.covariance", 0.9, at=1)),
    "no permutation": Forgery("flowgmm", _number("model0.flow.bijections.0.rows", 1, at=0)),
    "a permutation out of range": Forgery(
        "flowgmm", _number("model0.flow.bijections.0.rows", 2**40)
    ),
    "a sign of 0": Forgery("flowgmm", _number("model0.flow.bijections.0.sign", 0.0)),
    "means of another type": Forgery(
        "flowgmm", _tensor(MEANS, lambda: np.zeros((2, 1, 3), dtype=np.int64))
    ),
    "a baseline that divides by 0": Forgery("flowgmm", _number("baseline.scale", 0.0)),
    "a baseline of classes that are not there": Forgery("flowgmm", _number("baseline.classes", 7)),
    "a class width of a billion": Forgery("scnf", _change("model.class_features", 10**9)),
    "a rank of 150 million": Forgery("scnf-gmm", _change("model.options.covariance_rank", HUGE)),
    "as many components as another tensor is long": Forgery(
        "flowgmm",
        _all(
            _tensor("baseline.mean", lambda: np.zeros(1_000_000)),
            _change("model.options.n_components", 1_000_000),
        ),
    ),
    "an architecture of images on a table": Forgery(
        "flowgmm", _change("model.architecture", "golden")
    ),
    "a wider architecture": Forgery("flowgmm", _change("model.architecture", "paper-text")),
    "another density": Forgery("flowgmm", _change("model.class_density", "linear")),
    "a layer of a billion": Forgery("m2-vae", _change("network.hidden", [10**9])),
    "100,000 layers": Forgery("m2-vae", _change("network.hidden", [1] * 100_000)),
    "a billion latents": Forgery("m2-vae", _change("network.n_latents", 10**9)),
    "no latents": Forgery("m2-vae", _change("network.n_latents", 0)),
    "a column that never varied": Forgery("m2-vae", _number("scale", 0.0)),
    "200 models": Forgery("flowgmm", _many_models),
    "a missing tensor": Forgery("flowgmm", _without(MEANS)),
    "one tensor more": Forgery(
        "flowgmm", lambda parts: parts.tensors.update(x=Tensor("F64", [1], bytes(8)))
    ),
    "a tensor of an encoder that has none": Forgery(
        "flowgmm", lambda parts: parts.tensors.update({"encoder.x": Tensor("F64", [1], bytes(8))})
    ),
    "60,000 tensors more": Forgery(
        "flowgmm",
        lambda parts: parts.tensors.update(
            {f"x{i}": Tensor("U8", [1], b"\x01") for i in range(60_000)}
        ),
    ),
    "10,000 columns": Forgery("flowgmm", _columns(10_000)),
    "columns of one name": Forgery("flowgmm-frame", _columns(4, name="a")),
    "one column less": Forgery("flowgmm", _columns(2)),
    "deep JSON": Forgery("flowgmm", _change("history", RAW + "[" * 100_000 + "]" * 100_000)),
    "deep JSON in the encoder": Forgery(
        "flowgmm", _change("encoder.columns", RAW + "[" * 900 + "]" * 900)
    ),
    "an infinite number in the encoder": Forgery(
        "flowgmm", _change("encoder.max_categories", RAW + "1e999")
    ),
    "half of a surrogate pair": Forgery(
        "flowgmm-frame", _change("encoder.columns.0.name", "\ud800")
    ),
    "a class of half of a surrogate pair": Forgery(
        "flowgmm-frame", _change("classes.values.1", "\ud800")
    ),
    "tensors in one place": Forgery(
        "flowgmm",
        _raw_header(
            json.dumps({n: {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]} for n in "ab"})
        ),
    ),
    "a number twice": Forgery("flowgmm", _change(f"n_labeled{RAW}", 7)),
}
"""By what they claim."""
