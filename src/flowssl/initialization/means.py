"""Where the class means and the first whitening of a flow come from.

Posteriors give an affine start (`fit_whitening`) and the Gaussians of the classes
(`component_means`); labeled latent rows give the means of the paper's appendix B (`latent_means`);
without any data they are random (`random_means`), the paper's recipe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from flowssl._typing import Floats, Integers
from flowssl.initialization.spaces import oas_shrinkage

TABULAR_DISTANCE = 7.5  # between two classes, as in the published tabular runs


@dataclass(frozen=True)
class Whitening:
    """An affine map z = (x - mean) whitening^T in which the classes share a unit covariance.

    Attributes
    ----------
    mean : ndarray (D,)
        Weighted mean of the rows.
    whitening : ndarray (D, D)
        Symmetric matrix; the pooled within-class covariance of z is the identity.
    unwhitening : ndarray (D, D)
        Its inverse.
    log_det : float
        log |det whitening|, nats.
    class_means : ndarray (C, D)
        Posterior-weighted class means of z.
    class_weights : ndarray (C,)
        Posterior mass of the classes, summing to one.
    """

    mean: Floats
    whitening: Floats
    unwhitening: Floats
    log_det: float
    class_means: Floats
    class_weights: Floats


def fit_whitening(
    X: Floats,
    posteriors: Floats,
    *,
    shrinkage: float | None = None,
    sample_weight: Floats | None = None,
) -> Whitening:
    """Whiten by the pooled within-class covariance and place the class means.

    Parameters
    ----------
    X : ndarray (n, D)
        Finite rows.
    posteriors : ndarray (n, C)
        Class probabilities of the rows.
    shrinkage : float in [0, 1] or None, default=None
        Weight of the spherical target in the covariance; None takes the oracle approximating
        shrinkage (Chen et al., 2010), so that fewer rows than columns work too.
    sample_weight : ndarray (n,) or None, default=None
        Row weights.

    Returns
    -------
    Whitening
        Map, its inverse and log-determinant, class means and weights.

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
    means = P.T @ centered / np.maximum(mass, np.finfo(float).tiny)[:, None]
    S = (centered * P.sum(axis=1)[:, None]).T @ centered - (means * mass[:, None]).T @ means
    amount = oas_shrinkage(S, n) if shrinkage is None else shrinkage
    level = float(np.trace(S)) / D
    S = (1 - amount) * S + amount * level * np.eye(D)
    values, vectors = np.linalg.eigh(S)
    # Directions without spread inside the classes keep a finite scale.
    values = np.maximum(values, 1e-8 * level if level > 0 else 1.0)
    root = np.sqrt(values)
    whitening = (vectors / root) @ vectors.T
    return Whitening(
        mean=mean,
        whitening=whitening,
        unwhitening=(vectors * root) @ vectors.T,
        log_det=float(-np.log(root).sum()),
        class_means=means @ whitening.T,
        class_weights=mass / mass.sum(),
    )


def component_means(
    Z: Floats, share: Floats, n_components: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Place the Gaussians of each class by weighted k-means.

    Parameters
    ----------
    Z : ndarray (n, D)
        Latent rows.
    share : ndarray (n, C)
        How much of each row's weight belongs to each class.
    n_components : int
        Gaussians a class, M.
    rng : numpy.random.Generator
        Source of k-means' first centers.

    Returns
    -------
    means : ndarray (C, M, D)
    weights : ndarray (C, M)
        Shares of the Gaussians in their class.
    """
    means, weights = [], []
    for of_class in share.T:
        if n_components == 1:
            means.append((of_class @ Z / of_class.sum())[None])
            weights.append(np.ones(1))
            continue
        clusters = KMeans(n_components, n_init=1, random_state=int(rng.integers(2**31 - 1)))
        # Rows that hardly belong to a class still give k-means enough points to start from.
        clusters.fit(Z, sample_weight=of_class + 1e-9 * of_class.max())
        mass = np.bincount(clusters.labels_, weights=of_class, minlength=n_components)
        means.append(clusters.cluster_centers_)
        weights.append(mass / mass.sum())
    return np.stack(means), np.stack(weights)


def latent_means(Z: Floats, codes: Integers, n_classes: int) -> Floats:
    """Means (C, D) of the labeled latent rows of each class (FlowGMM, appendix B).

    Classes without a labeled row get the mean of all labeled rows.

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
    """Random class means (C, D): the paper's N(0, I), or two classes at a given distance.

    Parameters
    ----------
    n_classes, dim : int
        C and D.
    rng : numpy.random.Generator
        Source of the means.
    distance : float or None, default=None
        With two classes, put them this far apart in a random direction, symmetric about the
        origin (`TABULAR_DISTANCE` = 7.5 in the published tabular runs). None draws N(0, I).

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
