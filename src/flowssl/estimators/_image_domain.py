"""Images as a kind of rows: multi-scale flows, random views, initialization from some of them."""

from __future__ import annotations

import math
from typing import ClassVar, cast

import numpy as np
import torch

from flowssl._model_file import Arrays
from flowssl._random import seeded
from flowssl._records import check_arrays
from flowssl._typing import Floats
from flowssl._views import Views, named_views
from flowssl.bijections import Chain
from flowssl.bijections.images import Shape
from flowssl.estimators._domain import Domain, FlowInit, likelihood_terms
from flowssl.estimators._preparation import Preparation, noisy_latents
from flowssl.estimators._rows import Rows
from flowssl.estimators._settings import (
    MAX_EPOCHS,
    Automatic,
    ObjectiveSettings,
    TrainingSettings,
)
from flowssl.estimators.options import ImageOptions, ObjectiveOptions
from flowssl.exceptions import ModelFileError
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
from flowssl.preprocessing import Completion, ImageEncoder, Pixels
from flowssl.preprocessing.encoders import Encoder
from flowssl.preprocessing.image_encoder import pixel_centers
from flowssl.training.devices import resolve_device

INIT_ROWS = 2_000
"""Images from which the linear maps are initialized."""

CENTER_ROWS = 4_000
"""Unlabeled images whose latents initialize the class means and, in the end, refit them."""

PROPAGATED_ROWS = 6_000
"""Unlabeled images that take part in the propagation of labels; the others follow neighbors."""

NETWORK_STEPS = 900
"""Steps of the network that is one candidate for the soft labels; no more than the flow takes."""

RAMP = 0.3
"""Fraction of the training in which consistency grows linearly."""

VIEWS_FRACTION = 0.5
"""Fraction of the soft labels' cross-entropy that is that of views.

Digits gain by views; on clothes a short training on views alone loses accuracy of the soft labels.
"""

STEPS = 3600
"""Optimizer steps of an automatic training: flows of images need more, smaller ones."""

MIN_EPOCHS = 3

BATCH = 96
LEARNING_RATE = 2e-3

CENTER_RATE = 10.0
"""Learning rate of the class centers relative to it: the flow moves a class's latents faster."""

EVALUATION_ROWS = 512


