"""Readers of published tables and texts: HEPMASS, MiniBooNE, AG News and Yahoo Answers.

The files are read as they are published and nothing is downloaded: a missing file gives an error
that names it. Tables are preprocessed as in Papamakarios et al. (2017), which the FlowGMM paper
(Izmailov et al. 2020, appendix D) follows, except that the background class is kept.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flowssl._typing import Integers
from flowssl.datasets.container import Dataset
from flowssl.exceptions import DataError

_AG_NEWS_CLASSES = ("World", "Sports", "Business", "Sci/Tech")
_YAHOO_CLASSES = (
    "Society & Culture",
    "Science & Mathematics",
    "Health",
    "Education & Reference",
    "Computers & Internet",
    "Sports",
    "Business & Finance",
    "Entertainment & Music",
    "Family & Relationships",
    "Politics & Government",
)
_MAX_REPEATS = 5
_OUTLIER = -100.0

Matrix = npt.NDArray[np.float32]


class _Table(NamedTuple):
    X: Matrix
    y: Integers


def load_hepmass(root: str | Path) -> Dataset:
    """HEPMASS at mass 1000: signal (1) and background (0), 21 of 27 columns.

    Preprocessed as in Papamakarios et al. (2017), except that the background is kept: columns whose
    smallest value occurs more than five times among the training rows of the signal (discrete
    columns) are dropped, the others are standardized with mean and standard deviation of the
    training rows.

    Parameters
    ----------
    root : path
        Folder with ``1000_train.csv`` and ``1000_test.csv``: one header line, then the label and
        27 numbers per line. Further columns, such as the one of the published test file, are
        ignored.

    Returns
    -------
    Dataset
        float32, with the published test set.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the error names it.
    flowssl.exceptions.DataError
        If a file does not have this layout.

    Examples
    --------
    >>> from flowssl.datasets import load_hepmass
    >>> load_hepmass("data")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    FileNotFoundError: data/1000_train.csv is missing. Get the HEPMASS data of the UCI repository...
    """
    train_path = _find(root, "1000_train.csv", "the HEPMASS data of the UCI repository (unpacked)")
    test_path = _find(root, "1000_test.csv", "the HEPMASS data of the UCI repository (unpacked)")
    train, test = _read_hepmass(train_path), _read_hepmass(test_path)
    keep = _continuous_columns(train.X[train.y == 1])
    X, X_test = _standardize(train.X[:, keep], test.X[:, keep])
    names = tuple(f"f{j}" for j in keep)
    return Dataset("hepmass", X, train.y, ("background", "signal"), names, X_test, test.y)


def load_miniboone(
    root: str | Path, *, test_fraction: float = 0.1, random_state: int = 0
) -> Dataset:
    """MiniBooNE: electron neutrinos, the signal (1), and muon neutrinos, the background (0).

    Preprocessed as in Papamakarios et al. (2017): rows with -999 in place of measurements (first
    column below -100) are removed, and columns whose smallest value occurs more than five times
    among the signal rows, which leaves 43 of 50. As in Izmailov et al. (2020, appendix D), the
    background is subsampled to as many rows as the signal has. A fraction of each class is held out
    for testing, and columns are standardized with mean and standard deviation of the training rows.

    Parameters
    ----------
    root : path
        Folder with ``MiniBooNE_PID.txt``: the numbers of signal and background rows in the first
        line, then 50 numbers per line, the signal first.
    test_fraction : float, default=0.1
        Fraction of each class that is held out, as in Papamakarios et al. (2017).
    random_state : int, default=0
        Seed of the subsampling and of the choice of test rows.

    Returns
    -------
    Dataset
        float32, with the held-out rows as test set.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the error names it.
    flowssl.exceptions.DataError
        If the file does not have this layout.

    Examples
    --------
    >>> from flowssl.datasets import load_miniboone
    >>> load_miniboone("data")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    FileNotFoundError: data/MiniBooNE_PID.txt is missing. Get the MiniBooNE data of the UCI repository...
    """
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must lie between 0 and 1, got {test_fraction}.")
    path = _find(root, "MiniBooNE_PID.txt", "the MiniBooNE data of the UCI repository")
    table = _read_miniboone(path)
    measured = table.X[:, 0] >= _OUTLIER
    X, y = table.X[measured], table.y[measured]
    keep = _continuous_columns(X[y == 1])

    rng = np.random.default_rng(random_state)
    rows = [rng.permutation(np.flatnonzero(y == k)) for k in (0, 1)]
    n_each = min(len(r) for r in rows)
    n_test = int(test_fraction * n_each)
    test = rng.permutation(np.concatenate([r[:n_test] for r in rows]))
    train = rng.permutation(np.concatenate([r[n_test:n_each] for r in rows]))
    X_train, X_test = _standardize(X[train][:, keep], X[test][:, keep])
    names = tuple(f"x{j}" for j in keep)
    classes = ("background", "signal")
    return Dataset("miniboone", X_train, y[train], classes, names, X_test, y[test])


def load_ag_news(root: str | Path) -> Dataset:
    """AG News: title and description of news in four sections.

    Parameters
    ----------
    root : path
        Folder with ``train.csv`` and ``test.csv``: class index 1-4, title, description.

    Returns
    -------
    Dataset
        Texts (title and description, joined by a space) with the published test set. Turn the
        texts into vectors with a sentence encoder before fitting.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the error names it.
    flowssl.exceptions.DataError
        If a file does not have this layout.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from flowssl.datasets import load_ag_news
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("train.csv", "test.csv"):
    ...         _ = Path(folder, name).write_text('"2","A title","and a description"')
    ...     data = load_ag_news(folder)
    >>> data.X[0], data.class_names[data.y[0]]
    ('A title and a description', 'Sports')
    """
    return _load_texts(
        "ag_news", root, "the AG News topic classification data", _AG_NEWS_CLASSES, 3
    )


def load_yahoo_answers(root: str | Path) -> Dataset:
    """Yahoo Answers: question title, question and best answer in ten topics.

    Parameters
    ----------
    root : path
        Folder with ``train.csv`` and ``test.csv``: class index 1-10, question title, question,
        best answer (the last two may be empty).

    Returns
    -------
    Dataset
        Texts (the three fields, joined by a space) with the published test set.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the error names it.
    flowssl.exceptions.DataError
        If a file does not have this layout.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from flowssl.datasets import load_yahoo_answers
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("train.csv", "test.csv"):
    ...         _ = Path(folder, name).write_text('"3","Why?","","Because."')
    ...     data = load_yahoo_answers(folder)
    >>> data.X[0], data.class_names[data.y[0]]
    ('Why? Because.', 'Health')
    """
    name = "the Yahoo! Answers topic classification data"
    return _load_texts("yahoo_answers", root, name, _YAHOO_CLASSES, 4)


def _find(root: str | Path, filename: str, what: str) -> Path:
    path = Path(root) / filename
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing. Get {what} and put its file {filename} into {Path(root)}."
        )
    return path


def _read_numbers(path: Path, *, delimiter: str | None, n_columns: int) -> Matrix:
    """Read the first `n_columns` numbers of each line below one header line."""
    try:
        X = np.loadtxt(
            path,
            delimiter=delimiter,
            skiprows=1,
            usecols=range(n_columns),
            comments=None,
            dtype=np.float32,
            ndmin=2,
        )
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}: rows of {n_columns} numbers are expected; {error}.") from error
    if not np.isfinite(X).all():
        row = int(np.flatnonzero(~np.isfinite(X).all(axis=1))[0])
        raise DataError(f"{path}: line {row + 2} holds a value that is not a finite number.")
    return X


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline(10_000).strip()


def _read_hepmass(path: Path) -> _Table:
    header = [name.strip() for name in _first_line(path).split(",")]
    if len(header) < 28 or "label" not in header[0]:
        raise DataError(
            f"{path}: the first line must name a label and 27 columns, got {len(header)} names that "
            f"start with {header[0][:40]!r}."
        )
    numbers = _read_numbers(path, delimiter=",", n_columns=28)
    labels = numbers[:, 0]
    strange = labels[(labels != 0) & (labels != 1)]
    if strange.size:
        raise DataError(f"{path}: labels are 0 or 1, got {strange[0]}.")
    return _Table(numbers[:, 1:], labels.astype(np.int64))


def _read_miniboone(path: Path) -> _Table:
    counts = _first_line(path).split()
    if len(counts) != 2 or not all(count.isdecimal() and len(count) < 10 for count in counts):
        raise DataError(
            f"{path}: the first line must be the numbers of signal and of background rows, "
            f"got {' '.join(counts)[:60]!r}."
        )
    n_signal, n_background = int(counts[0]), int(counts[1])
    X = _read_numbers(path, delimiter=None, n_columns=50)
    if len(X) != n_signal + n_background:
        raise DataError(
            f"{path}: the first line says {n_signal} + {n_background} rows, the file has {len(X)}."
        )
    y = np.repeat(np.array([1, 0], dtype=np.int64), [n_signal, n_background])
    return _Table(X, y)


def _continuous_columns(X: Matrix) -> Integers:
    """Columns whose smallest value occurs at most five times (Papamakarios et al., 2017).

    Their published code counts the smallest value, not the most frequent one; the numbers of
    columns in the literature (21 and 43) follow from that count.
    """
    if not len(X):
        raise DataError("no row is signal (label 1), and columns are chosen by the signal rows.")
    return np.flatnonzero((X.min(axis=0) == X).sum(axis=0) <= _MAX_REPEATS)


def _standardize(train: Matrix, test: Matrix) -> tuple[Matrix, Matrix]:
    """Standardize with the training rows; a constant column becomes zero."""
    mean = train.mean(axis=0, dtype=np.float64)
    std = train.std(axis=0, dtype=np.float64)
    std[std == 0] = 1.0
    scaled = ((train - mean) / std, (test - mean) / std)
    return scaled[0].astype(np.float32), scaled[1].astype(np.float32)


def _load_texts(
    name: str, root: str | Path, what: str, classes: Sequence[str], n_columns: int
) -> Dataset:
    parts = [
        _read_texts(_find(root, filename, what), len(classes), n_columns)
        for filename in ("train.csv", "test.csv")
    ]
    (X, y), (X_test, y_test) = parts
    return Dataset(name, X, y, tuple(classes), ("text",), X_test, y_test)


def _read_texts(
    path: Path, n_classes: int, n_columns: int
) -> tuple[npt.NDArray[np.object_], Integers]:
    labels: list[int] = []
    texts: list[str] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                labels.append(_class_code(row, n_classes, n_columns, where))
                # The files write a line break as a backslash, with or without an n.
                fields = (field.replace("\\n", " ").replace("\\", " ") for field in row[1:])
                texts.append(" ".join(" ".join(fields).split()))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a UTF-8 file of comma-separated values; {error}.") from error
    if not texts:
        raise DataError(f"{path} is empty.")
    return np.array(texts, dtype=object), np.array(labels, dtype=np.int64)


def _class_code(row: Sequence[str], n_classes: int, n_columns: int, where: str) -> int:
    if len(row) != n_columns:
        raise DataError(f"{where}: {n_columns} fields are expected, got {len(row)}.")
    if not row[0].isdecimal() or len(row[0]) > 2 or not 1 <= int(row[0]) <= n_classes:
        raise DataError(f"{where}: the class is 1..{n_classes}, got {row[0][:40]!r}.")
    return int(row[0]) - 1
