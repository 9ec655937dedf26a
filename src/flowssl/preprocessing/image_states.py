"""How usual the summary statistics of an image are: a density of states, without a flow.

The likelihood of a flow of images follows how smooth an image is more than what it shows: simple
images of another kind are likelier than those it was trained on (Izmailov et al. 2020, appendix F;
Nalisnick et al. 2019). Morningstar et al. (2021, section 3) therefore model the joint density of
several statistics on usual images and call an image unusual where that density is low: too smooth is
then as unusual as too rough. The statistics here are those on which likelihoods depend most: distance
from the mean image and from the training images' principal subspace, brightness, contrast, and the
differences between neighboring pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from flowssl._records import TensorKind, check_arrays
from flowssl._typing import Floats
from flowssl.exceptions import ModelFileError

N_STATISTICS = 8

MAX_COMPONENTS = 4
"""Gaussians of the mixture; with one, clothes turned by 90 degrees are told apart less well."""

ROWS_PER_COMPONENT = 200
"""Images for each Gaussian at least: it has 44 parameters."""

ROWS_AT_ONCE = 1_000

AXES_FRACTION = 0.25
"""Principal axes of the subspace at most, per pixel: nothing is far from one of all dimensions."""

LEAST_SPREAD = 1e-6
"""Statistics whose standard deviation is below, in images that all agree, differ by rounding."""

LEAST_VARIANCE = 1e-3
"""Added to the variances of standardized statistics: one that is constant must not decide alone."""


def image_statistics(
    matrix: Floats, shape: tuple[int, int, int], mean: Floats, components: Floats
) -> Floats:
    """Summarize images by eight numbers.

    Parameters
    ----------
    matrix : ndarray of shape (n, D)
        Pixel values 0 to 255.
    shape : tuple of int
        Channels, height and width.
    mean, components : ndarray of shape (D,) and (K, D)
        Mean and orthonormal principal axes of the training images.

    Returns
    -------
    ndarray of shape (n, 8)
        ``log(1 + .)`` of the squared distance from the mean and from the principal subspace, mean,
        ``log(1 + .)`` of the standard deviation, and of vertical and horizontal differences of
        neighbors ``log(1 + mean |d|)`` and ``mean log(1 + |d|)``. The last is nearly the length of
        a code of the differences (Serra et al. 2020 take that of PNG files, which depends on the
        version of a library).

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.preprocessing.image_states import image_statistics
    >>> image = np.array([[0.0, 0.0, 7.0, 7.0]])
    >>> image_statistics(image, (1, 2, 2), np.zeros(4), np.eye(4)[:2]).round(2).tolist()
    [[4.6, 4.6, 3.5, 1.5, 2.08, 2.08, 0.0, 0.0]]
    """
    x = np.asarray(matrix, dtype=np.float64)
    centered = x - mean
    total = (centered**2).sum(axis=1)
    axes = components[: max(1, int(AXES_FRACTION * len(mean)))]
    residual = np.maximum(total - ((centered @ axes.T) ** 2).sum(axis=1), 0.0)
    images = x.reshape(-1, *shape)
    columns = [np.log1p(total), np.log1p(residual), x.mean(axis=1), np.log1p(x.std(axis=1))]
    for axis in (2, 3):
        steps = np.abs(np.diff(images, axis=axis)).reshape(len(x), -1)
        if steps.shape[1]:
            columns += [np.log1p(steps.mean(axis=1)), np.log1p(steps).mean(axis=1)]
        else:  # images of one row or column
            columns += [np.zeros(len(x))] * 2
    return np.stack(columns, axis=1)


@dataclass(frozen=True)
class ImageStates:
    """A mixture of Gaussians of the statistics of usual images.

    Attributes
    ----------
    shape : tuple of int
        Channels, height and width of the images.
    center, scale : ndarray of shape (S,)
        Mean and standard deviation by which statistics are standardized.
    weights, means, covariances : ndarray of shape (K,), (K, S) and (K, S, S)
        The mixture of standardized statistics.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.preprocessing.image_states import ImageStates
    >>> images = np.random.default_rng(0).uniform(0, 255, (300, 16))
    >>> mean, axes = np.full(16, 127.5), np.eye(16)[:2]
    >>> states = ImageStates.fit(images, (1, 4, 4), mean, axes)
    >>> usual, blank = states.unusual(np.stack([images[0], mean]), mean, axes)
    >>> bool(usual < blank)
    True
    """

    shape: tuple[int, int, int]
    center: Floats
    scale: Floats
    weights: Floats
    means: Floats
    covariances: Floats

    @classmethod
    def fit(
        cls, matrix: Floats, shape: tuple[int, int, int], mean: Floats, components: Floats
    ) -> Self:
        """Fit the mixture to usual images, other than those whose axes these are.

        Parameters
        ----------
        matrix, shape, mean, components
            As in `image_statistics`; few images lie nearer to their own principal subspace than
            others do.
        """
        statistics = image_statistics(matrix, shape, mean, components)
        center, scale = statistics.mean(axis=0), statistics.std(axis=0)
        scale = np.where(scale > LEAST_SPREAD, scale, 1.0)
        n_components = min(MAX_COMPONENTS, max(1, len(statistics) // ROWS_PER_COMPONENT))
        mixture = GaussianMixture(n_components, reg_covar=LEAST_VARIANCE, random_state=0)
        rows = (statistics - center) / scale
        mixture.fit(rows if len(rows) > 1 else np.repeat(rows, 2, axis=0))  # it refuses one row
        return cls(shape, center, scale, mixture.weights_, mixture.means_, mixture.covariances_)

    def unusual(self, matrix: Floats, mean: Floats, components: Floats) -> Floats:
        """Return minus the log-density of images' standardized statistics, shape (n,), nats."""
        parts = np.array_split(matrix, max(1, len(matrix) // ROWS_AT_ONCE))
        return np.concatenate(
            [self._energy(image_statistics(part, self.shape, mean, components)) for part in parts]
        )

    def _energy(self, statistics: Floats) -> Floats:
        rows = (statistics - self.center) / self.scale
        log_joint = [
            np.log(weight) + multivariate_normal.logpdf(rows, mean, covariance).reshape(len(rows))
            for weight, mean, covariance in zip(
                self.weights, self.means, self.covariances, strict=True
            )
        ]
        return -np.asarray(logsumexp(log_joint, axis=0))

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the fitted arrays by name."""
        mixture: dict[str, NDArray[np.generic]] = {name: getattr(self, name) for name in _KINDS}
        return mixture | {"shape": np.array(self.shape, dtype=np.int64)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], dim: int) -> Self:
        """Rebuild the mixture of images of ``dim`` pixel values from :meth:`to_arrays`.

        Raises
        ------
        ModelFileError
            If the arrays do not fit each other, or are no mixture.
        """
        sizes = {"K": len(arrays["weights"]) if "weights" in arrays else 0, "S": N_STATISTICS}
        kinds: dict[str, TensorKind] = {
            name: ("f", tuple(sizes[axis] for axis in axes)) for name, axes in _KINDS.items()
        }
        check_arrays(arrays, kinds | {"shape": ("i", (3,))}, "completion")
        mixture = {name: arrays[name].astype(np.float64) for name in kinds}
        channels, height, width = (int(side) for side in arrays["shape"])
        positive = all((mixture[name] > 0).all() for name in ("scale", "weights"))
        covariances = mixture["covariances"]
        if (
            channels * height * width != dim
            or min(channels, height, width) < 1
            or not (sizes["K"] and positive)
            or not np.allclose(covariances, covariances.swapaxes(1, 2))
            or np.linalg.eigvalsh(covariances).min() <= 0
        ):
            raise ModelFileError("its statistics of usual images are no mixture of Gaussians")
        return cls((channels, height, width), **mixture)


_KINDS = {"center": "S", "scale": "S", "weights": "K", "means": "KS", "covariances": "KSS"}
"""The tensors of a mixture of K Gaussians of S statistics, and their axes."""
