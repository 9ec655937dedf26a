"""Model files that are wrong inside: parts of sound ones changed, with checksums to match.

`mutant` changes one to three things in what a file says or holds: a number, a text, a key, a list; the
name, shape, type, numbers or place of a tensor; or takes a part of a file of another kind. All
randomness comes from the generator that it is given. `handmade` are the files of a patient forger.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from flowssl._container import Container

Path_ = tuple[str | int, ...]
"""Where a value of the manifest is: keys and positions."""

RAW = "\ue000raw:"
"""Begins a text that is written into the JSON as it is, without quotation marks."""


@dataclass
class Tensor:
    """A tensor as a file declares and holds it."""

    dtype: str
    shape: list[int]
    data: bytes
    offsets: tuple[int, int] | None = None


@dataclass
class Parts:
    """The parts of a model file; the record of the encoder is JSON inside the manifest's JSON."""

    manifest: dict[str, object]
    tensors: dict[str, Tensor]
    header: bytes | None = None
    log: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Parts:
        """Take a sound file apart."""
        data = path.read_bytes()
        size = int.from_bytes(data[18:22], "little")
        start = 30 + len(b"manifest.json")
        manifest = json.loads(data[start : start + size])
        manifest["encoder"] = json.loads(manifest["encoder"])
        begin = start + size + 30 + len(b"tensors.safetensors")
        length = int.from_bytes(data[begin : begin + 8], "little")
        payload = begin + 8 + length
        tensors = {}
        for name, declared in json.loads(data[begin + 8 : payload]).items():
            first, last = (payload + offset for offset in declared["data_offsets"])
            tensors[name] = Tensor(declared["dtype"], declared["shape"], data[first:last])
        return cls(manifest, tensors)

    def pack(self) -> bytes:
        """Put the parts together, with right sizes and checksums all over."""
        tensors = self._packed_tensors()
        manifest = dict(self.manifest)
        if not isinstance(manifest.get("encoder", ""), str):
            manifest["encoder"] = _json(manifest["encoder"])
        manifest["tensors_sha256"] = hashlib.sha256(tensors).hexdigest()
        text = _json(manifest).encode("utf-8", "surrogatepass")
        container = Container.of(text, tensors)
        headers = container.manifest.local_header, container.tensors.local_header
        return headers[0] + text + headers[1] + tensors + container.directory

    def _packed_tensors(self) -> bytes:
        header, end = {}, 0
        for name, tensor in self.tensors.items():
            begin, end = end, end + len(tensor.data)
            offsets = tensor.offsets or (begin, end)
            header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": offsets}
        text = self.header or json.dumps(header).encode()
        payload = b"".join(tensor.data for tensor in self.tensors.values())
        return struct.pack("<Q", len(text)) + text + payload


def _json(value: object) -> str:
    """Write JSON in which numbers may be of any size, and keys stand twice."""
    if RAW not in json.dumps(value, ensure_ascii=False):
        return json.dumps(value)
    if isinstance(value, str) and value.startswith(RAW):
        return value.removeprefix(RAW)
    if isinstance(value, dict):
        # A key that ends in RAW is that key a second time.
        pairs = (f"{json.dumps(key.removesuffix(RAW))}:{_json(v)}" for key, v in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_json, value)) + "]"
    return json.dumps(value)


# What stands in the place of a value.

