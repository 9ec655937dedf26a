"""From canonical rows and a start to what the training loop takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from flowssl.estimators._rows import Rows
from flowssl.preprocessing import Completion, Pixels
from flowssl.training import TrainingConfig, TrainingRows

__all__ = ["Preparation", "component_means", "prepare", "training_config", "training_rows"]

Floats = NDArray[np.float64]

MIN_HELD_OUT = 10
"""Rows below which none is held out: a mean over fewer says nothing."""

MAX_HELD_OUT_IMAGES = 2_000
"""Images held out at most: convolutions cost more than what further ones would tell."""

COPIES_WITH_HOLES = 4
"""Random completions of each training row when rows have missing numbers or categories."""

STEPS = 1000
"""Optimizer steps of an automatic training, as far as the bounds on epochs allow."""

LEARNING_RATE = 5e-3
IMAGE_LEARNING_RATE = 2e-3

IMAGE_STEPS = 6000
IMAGE_BATCH = 96
IMAGE_EVALUATION_ROWS = 512
"""The same for images, whose flows need more, smaller steps."""

MIN_STEPS_PER_EPOCH = 20
MIN_EPOCHS, MAX_EPOCHS = 10, 40
PATIENCE = 10

MAX_NOISE = 0.3


@dataclass(frozen=True)
class Preparation:
    """What training needs besides a model.

    Attributes
    ----------
    z : ndarray of shape (n, D), float64, or float32 for images
        Distinct training rows in standardized units, holes filled by their typical values; of
        images the centers of the levels, in float32.
    targets : ndarray of shape (n, C)
        Soft labels; one-hot for labeled rows.
    rows : Rows
        The rows they belong to.
    held_out : ndarray of shape (n,), bool
        Unlabeled rows that are not trained on.
    """

    z: Floats
    targets: Floats
    rows: Rows
    held_out: NDArray[np.bool_]


def prepare(
    completion: Completion | Pixels, rows: Rows, posteriors: Floats, early_stopping: bool, seed: int
) -> Preparation:
    """Put the soft labels on the rows and hold some of the unlabeled ones out."""
    labeled = rows.labeled
    targets = np.where(labeled[:, None], rows.one_hot(), posteriors)
    unlabeled = np.flatnonzero(~labeled)
    held_out = np.zeros(len(labeled), dtype=bool)
    # A tenth; of small tables more, as 30 rows are the least that tell one epoch from another.
    n_held_out = max(len(unlabeled) // 10, min(len(unlabeled) // 4, 30))
    if isinstance(completion, Pixels):
        n_held_out = min(n_held_out, MAX_HELD_OUT_IMAGES)
    if early_stopping and n_held_out >= MIN_HELD_OUT:
        held_out[np.random.default_rng(seed).choice(unlabeled, n_held_out, replace=False)] = True
    return Preparation(completion.typical(rows.matrix), targets, rows, held_out)


def training_rows(
    completion: Completion | Pixels, prepared: Preparation, seed: int
) -> tuple[TrainingRows, TrainingRows]:
    """Return the rows to train on and the rows to stop by.

    The second are the held-out unlabeled rows and the labeled ones, or all rows where none is held
    out. Rows with holes are trained on in several random completions.
    """
    rows, held_out = prepared.rows, prepared.held_out
    rng = np.random.default_rng(seed)
    has_holes = completion.has_holes(rows.matrix)
    copies = [
        completion.sampled(rows.matrix, rng) if has_holes else prepared.z
        for _ in range(COPIES_WITH_HOLES if has_holes else 1)
    ]
    trained = np.flatnonzero(~held_out)
    judged = np.flatnonzero(held_out | rows.labeled) if held_out.any() else trained
    return (
        _stack(prepared, [z[trained] for z in copies], trained),
        _stack(prepared, [copies[0][judged]], judged),
    )


def _stack(prepared: Preparation, copies: list[Floats], index: NDArray[np.int64]) -> TrainingRows:
    repeated = np.tile(index, len(copies))
    weight = prepared.rows.weight / prepared.rows.weight.mean()
    return TrainingRows(
        torch.from_numpy(np.concatenate(copies)).float(),
        torch.from_numpy(prepared.targets[repeated]).float(),
        torch.from_numpy(prepared.rows.labeled[repeated]),
        torch.from_numpy(weight[repeated]).float(),
    )


def automatic_noise(n_rows: int, dim: int) -> float:
    """Return ``sqrt(1.5 D / n)``, at most 0.3: the fewer rows per column, the more noise.

    Covariances estimated from n rows are wrong by a share of about D / n. Noise of that variance
    does to a flow what shrinkage of that size does to a covariance.
    """
    return min(MAX_NOISE, math.sqrt(1.5 * dim / n_rows))


def training_config(
    prepared: Preparation,
    *,
    max_epochs: int | str,
    batch_size: int | str,
    labeled_share: float | str | None,
    learning_rate: float | str,
    weight_decay: float,
    noise: float | str,
    early_stopping: bool,
    seed: int,
    device: str,
    images: bool = False,
) -> TrainingConfig:
    """Resolve what is left to "auto" from the number of rows and their kind."""
    n = int((~prepared.held_out).sum())
    automatic = IMAGE_BATCH if images else 256 if n < 20_000 else 512
    size = min(batch_size if isinstance(batch_size, int) else automatic, n)
    least = IMAGE_STEPS // MAX_EPOCHS if images else MIN_STEPS_PER_EPOCH
    steps = max(least, math.ceil(n / size))
    if isinstance(max_epochs, int):
        epochs = max_epochs
    else:
        wanted = math.ceil((IMAGE_STEPS if images else STEPS) / steps)
        epochs = min(MAX_EPOCHS, max(MIN_EPOCHS, wanted))
    if isinstance(labeled_share, str):
        labeled_share = 0.5 if images else None
    if isinstance(learning_rate, str):
        learning_rate = IMAGE_LEARNING_RATE if images else LEARNING_RATE
    if isinstance(noise, str):
        noise = 0.0 if images else automatic_noise(n, prepared.z.shape[1])
    return TrainingConfig(
        max_epochs=epochs,
        steps_per_epoch=steps,
        batch_size=size,
        labeled_share=labeled_share,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        noise=noise,
        patience=PATIENCE if early_stopping else epochs,
        seed=seed,
        device=device,
        evaluation_rows=IMAGE_EVALUATION_ROWS if images else TrainingConfig.evaluation_rows,
    )


def component_means(
    latents: Floats, share: Floats, n_components: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Place the Gaussians of each class by weighted k-means.

    Parameters
    ----------
    latents : ndarray of shape (n, D)
        Latents of all rows.
    share : ndarray of shape (n, C)
        How much of each row belongs to each class.
    n_components : int
        Gaussians M in a class.
    rng : Generator
        Source of randomness.

    Returns
    -------
    means : ndarray of shape (C, M, D)
    weights : ndarray of shape (C, M)
        Shares of the Gaussians in their class.
    """
    means, weights = [], []
    for of_class in share.T:
        if n_components == 1:
            means.append((of_class @ latents / of_class.sum())[None])
            weights.append(np.ones(1))
            continue
        clusters = KMeans(n_components, n_init=1, random_state=int(rng.integers(2**31 - 1)))
        # Rows that hardly belong to a class still give k-means enough points to start from.
        clusters.fit(latents, sample_weight=of_class + 1e-9 * of_class.max())
        mass = np.bincount(clusters.labels_, weights=of_class, minlength=n_components)
        means.append(clusters.cluster_centers_)
        weights.append(mass / mass.sum())
    return np.stack(means), np.stack(weights)
