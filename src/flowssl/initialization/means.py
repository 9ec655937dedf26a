"""Initial class means and the initial affine map of a flow.

Soft labels give a whitening map (`fit_whitening`) and the Gaussians of the classes
(`component_means`); labeled latent rows give the means of FlowGMM's appendix B (`latent_means`);
without any data, as in that paper's experiments, means are random (`random_means`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from flowssl._spans import SpanMatrix
from flowssl._typing import Floats, Integers
from flowssl.initialization.spaces import oas_shrinkage

TABULAR_DISTANCE = 7.5
"""Distance of two random class means in the published runs of FlowGMM on tables."""


@dataclass(frozen=True)
class Whitening:
    """The affine map z = (x - mean) whitening^T, with unit pooled within-class covariance.

    Attributes
    ----------
    mean : ndarray of shape (D,)
        Weighted mean of the rows.
    deviations : SpanMatrix
        Square root of the covariance within the classes. With fewer rows than columns the rows
        span its directions.
    """

    mean: Floats
    deviations: SpanMatrix

    @property
    def whitening(self) -> Floats:
        """The map's symmetric matrix (D, D)."""
        return self.deviations.inverse()

    @property
    def unwhitening(self) -> Floats:
        """Its inverse (D, D)."""
        return self.deviations.matrix()


def fit_whitening(
    X: Floats,
    posteriors: Floats,
    *,
    shrinkage: float | None = None,
    sample_weight: Floats | None = None,
) -> Whitening:
    """Fit the whitening map of the pooled within-class covariance.

    Parameters
    ----------
    X : ndarray of shape (n, D)
        Finite rows.
    posteriors : ndarray of shape (n, C)
        Soft labels: class probabilities of the rows.
    shrinkage : float in [0, 1] or None, default=None
        Weight of the spherical target in the covariance. None takes oracle approximating shrinkage
        (Chen et al., 2010), with which there may be fewer rows than columns.
    sample_weight : ndarray of shape (n,) or None, default=None
        Row weights; ones by default.

    Returns
    -------
    Whitening

    Raises
    ------
    ValueError
        If the numbers of rows differ or `shrinkage` is outside [0, 1].
    """
    if len(X) != len(posteriors):
        raise ValueError(f"X has {len(X)} rows but posteriors has {len(posteriors)}.")
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage is {shrinkage}; give a number from 0 to 1, or None.")
    n, D = X.shape
    w = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    P = posteriors * (w / w.sum())[:, None]
    mass = P.sum(axis=0)
    mean = P.sum(axis=1) @ X
    centered = X - mean
    basis = None
    if n < D:  # nothing varies outside the span of the rows: n columns instead of D
        basis, triangle = np.linalg.qr(centered.T)
        centered = triangle.T
    means = P.T @ centered / np.maximum(mass, np.finfo(float).tiny)[:, None]
    S = (centered * P.sum(axis=1)[:, None]).T @ centered - (means * mass[:, None]).T @ means
    amount = oas_shrinkage(S, n, D) if shrinkage is None else shrinkage
    variance = float(np.trace(S)) / D
    S = (1 - amount) * S + amount * variance * np.eye(len(S))
    values, vectors = np.linalg.eigh(S)
    # Directions without variance inside the classes keep a finite scale.
    least = 1e-8 * variance if variance > 0 else 1.0
    root = np.sqrt(np.maximum(values, least))
    directions = vectors if basis is None else basis @ vectors
    rest = float(np.sqrt(max(amount * variance, least)))
    return Whitening(mean, SpanMatrix(directions, root, rest))


def component_means(
    Z: Floats,
    mass: Floats,
    n_components: int = 1,
    rng: np.random.Generator | None = None,
) -> tuple[Floats, Floats]:
    """Place the Gaussians of each class: at its weighted mean, or several by weighted k-means.

    Parameters
    ----------
    Z : ndarray of shape (n, D)
        Latent rows.
    mass : ndarray of shape (n, C)
        Soft labels times row weights; each class needs some mass.
    n_components : int, default=1
        Number of Gaussians per class, M.
    rng : numpy.random.Generator or None, default=None
        Source of the initial centers of k-means; not used if M is 1.

    Returns
    -------
    means : ndarray of shape (C, M, D)
    weights : ndarray of shape (C, M)
        Fraction of the class in each Gaussian.
    """
    rng = np.random.default_rng(rng)
    means, weights = [], []
    for of_class in mass.T:
        if n_components == 1:
            means.append((of_class @ Z / of_class.sum())[None])
            weights.append(np.ones(1))
            continue
        clusters = KMeans(n_components, n_init=1, random_state=int(rng.integers(2**31 - 1)))
        # A small weight for all rows, so that k-means has enough distinct points for its centers.
        clusters.fit(Z, sample_weight=of_class + 1e-9 * of_class.max())
        in_cluster = np.bincount(clusters.labels_, of_class, minlength=n_components)
        means.append(clusters.cluster_centers_)
        weights.append(in_cluster / in_cluster.sum())
    return np.stack(means), np.stack(weights)


def latent_means(Z: Floats, codes: Integers, n_classes: int) -> Floats:
    """Means (C, D) of the labeled latent rows of each class (Izmailov et al. 2020, appendix B).

    Classes without a labeled row get the mean of all labeled rows.

    Parameters
    ----------
    Z : ndarray of shape (n, D)
        Latent rows.
    codes : ndarray of shape (n,)
        Class of each row, -1 for unlabeled.
    n_classes : int
        Number of classes C.

    Raises
    ------
    ValueError
        If no row is labeled.
    """
    labeled = codes >= 0
    if not labeled.any():
        raise ValueError("No row is labeled: at least one code must be 0 or more.")
    center = Z[labeled].mean(axis=0)
    return np.stack(
        [Z[codes == k].mean(axis=0) if (codes == k).any() else center for k in range(n_classes)]
    )


def random_means(
    n_classes: int, dim: int, rng: np.random.Generator, *, distance: float | None = None
) -> Floats:
    """Random class means (C, D) from N(0, I), or two at a given distance (Izmailov et al. 2020).

    Parameters
    ----------
    n_classes, dim : int
        Number of classes C and of latents D.
    rng : numpy.random.Generator
        Source of the means.
    distance : float or None, default=None
        With two classes, place them this far apart in a random direction, symmetric about the
        origin; the published runs on tables have `TABULAR_DISTANCE` = 7.5. None draws from N(0, I).

    Raises
    ------
    ValueError
        If `distance` is given for other than two classes.
    """
    if distance is None:
        return rng.standard_normal((n_classes, dim))
    if n_classes != 2:
        raise ValueError(f"distance places two classes, not {n_classes}; leave it out.")
    direction = rng.standard_normal(dim)
    direction *= distance / (2 * np.linalg.norm(direction))
    return np.stack([-direction, direction])
