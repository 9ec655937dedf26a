"""Bits per dimension of images: the papers' bound, a tighter one, and the value at level centers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.special import logsumexp

from flowssl._isolation import isolated
from flowssl.preprocessing import Pixels, bits_per_dimension

if TYPE_CHECKING:
    from flowssl._typing import Floats
    from flowssl.estimators.base import FlowClassifier
    from flowssl.preprocessing.containers import TableLike

DRAWS = 16
"""Dequantizations of each image; a smooth density varies little between them."""

MAX_IMAGES = 250
"""Images that are evaluated at most: each takes ``DRAWS + 1`` passes through the flow."""


@dataclass(frozen=True)
class ImageBits:
    """Mean bits per dimension of discrete images, from three readings of one density.

    The probability of an image v is the density integrated over the intervals of its pixel values,
    ``P(v) = E_u p(v + u)`` with u uniform in [0, 1)^D. Both ``expected`` and ``averaged`` bound
    ``-log2 P(v) / D`` from above (Theis et al. 2016, section 3.1); lower is better.

    Attributes
    ----------
    expected : float
        From ``E_u log p(v + u)``, estimated without bias: the bound that papers on flows state.
    averaged : float
        From ``log mean_u p(v + u)`` over the same draws: never above ``expected``, on average
        still an upper bound, and tighter the more draws there are (Burda et al. 2016, theorem 1).
    centers : float
        From ``log p(v + 1/2)``, the density at the centers of the levels: neither a bound nor
        unbiased, and lower than what papers state. ``score_samples`` takes it by default.
    standard_error : float
        Standard error of ``expected``, over the images and their draws.
    n_images, n_draws : int
        Images that were evaluated, and dequantizations of each.

    Examples
    --------
    >>> from flowssl.inspection import ImageBits
    >>> print(ImageBits(1.71, 1.64, 1.52, 0.02, n_images=250, n_draws=16))
    1.71 (E_u log p; .02 standard error), 1.64 (log of the mean of 16 draws), 1.52 (at level centers)
    """

    expected: float
    averaged: float
    centers: float
    standard_error: float
    n_images: int
    n_draws: int

    def __str__(self) -> str:
        error = f"{self.standard_error:.2f}".lstrip("0")
        return (
            f"{self.expected:.2f} (E_u log p; {error} standard error), {self.averaged:.2f} (log of "
            f"the mean of {self.n_draws} draws), {self.centers:.2f} (at level centers)"
        )


@isolated()
def image_bits(
    estimator: FlowClassifier,
    X: TableLike,
    *,
    draws: int = DRAWS,
    max_images: int | None = MAX_IMAGES,
    random_state: int = 0,
) -> ImageBits:
    """Measure the bits per dimension of images under a fitted classifier.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted on images.
    X : array-like of images
        Of the form that ``estimator.fit`` takes; held-out ones for a figure to compare.
    draws : int, default=16
        Dequantizations of each image, at least 1.
    max_images : int or None, default=250
        Of more images, so many random ones are evaluated, because each takes ``draws + 1`` passes
        through the flow; None evaluates all.
    random_state : int, default=0
        Seed of the draws and of the choice of images.

    Returns
    -------
    ImageBits

    Raises
    ------
    ValueError
        If the classifier was not fitted on images, or there are no draws or no images.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.inspection import image_bits
    >>> X, y = load_digits().images[:200] / 16, load_digits().target[:200]
    >>> model = FlowGMMClassifier(images=(1, 8, 8), max_epochs=1, random_state=0)
    >>> bits = image_bits(model.fit(X[:150], y[:150]), X[150:])
    >>> bits.averaged < bits.expected < 8
    True
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    rng = np.random.default_rng(random_state)
    matrix = _chosen_images(estimator, X, max_images, rng)
    centers, drawn = _log_probs(estimator, matrix, draws, rng)
    averaged = logsumexp(drawn, axis=0) - math.log(draws)
    n, dim = matrix.shape
    expected = bits_per_dimension(drawn.mean(axis=0), dim)
    return ImageBits(
        expected=float(expected.mean()),
        averaged=float(bits_per_dimension(averaged, dim).mean()),
        centers=float(bits_per_dimension(centers, dim).mean()),
        standard_error=float(expected.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan,
        n_images=n,
        n_draws=draws,
    )


def _chosen_images(
    estimator: FlowClassifier, X: TableLike, max_images: int | None, rng: np.random.Generator
) -> Floats:
    """Return the pixel values (n, D) of random images, or of all if they are few."""
    encoder = estimator.encoder_
    if encoder.row_kind != "image":
        raise ValueError(
            f"bits per dimension are those of images, and the model is one of {encoder.row_kind} "
            "rows; use score_samples"
        )
    matrix = encoder.transform(X)
    if not len(matrix):
        raise ValueError("there are no images to measure bits per dimension of")
    if max_images is not None and len(matrix) > max_images:
        matrix = matrix[rng.permutation(len(matrix))[:max_images]]
    return matrix


def _log_probs(
    estimator: FlowClassifier, matrix: Floats, draws: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the log-density of images (n, D) at the level centers (n,), and of draws (draws, n)."""
    pixels = cast(Pixels, estimator.completion_)
    at_centers = Pixels(pixels.mean, pixels.components, draws=0)
    density = replace(estimator.density_, completion=at_centers)

    def log_prob(values: Floats) -> Floats:
        """Return the log-density half a level above each value, where its center is."""
        return np.asarray(logsumexp(density.log_joint(values), axis=1))

    drawn = [log_prob(pixels.sampled(matrix, rng) - 0.5) for _ in range(draws)]
    return log_prob(matrix), np.stack(drawn)
