"""The model file: bit-equal round trips, and one clear error for every damaged or forged file."""

import contextlib
import functools
import hashlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowssl._persistence import read_manifest, read_model_file, write_model_file
from flowssl.exceptions import ModelFileError

MANIFEST = {"classes": ["cat", "dög"], "columns": {"x": 1, "y": None}, "rate": 1e-3, "flag": True}
SET_BY_FLOWSSL = {"schema_version", "created", "versions", "tensors_sha256"}
NAMES = ["manifest.json", "tensors.safetensors"]


def some_tensors():
    generator = np.random.default_rng(0)
    return {
        "means": generator.normal(size=(3, 4)),
        "weights": generator.normal(size=(5, 2)).astype(np.float32),
        "codes": generator.integers(-9, 9, size=7),
        "pixels": generator.integers(0, 256, size=(2, 3)).astype(np.uint8),
        "mask": np.array([True, False, True]),
        "scalar": np.array(2.5),
        "empty": np.empty((0, 3), dtype=np.float32),
    }


def assert_same_bits(read, written):
    assert read.keys() == written.keys()
    for name, tensor in written.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        assert read[name].tobytes() == tensor.tobytes()


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.flowssl"
    write_model_file(path, MANIFEST, some_tensors())
    return path


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def contents(path):
    """The two payloads of a sound file, as an independent ZIP reader sees them."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(NAMES[0]), archive.read(NAMES[1])


@functools.cache
def empty_container():
    """The bytes around the two payloads: before the first, between them, after the second."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.flowssl")
        write_model_file(path, {}, {})
        manifest, tensors = contents(path)
        before, rest = path.read_bytes().split(manifest)
        between, after = rest.split(tensors)
        return before, between, after


def pack(path, manifest, tensors):
    """Put two payloads into the container with correct sizes and checksums."""
    header_1, header_2, directory = map(bytearray, empty_container())
    record_2 = directory.index(b"PK\x01\x02", 4)
    for header, position, payload in [
        (header_1, 14, manifest),
        (header_2, 14, tensors),
        (directory, 16, manifest),
        (directory, record_2 + 16, tensors),
    ]:
        struct.pack_into("<3I", header, position, zlib.crc32(payload), len(payload), len(payload))
    second_offset = len(header_1) + len(manifest)
    directory_offset = second_offset + len(header_2) + len(tensors)
    struct.pack_into("<I", directory, record_2 + 42, second_offset)
    struct.pack_into("<I", directory, len(directory) - 6, directory_offset)
    path.write_bytes(bytes(header_1) + manifest + bytes(header_2) + tensors + bytes(directory))


def safetensors_bytes(header, payload=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


def forge_manifest(path, change):
    """Rewrite the manifest of a sound file, checksums and all."""
    manifest, tensors = contents(path)
    changed = change(json.loads(manifest))
    pack(path, changed if isinstance(changed, bytes) else json.dumps(changed).encode(), tensors)


def forge_tensors(path, tensors, manifest):
    """Write other tensors, with the hash in the manifest and all checksums to match."""
    manifest = json.loads(manifest)
    manifest["tensors_sha256"] = hashlib.sha256(tensors).hexdigest()
    pack(path, json.dumps(manifest).encode(), tensors)


def zip_of(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries:
            archive.writestr(name, data)


# Round trips


def test_what_is_read_is_what_was_written(model):
    read = read_model_file(model)
    assert {k: v for k, v in read.manifest.items() if k not in SET_BY_FLOWSSL} == MANIFEST
    assert list(read.manifest["columns"]) == ["x", "y"]
    assert_same_bits(read.tensors, some_tensors())
    assert read_manifest(model) == read.manifest


def test_the_header_says_when_and_with_what(model):
    import sklearn
    import torch

    manifest = read_manifest(model)
    assert manifest["schema_version"] == 1
    assert manifest["versions"].keys() == {"flowssl", "torch", "numpy", "scikit-learn"}
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["versions"]["torch"] == torch.__version__
    assert manifest["versions"]["scikit-learn"] == sklearn.__version__
    assert manifest["created"].endswith("+00:00")


def test_other_tools_open_the_parts(model):
    from safetensors.numpy import load

    manifest, tensors = contents(model)
    assert json.loads(manifest)["classes"] == MANIFEST["classes"]
    assert_same_bits(load(tensors), some_tensors())
    with zipfile.ZipFile(model) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == NAMES


dtypes = st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_])
arrays = dtypes.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
)


