"""Tables as a kind of rows: affine initialization, Gaussian noise, short trainings."""

from __future__ import annotations

import math
import sys
from typing import ClassVar, cast

import numpy as np
import torch

from flowssl._model_file import Arrays
from flowssl._records import check_arrays
from flowssl._spans import SpanMatrix
from flowssl._typing import Floats
from flowssl.architectures import (
    ARCHITECTURES,
    build_flow,
    build_span_flow,
    choose_architecture,
    choose_n_components,
)
from flowssl.bijections import Chain, SpanReflection
from flowssl.bijections.spans import symmetric_basis
from flowssl.estimators._domain import Domain, FlowInit, likelihood_terms
from flowssl.estimators._preparation import Preparation
from flowssl.estimators._settings import Automatic, ObjectiveSettings
from flowssl.estimators.options import ObjectiveOptions
from flowssl.exceptions import ModelFileError
from flowssl.initialization.means import Whitening, fit_whitening
from flowssl.models import JointModel
from flowssl.objectives import (
    Consistency,
    GaussianNoise,
    Objective,
    Perturbation,
    ShapedNoise,
    SpanNoise,
)
from flowssl.preprocessing import Completion, Pixels, TableEncoder
from flowssl.preprocessing.codecs import category_groups
from flowssl.preprocessing.encoders import Encoder
from flowssl.preprocessing.indicators import CategoryGroup
from flowssl.training import TrainingConfig

STEPS = 1000
"""Optimizer steps of an automatic training."""

MIN_EPOCHS = 10
MIN_STEPS_PER_EPOCH = 20
LEARNING_RATE = 5e-3
MAX_NOISE = 0.3

EVALUATION_ROWS = TrainingConfig.evaluation_rows

INIT_ROWS = 10_000
"""Rows that go through the untrained flow at once; the networks are wider than the rows."""

WIDE_LEARNING_RATE = 1e-7
"""Peak learning rate where columns are more than rows: training then leaves the whitening nearly as
it is. A linear map of so many columns fits any labels, and what it becomes at larger rates predicts
unseen rows worse."""

WIDE_NUMBERS = 2_000_000
"""Numbers (rows x columns) that go through a flow at once where columns are more than rows."""

NARROW = 2.0
"""Directions in which a class varies less than 1 / NARROW get less noise, in proportion."""


MAX_MARGINAL_COLUMNS = 128
"""Encoded columns of a table up to which its p(x) has a density of its own by default."""


class TableDomain(Domain):
    """Rows of numbers and categories, with missing values."""

    row_kind: ClassVar[str] = TableEncoder.row_kind
    max_held_out = sys.maxsize
    rotates_to_classes = True
    refit_rows = 20_000
    refit_fraction = 1 / 3  # without any, digits lose a point of accuracy

    def encoder(self) -> Encoder:
        """Return an encoder of tables."""
        return TableEncoder()

    def read_encoder(self, text: str, arrays: Arrays) -> Encoder:
        """Rebuild an encoder of tables from its JSON."""
        check_arrays(arrays, {}, "encoder")
        return TableEncoder.from_json(text)

    def completion(self, encoder: Encoder, matrix: Floats) -> Completion:
        """Fit the columns' maps and what fills missing values."""
        return Completion.fit(matrix, encoder.dequantization_width_)

    def read_completion(self, arrays: Arrays) -> Completion:
        """Rebuild the columns' maps and what fills missing values."""
        return Completion.from_arrays(arrays)

    def check_encoder(self, encoder: Encoder, completion: Completion | Pixels) -> None:
        """Compare the columns' number and which of them are categories."""
        of_encoder, of_flow = encoder.dequantization_width_, cast(Completion, completion).widths
        if not np.array_equal(of_encoder, of_flow):
            raise ModelFileError(
                f"its encoder gives {len(of_encoder)} columns, {of_encoder.sum():.0f} of them of "
                f"categories; its flow takes {len(of_flow)} and {of_flow.sum():.0f}"
            )

    def check_objective(self, options: ObjectiveOptions) -> None:
        """Refuse noise of a consistency term that is not there."""
        super().check_objective(options)
        default = ObjectiveOptions().consistency_noise
        if options.consistency_weight in ("auto", 0) and options.consistency_noise != default:
            raise ValueError(
                f"consistency_noise={options.consistency_noise} acts only with a "
                "consistency_weight above 0, which tables do not have by default; set one, or "
                f"leave the noise at {default}"
            )

    def automatic(self, n_rows: int, dim: int, *, is_wide: bool) -> Automatic:
        """Pass small tables several times per epoch; the fewer rows per column, the more noise.

        Covariances estimated from n rows are wrong by a fraction of about D / n. Noise of that
        variance does to a flow what shrinkage of that size does to a covariance. It is for
        directions in which rows vary by about one unit; see `_shaped_noise` for others.
        """
        return Automatic(
            steps=STEPS,
            min_epochs=MIN_EPOCHS,
            min_steps_per_epoch=MIN_STEPS_PER_EPOCH,
            batch_size=256 if n_rows < 20_000 else 512,
            learning_rate=WIDE_LEARNING_RATE if is_wide else LEARNING_RATE,
            labeled_fraction=None,
            cross_entropy_weight=3.0,
            consistency_weight=0.0,
            training_noise=min(MAX_NOISE, math.sqrt(1.5 * dim / n_rows)),
            evaluation_rows=_wide_rows(dim) if is_wide else EVALUATION_ROWS,
        )

    def choose_architecture(self, name: str, dim: int, n_rows: int) -> str:
        """Choose by the numbers of columns and rows."""
        return choose_architecture(name, dim, n_rows)

    def span(self, n_rows: int, dim: int) -> int | None:
        """Return the number of rows where they are fewer than the columns."""
        return n_rows if n_rows < dim else None

    def categories(
        self, options: ObjectiveOptions, encoder: Encoder
    ) -> tuple[CategoryGroup, ...] | None:
        """Return the categories where p(x) is to have a density of its own."""
        is_small = len(encoder.output_columns_) <= MAX_MARGINAL_COLUMNS
        automatic = "separate" if is_small and options.kind == "soft-labels" else "joint"
        asked_for = automatic if options.marginal == "auto" else options.marginal
        if asked_for == "joint" or not isinstance(encoder, TableEncoder):
            return None
        return category_groups(encoder.codecs_)

    def init_flow(
        self,
        name: str,
        span: int | None,
        prepared: Preparation,
        groups: Floats | None,
        generator: torch.Generator,
    ) -> FlowInit:
        """Begin with an affine map; all rows initialize the classes."""
        found = None
        if groups is not None:
            found = fit_whitening(prepared.z, groups, sample_weight=prepared.rows.weight)
        if span is not None:
            flow = _span_flow(name, prepared.z, found, generator)
        else:
            flow = _full_flow(name, prepared.z.shape[1], found, generator)
        flow.eval().double()  # in training mode dropout would draw
        latents = np.empty_like(prepared.z)
        with torch.no_grad():
            for first in range(0, len(latents), INIT_ROWS):
                part = slice(first, first + INIT_ROWS)
                latents[part] = flow(torch.from_numpy(prepared.z[part]))[0].numpy()
        return FlowInit(flow.float(), latents, prepared.mass, prepared.rows.codes)

    def blank_flow(self, name: str, dim: int, span: int | None) -> Chain:
        """Build the flow around the identity."""
        generator = torch.Generator().manual_seed(0)
        preset, f32 = ARCHITECTURES[name], torch.float32
        if span is None:
            weight, bias = torch.eye(dim, dtype=f32), torch.zeros(dim, dtype=f32)
            return build_flow(preset, weight, bias, generator=generator)
        mirror, shift = torch.zeros(dim, span, dtype=f32), torch.zeros(dim, dtype=f32)
        reflection = SpanReflection(mirror, shift, 1.0)
        return build_span_flow(preset, reflection, torch.eye(span, dtype=f32), generator=generator)

    def n_components(self, architecture: str, dim: int, n_rows: int) -> int:
        """Take the preset's number where there are rows enough."""
        return choose_n_components(architecture, dim, n_rows)

    def objective(
        self, settings: ObjectiveSettings, model: JointModel, prepared: Preparation
    ) -> Objective:
        """Train on rows with noise; consistency is there only where it is asked for."""
        dim = prepared.z.shape[1]
        terms = likelihood_terms(settings, dim * settings.cross_entropy_weight)
        noise = settings.training_noise
        shaped = _shaped_noise(prepared, noise) if noise else None
        if not settings.consistency_weight:
            return Objective(terms, noise=shaped)
        terms.append(Consistency(model.class_density.log_prior, settings.consistency_weight))
        return Objective(terms, GaussianNoise(settings.consistency_noise), noise=shaped)


