"""The model file: one JSON manifest and the tensors, in a container that cannot run code.

A ``.flowssl`` file is a ZIP archive of exactly two uncompressed entries, ``manifest.json`` and
``tensors.safetensors``, so that any ZIP tool shows what is inside. What the manifest says and what
the tensors mean is the business of the models; this module keeps them whole. A file from
an untrusted source is checked in full, sizes first, before anything larger than the file itself is
allocated.
"""

import hashlib
import json
import math
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NoReturn, TypeAlias, TypeGuard

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from flowssl._container import MAX_FILE_BYTES, Container, Entry, read_at, read_container
from flowssl._files import atomic_path
from flowssl.exceptions import ModelFileError

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

SCHEMA_VERSION = 1
"""Version of the file layout that this flowssl writes, and the newest that it reads."""

_MAX_JSON_BYTES = 4 * 2**20  # of a manifest or of a tensor header; parsed, JSON grows some 20 times
_MAX_DIMENSIONS = 64  # NumPy's limit
_MAX_DEPTH = 64
_MAX_DIGITS = 40  # those of 128 bits, with a sign
_MAX_EMPTY_SIDE = 2**20  # of a tensor without numbers, whose sides no byte of the file bounds

_DTYPES: dict[str, np.dtype[np.generic]] = {
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "I64": np.dtype(np.int64),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
_DECLARATION = {"dtype", "shape", "data_offsets"}
_PACKAGES = ("flowssl", "torch", "numpy", "scikit-learn")
_HEADER_TYPES = {"schema_version": int, "created": str, "versions": dict, "tensors_sha256": str}


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds.

    Attributes
    ----------
    manifest : dict
        What was given to `write_model_file`, and with it ``schema_version`` (int), ``created``
        (UTC, ISO 8601), ``versions`` (of flowssl, torch, numpy and scikit-learn) and
        ``tensors_sha256``.
    tensors : dict of str to ndarray
        The tensors by name; writable, with the dtypes and shapes that were written.
    """

    manifest: dict[str, JSON]
    tensors: dict[str, NDArray[np.generic]]


def write_model_file(
    path: str | os.PathLike[str],
    manifest: Mapping[str, JSON],
    tensors: Mapping[str, NDArray[np.generic]],
) -> None:
    """Write a model file in one step: `path` holds the old model or the new one, never a mixture.

    The same input gives the same bytes, apart from ``created`` in the manifest.

    Parameters
    ----------
    path : str or path-like
        The file to create or replace.
    manifest : mapping of str to JSON
        Anything that survives JSON unchanged: str keys, lists rather than tuples, finite numbers;
        at most 4 MiB as text. The keys ``schema_version``, ``created``, ``versions`` and
        ``tensors_sha256`` are set here.
    tensors : mapping of str to ndarray
        Arrays of float32, float64, int64, uint8 or bool of any shape, 4 GiB in all at most.

    Raises
    ------
    TypeError
        The manifest holds something that JSON cannot represent, or a tensor has another dtype.
    ValueError
        The manifest or the tensors break one of the limits above.
    OSError
        The file cannot be written.
    """
    reserved = sorted(_HEADER_TYPES.keys() & manifest.keys())
    if reserved:
        raise ValueError(f"the manifest keys {reserved} are set by flowssl; choose other names")
    tensor_bytes = _encode_tensors(tensors)
    manifest_bytes = _encode_manifest(
        {
            "schema_version": SCHEMA_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {package: version(package) for package in _PACKAGES},
            "tensors_sha256": hashlib.sha256(tensor_bytes).hexdigest(),
            **manifest,
        }
    )
    container = Container.of(manifest_bytes, tensor_bytes)
    if container.size > MAX_FILE_BYTES:
        raise ValueError(
            f"the model takes {container.size:,} bytes; a model file holds at most "
            f"{MAX_FILE_BYTES:,}: use a smaller architecture"
        )
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(container.manifest.local_header)
        file.write(manifest_bytes)
        file.write(container.tensors.local_header)
        file.write(tensor_bytes)
        file.write(container.directory)


def read_model_file(path: str | os.PathLike[str]) -> ModelFile:
    """Read and check a model file; nothing in it is run.

    Parameters
    ----------
    path : str or path-like
        A file written by `write_model_file`.

    Returns
    -------
    ModelFile
        The manifest and the tensors, equal to the bit to those written.

    Raises
    ------
    ModelFileError
        The file is damaged, forged, not a model file, or written by a newer flowssl. The message
        names the file and what is wrong with it.
    FileNotFoundError
        There is no such file.
    """
    with _opened(path) as file:
        container = read_container(file)
        manifest = _read_manifest(file, container.manifest)
        tensors = _read_tensors(file, container.tensors, manifest["tensors_sha256"])
    return ModelFile(manifest, tensors)


def read_manifest(path: str | os.PathLike[str]) -> dict[str, JSON]:
    """Read and check the manifest of a model file, without its tensors.

    Parameters
    ----------
    path : str or path-like
        A file written by `write_model_file`.

    Returns
    -------
    dict
        As `ModelFile.manifest`. The tensors may still be damaged: only `read_model_file` tells.

    Raises
    ------
    ModelFileError
        As for `read_model_file`.
    FileNotFoundError
        There is no such file.
    """
    with _opened(path) as file:
        return _read_manifest(file, read_container(file).manifest)


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a model file; every fault that is found inside then names the file."""
    source = Path(path)
    try:
        if source.exists() and not source.is_file():
            raise ModelFileError("it is a folder, pipe or device, not a regular file")
        with source.open("rb") as file:
            yield file
    except ModelFileError as error:
        raise ModelFileError(f"cannot read model file '{source}': {error}") from error


# ---------------------------------------------------------------------------------------------
# The manifest.


def _encode_manifest(manifest: Mapping[str, JSON]) -> bytes:
    data = json.dumps(manifest, allow_nan=False, separators=(",", ":")).encode("ascii")
    try:
        kept = parse_json(data)
    except ModelFileError as error:
        raise ValueError(f"the manifest cannot be written: {error}") from error
    if kept != manifest:
        raise TypeError(
            "the manifest would be read back different from what it is: use str keys, and lists "
            "in place of tuples"
        )
    return data


def _read_manifest(file: BinaryIO, entry: Entry) -> dict[str, JSON]:
    if entry.size > _MAX_JSON_BYTES:
        raise ModelFileError(
            f"its manifest has {entry.size:,} bytes; the limit is {_MAX_JSON_BYTES:,}"
        )
    data = read_at(file, entry.start, entry.size)
    if zlib.crc32(data) != entry.crc:
        raise ModelFileError("its manifest is damaged (checksum mismatch)")
    try:
        manifest = parse_json(data)
    except ModelFileError as error:
        raise ModelFileError(f"its manifest is not valid: {error}") from error
    schema = manifest.get("schema_version")
    if type(schema) is int and schema > SCHEMA_VERSION:
        raise ModelFileError(
            f"a newer flowssl wrote it (schema version {schema}; this one reads up to "
            f"{SCHEMA_VERSION}): upgrade flowssl"
        )
    for key, expected in _HEADER_TYPES.items():
        if key not in manifest:
            raise ModelFileError(f"its manifest lacks {key!r}")
        if type(manifest[key]) is not expected:
            raise ModelFileError(
                f"its manifest has {key!r} of a type other than {expected.__name__}"
            )
    if schema != SCHEMA_VERSION:
        raise ModelFileError(f"its schema version {schema} does not exist")
    return manifest


def parse_json(data: bytes) -> dict[str, JSON]:
    """Parse a JSON object of bounded size and depth that may have been forged.

    Raises
    ------
    ModelFileError
        If it is not one, holds a key twice, NaN, infinity, an integer of more than 40 digits or
        half of a surrogate pair, or is nested more than 64 deep.
    """
    if len(data) > _MAX_JSON_BYTES:
        raise ModelFileError(f"{len(data):,} bytes of JSON; the limit is {_MAX_JSON_BYTES:,}")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_float=_finite,
            parse_int=_bounded,
            parse_constant=_no_constant,
        )
    except ModelFileError:
        raise
    except ValueError as error:
        raise ModelFileError(f"not JSON ({error})") from error
    except RecursionError as error:
        raise ModelFileError("JSON nested too deep") from error
    if not isinstance(value, dict):
        raise ModelFileError(f"a JSON object is wanted, not {type(value).__name__}")
    _check_values(value, 1)
    return value


