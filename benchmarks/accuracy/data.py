"""The benchmark's data sets, as one matrix, one label vector and, for some, a test set.

Small and toy sets come with `flowssl.datasets`. The others are read from the data folder (see
benchmarks/README.md) or, for the papers' own files, from the folder given by ``--root``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmarks.folders import DATA

from flowssl import datasets
from flowssl.datasets.bundled import NAMES

TOY_ROWS = 1500
MNIST_ROWS = 20_000
MNIST_COMPONENTS = 64
HEPMASS_ROWS = 140_000  # unlabeled rows in Izmailov et al. (2020), table 1


@dataclass(frozen=True)
class Table:
    """Rows and labels of one data set.

    `X` is (n, D) and `y` holds codes 0..C-1. `X_test`, `y_test` are set for data
    with their own test set. `n_components` asks for a PCA fitted on the training rows of each draw.
    """

    name: str
    X: npt.NDArray[np.floating]
    y: npt.NDArray[np.int64]
    X_test: npt.NDArray[np.floating] | None = None
    y_test: npt.NDArray[np.int64] | None = None
    n_components: int | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.y.max()) + 1


def load(name: str, root: Path | None = None, max_rows: int | None = None) -> Table:
    """Read data set `name`, limited to `max_rows` rows (in a fixed random order) if given.

    Raises FileNotFoundError if the files are missing.
    """
    if name in ON_REQUEST:
        if root is None:
            raise FileNotFoundError(f"{name} needs --root, the folder that holds its files")
        table = ON_REQUEST[name](root)
    else:
        table = LOADERS[name]()
    if max_rows is not None and max_rows < len(table.y):
        keep = np.random.default_rng(0).permutation(len(table.y))[:max_rows]
        table = replace(table, X=table.X[keep], y=table.y[keep])
    return table


def _bundled(name: str) -> Table:
    data = datasets.load_dataset(name, n_samples=TOY_ROWS)
    return Table(name, data.X, data.y)


def _tabular(name: str) -> Table:
    arrays = np.load(DATA / "tabular" / f"{name}.npz", allow_pickle=False)
    return Table(name, arrays["X"], arrays["y"].astype(np.int64))


def _ag_news() -> Table:
    arrays = np.load(DATA / "text" / "ag_news_minilm.npz", allow_pickle=False)
    return Table(
        "ag_news",
        arrays["X_train"].astype(np.float32),
        arrays["y_train"].astype(np.int64),
        arrays["X_test"].astype(np.float32),
        arrays["y_test"].astype(np.int64),
    )


def _mnist() -> Table:
    arrays = np.load(DATA / "images" / "mnist_train.npz", allow_pickle=False)
    X = arrays["x"][:MNIST_ROWS].reshape(MNIST_ROWS, -1).astype(np.float32) / 255
    y = arrays["y"][:MNIST_ROWS].astype(np.int64)
    return Table("mnist64", X, y, n_components=MNIST_COMPONENTS)


def _hepmass(root: Path) -> Table:
    data = datasets.load_hepmass(root)
    keep = np.random.default_rng(0).permutation(len(data.y))[:HEPMASS_ROWS]
    return Table("hepmass", data.X[keep], data.y[keep], data.X_test, data.y_test)


def _miniboone(root: Path) -> Table:
    data = datasets.load_miniboone(root)
    return Table("miniboone", data.X, data.y, data.X_test, data.y_test)


def _named(read: Callable[[str], Table], names: tuple[str, ...]) -> dict[str, Callable[[], Table]]:
    return {name: lambda name=name: read(name) for name in names}


LOADERS: dict[str, Callable[[], Table]] = {
    **_named(_bundled, NAMES),
    **_named(
        _tabular,
        ("magic", "htru2", "dry_bean", "pendigits", "satimage", "spambase", "higgs_11k"),
    ),
    "ag_news": _ag_news,
    "mnist64": _mnist,
}
ON_REQUEST: dict[str, Callable[[Path], Table]] = {"hepmass": _hepmass, "miniboone": _miniboone}