@given(
    tensors=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), arrays, max_size=5)
)
def test_round_trip_keeps_every_bit(tmp_path_factory, tensors):
    path = tmp_path_factory.mktemp("trip") / "model.flowssl"
    write_model_file(path, {}, tensors)
    assert_same_bits(read_model_file(path).tensors, tensors)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(value=json_values)
def test_round_trip_keeps_every_manifest_value(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("trip") / "model.flowssl"
    write_model_file(path, {"value": value}, {})
    assert repr(read_manifest(path)["value"]) == repr(value)


def test_strided_arrays_are_written_as_they_look(tmp_path):
    path = tmp_path / "model.flowssl"
    base = np.arange(24.0).reshape(4, 6)
    views = {"transposed": base.T, "columns": base[:, ::2], "fortran": np.asfortranarray(base)}
    write_model_file(path, {}, views)
    read = read_model_file(path).tensors
    for name, view in views.items():
        np.testing.assert_array_equal(read[name], view)


def test_tensors_that_were_read_can_be_changed(model):
    tensors = read_model_file(model).tensors
    assert all(tensor.flags.writeable for tensor in tensors.values())


def test_equal_input_gives_equal_bytes(tmp_path):
    first, second = tmp_path / "a.flowssl", tmp_path / "b.flowssl"
    for path in (first, second):
        write_model_file(path, MANIFEST, some_tensors())
        forge_manifest(path, lambda manifest: manifest | {"created": "then"})
    assert first.read_bytes() == second.read_bytes()


# Wrong input to the writer


@pytest.mark.parametrize(
    ("manifest", "error", "message"),
    [
        ({"x": np.float32(1)}, TypeError, "float32"),
        ({"x": (1, 2)}, TypeError, "tuples"),
        ({"x": {1: 2}}, TypeError, "str keys"),
        ({"x": float("nan")}, ValueError, "nan|Out of range"),
        ({"versions": {}}, ValueError, "versions"),
        ({"x": "a" * 5_000_000}, ValueError, "limit"),
    ],
)
def test_a_manifest_that_json_cannot_hold_leaves_the_old_file(model, manifest, error, message):
    before = model.read_bytes()
    with pytest.raises(error, match=message):
        write_model_file(model, manifest, {})
    assert model.read_bytes() == before
    assert names_in(model.parent) == [model.name]


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ({"w": np.zeros(2, dtype=np.float16)}, TypeError, "'w' has dtype float16"),
        ({"w": np.zeros(2, dtype=">f8")}, TypeError, "'w' has dtype >f8"),
        ({"w": np.array(["a"], dtype=object)}, TypeError, "'w' has dtype object"),
        ({"__metadata__": np.zeros(2)}, ValueError, "cannot be written"),
        ({"n" * 5_000_000: np.zeros(2)}, ValueError, "cannot be written"),
    ],
)
def test_a_tensor_that_cannot_be_read_back_is_not_written(tmp_path, tensors, error, message):
    with pytest.raises(error, match=message):
        write_model_file(tmp_path / "model.flowssl", {}, tensors)
    assert names_in(tmp_path) == []


# Damaged files


def mutations(data, count, generator):
    """Seeded damage: truncation, flipped bits, inserted, removed and swapped bytes."""
    for number in range(count):
        kind = number % 5
        at = int(generator.integers(len(data)))
        length = int(generator.integers(1, 9))
        if kind == 0:
            yield data[:at]
        elif kind == 1:
            flipped = bytearray(data)
            flipped[at] ^= 1 << int(generator.integers(8))
            yield bytes(flipped)
        elif kind == 2:
            yield data[:at] + generator.bytes(length) + data[at:]
        elif kind == 3:
            yield data[:at] + data[at + length :]
        else:
            other = int(generator.integers(len(data)))
            swapped = bytearray(data)
            swapped[at], swapped[other] = data[other], data[at]
            yield bytes(swapped)


def test_a_thousand_damaged_files_are_all_found(model):
    data = model.read_bytes()
    found = 0
    for mutated in mutations(data, 1_100, np.random.default_rng(1)):
        if mutated == data:
            continue  # two equal bytes swapped
        model.write_bytes(mutated)
        with pytest.raises(ModelFileError, match=r"model\.flowssl"):
            read_model_file(model)
        found += 1
    assert found >= 1_000


def test_a_flipped_bit_in_any_byte_is_found(tmp_path):
    path = tmp_path / "model.flowssl"
    write_model_file(path, {}, {"a": np.ones(1)})
    data = path.read_bytes()
    for position, bit in enumerate(np.random.default_rng(4).integers(8, size=len(data))):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(bit)
        path.write_bytes(bytes(flipped))
        with pytest.raises(ModelFileError):
            read_model_file(path)