def _check_values(value: JSON, depth: int) -> None:
    """Refuse what JSON can hold and nothing that follows can take."""
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ModelFileError(f"the text {ascii(value)[:60]} holds half of a surrogate pair")
    elif isinstance(value, list | dict):
        if depth > _MAX_DEPTH:
            raise ModelFileError("JSON nested too deep")
        if isinstance(value, dict):
            for key in value:
                _check_values(key, depth)
            value = list(value.values())
        for item in value:
            _check_values(item, depth + 1)


def _unique_keys(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ModelFileError("a key stands twice in one JSON object")
    return result


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ModelFileError(f"the number {text[:40]} is too large")
    return value


def _bounded(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ModelFileError(f"the number {text[:40]}... is too large")
    return int(text)


def _no_constant(name: str) -> NoReturn:
    raise ModelFileError(f"{name} is not a JSON number")


# ---------------------------------------------------------------------------------------------
# The tensors. Format: 8 bytes with the length of a JSON header, the header, the tensors' bytes.


def _encode_tensors(tensors: Mapping[str, NDArray[np.generic]]) -> bytes:
    contiguous = {}
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES.values():
            known = ", ".join(str(dtype) for dtype in _DTYPES.values())
            raise TypeError(f"tensor {name!r} has dtype {tensor.dtype}; a model file takes {known}")
        contiguous[name] = np.array(tensor, order="C")
    try:
        data: bytes = safetensors.numpy.save(contiguous)
        _check_tensor_header(BytesIO(data), 0, len(data))
    except (safetensors.SafetensorError, ModelFileError) as error:
        raise ValueError(f"the tensors cannot be written: {error}") from error
    return data


def _read_tensors(file: BinaryIO, entry: Entry, sha256: JSON) -> dict[str, NDArray[np.generic]]:
    _check_tensor_header(file, entry.start, entry.size)
    data = read_at(file, entry.start, entry.size)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelFileError("its tensors are damaged (checksum mismatch)")
    try:
        tensors: dict[str, NDArray[np.generic]] = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError) as error:
        raise ModelFileError(f"its tensors cannot be decoded ({error})") from error
    for name, tensor in tensors.items():
        if tensor.dtype == np.bool_ and tensor.view(np.uint8).max(initial=0) > 1:
            raise ModelFileError(f"its tensor {name!r} holds bytes that are neither true nor false")
    return tensors


def _check_tensor_header(file: BinaryIO, start: int, size: int) -> None:
    """Check every declared size against the real one before the tensors are read."""
    length_bytes = 8
    if size < length_bytes:
        raise ModelFileError("its tensors are truncated")
    length = int.from_bytes(read_at(file, start, length_bytes), "little")
    payload = size - length_bytes - length
    if length > _MAX_JSON_BYTES or payload < 0:
        raise ModelFileError(f"its tensor header claims {length:,} bytes")
    try:
        header = parse_json(read_at(file, start + length_bytes, length))
    except ModelFileError as error:
        raise ModelFileError(f"its tensor header is not valid: {error}") from error
    spans = sorted(_tensor_span(name, tensor) for name, tensor in header.items())
    position = 0
    for begin, end, name in spans:
        if begin != position:
            raise ModelFileError(f"its tensor {name!r} overlaps another or leaves a gap")
        position = end
    if position != payload:
        raise ModelFileError(f"its tensors claim {position:,} bytes and have {payload:,}")


def _tensor_span(name: str, tensor: JSON) -> tuple[int, int, str]:
    """Begin and end of a tensor's bytes, when its declaration agrees with itself."""
    reserved = name == "__metadata__"  # what safetensors calls free text next to the tensors
    if not reserved and isinstance(tensor, dict) and tensor.keys() == _DECLARATION:
        dtype = _DTYPES.get(str(tensor["dtype"]))
        shape, offsets = tensor["shape"], tensor["data_offsets"]
        if dtype and _are_sizes(shape) and _are_sizes(offsets) and len(offsets) == 2:
            begin, end = offsets
            is_bounded = end > begin or max(shape, default=0) <= _MAX_EMPTY_SIDE
            if end - begin == math.prod(shape) * dtype.itemsize and is_bounded:
                return begin, end, name
    raise ModelFileError(f"its tensor {name!r} is declared wrongly: {str(tensor)[:200]}")


def _are_sizes(value: JSON) -> TypeGuard[list[int]]:
    """Whether this is a list of whole numbers, short enough for the shape of a NumPy array."""
    return (
        isinstance(value, list)
        and len(value) <= _MAX_DIMENSIONS
        and all(type(number) is int and number >= 0 for number in value)
    )
