"""Hide most labels of a complete label vector, to evaluate semi-supervised learning.

The draw is stratified, so that no class is left without a label.
"""

import numpy as np
import numpy.typing as npt

from flowssl._label_vectors import LabelVector
from flowssl._plain_values import plain_values
from flowssl._typing import Integers, Labels


def hide_labels(
    y: npt.ArrayLike,
    n_labeled: int | None = None,
    *,
    per_class: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    marker: object = -1,
) -> Labels:
    """Keep the labels of a few rows and mark all others as unlabeled.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels of any type. Missing ones (None, NaN, masked) stay unlabeled and do not count.
    n_labeled : int, default=None
        Total number of labels to keep: one in each class, the others in proportion to the class
        frequencies (largest remainders). Give either this or `per_class`.
    per_class : int, default=None
        Labels to keep in every class.
    random_state : int, RandomState or None, default=None
        Seed of the draw.
    marker : object, default=-1
        Value of unlabeled rows. If the dtype of `y` cannot hold it, the result has dtype object.

    Returns
    -------
    ndarray of shape (n,)
        Copy of `y` with `marker` in the unlabeled rows.

    Raises
    ------
    ValueError
        If not exactly one of `n_labeled` and `per_class` is given, if a class has too few rows, or
        if `marker` is itself a class.

    Examples
    --------
    >>> from flowssl.datasets import hide_labels
    >>> y = hide_labels(["cat"] * 50 + ["dog"] * 50, per_class=2, random_state=0).tolist()
    >>> y.count("cat"), y.count("dog"), y.count(-1)
    (2, 2, 96)
    """
    from sklearn.utils import check_random_state

    labels = np.asarray(plain_values(y))
    if labels.ndim != 1:
        raise ValueError(f"y must have one dimension, got shape {labels.shape}.")
    vector = LabelVector.read(y)
    classes, of_present, counts = np.unique(vector.present, return_inverse=True, return_counts=True)
    codes = np.full(len(labels), -1)
    codes[~vector.missing] = of_present
    if any(marker == label for label in classes.tolist()):
        raise ValueError(f"marker {marker!r} is a class of y; choose another marker.")
    quotas = _quotas(counts, n_labeled, per_class)
    _check_quotas(quotas, counts, classes)
    rng = check_random_state(random_state)
    keep = np.zeros(len(labels), dtype=bool)
    for k, quota in enumerate(quotas):
        keep[rng.permutation(np.flatnonzero(codes == k))[:quota]] = True
    partial = labels.copy() if _holds(labels.dtype, marker) else labels.astype(object)
    partial[~keep] = marker
    return partial


def _quotas(counts: Integers, n_labeled: int | None, per_class: int | None) -> Integers:
    """Labels to keep in each class."""
    if (n_labeled is None) == (per_class is None):
        raise ValueError("give either n_labeled or per_class, and not both.")
    if per_class is not None:
        if per_class < 1:
            raise ValueError(f"per_class must be at least 1, got {per_class}.")
        return np.full(len(counts), per_class, dtype=np.int64)
    n_classes, n_rows = len(counts), int(counts.sum())
    if n_labeled is None or not n_classes <= n_labeled <= n_rows:
        raise ValueError(
            f"n_labeled must be between {n_classes} (one for each class) and {n_rows} (all rows), "
            f"got {n_labeled}."
        )
    # One in each class, the others in proportion to the remaining rows.
    exact = (n_labeled - n_classes) * (counts - 1) / max(n_rows - n_classes, 1)
    quotas = np.floor(exact).astype(np.int64)
    largest = np.argsort(quotas - exact, kind="stable")
    quotas[largest[: n_labeled - n_classes - int(quotas.sum())]] += 1
    return quotas + 1


def _check_quotas(quotas: Integers, counts: Integers, classes: Labels) -> None:
    """Refuse more labels of a class than it has rows."""
    if (quotas > counts).any():
        k = int((quotas > counts).argmax())
        raise ValueError(
            f"class {classes[k]!r} has {counts[k]} rows, fewer than the {quotas[k]} labels asked for."
        )


def _holds(dtype: np.dtype[np.generic], marker: object) -> bool:
    """Whether an array of `dtype` keeps `marker` as it is."""
    if dtype.hasobject:
        return True
    try:
        probe = np.empty(1, dtype=dtype)
        probe[0] = marker
    except (TypeError, ValueError, OverflowError):
        return False
    same_kind = isinstance(marker, str) == (dtype.kind in "US")
    stored = probe[0]
    return same_kind and bool(stored == marker or (marker != marker and stored != stored))