def test_damaged_tensor_headers_with_true_checksums_never_crash(model):
    """What a forger can do who recomputes every checksum: an error or an honest reading."""
    manifest, tensors = contents(model)
    length = int.from_bytes(tensors[:8], "little")
    generator = np.random.default_rng(2)
    for mutated in mutations(tensors[: 8 + length], 500, generator):
        forge_tensors(model, mutated + tensors[8 + length :], manifest)
        try:
            read = read_model_file(model).tensors
        except ModelFileError:
            continue
        assert sum(tensor.nbytes for tensor in read.values()) <= len(tensors)


@pytest.mark.parametrize("count", [0, 1, 21, 100, 161, 200])
def test_short_files_are_errors(tmp_path, count):
    path = tmp_path / "short.flowssl"
    path.write_bytes(b"PK\x03\x04" * (count // 4) + b"P" * (count % 4))
    with pytest.raises(ModelFileError, match=r"short\.flowssl"):
        read_model_file(path)


# Forged containers


def both(path):
    return list(zip(NAMES, contents(path), strict=True))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (lambda e: [*e, ("evil.py", b"1")], "it holds .*'evil.py'"),
        (lambda e: [*e, e[0]], "it holds 'manifest.json', 'tensors.safetensors', 'manifest.json'"),
        (lambda e: [("../manifest.json", e[0][1]), e[1]], r"it holds '\.\./manifest.json'"),
        (lambda e: [("/etc/passwd", e[0][1]), e[1]], "it holds '/etc/passwd'"),
        (lambda e: [e[1], e[0]], "it holds 'tensors.safetensors', 'manifest.json'"),
        (lambda e: e[:1], "it holds 'manifest.json'; a model file"),
        (lambda e: [], "too few|nothing"),
    ],
)
def test_other_entries_are_named(model, forge, message):
    zip_of(model, forge(both(model)))
    with pytest.raises(ModelFileError, match=message):
        read_model_file(model)


def test_compressed_entries_and_bombs_are_refused(model):
    zip_of(model, [(NAMES[0], b"{}"), (NAMES[1], bytes(50_000_000))], zipfile.ZIP_DEFLATED)
    assert model.stat().st_size < 100_000
    with pytest.raises(ModelFileError, match="compressed"):
        read_model_file(model)


def test_encrypted_entries_are_refused(model):
    data = bytearray(model.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    model.write_bytes(bytes(data))
    with pytest.raises(ModelFileError, match=r"'manifest\.json' is encrypted"):
        read_model_file(model)


def test_sizes_beyond_the_file_are_refused(model):
    data = bytearray(model.read_bytes())
    record = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    struct.pack_into("<2I", data, record + 20, 2**32 - 2, 2**32 - 2)
    model.write_bytes(bytes(data))
    with pytest.raises(ModelFileError, match="claims 4,294,967,294 bytes"):
        read_model_file(model)


def test_a_sound_archive_of_another_writer_is_refused(model):
    """Same entries and content, other header fields: accepted by ZIP tools, but not canonical."""
    zip_of(model, both(model))
    with pytest.raises(ModelFileError, match="directory is damaged"):
        read_model_file(model)


def test_a_local_header_that_contradicts_the_directory_is_refused(model):
    data = bytearray(model.read_bytes())
    data[30:38] = b"evil.jso"
    model.write_bytes(bytes(data))
    with pytest.raises(ModelFileError, match=r"header of its entry manifest\.json"):
        read_model_file(model)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n" + bytes(500), b"a,b\n1,2\n" * 50])
def test_other_kinds_of_file_are_refused(tmp_path, data):
    path = tmp_path / "other.flowssl"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="no model file"):
        read_model_file(path)


def test_a_pickle_is_not_run(tmp_path):
    path, trace = tmp_path / "evil.flowssl", tmp_path / "trace"
    path.write_bytes(f"cos\nsystem\n(S'touch {trace}'\ntR.".encode().ljust(300))
    with pytest.raises(ModelFileError):
        read_model_file(path)
    assert not trace.exists()


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        read_model_file(tmp_path / "absent.flowssl")
    for read in (read_model_file, read_manifest):
        with pytest.raises(ModelFileError, match="folder"):
            read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="pipe"):
        read_model_file(tmp_path / "pipe")


