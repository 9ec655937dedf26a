"""The container of all data sets.

A data set has rows (numbers, images or texts), a complete label vector and, where it was published
with one, a test set. Labels are integer codes with names.
"""

from collections.abc import Sized
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowssl._typing import Floats, Integers
from flowssl.exceptions import DataError

Rows = npt.NDArray[np.float32] | Floats | npt.NDArray[np.uint8] | npt.NDArray[np.object_]


@dataclass(frozen=True)
class Dataset:
    """A named data set with complete labels.

    Parameters
    ----------
    name : str
        Short name, as in `flowssl.datasets.load_dataset`.
    X : ndarray
        Rows of numbers, shape (n, D), float32 or float64; images, shape (n, h, w) or (n, h, w, c),
        uint8; or texts, shape (n,), object.
    y : ndarray of shape (n,), int64
        Class codes 0..C-1.
    class_names : tuple of str
        Names of the C classes.
    feature_names : tuple of str, default=()
        Names of the columns; empty where they have none.
    X_test, y_test : ndarray or None, default=None
        The published test set, if there is one.

    Raises
    ------
    flowssl.exceptions.DataError
        If rows and labels differ in number, or a label is outside 0..C-1.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.datasets import Dataset
    >>> X, y = np.array([[0.1], [0.9], [1.1]]), np.array([0, 1, 1])
    >>> data = Dataset("example", X, y, class_names=("low", "high"))
    >>> data.n_classes, data.class_names[data.y[0]]
    (2, 'low')
    """

    name: str
    X: Rows
    y: Integers
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...] = ()
    X_test: Rows | None = None
    y_test: Integers | None = None

    def __post_init__(self) -> None:
        _check_labels(self.name, self.X, self.y, self.n_classes)
        if (self.X_test is None) != (self.y_test is None):
            raise DataError(f"{self.name}: give both X_test and y_test, or neither.")
        if self.X_test is not None and self.y_test is not None:
            _check_labels(f"{self.name} (test)", self.X_test, self.y_test, self.n_classes)

    @property
    def n_classes(self) -> int:
        """Number of classes C."""
        return len(self.class_names)


def _check_labels(name: str, X: Sized, y: Integers, n_classes: int) -> None:
    if len(X) != len(y):
        raise DataError(f"{name}: {len(X)} rows but {len(y)} labels.")
    if len(y) and not (y.min() >= 0 and y.max() < n_classes):
        raise DataError(
            f"{name}: labels must be codes 0..{n_classes - 1}; got {y.min()}..{y.max()}."
        )
