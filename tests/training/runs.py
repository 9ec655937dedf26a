"""One training for the resume tests, run in the test's process or, to be killed, in its own.

As a program: ``runs.py CHECKPOINT STEP`` trains and kills itself, with SIGKILL, at that step.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from flowssl.architectures import Architecture, build_flow
from flowssl.densities import ClassPrior, GaussianClasses
from flowssl.layers import couplings, interleave, rotation
from flowssl.models import JointModel
from flowssl.objectives import (
    Consistency,
    CrossEntropy,
    ExpectationMaximization,
    GaussianNoise,
    Objective,
)
from flowssl.training import TrainingConfig, TrainingResult, TrainingRows, train

CONFIG = TrainingConfig(
    max_epochs=5, steps_per_epoch=4, batch_size=16, labeled_fraction=0.2, device="cpu", seed=3
)


class Counting(ExpectationMaximization):
    """EM that does something at one step; its stale responsibilities are part of the run."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        super().__init__(refresh=3)
        self._remaining = [step]  # a list: not one of the settings that identify a run
        self.action = action

    def before_step(self, model: JointModel, x: Tensor, step: int) -> None:
        if self._remaining[0] == 0:
            self.action()
        self._remaining[0] -= 1
        super().before_step(model, x, step)


def make_rows(n: int = 48, seed: int = 0) -> TrainingRows:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = torch.randn(n, 2, generator=generator) + (3.0 * y - 1.5)[:, None]
    return TrainingRows(x, torch.eye(2)[y], torch.arange(n) < 6, torch.ones(n))


def make_model(hidden: int = 8) -> JointModel:
    generator = torch.Generator().manual_seed(0)
    layers = interleave(couplings(2, (hidden,), dropout=0.2), rotation, every=2)
    flow = build_flow(Architecture(layers), torch.eye(2), torch.zeros(2), generator=generator)
    means = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    return JointModel(flow, GaussianClasses(means, ClassPrior(torch.ones(2), learn=True)))


def run(
    checkpoint: Path | None,
    *,
    step: int = -1,
    action: Callable[[], None] = lambda: None,
    config: TrainingConfig = CONFIG,
    rows: TrainingRows | None = None,
    held_out: TrainingRows | None = None,
    hidden: int = 8,
    weight: float = 2.0,
) -> tuple[JointModel, TrainingResult]:
    """Train a small model with everything random switched on: noise, dropout, views, EM."""
    model = make_model(hidden)
    terms = [
        Counting(step, action),
        CrossEntropy(weight),
        Consistency(model.class_density.log_prior, 0.5),
    ]
    result = train(
        model,
        Objective(terms, GaussianNoise(0.1)),
        rows or make_rows(),
        held_out or make_rows(seed=1),
        config,
        checkpoint=checkpoint,
    )
    return model, result


if __name__ == "__main__":
    run(
        Path(sys.argv[1]),
        step=int(sys.argv[2]),
        action=lambda: os.kill(os.getpid(), signal.SIGKILL),
    )