# Forged manifests


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: b"{", "not JSON"),
        (lambda m: b"\xff\xfe{}", "not JSON"),
        (lambda m: b"[]", "a JSON object is wanted, not list"),
        (lambda m: b'{"a":' * 100_000, "nested too deep"),
        (lambda m: b'{"a":"' + b"x" * 5_000_000 + b'"}', "4,194,304"),
        (lambda m: b'{"a":1,"a":2}', "twice"),
        (lambda m: b'{"a":NaN}', "NaN"),
        (lambda m: b'{"a":-Infinity}', "-Infinity"),
        (lambda m: b'{"a":1e999}', "1e999 is too large"),
        (lambda m: b'{"a":' + b"9" * 10_000 + b"}", "too large"),
        (lambda m: {k: v for k, v in m.items() if k != "versions"}, "lacks 'versions'"),
        (lambda m: {k: v for k, v in m.items() if k != "schema_version"}, "lacks 'schema_version'"),
        (lambda m: m | {"created": 5}, "'created' of a type other than str"),
        (lambda m: m | {"schema_version": True}, "'schema_version' of a type other than int"),
        (lambda m: m | {"schema_version": "1"}, "'schema_version' of a type other than int"),
        (lambda m: {"schema_version": 2}, "newer flowssl wrote it .*upgrade"),
        (lambda m: m | {"schema_version": 0}, "schema version 0 does not exist"),
    ],
)
def test_forged_manifests_are_refused(model, change, message):
    forge_manifest(model, change)
    for read in (read_model_file, read_manifest):
        with pytest.raises(ModelFileError, match=message):
            read(model)


def test_a_wrong_hash_of_the_tensors_is_found(model):
    forge_manifest(model, lambda manifest: manifest | {"tensors_sha256": "0" * 64})
    with pytest.raises(ModelFileError, match="checksum mismatch"):
        read_model_file(model)


# Forged tensors


def declared(shape, begin, end, dtype="F32", **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (b"", "truncated"),
        (struct.pack("<Q", 2**63) + b"{}", "claims 9,223,372,036,854,775,808 bytes"),
        (struct.pack("<Q", 3) + b"{}", "claims 3 bytes"),
        (safetensors_bytes(b"[1]"), "object is wanted"),
        (safetensors_bytes(b"{]"), "not JSON"),
        (safetensors_bytes({"a": declared([2**40], 0, 2**42)}), "claim 4,398,046,511,104 bytes"),
        (safetensors_bytes({"a": declared([2], 0, 4)}, bytes(4)), "'a' is declared wrongly"),
        (safetensors_bytes({"a": declared([1], 4, 0)}, bytes(4)), "'a' is declared wrongly"),
        (safetensors_bytes({"a": declared([-1], 0, 4)}, bytes(4)), "'a' is declared wrongly"),
        (safetensors_bytes({"a": declared([-1, -1], 0, 4)}, bytes(4)), "'a' is declared wrongly"),
        (safetensors_bytes({"a": declared([1.0], 0, 4)}, bytes(4)), "'a' is declared wrongly"),
        (safetensors_bytes({"a": declared([True], 0, 4)}, bytes(4)), "'a' is declared wrongly"),
        (
            safetensors_bytes({"a": declared([1], 0, 2, "BF16")}, bytes(2)),
            "'a' is declared wrongly",
        ),
        (safetensors_bytes({"a": declared([1], 0, 8, "O")}, bytes(8)), "'a' is declared wrongly"),
        (safetensors_bytes({"a": declared([1], 0, 4, x=1)}, bytes(4)), "'a' is declared wrongly"),
        (safetensors_bytes({"a": [1, 2]}, bytes(4)), "'a' is declared wrongly"),
        (safetensors_bytes({"a": declared([0] * 100, 0, 0)}), "'a' is declared wrongly"),
        (safetensors_bytes({"a": declared([0, 2**62], 0, 0)}), "declared wrongly"),
        (safetensors_bytes({"__metadata__": {"a": "b"}}), "declared wrongly"),
        (
            safetensors_bytes({"a": declared([1], 0, 4), "b": declared([1], 0, 4)}, bytes(4)),
            "'b' overlaps",
        ),
        (
            safetensors_bytes({"a": declared([1], 0, 4), "b": declared([1], 2, 6)}, bytes(6)),
            "'b' overlaps",
        ),
        (
            safetensors_bytes({"a": declared([1], 0, 4), "b": declared([1], 8, 12)}, bytes(12)),
            "'b' overlaps another or leaves a gap",
        ),
        (safetensors_bytes({"a": declared([1], 0, 4)}, bytes(9)), "claim 4 bytes and have 9"),
        (safetensors_bytes({"a": declared([2], 0, 2, "BOOL")}, b"\x01\x02"), "neither true nor"),
    ],
)
def test_forged_tensors_are_refused(model, tensors, message):
    forge_tensors(model, tensors, contents(model)[0])
    with pytest.raises(ModelFileError, match=message):
        read_model_file(model)


