"""Images as a kind of rows: multi-scale flows, random views, a start from some of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from flowssl._typing import Floats
from flowssl._views import Views, named_views
from flowssl.bijections import Chain
from flowssl.bijections.images import Shape
from flowssl.estimators._building import likelihood_terms
from flowssl.estimators._domain import Domain, FlowInit
from flowssl.estimators._fitting import MAX_EPOCHS, Automatic, Preparation, noisy_latents
from flowssl.estimators._rows import Rows
from flowssl.image_architectures import (
    IMAGE_ARCHITECTURES,
    build_image_flow,
    check_image,
    train_in_bfloat16,
)
from flowssl.initialization import RowLimits, SoftLabels, propagate
from flowssl.initialization.network import NetworkCandidate
from flowssl.models import JointModel
from flowssl.objectives import Consistency, CrossEntropy, Likelihood, Objective, PseudoLabels
from flowssl.preprocessing import ImageEncoder, Pixels, TableEncoder
from flowssl.preprocessing.image_encoder import level_centers
from flowssl.training import resolve_device, seeded

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier


START_ROWS = 2_000
"""Images from which the linear maps start."""

MEANS_ROWS = 4_000
"""Unlabeled images whose latents the class means start from, and refit_class_density at."""

PROPAGATED_ROWS = 6_000
"""Unlabeled images that take part in the start."""

NETWORK_STEPS = 900
"""Steps of the network that is one candidate of the start; fewer where the flow takes fewer."""

RAMP = 0.3
"""Share of the training in which consistency grows linearly."""

VIEWS_SHARE = 0.5
"""Share of the soft labels' cross-entropy that looks at views.

