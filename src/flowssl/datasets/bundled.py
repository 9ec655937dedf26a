"""Data sets that need no file: three that come with scikit-learn, and the synthetic ones.

Examples, benchmarks and the command line load them with one function, by the same names.
"""

from collections.abc import Callable

import numpy as np

from flowssl.datasets.container import Dataset
from flowssl.datasets.toy import (
    Sample,
    make_circles,
    make_eight_gaussians,
    make_moons,
    make_pinwheel,
)

_REAL = {"digits": "load_digits", "breast_cancer": "load_breast_cancer", "wine": "load_wine"}
_TOY: dict[str, Callable[..., Sample]] = {
    "moons": make_moons,
    "circles": make_circles,
    "eight_gaussians": make_eight_gaussians,
    "pinwheel": make_pinwheel,
}
NAMES: tuple[str, ...] = (*_REAL, *_TOY)


def load_dataset(name: str, *, n_samples: int = 1000, random_state: int | None = 0) -> Dataset:
    """Return a data set by name.

    Parameters
    ----------
    name : str
        "digits" (1,797 rows of 64 columns, 10 classes), "breast_cancer" (569 x 30, 2) or "wine"
        (178 x 13, 3) from scikit-learn, or a synthetic set in two dimensions: "moons", "circles",
        "eight_gaussians" or "pinwheel".
    n_samples : int, default=1000
        Number of rows of a synthetic set; the real sets are always complete.
    random_state : int or None, default=0
        Seed of a synthetic set.

    Returns
    -------
    Dataset
        With complete labels and no test set.

    Raises
    ------
    ValueError
        If there is no such name.

    Examples
    --------
    >>> from flowssl.datasets import load_dataset
    >>> wine = load_dataset("wine")
    >>> wine.X.shape, wine.n_classes, wine.feature_names[0]
    ((178, 13), 3, 'alcohol')
    """
    if name in _TOY:
        X, y = _TOY[name](n_samples, random_state=random_state)
        classes = tuple(str(k) for k in range(int(y.max()) + 1))
        return Dataset(name, X, y, classes, feature_names=("x0", "x1"))
    if name not in _REAL:
        raise ValueError(f"no data set is called {name!r}; choose from {', '.join(NAMES)}.")
    from sklearn import datasets

    bunch = getattr(datasets, _REAL[name])()
    return Dataset(
        name,
        np.asarray(bunch.data, dtype=np.float64),
        np.asarray(bunch.target, dtype=np.int64),
        tuple(str(label) for label in bunch.target_names),
        tuple(str(column) for column in bunch.feature_names),
    )