@pytest.mark.parametrize(
    ("entry", "message"),
    [(0, "its manifest has 3,000,000,000 bytes"), (1, "its tensors claim 4 bytes and have 2,999")],
)
def test_a_sparse_giant_is_refused_before_it_is_read(model, entry, message):
    """Three gigabytes that take no room on the disk, read with two gigabytes of memory."""
    payloads = [contents(model)[0], safetensors_bytes({"a": declared([1], 0, 4)})]
    size = 3 * 10**9
    pack(model, *payloads)
    data = model.read_bytes()
    start = data.index(payloads[entry])
    before = bytearray(data[:start])
    after = bytearray(data[start + len(payloads[entry]) :])
    grown = size - len(payloads[entry])
    records = [match.start() for match in re.finditer(rb"PK\x01\x02", after)]
    for place in (before, before.rindex(b"PK\x03\x04") + 18), (after, records[entry] + 20):
        struct.pack_into("<2I", *place, size, size)
    moved = [len(after) - 6] + ([records[1] + 42] if entry == 0 else [])
    for place in moved:
        offset = struct.unpack_from("<I", after, place)[0]
        struct.pack_into("<I", after, place, offset + grown)
    with model.open("wb") as file:
        file.write(before + payloads[entry])
        file.seek(start + size)
        file.write(after)
    code = (
        "import resource, sys; from flowssl._persistence import read_model_file\n"
        "limit = 2 * 2**30; resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try: read_model_file(sys.argv[1])\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=True
    )
    assert message in done.stdout


# Writing that fails or dies


def test_a_full_disk_leaves_the_old_file(model):
    """The limit on file sizes makes the real write fail in the middle."""
    code = (
        "import resource, sys, numpy as np; from flowssl._persistence import write_model_file\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: write_model_file(sys.argv[1], {}, {'a': np.zeros(100_000)})\n"
        "except OSError as error: print('failed:', error)"
    )
    before = model.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("failed:")
    assert model.read_bytes() == before
    assert names_in(model.parent) == [model.name]


def test_a_read_only_folder_is_an_os_error_that_names_the_file(model, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    before = model.read_bytes()
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(
        PermissionError, match=r"cannot be written: Permission denied.*model\.flowssl"
    ):
        write_model_file(model, {}, {})
    assert model.read_bytes() == before


WRITER = """
import os, signal, sys
import numpy as np
from flowssl._persistence import write_model_file

path, death = sys.argv[1:]
if death != "later":
    setattr(os, death, lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL))
number = 0
print("writing", flush=True)
while True:
    write_model_file(path, {"number": number % 2}, {"a": np.full(500_000, float(number % 2))})
    number += 1
"""


@contextlib.contextmanager
def writing(path):
    """Run another process that writes the file again and again; kill it in the end."""
    command = [sys.executable, "-c", WRITER, path, "later"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout.readline() == b"writing\n"
            yield
        finally:
            writer.kill()


def assert_whole(path):
    read = read_model_file(path)
    np.testing.assert_array_equal(read.tensors["a"], np.full(500_000, read.manifest["number"]))


@pytest.mark.parametrize("death", ["fsync", "replace"])
def test_a_writer_killed_at_the_last_moment_leaves_the_old_file(tmp_path, death):
    path = tmp_path / "model.flowssl"
    write_model_file(path, {"number": 0}, {"a": np.zeros(500_000)})
    before = path.read_bytes()
    code = WRITER.replace("number = 0", "number = 1")
    done = subprocess.run(
        [sys.executable, "-c", code, path, death], capture_output=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == before


def test_a_writer_killed_at_any_time_leaves_a_whole_file(tmp_path):
    path = tmp_path / "model.flowssl"
    generator = np.random.default_rng(3)
    write_model_file(path, {"number": 0}, {"a": np.zeros(500_000)})
    for _ in range(10):
        with writing(path):
            time.sleep(generator.uniform(0.0, 0.1))
        assert_whole(path)


def test_reading_while_another_process_writes_sees_whole_files(tmp_path):
    path = tmp_path / "model.flowssl"
    write_model_file(path, {"number": 0}, {"a": np.zeros(500_000)})
    with writing(path):
        for _ in range(30):
            assert_whole(path)
