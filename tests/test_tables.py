import gzip
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from flowssl.exceptions import DataError
from flowssl.tables import read_table, write_csv, write_table


def _written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_table(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_csv_equals_pandas_for_every_delimiter(tmp_path: Path, delimiter: str, bom: str) -> None:
    rows = ["a,b,c", "1,0.5,x", '2,,"u, v"', '3,-1.25,"two\nlines"', '4,1e3,"say ""hi"""']
    # Commas inside quotes stay: only the delimiter itself changes.
    text = "\n".join(rows).replace(",", delimiter).replace(f"u{delimiter} v", "u, v")
    table = read_table(_written(tmp_path, "t.csv", bom + text))
    expected = pd.read_csv(io.StringIO(text), sep=delimiter)
    assert table.column_names == ["a", "b", "c"]
    pd.testing.assert_frame_equal(table.to_pandas(), expected, check_dtype=False)


def test_gzipped_csv_and_tsv(tmp_path: Path) -> None:
    text = "a\tb\n1\tx,y\n2\tz\n"
    plain = read_table(_written(tmp_path, "t.tsv", text))
    assert plain.to_pydict() == {"a": [1, 2], "b": ["x,y", "z"]}
    assert read_table(_written(tmp_path, "t.csv.gz", gzip.compress(text.encode()))) == plain
    assert read_table(_written(tmp_path, "t.TSV.GZ", gzip.compress(text.encode()))) == plain


def test_missing_marks_count_in_numbers_and_stay_in_text(tmp_path: Path) -> None:
    text = 'n,x,country\n1,?,NA\nNA,2.5,""\n,nan,FR\n'
    assert read_table(_written(tmp_path, "t.csv", text)).to_pydict() == {
        "n": [1, None, None],
        "x": [None, 2.5, None],
        "country": ["NA", None, "FR"],
    }


def test_decimal_commas_with_semicolons(tmp_path: Path) -> None:
    table = read_table(_written(tmp_path, "t.csv", "a;b\n1,5;-2,25\n,5;3\n"))
    assert table.to_pydict() == {"a": [1.5, 0.5], "b": [-2.25, 3.0]}


def test_row_numbers_of_pandas_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame({"a": [5, 6]}, index=[9, 3]).to_csv(path)
    assert read_table(path).to_pydict() == {"a": [5, 6]}
    pd.DataFrame({"a": [5, 6]}, index=[9, 3]).to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").to_pydict() == {"a": [5, 6]}


def test_a_type_found_late_in_a_large_file_holds_for_all_rows(tmp_path: Path) -> None:
    # Beyond Arrow's first block of 1 MiB, after which a reader may already have chosen integers.
    lines = ["a,b", *["1,2"] * 400_000, "1.5,none"]
    table = read_table(_written(tmp_path, "t.csv", "\n".join(lines)))
    assert table.num_rows == 400_001
    assert table["a"][400_000].as_py() == 1.5
    assert table["b"][0].as_py() == "2"


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n", "no rows"),
        ("a,b\n\n", "no rows"),
        ("a,b,a\n1,2,3\n", "called 'a'"),
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        ("1,2\n3,4\n", "first row holds only numbers (1, 2"),
        ("a,b\n1,2\n1,2,3\n", "line 3 has 3 cells where the header names 2"),
        ('a,b\n"1\n1",2\n\n5\n', "line 5 has 1 cell where the header names 2"),
        ("a,caf\u00e9\n1,2\n".encode("latin-1"), "line 1 is not UTF-8"),
        ("a,b\n" + "1,2\n" * 30 + "1,\u00e9\n", None),
        (("a,b\n" + "1,2\n" * 30).encode() + b"1,\xe9\n", "line 32 is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "line 1 has a zero byte"),
        ("a,b\n1,2\n".encode("utf-16")[:-1], "is not UTF-16 text"),
    ],
)
def test_csv_errors_are_one_line(tmp_path: Path, content: str | bytes, cause: str | None) -> None:
    path = _written(tmp_path, "t.csv", content)
    if cause is None:
        assert read_table(path)["b"][30].as_py() == "\u00e9"
    else:
        assert cause in _message(path)