def _wide_rows(dim: int) -> int:
    """Return the rows of many columns that go through a flow at once."""
    return min(EVALUATION_ROWS, max(1, WIDE_NUMBERS // dim))


def _full_flow(name: str, dim: int, found: Whitening | None, generator: torch.Generator) -> Chain:
    """Build the flow that begins as a whitening, or the identity, of all columns."""
    weight, bias = np.eye(dim), np.zeros(dim)
    if found is not None:
        weight = found.whitening
        bias = -weight @ found.mean
    return build_flow(
        ARCHITECTURES[name], torch.from_numpy(weight), torch.from_numpy(bias), generator=generator
    )


def _span_flow(name: str, z: Floats, found: Whitening | None, generator: torch.Generator) -> Chain:
    """Build the flow that begins as a whitening, or the identity, of rows fewer than columns."""
    n, dim = z.shape
    if found is None:
        identity = SpanMatrix(np.linalg.qr(z.T)[0], np.ones(n), 1.0)
        found = Whitening(np.zeros(dim), identity)
    deviations = found.deviations
    directions = torch.from_numpy(deviations.directions)
    reflection = SpanReflection.of_span(
        directions, torch.from_numpy(found.mean), 1 / deviations.rest
    )
    # The reflection divides by the deviation of the rest; its basis of the span is another one.
    turn = directions.T @ symmetric_basis(directions)
    ratios = torch.from_numpy(deviations.rest / deviations.values)
    weight = (turn.T * ratios) @ turn
    return build_span_flow(ARCHITECTURES[name], reflection, weight, generator=generator)


def _shaped_noise(prepared: Preparation, std: float) -> Perturbation:
    """Make noise that is narrower than ``std`` in directions in which a class hardly varies.

    Columns that nearly determine each other leave such directions. Noise in them would hide how
    exactly they do, which is most of what the density has to say (16 columns of dry_bean: 21 nats).
    """
    found = fit_whitening(prepared.z, prepared.targets, sample_weight=prepared.rows.weight)
    if len(prepared.z) < prepared.z.shape[1]:
        noise = found.deviations.map(lambda spread: std * np.minimum(1.0, NARROW * spread))
        along = torch.from_numpy(noise.directions).float()
        return SpanNoise(along, torch.from_numpy(noise.values).float(), noise.rest)
    spread, directions = np.linalg.eigh(found.unwhitening)
    width = std * np.minimum(1.0, NARROW * spread)
    return ShapedNoise(torch.from_numpy((directions * width) @ directions.T).float())