class ImageDomain(Domain):
    """Images of 8-bit pixel values.

    Parameters
    ----------
    options : ImageOptions
        Shape, views and draws within the pixel values.
    training : TrainingSettings
        Device and largest number of steps of the network that is one candidate for the soft
        labels.

    Raises
    ------
    ValueError
        If the shape is not three positive whole numbers.
    """

    row_kind: ClassVar[str] = ImageEncoder.row_kind
    max_held_out = 2_000  # convolutions on more rows cost more than they improve the stopping
    rotates_to_classes = False  # the deepest scale comes first
    refit_rows = CENTER_ROWS
    refit_fraction = 0.0

    def __init__(self, options: ImageOptions, training: TrainingSettings) -> None:
        self.image_shape = self.shape = _checked_shape(options.shape)
        self.perturb = named_views(options.views, self.shape)
        self.dequantize = Views(self.shape, ())
        self.draws = options.dequantization_draws
        self.max_epochs = training.max_epochs
        self.device = training.device

    def encoder(self) -> ImageEncoder:
        """Return an encoder of images of this shape."""
        return ImageEncoder(self.shape)

    def read_encoder(self, text: str, arrays: Arrays) -> ImageEncoder:
        """Rebuild an encoder of images from its JSON."""
        check_arrays(arrays, {}, "encoder")
        return ImageEncoder.from_json(text)

    def completion(self, encoder: Encoder, matrix: Floats) -> Pixels:
        """Find the principal axes of the images, and how usual their statistics are."""
        return Pixels.fit(matrix, self.draws, self.shape)

    def continued(self, completion: Completion | Pixels) -> Pixels:
        """Keep the principal axes, and take the number of draws asked for now."""
        pixels = cast(Pixels, completion)
        return Pixels(pixels.mean, pixels.components, self.draws, pixels.states)

    def is_changed(self, completion: Completion | Pixels) -> bool:
        """Compare the number of draws."""
        return cast(Pixels, completion).draws != self.draws

    def read_completion(self, arrays: Arrays) -> Pixels:
        """Rebuild the principal axes of the images, and the density of their statistics."""
        return Pixels.from_arrays(arrays, self.draws)

    def propagate(self, filled: Floats, rows: Rows, prior: Floats | None, seed: int) -> SoftLabels:
        """Pool candidates on principal components with a network trained on the labels, in views."""
        images = torch.from_numpy(pixel_centers(rows.matrix)).reshape(-1, *self.shape)
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

    def check_encoder(self, encoder: Encoder, completion: Completion | Pixels) -> None:
        """Compare the shape of images."""
        shape = cast(ImageEncoder, encoder).shape
        if shape != self.shape:
            raise ModelFileError(f"its encoder takes images of shape {shape}, not {self.shape}")

    def check_objective(self, options: ObjectiveOptions) -> None:
        """Refuse noise, which images do not get, and consistency without views."""
        super().check_objective(options)
        defaults = ObjectiveOptions()
        for name in ("training_noise", "consistency_noise"):
            value, default = getattr(options, name), getattr(defaults, name)
            if value != default:
                raise ValueError(
                    f"{name}={value} acts only on tables: images get dequantization noise and "
                    f"views; leave it at {default!r}"
                )
        weight = options.consistency_weight
        is_wanted = weight not in ("auto", 0)
        if is_wanted and options.kind == "soft-labels" and options.cross_entropy_weight == 0:
            raise ValueError(
                f"consistency_weight={weight} is relative to cross_entropy_weight, which is 0; "
                "leave it at 'auto', or raise the other"
            )
        if is_wanted and not self.perturb.views:
            raise ValueError(
                f"consistency_weight={weight} compares images with their views, "
                "and views is None; leave it at 'auto', or choose views"
            )

    def automatic(self, n_rows: int, dim: int, *, is_wide: bool) -> Automatic:
        """Take many small steps, and no noise but that of dequantization and views."""
        return Automatic(
            steps=STEPS,
            min_epochs=MIN_EPOCHS,
            min_steps_per_epoch=STEPS // MAX_EPOCHS,
            batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            labeled_fraction=0.5,
            cross_entropy_weight=1.0,  # with 3, samples are no longer recognizable
            # Without views an image could only agree with itself.
            consistency_weight=1.0 if self.perturb.views else 0.0,
            training_noise=0.0,
            evaluation_rows=EVALUATION_ROWS,
            center_rate=CENTER_RATE,
        )

    def choose_architecture(self, name: str, dim: int, n_rows: int) -> str:
        """Take "small" for "auto"; refuse sides that the preset's squeezes do not divide."""
        name = "small" if name == "auto" else name
        check_image(name, self.shape)
        return name

    def init_flow(
        self,
        name: str,
        span: int | None,
        prepared: Preparation,
        groups: Floats | None,
        generator: torch.Generator,
    ) -> FlowInit:
        """Initialize linear maps from some of the images, and the classes from others."""
        seed = generator.initial_seed()
        chosen = np.random.default_rng(seed).permutation(len(prepared.z))[:INIT_ROWS]
        with seeded(seed):
            x = self.dequantize(torch.from_numpy(prepared.z[chosen]).float())
        # A generator of its own: the class density does not depend on how much a preset draws.
        generator = torch.Generator().manual_seed(seed)
        flow = build_image_flow(IMAGE_ARCHITECTURES[name], self.shape, x=x, generator=generator)
        train_in_bfloat16(flow)
        index = prepared.labeled_and_others(CENTER_ROWS, seed)
        latents = noisy_latents(
            flow.to(resolve_device(self.device)),
            prepared.z,
            index,
            self.dequantize,
            at_once=EVALUATION_ROWS,
            seed=seed,
        )
        return FlowInit(
            flow, latents.cpu().double().numpy(), prepared.mass[index], prepared.rows.codes[index]
        )

    def blank_flow(self, name: str, dim: int, span: int | None) -> Chain:
        """Build the flow without images to start from."""
        flow = build_image_flow(check_image(name, self.shape), self.shape)
        train_in_bfloat16(flow)  # a warm start may follow
        return flow

    def n_class_features(self, architecture: str, dim: int, n_classes: int) -> int:
        """Take a quarter of the deepest scale at least: its first channels.

        Wider class features cost likelihood and time, and in the paper accuracy (Atanov et al.
        2019, table 3). In the finer scales each latent describes one place; hundreds of them,
        counted as independent, would make the initialization sure of its errors.
        """
        deepest = math.prod(IMAGE_ARCHITECTURES[architecture].deepest(self.shape))
        return max(super().n_class_features(architecture, dim, n_classes), deepest // 4)

    def objective(
        self, settings: ObjectiveSettings, model: JointModel, prepared: Preparation
    ) -> Objective:
        """Fit the density of the images; views make the classifier invariant.

        A density of shifted images would be blurred, and its samples are. With "soft-labels" the
        soft labels stand in a cross-entropy only, half of it of the images and half of their views,
        next to pseudo-labels whose weight grows. Otherwise these are the paper's terms, with
        consistency (eq. 7).
        """
        moved = bool(self.perturb.views)
        consistency = settings.consistency_weight
        weight = prepared.z.shape[1] * settings.cross_entropy_weight
        if settings.kind != "soft-labels":
            terms = likelihood_terms(settings, weight, of_view=moved)
            if consistency:
                log_prior = model.class_density.log_prior
                terms.append(Consistency(log_prior, consistency, ramp=RAMP))
        else:
            terms = [Likelihood()]
            if weight:
                of_views = VIEWS_FRACTION * weight if moved else 0.0
                terms.append(CrossEntropy(weight - of_views))
                if moved:
                    terms.append(CrossEntropy(of_views, of_view=True))
                if consistency:
                    terms.append(PseudoLabels(consistency * weight, ramp=RAMP))
        return Objective(terms, self.perturb, noise=self.dequantize)


def _checked_shape(value: object) -> Shape:
    """Return a user's shape of images as a tuple (channels, height, width)."""
    sides = np.asarray(value)
    if sides.shape != (3,) or sides.dtype.kind not in "iu" or (sides < 1).any():
        raise ValueError(
            f"the shape of images must be (channels, height, width), such as (1, 28, 28); got {value!r}"
        )
    channels, height, width = (int(side) for side in sides)
    return channels, height, width
