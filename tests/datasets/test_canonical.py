"""The papers' files, on small ones of the same layout."""

import csv

import numpy as np
import pytest

from flowssl.datasets import load_ag_news, load_hepmass, load_miniboone, load_yahoo_answers
from flowssl.exceptions import DataError

LOADERS = {
    load_hepmass: "1000_train.csv",
    load_miniboone: "MiniBooNE_PID.txt",
    load_ag_news: "train.csv",
    load_yahoo_answers: "train.csv",
}


@pytest.mark.parametrize("load", LOADERS)
def test_a_missing_file_is_named(load, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"{LOADERS[load]} is missing.*put its file"):
        load(tmp_path)


# --- HEPMASS


def _write_hepmass(path, X, y, extra=False):
    header = ",".join(["# label", *(f"f{j}" for j in range(27))])
    with path.open("w") as file:
        file.write(header + "\n")
        for label, row in zip(y, X, strict=True):
            values = [f"{label:.18e}", *(f"{v:.18e}" for v in row)]
            file.write(",".join(values + ["1.0e+00"] * extra) + "\n")


@pytest.fixture
def hepmass(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(3, 2, (120, 27)).astype(np.float32)
    y = np.arange(120) % 2
    # Two discrete columns, as the real file has six; one is discrete in the background alone.
    X[:, 5] = np.where(np.arange(120) % 3 == 0, 0.0, 2.17)
    X[:, 9] = np.floor(X[:, 9])
    X[:, 9][y == 1] = np.clip(X[:, 9][y == 1], 2, None)
    X[:, 11][y == 0] = -1.0
    X_test = rng.normal(4, 1, (30, 27)).astype(np.float32)
    _write_hepmass(tmp_path / "1000_train.csv", X, y)
    _write_hepmass(tmp_path / "1000_test.csv", X_test, np.arange(30) % 2, extra=True)
    return tmp_path, X, y, X_test


def test_hepmass_drops_discrete_columns_and_scales_by_the_training_rows(hepmass):
    root, X, y, X_test = hepmass
    data = load_hepmass(root)
    keep = [j for j in range(27) if j not in (5, 9)]
    assert data.feature_names == tuple(f"f{j}" for j in keep)
    assert data.class_names == ("background", "signal")
    np.testing.assert_array_equal(data.y, y)
    np.testing.assert_array_equal(data.y_test, np.arange(30) % 2)
    mean, std = X[:, keep].mean(0, dtype=float), X[:, keep].std(0, dtype=float)
    np.testing.assert_allclose(data.X, (X[:, keep] - mean) / std, atol=1e-5)
    np.testing.assert_allclose(data.X_test, (X_test[:, keep] - mean) / std, atol=1e-5)


def _rewrite(path, change):
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.split("\n", 1)[1], "first line must name a label"),
        (lambda s: s + "1.0,2.0\n", "28 numbers"),
        (lambda s: s + ",".join(["1.0"] * 27 + ["x"]) + "\n", "28 numbers"),
        (lambda s: s + ",".join(["1.0"] * 27 + ["nan"]) + "\n", "line 122 .* finite"),
        (lambda s: s + ",".join(["7.0"] * 28) + "\n", "labels are 0 or 1, got 7"),
        (lambda s: "", "first line"),
    ],
)
def test_hepmass_of_another_layout_is_refused(hepmass, change, message):
    root = hepmass[0]
    _rewrite(root / "1000_train.csv", change)
    with pytest.raises(DataError, match=message):
        load_hepmass(root)


# --- MiniBooNE


@pytest.fixture
def miniboone(tmp_path):
    rng = np.random.default_rng(1)
    signal, background = rng.normal(1, 2, (60, 50)), rng.normal(-1, 3, (170, 50))
    signal[:, 7] = np.maximum(signal[:, 7], 1.0)  # the smallest value piles up
    signal[:, 8] = np.minimum(signal[:, 8], 1.0)  # the largest one does: this column stays
    background[:, 9] = 0.0
    signal[3], background[:5] = -999.0, -999.0
    X = np.concatenate([signal, background])
    lines = [" 60 170", *("  ".join(f"{v: .6e}" for v in row) for row in X)]
    path = tmp_path / "MiniBooNE_PID.txt"
    path.write_text("\n".join(lines) + "\n")
    return tmp_path, X


