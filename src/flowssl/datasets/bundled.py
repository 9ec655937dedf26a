"""Data sets that need no file: three small real ones that come with scikit-learn, and the toys.

One function, so that examples, benchmarks and the command line name a data set in the same way.
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


def load(name: str, *, n_samples: int = 1000, random_state: int | None = 0) -> Dataset:
    """Return a data set by name.

    Parameters
    ----------
    name : str
        One of `flowssl.datasets.NAMES`: "digits" (1,797 x 64, 10 classes), "breast_cancer"
        (569 x 30, 2), "wine" (178 x 13, 3), all from scikit-learn, or a toy set in the plane:
        "moons", "circles", "eight_gaussians", "pinwheel".
    n_samples : int, default=1000
        Rows of a toy set; the real sets always come whole.
    random_state : int or None, default=0
        Seed of a toy set.

    Returns
    -------
    Dataset
        With complete labels and no test set.

    Raises
    ------
    ValueError
        If there is no such name.
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
