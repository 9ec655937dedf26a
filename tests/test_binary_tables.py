"""Parquet, Arrow and NumPy files that are damaged, forged, or would fill the memory."""

import io
import struct
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from flowssl.exceptions import DataError
from flowssl.tables import read_table

TABLE = pa.table({"a": np.arange(100.0), "b": [f"row {i}" for i in range(100)]})
MATRIX = np.arange(12.0).reshape(4, 3)


def message(path):
    with pytest.raises(DataError) as caught:
        read_table(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text


def _id(value):
    return value if isinstance(value, str) else "file"


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(shape, descr="<f8", version=np.lib.format.write_array_header_1_0):
    stream = io.BytesIO()
    version(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (header((10**7, 10**6)) + bytes(100), "takes 80,000,000,000,000 bytes, and there are 100"),
        (header((2**62, 8)) + bytes(100), "takes 295,147,905,179,352,825,856 bytes"),
        (header((-1, 3)) + bytes(24), "is damaged"),
        (header((-2, -3)) + bytes(48), "is damaged"),
        (header((4, 3), "<U0"), "is damaged"),
        (header((1, 1), "<U500000000") + bytes(8), "takes 2,000,000,000 bytes"),
        (npy(MATRIX)[:-1], "takes 96 bytes, and there are 95"),
        (npy(MATRIX) + npy(MATRIX), "takes 96 bytes, and there are 320"),
        (npy(MATRIX[0]), "X has the shape (3,)"),
        (npy(MATRIX[:, :0]), "X has the shape (4, 0)"),
        (npy(MATRIX.astype(complex)), "X holds complex128, not numbers"),
        (npy(np.zeros(3, dtype=[("a", "f8")])), "X has the shape (3,)"),
        (npy(np.zeros((2, 2), dtype="M8[D]")), "X holds datetime64[D], not numbers"),
        (npy(np.zeros((1, 100_001), dtype=np.uint8)), "100,001 columns and 1 rows"),
        (header((2, 1), "|O") + b"cos\nsystem\n.", "pickled objects"),
        (b"\x93NUMPY\x03\x00" + npy(MATRIX)[8:], "the form 3.0"),
        (b"\x93NUMPY\x09\x00" + npy(MATRIX)[8:], "the form 9.0"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{}", "cannot be read as .npy"),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000, "cannot be read as .npy"),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"-" * 8999 + b"1", "cannot be read"),
    ],
    ids=_id,
)
def test_arrays_must_be_what_their_headers_say(tmp_path, content, cause):
    path = tmp_path / "t.npy"
    path.write_bytes(content)
    assert cause in message(path)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f2", "<i4", ">u2", "?"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_arrays_are_read_as_numpy_reads_them(tmp_path, order, dtype, version):
    path = tmp_path / "t.npy"
    with path.open("wb") as stream:
        np.lib.format.write_array(stream, np.asarray(MATRIX, dtype, order=order), version)
    read = np.column_stack([column.to_numpy() for column in read_table(path).columns])
    assert (read == np.load(path)).all()


def archive(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def test_an_archive_that_grows_without_bound_is_refused(tmp_path):
    path = tmp_path / "t.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("X.npy", "w") as member,
    ):
        member.write(header((2**22, 9)))
        for _ in range(9 * 32):
            member.write(bytes(2**20))
    assert "would take 0.3 GiB, more than 500 times its size" in message(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "cause"),
    [
        ([("X.npy", b"no array")], "cannot be read as .npz"),
        ([("X.npy", npy(MATRIX) + b"more")], "takes 96 bytes, and there are 100"),
        ([("X.npy", npy(MATRIX)), ("X.npy", npy(2 * MATRIX))], "two arrays of one name"),
        ([("X.npy", npy(MATRIX)), ("X", npy(2 * MATRIX))], "two arrays of one name"),
        ([("Z.npy", npy(MATRIX))], "its keys: 'Z'."),
        ([("a\nb\x1b.npy", npy(MATRIX))], r"its keys: 'a\nb\x1b'."),
        ([], "its keys: none"),
        ([("X.npy", npy(MATRIX)), ("y.npy", npy(np.arange(3)))], "y holds 3 values"),
        ([("X.npy", npy(MATRIX)), ("y.npy", npy(np.array(["a", "b"])))], "y holds 2 values"),
    ],
    ids=_id,
)
def test_archives_that_cannot_be_right_are_refused(tmp_path, members, cause):
    assert cause in message(archive(tmp_path / "t.npz", members))


