"""The last part of a training: class densities refitted to latents that stay fixed.

The cross-entropy gains from latents beyond the mean of their class, and the likelihood of many
columns hardly changes. What describes a class in the density - its mean, its samples, the code that
a semi-conditional flow leaves - is therefore off until a refit by the likelihood alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from flowssl._typing import Integers
from flowssl.bijections import Chain
from flowssl.estimators._preparation import Preparation, noisy_latents
from flowssl.models import JointModel
from flowssl.objectives import CrossEntropy, Objective, Perturbation, SoftLabelLikelihood, Term
from flowssl.training import TrainingConfig, TrainingRows, train

EPOCHS, BATCH, RATE = 10, 256, 5e-3

STEPS = 300
"""At most; half as many as the training had where that was short."""


def refit_class_density(
    model: JointModel,
    prepared: Preparation,
    n_latents: int,
    noise: Perturbation | None,
    cross_entropy_weight: float,
    config: TrainingConfig,
) -> bool:
    """Refit the class density to its latents; it takes seconds.

    The flow stays as it is, and the targets are the model's own posteriors; labels stay.

    Parameters
    ----------
    model : JointModel
        Trained; changed in place.
    prepared : Preparation
        The rows.
    n_latents : int
        Unlabeled rows whose latents are trained on at most; few rows are repeated up to about
        that number, each time with noise of their own.
    noise : callable or None
        Makes what training has seen instead of the rows.
    cross_entropy_weight : float
        Weight of the agreement with the posteriors, in nats of likelihood.
    config : TrainingConfig
        Of the training before; its seed chooses the rows.

    Returns
    -------
    bool
        Whether Ctrl-C ended it early.
    """
    if not any(parameter.requires_grad for parameter in model.class_density.parameters()):
        return False
    index = prepared.labeled_and_others(n_latents, config.seed)
    copies = 1 if noise is None else max(1, n_latents // len(index))
    seen = _latent_rows(model, prepared, np.tile(index, copies), noise, config)
    held_out = np.flatnonzero(prepared.held_out)
    evaluated = _latent_rows(model, prepared, held_out, noise, config) if len(held_out) else seen
    steps = min(STEPS, config.max_epochs * config.steps_per_epoch // 2)
    config = replace(
        config,
        max_epochs=EPOCHS,
        steps_per_epoch=max(1, steps // EPOCHS),
        batch_size=min(BATCH, len(seen)),
        labeled_fraction=None,
        learning_rate=RATE,
        patience=EPOCHS,
    )
    terms: list[Term] = [SoftLabelLikelihood()]
    if cross_entropy_weight:
        terms.append(CrossEntropy(cross_entropy_weight))
    # The latents are rows of their own, to a flow that changes nothing.
    fixed = JointModel(Chain(), model.class_density)
    return train(fixed, Objective(terms), seen, evaluated, config).interrupted


def _latent_rows(
    model: JointModel,
    prepared: Preparation,
    index: Integers,
    noise: Perturbation | None,
    config: TrainingConfig,
) -> TrainingRows:
    """Return latents with the model's posteriors as targets; labels stay."""
    z = noisy_latents(model.flow, prepared.z, index, noise, at_once=config.evaluation_rows, seed=0)
    with torch.no_grad():
        predicted = model.class_density(z).softmax(1)
    labeled = torch.from_numpy(prepared.rows.labeled[index]).to(z.device)
    given = torch.from_numpy(prepared.targets[index]).float().to(z.device)
    weight = torch.from_numpy(prepared.rows.weight[index]).float().to(z.device)
    return TrainingRows(z, torch.where(labeled[:, None], given, predicted), labeled, weight)
