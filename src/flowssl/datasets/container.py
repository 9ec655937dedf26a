"""The one shape in which every data set is handed over.

A data set is a matrix (or a vector of texts), a complete label vector and, where its makers fixed
one, a test set of its own. Labels are integer codes; their names stand beside them.
"""

from collections.abc import Sized
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = (
    npt.NDArray[np.float32]
    | npt.NDArray[np.float64]
    | npt.NDArray[np.uint8]
    | npt.NDArray[np.object_]
)


@dataclass(frozen=True)
class Dataset:
    """A named data set with complete labels.

    Parameters
    ----------
    name : str
        Short name, as in `flowssl.datasets.load`.
    X : ndarray of shape (n, D), float32 or float64, (n, h, w) or (n, h, w, c), uint8, or (n,), object
        Rows of numbers, images, or texts (str).
    y : ndarray of shape (n,), int64
        Class codes 0..C-1.
    class_names : tuple of str
        What the codes stand for; C entries.
    feature_names : tuple of str, default=()
        Column names; empty where the source has none.
    X_test, y_test : ndarray or None, default=None
        The test set that the makers of the data fixed, if there is one.

    Raises
    ------
    ValueError
        If rows and labels differ in number, or a label is outside 0..C-1.
    """

    name: str
    X: Rows
    y: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...] = ()
    X_test: Rows | None = None
    y_test: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        _check_labels(self.name, self.X, self.y, self.n_classes)
        if (self.X_test is None) != (self.y_test is None):
            raise ValueError(f"{self.name}: X_test and y_test come together or not at all.")
        if self.X_test is not None and self.y_test is not None:
            _check_labels(f"{self.name} (test)", self.X_test, self.y_test, self.n_classes)

    @property
    def n_classes(self) -> int:
        """Number of classes C."""
        return len(self.class_names)


def _check_labels(name: str, X: Sized, y: npt.NDArray[np.int64], n_classes: int) -> None:
    if len(X) != len(y):
        raise ValueError(f"{name}: {len(X)} rows but {len(y)} labels.")
    if len(y) and not (y.min() >= 0 and y.max() < n_classes):
        raise ValueError(
            f"{name}: labels must be codes 0..{n_classes - 1}; got {y.min()}..{y.max()}."
        )