def test_miniboone_is_cleaned_balanced_split_and_scaled(miniboone):
    root, X = miniboone
    data = load_miniboone(root)
    keep = [j for j in range(50) if j != 7]
    assert data.feature_names == tuple(f"x{j}" for j in keep)
    # 59 measured rows of each class, a tenth of them (5) for testing.
    assert np.bincount(data.y).tolist() == [54, 54]
    assert np.bincount(data.y_test).tolist() == [5, 5]
    np.testing.assert_allclose(data.X.mean(axis=0, dtype=float), 0, atol=1e-5)
    np.testing.assert_allclose(data.X.std(axis=0, dtype=float), 1, atol=1e-4)

    # Undo the scaling with two known rows' column: every row must be one of the file's, with its
    # label, and none may occur twice.
    rows = np.concatenate([data.X, data.X_test])
    labels = np.concatenate([data.y, data.y_test])
    correlation = [
        np.corrcoef(np.sort(rows[labels == 1][:, 0]), np.sort(X[:60][X[:60, 0] > -100][:, 0]))[0, 1]
    ]
    np.testing.assert_allclose(correlation, 1, atol=1e-9)
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_miniboone_test_rows_do_not_move_the_scale(miniboone):
    data = load_miniboone(miniboone[0], test_fraction=0.4)
    assert np.abs(data.X_test.mean(axis=0)).max() > 0.05


def test_miniboone_split_is_the_seeds(miniboone):
    first, again, other = (load_miniboone(miniboone[0], random_state=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.X, again.X)
    assert not np.array_equal(first.X, other.X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.replace(" 60 170", " 60 171"), "says 60 . 171 rows, the file has 230"),
        (lambda s: s.split("\n", 1)[1], "numbers of signal and of background"),
        (lambda s: s + "1.0 2.0\n", "50 numbers"),
        (lambda s: s.replace(" 60 170", " 0 230"), "no row is signal"),
    ],
)
def test_miniboone_of_another_layout_is_refused(miniboone, change, message):
    _rewrite(miniboone[0] / "MiniBooNE_PID.txt", change)
    with pytest.raises(DataError, match=message):
        load_miniboone(miniboone[0])


def test_miniboone_test_fraction_is_checked(miniboone):
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        load_miniboone(miniboone[0], test_fraction=1)


# --- texts


def _write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)


def test_ag_news_joins_title_and_description(tmp_path):
    rows = [["3", 'He said "no"', r"first\second\nthird, fourth"], ["1", "Ünder", ""]]
    _write_csv(tmp_path / "train.csv", rows)
    _write_csv(tmp_path / "test.csv", [["4", "a", "b"]])
    data = load_ag_news(tmp_path)
    assert data.X.tolist() == ['He said "no" first second third, fourth', "Ünder"]
    assert data.y.tolist() == [2, 0]
    assert data.class_names[2] == "Business"
    assert (data.X_test.tolist(), data.y_test.tolist()) == (["a b"], [3])


def test_yahoo_answers_joins_three_fields(tmp_path):
    _write_csv(tmp_path / "train.csv", [["10", "why?", "", "because"]])
    _write_csv(tmp_path / "test.csv", [["1", "a", "b", "c"]])
    data = load_yahoo_answers(tmp_path)
    assert data.X.tolist() == ["why? because"]
    assert data.y.tolist() == [9]
    assert data.n_classes == 10


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["1", "a", "b"], ["1", "a"]], "line 2: 3 fields are expected, got 2"),
        ([["5", "a", "b"]], r"line 1: the class is 1\.\.4, got '5'"),
        ([["x", "a", "b"]], r"the class is 1\.\.4, got 'x'"),
        ([], "is empty"),
    ],
)
def test_texts_of_another_layout_are_refused(tmp_path, rows, message):
    _write_csv(tmp_path / "train.csv", rows)
    _write_csv(tmp_path / "test.csv", [["1", "a", "b"]])
    with pytest.raises(DataError, match=message):
        load_ag_news(tmp_path)


@pytest.mark.parametrize("content", [b'1,"a\xff","b"\n', b'1,"a"x,"b"\n'])
def test_files_that_are_no_csv_are_refused(tmp_path, content):
    (tmp_path / "train.csv").write_bytes(content)
    _write_csv(tmp_path / "test.csv", [["1", "a", "b"]])
    with pytest.raises(DataError, match=r"not a UTF-8 file of comma-separated values"):
        load_ag_news(tmp_path)