def test_an_encrypted_archive_is_refused(tmp_path):
    path = archive(tmp_path / "t.npz", [("X.npy", npy(MATRIX))])
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in message(path)


@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream])
@pytest.mark.parametrize("ending", ["arrow", "ipc", "feather"])
def test_arrow_streams_are_read_like_arrow_files(tmp_path, new, ending):
    path = tmp_path / f"t.{ending}"
    with new(path, TABLE.schema) as writer:
        writer.write_table(TABLE)
    assert read_table(path) == TABLE


def test_rows_that_take_no_memory_are_refused(tmp_path):
    path = tmp_path / "t.arrow"
    nulls = pa.Array.from_buffers(pa.null(), 2**31 - 1, [None])
    ends = pa.RunEndEncodedArray.from_arrays(pa.array([2**31 - 1]), pa.array([1.0]))
    for column in (nulls, ends):
        batch = pa.RecordBatch.from_arrays([column], ["a"])
        with pa.ipc.new_file(path, batch.schema) as writer:
            writer.write_batch(batch)
        assert "would take 16.0 GiB, more than 500 times its size" in message(path)


def test_a_parquet_file_that_grows_without_bound_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    zeros = pa.chunked_array([pa.array(np.zeros(2**20, dtype=np.int8))] * 64)
    pa.parquet.write_table(pa.table({"a": zeros}), path)
    assert path.stat().st_size < 10**6
    assert "would take 0.5 GiB, more than 500 times its size" in message(path)


def test_text_that_is_not_utf8_is_found_in_arrow_files(tmp_path):
    path = tmp_path / "t.arrow"
    data = pa.py_buffer(b"caf\xe9")
    offsets = pa.py_buffer(np.array([0, 4], dtype=np.int32).tobytes())
    bad = pa.Array.from_buffers(pa.string(), 1, [None, offsets, data])
    batch = pa.RecordBatch.from_arrays([bad], ["a"])
    with pa.ipc.new_file(path, batch.schema) as writer:
        writer.write_batch(batch)
    assert "column 'a' is damaged: " in message(path)
    assert "UTF8" in message(path)


def test_codes_beyond_a_dictionary_are_found_in_arrow_files(tmp_path):
    path = tmp_path / "t.arrow"
    codes = pa.array([0, 1, 7], pa.int32())
    bad = pa.DictionaryArray.from_arrays(codes, pa.array(["x", "y"]), safe=False)
    batch = pa.RecordBatch.from_arrays([bad], ["a"])
    with pa.ipc.new_file(path, batch.schema) as writer:
        writer.write_batch(batch)
    assert "column 'a' is damaged: " in message(path)


def spoiled(data, place, value):
    return data[:place] + value + data[place + len(value) :]


def test_pages_of_parquet_files_are_checked(tmp_path):
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(TABLE, path, compression="none", write_page_checksum=True)
    whole = path.read_bytes()
    place = whole.index(struct.pack("<d", 50.0))
    path.write_bytes(spoiled(whole, place, struct.pack("<d", 51.0)))
    assert "CRC" in message(path)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda whole: whole[:-4], "not a whole Parquet file"),
        (lambda whole: whole[:-4] + b"PARE", "not a whole Parquet file"),
        (lambda whole: spoiled(whole, len(whole) - 8, b"\xff\xff\xff\x7f"), "not a whole Parquet"),
        (lambda whole: b"PAR1PAR1", "not a whole Parquet file"),
        (lambda whole: b"PAR1", "not a whole Parquet file"),
        (lambda whole: spoiled(whole, len(whole) - 60, b"\xff" * 40), "cannot be read as .parquet"),
    ],
)
def test_parquet_files_that_cannot_be_right_are_refused(tmp_path, change, cause):
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(TABLE, path)
    path.write_bytes(change(path.read_bytes()))
    assert cause in message(path)