Digits gain by views; of clothes a short training loses with views alone what the start knew.
"""

STEPS = 3600
"""Optimizer steps of an automatic training: flows of images need more, smaller ones."""

MIN_EPOCHS = 3

BATCH = 96
LEARNING_RATE = 2e-3

MEANS_RATE = 10.0
"""Rate of the class means relative to it: the flow moves the latents of a class faster."""

EVALUATION_ROWS = 512


class ImageDomain(Domain):
    """Images of 8-bit levels.

    Parameters
    ----------
    image_shape : array-like of int
        Channels, height and width.
    views : {"translate", "translate-flip"}, callable or None
        Random views that training looks at.
    draws : int
        Fixed draws within the levels at prediction; 0 takes the center.
    max_epochs : int or "auto"
        Passes of the training; the network of the start takes no more steps than them.
    device : str
        Where that network is trained.

    Raises
    ------
    ValueError
        If the shape is not three positive whole numbers.
    """

    max_held_out = 2_000  # convolutions cost more than what further ones would tell
    cross_entropy_weight = 1.0  # with 3, samples are no longer recognized
    gathers_classes = False  # the deepest scale comes first
    settling_rows = MEANS_ROWS
    settling_share = 0.0

    def __init__(
        self,
        image_shape: object,
        views: str | Callable[..., object] | None,
        draws: int,
        max_epochs: int | str,
        device: str,
    ) -> None:
        self.shape = _checked_shape(image_shape)
        self.perturb = named_views(views, self.shape)
        self.dequantize = Views(self.shape, ())
        self.draws = draws
        self.max_epochs = max_epochs
        self.device = device

    def encoder(self) -> ImageEncoder:
        """Return an encoder of images of this shape."""
        return ImageEncoder(self.shape)

    def completion(self, encoder: TableEncoder | ImageEncoder, matrix: Floats) -> Pixels:
        """Find the principal axes of the images."""
        return Pixels.fit(matrix, self.draws)

    def read_completion(self, arrays: Mapping[str, NDArray[np.generic]]) -> Pixels:
        """Rebuild the principal axes of the images."""
        return Pixels.from_arrays(arrays, self.draws)

    def propagate(self, filled: Floats, rows: Rows, prior: Floats | None, seed: int) -> SoftLabels:
        """Pool what principal components tell with a network trained on the labels, in views."""
        images = torch.from_numpy(level_centers(rows.matrix)).reshape(-1, *self.shape)
        steps = NETWORK_STEPS
        if not isinstance(self.max_epochs, str):
            steps = min(steps, self.max_epochs * math.ceil(len(rows.matrix) / BATCH))
        network = NetworkCandidate(
            images, rows.n_classes, self.perturb, steps, seed, resolve_device(self.device)
        )
        return propagate(
            filled,
            rows.codes,
            rows.n_classes,
            class_prior=prior,
            sample_weight=rows.weight,
            limits=RowLimits(unlabeled=PROPAGATED_ROWS, reference=None),
            extra=[network],
            random_state=seed,
        )

    def automatic(self, n_rows: int, dim: int) -> Automatic:
        """Take many small steps and no noise but that of the views."""
        return Automatic(
            steps=STEPS,
            min_epochs=MIN_EPOCHS,
            min_steps_per_epoch=STEPS // MAX_EPOCHS,
            batch_size=BATCH,
            labeled_fraction=0.5,
            learning_rate=LEARNING_RATE,
            means_rate=MEANS_RATE,
            noise=0.0,
            evaluation_rows=EVALUATION_ROWS,
        )

    def check(self, architecture: str) -> None:
        """Refuse sides that the preset's squeezes do not divide, and other channels than 1 or 3."""
        check_image(_preset(architecture), self.shape)

    def start_flow(
        self, name: str, prepared: Preparation, groups: Floats | None, generator: torch.Generator
    ) -> FlowInit:
        """Begin with linear maps from some images; others start the classes."""
        name = _preset(name)
        architecture = IMAGE_ARCHITECTURES[name]
        seed = generator.initial_seed()
        chosen = np.random.default_rng(seed).permutation(len(prepared.z))[:START_ROWS]
        with seeded(seed):
            x = self.dequantize(torch.from_numpy(prepared.z[chosen]).float())
        # A stream of its own: the class part does not depend on how much a preset draws.
        generator = torch.Generator().manual_seed(seed)
        flow = build_image_flow(architecture, self.shape, x=x, generator=generator)
        train_in_bfloat16(flow)
        index = prepared.labeled_and_others(MEANS_ROWS, seed)
        latents = noisy_latents(
            flow, prepared.z[index], self.dequantize, at_once=EVALUATION_ROWS, seed=seed
        )
        share, codes = prepared.share[index], prepared.rows.codes[index]
        return FlowInit(name, flow, latents.double().numpy(), share, codes)

    def blank_flow(self, name: str, dim: int) -> Chain:
        """Build the flow without images to start from."""
        return build_image_flow(check_image(name, self.shape), self.shape)

    def n_class_features(self, start: FlowInit) -> int:
        """Take a quarter of the deepest scale at least: its first channels.

        Wider ones cost likelihood and time, and in the paper accuracy (Atanov et al. 2019, table
        3).
        """
        deepest = math.prod(IMAGE_ARCHITECTURES[start.architecture].deepest(self.shape))
        return max(super().n_class_features(start), deepest // 4)

    def n_gaussian_features(self, start: FlowInit) -> int:
        """Let classes differ where those of a semi-conditional flow do, at the deepest scale.

        There a number stands for much of the image. In the others, each tells of one place, and
        hundreds of them, counted as if they were independent, would make the start sure of errors.
        """
        return self.n_class_features(start)

    def objective(
        self, estimator: FlowClassifier, model: JointModel, prepared: Preparation, noise: float
    ) -> Objective:
        """Fit the density of the images; views teach what does not change a class.

        A density of moved images would be blurred, and its samples are. With "soft-labels" the
        soft labels of the start stand in a cross-entropy only, half of it of the images and half
        of their views, beside pseudo-labels that grow. Otherwise these are the paper's terms,
        with consistency (eq. 7). Without views an image could only agree with itself.
        """
        consistency = estimator.consistency_weight
        consistency = 1.0 if isinstance(consistency, str) else consistency
        moved = bool(self.perturb.views)
        if not moved:
            consistency = 0.0
        weight = self.class_weight(estimator, prepared.z.shape[1])
        if estimator.objective != "soft-labels":
            terms = likelihood_terms(estimator, weight, of_view=moved)
            if consistency:
                terms.append(Consistency(model.class_density.log_prior, consistency, ramp=RAMP))
        else:
            terms = [Likelihood()]
            if weight:
                of_views = VIEWS_SHARE * weight if moved else 0.0
                terms.append(CrossEntropy(weight - of_views))
                if moved:
                    terms.append(CrossEntropy(of_views, of_view=True))
                if consistency:
                    terms.append(PseudoLabels(consistency * weight, ramp=RAMP))
        return Objective(terms, self.perturb, noise=self.dequantize)


def _preset(name: str) -> str:
    """Return the preset that "auto" stands for."""
    return "small" if name == "auto" else name


def _checked_shape(value: object) -> Shape:
    """Return a user's ``image_shape`` as a tuple (channels, height, width)."""
    sides = np.asarray(value)
    if sides.shape != (3,) or sides.dtype.kind not in "iu" or (sides < 1).any():
        raise ValueError(
            f"image_shape must be (channels, height, width), such as (1, 28, 28); got {value!r}"
        )
    channels, height, width = (int(side) for side in sides)
    return channels, height, width