NUMBERS = (
    *(0, 1, -1, 2, 3, 7, 255, 30_000, 10**6, 150_000_000, 2**31, 2**53, 2**63, 2**64, 10**30),
    *(0.5, -0.5, 1e-9, 5e-324, 1e300, -1e300, 1.7976931348623157e308, -0.0),
    *(RAW + text for text in ("1e999", "-1e999", "NaN", "Infinity", "1" + 400 * "0", "-0", "1E5")),
)
TEXTS = (
    *("", "0", "1", "nan", "auto", "x" * 100_000, "\x1b[2J", "\x00", "\ud800", "é\u0301", "\u202e"),
    *(
        "affine",
        "small",
        "table",
        "embedding",
        "glow",
        "ffjord",
        "golden",
        "paper-text",
        "gaussian",
    ),
    *("linear", "flow", "full", "tied", "low_rank", "diag", "cpu", "cuda", "cuda:7", "meta", "mps"),
    *("numeric", "categorical", "datetime", "Enum", "Object", "Datetime", "pandas", "polars"),
    *("array", "rows", "planes", "<f8", "<f2", "|b1", "|O", "<U200000000", "<i8,<f8", "<M8[ns]"),
    *("<c16", "|V8", "m1", "m2", "em", "likelihood", "image", "../../etc/passwd", "2020-01-01"),
)
OTHERS = (None, True, False, [], {}, [[]], [1, 20_000, 20_000], [0] * 100_000, {"missing": True})
DTYPES = (
    "F32",
    "F64",
    "I64",
    "U8",
    "BOOL",
    "BF16",
    "F16",
    "F8_E5M2",
    "C64",
    "I4",
    "U64",
    "f64",
    "",
)
ODD_VALUES = (math.nan, math.inf, -math.inf, 1e300, -1e300, 1e9, -1.0, 0.0, 5e-324)


T = TypeVar("T")


def _pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """Return one of the choices as it is; NumPy's own choice would make an array of them."""
    return choices[int(rng.integers(len(choices)))]


def mutant(files: dict[str, Parts], rng: np.random.Generator) -> tuple[str, Parts]:
    """Return the name of the file that was changed, and what it then holds."""
    name = _pick(rng, list(files))
    parts = copy.deepcopy(files[name])
    for _ in range(_pick(rng, [1, 1, 1, 2, 3])):
        _pick(rng, _CHANGES)(parts, rng, files)
    return name, parts


