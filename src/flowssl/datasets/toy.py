"""Synthetic data sets in two dimensions, on which decision boundaries can be plotted.

They are the synthetic sets of the FlowGMM paper (Izmailov et al. 2020, section 5.1 and figures 1,
2 and 4), implemented from their definitions. Every function returns complete labels;
`flowssl.datasets.hide_labels` keeps a few of them.
"""

import numpy as np

from flowssl._typing import Floats, Integers

Sample = tuple[Floats, Integers]
RandomState = int | np.random.RandomState | None


def make_moons(
    n_samples: int = 1000, *, noise: float = 0.05, random_state: RandomState = None
) -> Sample:
    """Two interleaved half circles of radius 1, one class each.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows n, divided equally among the classes.
    noise : float, default=0.05
        Standard deviation of the Gaussian noise added to both coordinates; the moons are 0.5 apart.
    random_state : int, RandomState or None, default=None
        Seed of the draw.

    Returns
    -------
    X : ndarray of shape (n, 2)
    y : ndarray of shape (n,), int64
        Codes 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.datasets import make_moons
    >>> X, y = make_moons(120, random_state=0)
    >>> X.shape, np.bincount(y).tolist()
    ((120, 2), [60, 60])
    """
    from sklearn.datasets import make_moons as moons

    _check_sample(n_samples, noise)
    X, y = moons(n_samples, noise=noise, random_state=random_state)
    return X, y.astype(np.int64)


def make_circles(
    n_samples: int = 1000,
    *,
    noise: float = 0.05,
    factor: float = 0.4,
    random_state: RandomState = None,
) -> Sample:
    """Two concentric circles, one class each.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows n, divided equally among the classes.
    noise : float, default=0.05
        Standard deviation of the Gaussian noise added to both coordinates.
    factor : float, default=0.4
        Radius of the inner circle (class 1); the outer one (class 0) has radius 1.
    random_state : int, RandomState or None, default=None
        Seed of the draw.

    Returns
    -------
    X : ndarray of shape (n, 2)
    y : ndarray of shape (n,), int64
        Codes 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.datasets import make_circles
    >>> X, y = make_circles(120, random_state=0)
    >>> X.shape, np.bincount(y).tolist()
    ((120, 2), [60, 60])
    """
    from sklearn.datasets import make_circles as circles

    _check_sample(n_samples, noise)
    X, y = circles(n_samples, noise=noise, factor=factor, random_state=random_state)
    return X, y.astype(np.int64)


def make_eight_gaussians(
    n_samples: int = 1000,
    *,
    noise: float = 0.5 / np.sqrt(2),
    random_state: RandomState = None,
) -> Sample:
    r"""Eight round Gaussians on a circle of radius :math:`4/\sqrt 2`, in three classes.

    Around the circle their classes are 0, 1, 2, 0, 1, 2, 0, 1, so that no class is unimodal.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows n, divided equally among the Gaussians.
    noise : float, default=0.5 / sqrt(2)
        Standard deviation of each Gaussian; neighboring centers are 2.16 apart.
    random_state : int, RandomState or None, default=None
        Seed of the draw.

    Returns
    -------
    X : ndarray of shape (n, 2)
    y : ndarray of shape (n,), int64
        Codes 0, 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.datasets import make_eight_gaussians
    >>> X, y = make_eight_gaussians(120, random_state=0)
    >>> X.shape, np.bincount(y).tolist()
    ((120, 2), [45, 45, 30])
    """
    from sklearn.utils import check_random_state

    _check_sample(n_samples, noise)
    rng = check_random_state(random_state)
    component = rng.permutation(np.arange(n_samples) % 8)
    angle = component * (2 * np.pi / 8)
    centers = 4 / np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    X = centers + noise * rng.standard_normal((n_samples, 2))
    return X, (component % 3).astype(np.int64)


def make_pinwheel(
    n_samples: int = 1000,
    *,
    n_arms: int = 5,
    noise: float = 0.1,
    radial_std: float = 0.3,
    rate: float = 0.25,
    random_state: RandomState = None,
) -> Sample:
    """Arms of a pinwheel, one class each (Johnson et al. 2016, figure 1).

    Each arm is a Gaussian around radius 1, rotated by the arm's angle plus ``rate * exp(radius)``.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows n, divided equally among the arms.
    n_arms : int, default=5
        Number of arms and classes.
    noise : float, default=0.1
        Standard deviation across an arm.
    radial_std : float, default=0.3
        Standard deviation along an arm.
    rate : float, default=0.25
        How strongly the arms are twisted.
    random_state : int, RandomState or None, default=None
        Seed of the draw.

    Returns
    -------
    X : ndarray of shape (n, 2)
    y : ndarray of shape (n,), int64
        The arm, 0..n_arms-1.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.datasets import make_pinwheel
    >>> X, y = make_pinwheel(120, random_state=0)
    >>> X.shape, np.bincount(y).tolist()
    ((120, 2), [24, 24, 24, 24, 24])
    """
    from sklearn.utils import check_random_state

    _check_sample(n_samples, noise)
    if n_arms < 1:
        raise ValueError(f"n_arms must be at least 1, got {n_arms}.")
    rng = check_random_state(random_state)
    arm = rng.permutation(np.arange(n_samples) % n_arms)
    along = 1 + radial_std * rng.standard_normal(n_samples)
    across = noise * rng.standard_normal(n_samples)
    angle = arm * (2 * np.pi / n_arms) + rate * np.exp(along)
    cos, sin = np.cos(angle), np.sin(angle)
    X = np.stack([along * cos - across * sin, along * sin + across * cos], axis=1)
    return X, arm.astype(np.int64)


def _check_sample(n_samples: int, noise: float) -> None:
    if n_samples < 1:
        raise ValueError(f"n_samples must be at least 1, got {n_samples}.")
    if not noise >= 0:
        raise ValueError(f"noise is a standard deviation and must be >= 0, got {noise}.")
