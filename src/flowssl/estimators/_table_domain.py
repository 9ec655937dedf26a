"""Tables as a kind of rows: affine starts, Gaussian noise for views, small plans of training."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from flowssl._typing import Floats
from flowssl.architectures import (
    ARCHITECTURES,
    build_flow,
    choose_architecture,
    choose_n_components,
)
from flowssl.bijections import Chain
from flowssl.estimators._building import likelihood_terms
from flowssl.estimators._domain import Domain, FlowInit
from flowssl.estimators._fitting import Automatic, Preparation
from flowssl.initialization.means import fit_whitening
from flowssl.models import JointModel
from flowssl.objectives import Consistency, GaussianNoise, Objective, ShapedNoise
from flowssl.preprocessing import Completion, ImageEncoder, TableEncoder

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier


STEPS = 1000
"""Optimizer steps of an automatic training."""

MIN_EPOCHS = 10
MIN_STEPS_PER_EPOCH = 20
LEARNING_RATE = 5e-3
MAX_NOISE = 0.3

NARROW = 2.0
"""Directions in which a class varies less than 1 / NARROW get less noise, in proportion."""


class TableDomain(Domain):
    """Rows of numbers and categories, with holes."""

    max_held_out = sys.maxsize
    cross_entropy_weight = 3.0
    gathers_classes = True
    settling_rows = 20_000
    settling_share = 1 / 3  # without any, digits lose a point of accuracy

    def encoder(self) -> TableEncoder:
        """Return an encoder of tables."""
        return TableEncoder()

    def completion(self, encoder: TableEncoder | ImageEncoder, matrix: Floats) -> Completion:
        """Fit the columns' maps and what fills holes."""
        return Completion.fit(matrix, encoder.dequantization_width_)

    def read_completion(self, arrays: Mapping[str, NDArray[np.generic]]) -> Completion:
        """Rebuild the columns' maps and what fills holes."""
        return Completion.from_arrays(arrays)

    def automatic(self, n_rows: int, dim: int) -> Automatic:
        """Pass small tables several times in an epoch; the fewer rows per column, the more noise.

        Covariances estimated from n rows are wrong by a share of about D / n. Noise of that
        variance does to a flow what shrinkage of that size does to a covariance. It is for
        directions in which rows vary by about one unit; see `_shaped_noise` for others.
        """
        return Automatic(
            steps=STEPS,
            min_epochs=MIN_EPOCHS,
            min_steps_per_epoch=MIN_STEPS_PER_EPOCH,
            batch_size=256 if n_rows < 20_000 else 512,
            labeled_fraction=None,
            learning_rate=LEARNING_RATE,
            noise=min(MAX_NOISE, math.sqrt(1.5 * dim / n_rows)),
        )

    def start_flow(
        self, name: str, prepared: Preparation, groups: Floats | None, generator: torch.Generator
    ) -> FlowInit:
        """Begin with an affine map; all rows start the classes."""
        n_rows, dim = prepared.z.shape
        name = choose_architecture(name, dim, n_rows)
        weight, bias = np.eye(dim), np.zeros(dim)
        if groups is not None:
            start = fit_whitening(prepared.z, groups, sample_weight=prepared.rows.weight)
            weight, bias = start.whitening, -start.whitening @ start.mean
        flow = build_flow(
            ARCHITECTURES[name],
            torch.from_numpy(weight),
            torch.from_numpy(bias),
            generator=generator,
        )
        with torch.no_grad():
            latents = flow.double()(torch.from_numpy(prepared.z))[0].numpy()
        return FlowInit(name, flow.float(), latents, prepared.share, prepared.rows.codes)

    def blank_flow(self, name: str, dim: int) -> Chain:
        """Build the flow around the identity."""
        generator = torch.Generator().manual_seed(0)
        weight, bias = torch.eye(dim), torch.zeros(dim)
        return build_flow(ARCHITECTURES[name], weight, bias, generator=generator)

    def n_components(self, start: FlowInit, n_rows: int) -> int:
        """Take the preset's number where there are rows enough."""
        return choose_n_components(start.architecture, start.dim, n_rows)

    def objective(
        self, estimator: FlowClassifier, model: JointModel, prepared: Preparation, noise: float
    ) -> Objective:
        """Train on rows with noise; add consistency only where it is asked for."""
        terms = likelihood_terms(estimator, self.class_weight(estimator, prepared.z.shape[1]))
        shaped = _shaped_noise(prepared, noise) if noise else None
        weight, moved = estimator.consistency_weight, estimator.consistency_noise
        if moved is None:
            return Objective(terms, noise=shaped)
        if weight and not isinstance(weight, str):
            terms.append(Consistency(model.class_density.log_prior, weight))
        return Objective(terms, GaussianNoise(moved), noise=shaped)


def _shaped_noise(prepared: Preparation, std: float) -> ShapedNoise:
    """Make noise that is narrower than ``std`` in directions in which a class hardly varies.

    Columns that nearly follow from each other leave such directions. Noise in them would hide how
    exactly they do, which is most of what the density has to say (16 columns of dry_bean: 21 nats).
    """
    start = fit_whitening(prepared.z, prepared.targets, sample_weight=prepared.rows.weight)
    spread, directions = np.linalg.eigh(start.unwhitening)
    width = std * np.minimum(1.0, NARROW * spread)
    return ShapedNoise(torch.from_numpy((directions * width) @ directions.T).float())
