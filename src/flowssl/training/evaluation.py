"""Evaluation of a model on held-out and labeled rows after each epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from flowssl.models import JointModel
from flowssl.objectives import Objective
from flowssl.training.batches import TrainingRows
from flowssl.training.config import TrainingConfig


@torch.no_grad()
def evaluate(
    model: JointModel,
    objective: Objective,
    held_out: TrainingRows,
    labeled: TrainingRows,
    config: TrainingConfig,
) -> dict[str, float]:
    """Return the figures of an epoch that describe the model.

    Parameters
    ----------
    model : JointModel
        In evaluation mode, on the device of the rows.
    objective : Objective
        Gives the held-out loss.
    held_out : TrainingRows
        Rows for early stopping.
    labeled : TrainingRows
        The labeled training rows; there may be none.
    config : TrainingConfig
        Gives ``labeled_fraction`` and ``evaluation_rows``.

    Returns
    -------
    dict
        ``loss``, ``nats_per_dim``, ``cross_entropy`` and ``label_accuracy`` of
        :class:`~flowssl.training.TrainingResult`.
    """
    log_joint = _log_joint(model, held_out.x, config.evaluation_rows)
    index = torch.arange(len(held_out), device=held_out.x.device)
    batch = held_out.batch(index, config.labeled_fraction)
    agreement = (batch.targets * log_joint.log_softmax(1)).sum(1)
    unseen = ~batch.labeled if not batch.labeled.all() else batch.labeled
    accuracy = 1.0
    if len(labeled):
        predicted = _log_joint(model, labeled.x, config.evaluation_rows).argmax(1)
        accuracy = float((predicted == labeled.targets.argmax(1)).float().mean())
    dim = held_out.x.shape[1]
    return {
        "loss": float(objective.held_out(batch, log_joint)) / dim,
        "nats_per_dim": float(log_joint.logsumexp(1)[unseen].mean()) / dim,
        "cross_entropy": -float(agreement[unseen].mean()),
        "label_accuracy": accuracy,
    }


def _log_joint(model: JointModel, x: Tensor, at_once: int) -> Tensor:
    return torch.cat([model(rows) for rows in torch.split(x, at_once)])
