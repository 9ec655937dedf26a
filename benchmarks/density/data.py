"""The rows of the density benchmark: the same split, noise and measure for every method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from benchmarks.folders import DATA
from sklearn.decomposition import PCA

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

MAX_TRAIN, MAX_TEST = 8000, 2000
PER_CLASS = 10
MNIST_ROWS, MNIST_COMPONENTS = 20_000, 64
ATOM = 0.05
"""Fraction of the rows from which one value is an atom."""

N_DRAWS = 16
"""Draws within the atoms' boxes over which the density of a test row is averaged."""


@dataclass(frozen=True)
class Split:
    """Training and test rows of one seed.

    Attributes
    ----------
    X_train, X_test : ndarray of shape (n, D)
        Rows; whole numbers with U[0, 1) added.
    y_train, y_test : ndarray of shape (n,)
        Classes; -1 for unlabeled training rows.
    """

    X_train: Floats
    y_train: Codes
    X_test: Floats
    y_test: Codes


def load(name: str, seed: int) -> Split:
    """Split a set and dequantize its columns of whole numbers, but for atoms."""
    file = "images/mnist_train" if name == "mnist64" else f"tabular/{name}"
    arrays = np.load(DATA / f"{file}.npz", allow_pickle=False)
    if name == "mnist64":
        X = arrays["x"][:MNIST_ROWS].reshape(MNIST_ROWS, -1) / 255.0
        y = arrays["y"][:MNIST_ROWS].astype(np.int64)
    else:
        X, y = arrays["X"].astype(np.float64), arrays["y"].astype(np.int64)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(X))
    n_test = min(MAX_TEST, len(X) // 4)
    test, train = order[:n_test], order[n_test : n_test + MAX_TRAIN]
    if name == "mnist64":
        pca = PCA(MNIST_COMPONENTS, random_state=0).fit(X[train])
        X = pca.transform(X)
    whole = (X == np.round(X)).all(0)
    if name != "spambase":  # whose whole numbers and atoms stay
        X = X + whole * rng.random(X.shape)
    labels = np.full(len(train), -1)
    for k in np.unique(y):
        labels[rng.permutation(np.flatnonzero(y[train] == k))[:PER_CLASS]] = k
    return Split(X[train], labels, X[test], y[test])


@dataclass(frozen=True)
class Boxes:
    """Boxes of real numbers that stand for the atoms of a table, for methods that know none.

    A value that fills at least a twentieth of its column, and whole numbers, get room of their own:
    the atom ``v`` the box ``[v - w, v)``, all other values of that column shifted away from it.

    Attributes
    ----------
    atoms : ndarray of shape (D,)
        The atom of each column; NaN for none.
    widths : ndarray of shape (D,)
        Widths of the boxes.
    whole : ndarray of shape (D,), bool
        Columns of whole numbers, which are dequantized.
    """

    atoms: Floats
    widths: Floats
    whole: npt.NDArray[np.bool_]

    @classmethod
    def fit(cls, X: Floats) -> Boxes:
        """Find the atoms."""
        atoms = np.full(X.shape[1], np.nan)
        for j, column in enumerate(X.T):
            values, counts = np.unique(column, return_counts=True)
            if counts.max() >= ATOM * len(X):
                atoms[j] = values[counts.argmax()]
        return cls(atoms, X.std(0), (X == np.round(X)).all(0))

    def draw(self, X: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return rows with noise in the boxes and the log-volume (n,) of their boxes."""
        is_atom = self.atoms == X
        noise = rng.random(X.shape)
        out = X + self.whole * noise
        out = np.where(is_atom, X - self.widths * noise, out + 0.0)
        below = ~np.isnan(self.atoms) & (X < self.atoms)  # none in the sets at hand
        out = np.where(below, X - self.widths, out)
        return out, (is_atom * np.log(self.widths)).sum(1)