@pytest.mark.parametrize("ending", ["csv.gz", "parquet", "pq", "feather", "arrow", "npz", "npy"])
def test_a_file_that_is_not_what_its_ending_says(tmp_path: Path, ending: str) -> None:
    _message(_written(tmp_path, f"t.{ending}", b"a,b\n1,2\n" * 50))


def test_no_such_file_unknown_ending_directory(tmp_path: Path) -> None:
    assert "no such file" in _message(tmp_path / "t.csv")
    assert "not a file" in _message(Path(_directory(tmp_path / "d.csv")))
    message = _message(_written(tmp_path, "t.xlsx", b"x"))
    for ending in (".csv", ".tsv", ".parquet", ".feather", ".npz"):
        assert ending in message


def _directory(path: Path) -> Path:
    path.mkdir()
    return path


def test_truncated_files(tmp_path: Path) -> None:
    table = pa.table({"a": np.arange(1000.0)})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    pa.feather.write_feather(table, tmp_path / "t.feather")
    np.savez(tmp_path / "t.npz", X=np.zeros((100, 3)))
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 10_000))
    for path in list(tmp_path.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        _message(path)


def test_arrow_formats_give_the_same_table(tmp_path: Path) -> None:
    table = pa.table({"a": [1, None, 3], "b": ["x", None, "z"], "c": [True, False, None]})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    pa.feather.write_feather(table, tmp_path / "t.feather")
    with (
        pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    for name in ("t.parquet", "t.feather", "t.arrow"):
        assert read_table(tmp_path / name).to_pydict() == table.to_pydict()


def test_a_folder_name_with_an_equals_sign_adds_no_column(tmp_path: Path) -> None:
    folder = _directory(tmp_path / "year=2020")
    pa.parquet.write_table(pa.table({"a": [1]}), folder / "t.parquet")
    assert read_table(folder / "t.parquet").column_names == ["a"]


@pytest.mark.parametrize("keys", [("X", "y"), ("X_train", "y_train"), ("X_test", "y_test")])
def test_npz_keys(tmp_path: Path, keys: tuple[str, str]) -> None:
    X = np.arange(6.0).reshape(3, 2)
    y = np.array([1.0, np.nan, 0.0])
    np.savez(tmp_path / "t.npz", **{keys[0]: X, keys[1]: y})
    table = read_table(tmp_path / "t.npz")
    assert table.to_pydict() == {"x0": [0, 2, 4], "x1": [1, 3, 5], "y": [1.0, None, 0.0]}


def test_npz_feature_names_and_dtypes(tmp_path: Path) -> None:
    names = np.array(["height", "weight"])
    for dtype in ("f2", "f4", ">f8", "i2", "u1", "?"):
        X = np.array([[0, 1], [1, 0]], dtype=dtype)
        np.savez(tmp_path / "t.npz", X=X, y=np.array(["cat", "dog"]), feature_names=names)
        table = read_table(tmp_path / "t.npz")
        assert table.column_names == ["height", "weight", "y"]
        assert table["height"].to_pylist() == [0, 1]
        assert table["y"].to_pylist() == ["cat", "dog"]
    # Names that cannot serve (too few, twice, the target's) give way to x0, x1.
    for bad in (["height"], ["a", "a"], ["a", "y"], ["", "b"]):
        np.savez(tmp_path / "t.npz", X=np.zeros((1, 2)), feature_names=np.array(bad))
        assert read_table(tmp_path / "t.npz").column_names == ["x0", "x1"]


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.eye(2))
    assert read_table(tmp_path / "t.npy").to_pydict() == {"x0": [1, 0], "x1": [0, 1]}


@pytest.mark.parametrize(
    ("arrays", "cause"),
    [
        ({"X": np.zeros((2, 2, 2))}, "(2, 2, 2)"),
        ({"X": np.array([["a", "b"]])}, "not numbers"),
        ({"X": np.zeros((3, 2)), "y": np.zeros(2)}, "2 values"),
        ({"Z": np.zeros((2, 2))}, "its keys: 'Z'"),
        ({"X": np.zeros((0, 2))}, "no rows"),
    ],
)
def test_npz_errors(tmp_path: Path, arrays: dict[str, np.ndarray], cause: str) -> None:
    np.savez(tmp_path / "t.npz", **arrays)
    assert cause in _message(tmp_path / "t.npz")


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (open, ("bomb-went-off", "w"))


def test_pickles_are_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("object.npz", X=np.array([[_Bomb()]], dtype=object))
    np.save("object.npy", np.array([[_Bomb()]], dtype=object), allow_pickle=True)
    Path("bare.npz").write_bytes(b"cbuiltins\nopen\n(S'bomb-went-off'\nS'w'\ntR.")
    for name in ("object.npz", "object.npy", "bare.npz"):
        _message(Path(name))
    assert not Path("bomb-went-off").exists()


FRAMES = {
    "arrow": lambda d: pa.table(d),
    "pandas": lambda d: pd.DataFrame(d),
    "polars": lambda d: pl.DataFrame(d),
    "categorical": lambda d: pd.DataFrame(d).astype({"b": "category"}),
}


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "pq"])
@pytest.mark.parametrize("frame", FRAMES)
def test_what_is_written_is_read_back(tmp_path: Path, ending: str, frame: str) -> None:
    content = {"a": [0.1, 1 / 3, -1e-300], "b": ['x "y"', "u,\tv", "two\nlines"], "c, d": [1, 2, 3]}
    path = tmp_path / f"t.{ending}"
    write_table(FRAMES[frame](content), path)
    assert read_table(path).to_pydict() == content
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if ending == "csv":
        assert pd.read_csv(path).to_dict("list") == content


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _written(tmp_path, "t.csv", "old\n1\n")

    def fail_half_way(table: pa.Table, stream: io.BufferedWriter, **_: object) -> None:
        stream.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("flowssl.tables.write_csv", fail_half_way)
    with pytest.raises(DataError, match=r"t\.csv: cannot be written: No space left"):
        write_table(pa.table({"a": [1]}), path)
    assert path.read_text() == "old\n1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_lists_do_not_fit_into_csv(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_table(pa.table({"a": [[1, 2]]}), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_write_errors(tmp_path: Path) -> None:
    table = pa.table({"a": [1]})
    with pytest.raises(DataError, match=r"known are \.csv"):
        write_table(table, tmp_path / "t.xlsx")
    with pytest.raises(DataError, match="there is no directory"):
        write_table(table, tmp_path / "nowhere" / "t.csv")


def test_csv_to_a_stream_is_plain() -> None:
    stream = io.BytesIO()
    write_csv(pa.table({"a": [1.5, None], "b": ["x", None]}), stream)
    assert stream.getvalue().decode().splitlines()[0] == "a,b"
    assert pd.read_csv(io.BytesIO(stream.getvalue())).to_dict("list")["a"][0] == 1.5


def test_without_pyarrow_the_message_says_how_to_install(tmp_path: Path) -> None:
    path = _written(tmp_path, "t.csv", "a\n1\n")
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from flowssl.tables import read_table\n"
        "try: read_table(sys.argv[1])\n"
        "except ImportError as e: print(e)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert "pip install 'flowssl[tables]'" in run.stdout


def test_real_archives_are_read(shared_data: Path) -> None:
    with np.load(shared_data / "tabular" / "pendigits.npz") as arrays:
        X, y = arrays["X"], arrays["y"]
    table = read_table(shared_data / "tabular" / "pendigits.npz")
    np.testing.assert_array_equal(np.column_stack([c.to_numpy() for c in table.columns[:-1]]), X)
    np.testing.assert_array_equal(table["y"].to_numpy(), y)
