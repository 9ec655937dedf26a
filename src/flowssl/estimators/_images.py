"""What estimators do otherwise with images: the flow's start, the views, and the training plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from flowssl.bijections import Chain
from flowssl.bijections.images import Shape
from flowssl.estimators._building import likelihood_terms
from flowssl.estimators._fitting import Preparation, component_means
from flowssl.estimators._rows import Rows
from flowssl.image_architectures import (
    IMAGE_ARCHITECTURES,
    build_image_flow,
    check_image,
    train_in_bfloat16,
)
from flowssl.initialization import Start, propagate
from flowssl.initialization.spaces import nearest_neighbors
from flowssl.objectives import Consistency, CrossEntropy, Likelihood, Objective, PseudoLabels, Term
from flowssl.views import Flipped, ImageView, Translated, Views

__all__ = [
    "image_flow",
    "image_latents",
    "image_means",
    "image_objective",
    "image_shape",
    "image_views",
    "propagate_images",
]

Floats = NDArray[np.float64]

START_ROWS = 2_000
"""Images from which the linear maps start."""

MEANS_ROWS = 4_000
"""Unlabeled images whose latents the class means start from."""

PROPAGATED_ROWS = 6_000
"""Unlabeled images that take part in the start."""

NEIGHBORS = 10
"""Images of the start whose soft labels another image takes, on average."""

FADE = 0.3
"""Share of the training in which soft labels fade and consistency grows, linearly both."""

PADDING = 8
"""A translation by up to an eighth of the side: 4 pixels of 28 or 32, as in the paper."""


def image_shape(value: object) -> Shape:
    """Return a user's ``image_shape`` as a tuple (channels, height, width).

    Raises
    ------
    ValueError
        If it is not three positive whole numbers.
    """
    sides = np.asarray(value)
    if sides.shape != (3,) or sides.dtype.kind not in "iu" or (sides < 1).any():
        raise ValueError(
            f"image_shape must be (channels, height, width), such as (1, 28, 28); got {value!r}"
        )
    channels, height, width = (int(side) for side in sides)
    return channels, height, width


def image_views(name: str | Callable[..., object] | None, shape: Shape) -> Views:
    """Return the random views of images that training looks at.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    moved: ImageView = Translated(max(1, round(min(shape[1:]) / PADDING)))
    if name is None:
        return Views(shape, ())
    if callable(name):
        return Views(shape, (name,))  # type: ignore[arg-type]  # the user's, by documentation
    if name == "translate":
        return Views(shape, (moved,))
    return Views(shape, (moved, Flipped()))


def propagate_images(
    components: Floats,
    rows: Rows,
    *,
    class_prior: Floats | None,
    random_state: int,
) -> Start:
    """Run :func:`flowssl.initialization.propagate` on some of the images; the others follow.

    Soft labels of images fade out, so a start from more of them would gain little, and its time
    is better spent on training.

    Parameters
    ----------
    components : ndarray of shape (n, K)
        Principal components of the images.
    rows : Rows
        The images.
    class_prior : ndarray of shape (C,) or None
        Shares of the classes, where they are given.
    random_state : int
        Source of randomness.
    """
    others = np.random.default_rng(random_state).permutation(np.flatnonzero(~rows.labeled))
    chosen = np.sort(np.concatenate((np.flatnonzero(rows.labeled), others[:PROPAGATED_ROWS])))
    start = propagate(
        components[chosen],
        rows.codes[chosen],
        rows.n_classes,
        class_prior=class_prior,
        sample_weight=rows.weight[chosen],
        random_state=random_state,
    )
    rest = others[PROPAGATED_ROWS:]
    posteriors = np.empty((len(components), rows.n_classes))
    posteriors[chosen] = start.posteriors
    if len(rest):
        scaler = StandardScaler().fit(components[chosen])
        near, _ = nearest_neighbors(
            scaler.transform(components[chosen]), NEIGHBORS, scaler.transform(components[rest])
        )
        posteriors[rest] = start.posteriors[near].mean(1)
    return replace(start, posteriors=posteriors)


def image_objective(
    objective: str,
    cross_entropy_weight: float,
    em_refresh: int,
    consistency_weight: float,
    log_prior: Callable[[], torch.Tensor],
    views: Views,
) -> Objective:
    """Return what training on views of images minimizes.

    With "soft-labels" the soft labels of the start stand in a cross-entropy only and fade out as
    pseudo-labels, which another view tells, grow. The start knows images by their principal
    components; views teach the flow more than that. Otherwise these are the paper's terms, with
    consistency (eq. 7).
    """
    terms: list[Term]
    if objective == "soft-labels":
        terms = [Likelihood()]
        if cross_entropy_weight:
            fade = FADE if consistency_weight else 0.0
            terms.append(CrossEntropy(cross_entropy_weight, fade=fade))
            if consistency_weight:
                terms.append(PseudoLabels(consistency_weight * cross_entropy_weight, ramp=FADE))
    else:
        terms = likelihood_terms(objective, cross_entropy_weight, em_refresh)
        if consistency_weight:
            terms.append(Consistency(log_prior, consistency_weight, ramp=FADE))
    return Objective(terms, views, perturb_rows=True)


def image_flow(name: str, shape: Shape, prepared: Preparation, views: Views, seed: int) -> Chain:
    """Build a flow that starts from views of the training images."""
    check_image(name, shape)
    chosen = np.random.default_rng(seed).permutation(len(prepared.z))[:START_ROWS]
    with _seeded(seed):
        x = views(torch.from_numpy(prepared.z[chosen]).float())
    generator = torch.Generator().manual_seed(seed)
    flow = build_image_flow(IMAGE_ARCHITECTURES[name], shape, x=x, generator=generator)
    train_in_bfloat16(flow)
    return flow


def image_latents(
    flow: Chain, prepared: Preparation, views: Views, seed: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Return latents of views of the labeled images and some others, and which images they are."""
    labeled = prepared.rows.labeled
    others = np.random.default_rng(seed).permutation(np.flatnonzero(~labeled))[:MEANS_ROWS]
    index = np.concatenate((np.flatnonzero(labeled), others))
    rows = torch.from_numpy(prepared.z[index]).float()
    flow.eval()
    with _seeded(seed), torch.no_grad():
        latents = torch.cat([flow(views(part))[0] for part in torch.split(rows, 500)])
    flow.train()
    return latents.double().numpy(), index


def image_means(
    latents: Floats,
    share: Floats,
    n_components: int,
    deep: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Place the Gaussians of each class; they differ in the deepest scale only.

    There a number stands for much of the image. In the others, each tells of one place, and
    hundreds of them, counted as if they were independent, would make the start sure of errors.

    Returns
    -------
    means : ndarray of shape (C, M, D)
    weights : ndarray of shape (C, M)
    """
    means, weights = component_means(latents, share, n_components, rng)
    means[:, :, deep:] = np.average(latents[:, deep:], axis=0, weights=share.sum(1))
    return means, weights


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generator, from which views draw, and hand it back untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
