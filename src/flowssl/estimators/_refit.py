"""The last part of a training: the class part alone, by the likelihood of latents that stay.

The cross-entropy gains by latents beyond the mean of their class, and the likelihood of many
columns hardly minds. What is a class's own in the density - its mean, its samples, what a
semi-conditional flow takes away - is off until the likelihood has the last word.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from flowssl.bijections import Chain
from flowssl.estimators._fitting import Preparation, noisy_latents
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
    """Bring the class part to the middle of its latents; it takes seconds.

    Flow and posteriors stay as they are: what the model says of the rows is what the class part is
    trained on, and labels stay.

    Parameters
    ----------
    model : JointModel
        Trained; changed in place.
    prepared : Preparation
        The rows.
    n_latents : int
        Unlabeled rows whose latents are trained on at most; of few rows there are several, about
        as many in all.
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
    # Few rows are met again and again: with noise of their own each time.
    copies = 1 if noise is None else max(1, n_latents // len(index))
    seen = _latent_rows(model, prepared, np.tile(index, copies), noise, config)
    held_out = np.flatnonzero(prepared.held_out)
    judged = _latent_rows(model, prepared, held_out, noise, config) if len(held_out) else seen
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
    unmoved = JointModel(Chain(), model.class_density)
    return train(unmoved, Objective(terms), seen, judged, config).interrupted


def _latent_rows(
    model: JointModel,
    prepared: Preparation,
    index: NDArray[np.int64],
    noise: Perturbation | None,
    config: TrainingConfig,
) -> TrainingRows:
    """Return latents with what the model says of their classes; labels stay."""
    z = noisy_latents(model.flow, prepared.z[index], noise, at_once=config.evaluation_rows, seed=0)
    with torch.no_grad():
        told = model.class_density(z).softmax(1)
    labeled = torch.from_numpy(prepared.rows.labeled[index])
    given = torch.from_numpy(prepared.targets[index]).float()
    weight = torch.from_numpy(prepared.rows.weight[index]).float()
    return TrainingRows(z, torch.where(labeled[:, None], given, told), labeled, weight)
