"""The optimizer's parameter groups and the schedule of its learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from flowssl.models import JointModel
from flowssl.training.config import TrainingConfig


def build_optimizer(model: JointModel, config: TrainingConfig) -> torch.optim.AdamW:
    """Build AdamW with the groups that the model asks for.

    Only the model's decayed parameters are shrunk, and class centers have a rate of their own.
    """
    centers, decayed = set(model.center_parameters()), set(model.decayed_parameters())
    groups: dict[str, list[nn.Parameter]] = {"decayed": [], "free": [], "centers": []}
    for parameter in model.parameters():
        if parameter in centers:
            groups["centers"].append(parameter)
        elif parameter in decayed:
            groups["decayed"].append(parameter)
        else:
            groups["free"].append(parameter)
    settings = {
        "decayed": (config.weight_decay, config.learning_rate),
        "free": (0.0, config.learning_rate),
        "centers": (0.0, config.center_rate * config.learning_rate),
    }
    return torch.optim.AdamW(
        [
            {"params": groups[name], "weight_decay": decay, "lr": rate}
            for name, (decay, rate) in settings.items()
            if groups[name]
        ],
        lr=config.learning_rate,
        fused=True,
    )


def rate_schedule(step: int, total: int, warmup: float) -> float:
    """Return the factor of the learning rate at a step, 0 to 1.

    It rises linearly over the fraction ``warmup`` of the ``total`` steps and then falls to 0.01
    along half a cosine.
    """
    n_warmup = max(1, round(warmup * total))
    if step < n_warmup:
        return (step + 1) / n_warmup
    progress = min(1.0, (step - n_warmup) / max(1, total - n_warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