def _paths(value: object, before: Path_ = ()) -> list[Path_]:
    """Return where all values of a manifest are, except in its header."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = [(k, v) for k, v in value.items() if before or k not in ("versions", "created")]
    elif isinstance(value, list):
        items = list(enumerate(value))
    found = [before] if before else []
    for key, inner in items:
        found += _paths(inner, (*before, key))
    return found


def _at(value: object, path: Path_) -> object:
    for key in path:
        value = value[key]  # type: ignore[index]
    return value


def _spot(parts: Parts, rng: np.random.Generator) -> tuple[Path_, dict | list, str | int, object]:
    """Return a random value of the manifest: its path, what it is in, its key and itself.

    The names of fields are drawn before their values: a long history counts as one field.
    """
    path: Path_ = ()
    value: object = parts.manifest
    while isinstance(value, dict | list) and value and (not path or rng.random() < 0.85):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = _pick(rng, keys)
        path, value = (*path, key), value[key]  # type: ignore[index]
    holder = _at(parts.manifest, path[:-1])
    return path, holder, path[-1], value  # type: ignore[return-value]


def _odd(value: object, rng: np.random.Generator) -> object:
    """Return another value, more often of the same type."""
    kinds: list[tuple[object, ...]] = [NUMBERS, TEXTS, OTHERS]
    if isinstance(value, bool):
        kinds += [OTHERS] * 2
    elif isinstance(value, int | float):
        near = (value * 2, -value, value + 1, value - 1, float(value), str(value), value * 1e6)
        kinds += [NUMBERS] * 3 + [near] * 3
    elif isinstance(value, str):
        near = (value + "x", value.upper(), value[:-1], value[::-1], value * 3, [value])
        kinds += [TEXTS] * 4 + [near] * 2
    return copy.deepcopy(_pick(rng, _pick(rng, kinds)))  # a later change may write into it


def _replace(parts: Parts, rng: np.random.Generator, files: dict[str, Parts]) -> None:
    path, holder, key, value = _spot(parts, rng)
    holder[key] = _odd(value, rng)  # type: ignore[index]
    parts.log.append(f"{_named(path)} = {str(holder[key])[:40]!r}")  # type: ignore[index]


def _drop(parts: Parts, rng: np.random.Generator, files: dict[str, Parts]) -> None:
    path, holder, key, _ = _spot(parts, rng)
    del holder[key]  # type: ignore[arg-type]
    parts.log.append(f"without {_named(path)}")


def _double(parts: Parts, rng: np.random.Generator, files: dict[str, Parts]) -> None:
    """Give a key twice, or an item of a list."""
    path, holder, key, value = _spot(parts, rng)
    if isinstance(holder, dict):
        holder[f"{key}{RAW}"] = copy.deepcopy(value) if rng.random() < 0.5 else _odd(value, rng)
    else:
        holder.extend([copy.deepcopy(value)] * _pick(rng, [1, 2, 1000]))
    parts.log.append(f"{_named(path)} twice")


def _rename(parts: Parts, rng: np.random.Generator, files: dict[str, Parts]) -> None:
    path, holder, key, value = _spot(parts, rng)
    if isinstance(holder, dict):
        del holder[key]
        holder[str(_odd(str(key), rng))] = value
    else:
        holder.reverse()
    parts.log.append(f"{_named(path)} renamed or reversed")


def _swap(parts: Parts, rng: np.random.Generator, files: dict[str, Parts]) -> None:
    path, holder, key, value = _spot(parts, rng)
    other_path, other_holder, other_key, other = _spot(parts, rng)
    if path[: len(other_path)] != other_path and other_path[: len(path)] != path:
        holder[key], other_holder[other_key] = other, value  # type: ignore[index]
        parts.log.append(f"{_named(path)} for {_named(other_path)}")


def _transplant(parts: Parts, rng: np.random.Generator, files: dict[str, Parts]) -> None:
    """Take a part of the manifest, or a group of tensors, from another file."""
    donor_name = _pick(rng, list(files))
    donor = copy.deepcopy(files[donor_name])
    if rng.random() < 0.5:
        key = _pick(rng, list(donor.manifest))
        parts.manifest[key] = donor.manifest[key]
        parts.log.append(f"{key} of {donor_name}")
        return
    group = _pick(rng, sorted({name.split(".")[0] for name in donor.tensors}))
    mine = {k: v for k, v in parts.tensors.items() if k.split(".")[0] != group}
    theirs = {k: v for k, v in donor.tensors.items() if k.split(".")[0] == group}
    parts.tensors = mine | theirs
    parts.log.append(f"tensors {group} of {donor_name}")


def _nested(parts: Parts, rng: np.random.Generator, files: dict[str, Parts]) -> None:
    path, holder, key, _ = _spot(parts, rng)
    depth = _pick(rng, [10, 70, 900, 100_000])
    holder[key] = RAW + "[" * depth + "]" * depth  # type: ignore[index]
    parts.log.append(f"{_named(path)} nested {depth} deep")


def _tensor(parts: Parts, rng: np.random.Generator) -> tuple[str, Tensor] | None:
    if not parts.tensors:
        return None
    name = _pick(rng, list(parts.tensors))
    return name, parts.tensors[name]


def _shape(parts: Parts, rng: np.random.Generator, files: dict[str, Parts]) -> None:
    """Declare another shape, of the same bytes or of others."""
    if (found := _tensor(parts, rng)) is None:
        return
    name, tensor = found
    n = math.prod(tensor.shape)
    itemsize = len(tensor.data) // n if n else 8
    shapes = [[n], [1, n], [n, 1], tensor.shape[::-1], [*tensor.shape, 1], [1, *tensor.shape]]
    shapes += [[0], [0, 150_000_000], [150_000_000, 0], [], [n + 1], [2 * n], [max(1, n // 2)]]
    shapes += [[side + int(rng.integers(-1, 3)) for side in tensor.shape]]
    shapes += [[2**62, 4], [-1, *tensor.shape[1:]], [True], [1.0], [2**64]]
    tensor.shape = _pick(rng, shapes)
    if rng.random() < 0.7:
        try:
            count = max(0, min(int(math.prod(tensor.shape)), 10**6))
        except (TypeError, OverflowError):
            return
        needed = count * itemsize
        tensor.data = (tensor.data * (needed // max(1, len(tensor.data)) + 1))[:needed]
    parts.log.append(f"{name} in shape {str(tensor.shape)[:60]}")


def _dtype(parts: Parts, rng: np.random.Generator, files: dict[str, Parts]) -> None:
    if (found := _tensor(parts, rng)) is None:
        return
    name, tensor = found
    tensor.dtype = _pick(rng, DTYPES)
    sizes = {"F32": 4, "F64": 8, "I64": 8, "U8": 1, "BOOL": 1}
    if tensor.dtype in sizes and rng.random() < 0.7:
        needed = math.prod(tensor.shape) * sizes[tensor.dtype]
        tensor.data = (tensor.data + bytes(needed))[:needed]
    parts.log.append(f"{name} as {tensor.dtype!r}")


def _values(parts: Parts, rng: np.random.Generator, files: dict[str, Parts]) -> None:
    """Change one number of a tensor, or all of them."""
    if (found := _tensor(parts, rng)) is None or not found[1].data:
        return
    name, tensor = found
    of_type = {"F64": np.float64, "F32": np.float32, "I64": np.int64}.get(tensor.dtype, np.uint8)
    size = len(tensor.data) // np.dtype(of_type).itemsize
    numbers = np.frombuffer(tensor.data, of_type, count=size).copy()
    kind = int(rng.integers(5))
    with np.errstate(all="ignore"):
        if kind == 0 and size:
            odd = _pick(rng, ODD_VALUES)
            whole = int(odd) if math.isfinite(odd) and abs(odd) < 2**63 else 2**62
            numbers[rng.integers(size)] = (
                odd if of_type in (np.float64, np.float32) else whole % 256
            )
        elif kind == 1:
            numbers = numbers * np.array(_pick(rng, [-1, 0, 1000, 3])).astype(of_type)
        elif kind == 2:
            numbers = np.frombuffer(rng.bytes(len(numbers.tobytes())), of_type)
        elif kind == 3:
            numbers = rng.permutation(numbers)
        else:
            numbers = (numbers + rng.standard_normal(size) * 10).astype(of_type)
    tensor.data = numbers.astype(of_type).tobytes() + tensor.data[size * numbers.itemsize :]
    parts.log.append(f"{name} with other numbers ({kind})")


def _names(parts: Parts, rng: np.random.Generator, files: dict[str, Parts]) -> None:
    """Drop, rename, repeat or reorder tensors."""
    if (found := _tensor(parts, rng)) is None:
        return
    name, tensor = found
    kind = int(rng.integers(5))
    if kind == 0:
        del parts.tensors[name]
    elif kind == 1:
        parts.tensors[_pick(rng, [*TEXTS[:6], name.upper(), f"x.{name}"])] = tensor
    elif kind == 2:
        other = _pick(rng, list(parts.tensors))
        parts.tensors[name], parts.tensors[other] = parts.tensors[other], tensor
    elif kind == 3:
        parts.tensors = dict(reversed(parts.tensors.items()))
    else:  # one more model
        models = {k: v for k, v in parts.tensors.items() if k.startswith("model0.")}
        number = _pick(rng, [1, 2, 7])
        parts.tensors |= {k.replace("model0", f"model{number}"): v for k, v in models.items()}
    parts.log.append(f"{name[:40]} renamed, dropped or repeated ({kind})")


def _offsets(parts: Parts, rng: np.random.Generator, files: dict[str, Parts]) -> None:
    if (found := _tensor(parts, rng)) is None:
        return
    name, tensor = found
    begin = _pick(rng, [0, 1, 4, 8, 10**6, 2**40])
    tensor.offsets = (begin, begin + len(tensor.data) + _pick(rng, [0, 0, -8, 8, -(10**9)]))
    parts.log.append(f"{name} at {tensor.offsets}")


def _named(path: Path_) -> str:
    return ".".join(map(str, path))[:80]


Change = Callable[[Parts, np.random.Generator, dict[str, Parts]], None]
_CHANGES: tuple[Change, ...] = (
    *(_replace,) * 10,
    *(_drop, _double, _rename, _swap) * 2,
    *(_transplant, _nested),
    *(_shape,) * 3,
    *(_values,) * 4,
    *(_dtype, _names) * 2,
    _offsets,
)
