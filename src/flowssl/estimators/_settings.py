"""Frozen settings of a fit: what helpers take instead of the estimator.

An estimator's parameters may be "auto". `Automatic` holds what a kind of rows puts in their place;
`ObjectiveSettings` and `TrainingSettings.config` resolve them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self, TypeVar

from flowssl.estimators.options import ObjectiveOptions
from flowssl.training import TrainingConfig

T = TypeVar("T")

MAX_EPOCHS = 40
"""Largest automatic number of epochs."""

PATIENCE = 10

SETTLING = 0.5
"""Fraction of the epochs before which a random start is not stopped for lack of patience."""


@dataclass(frozen=True)
class Automatic:
    """What a kind of rows takes where parameters are "auto".

    Attributes
    ----------
    steps : int
        Optimizer steps, as far as the bounds on epochs allow.
    min_epochs : int
        Smallest automatic number of epochs.
    min_steps_per_epoch : int
        An epoch passes over few rows several times to make as many steps.
    batch_size : int
        Rows per step.
    learning_rate : float
        Peak learning rate.
    labeled_fraction, cross_entropy_weight, consistency_weight, training_noise
        As in `ObjectiveSettings`.
    evaluation_rows, center_rate
        As in `TrainingConfig`.
    """

    steps: int
    min_epochs: int
    min_steps_per_epoch: int
    batch_size: int
    learning_rate: float
    labeled_fraction: float | None
    cross_entropy_weight: float
    consistency_weight: float
    training_noise: float
    evaluation_rows: int = TrainingConfig.evaluation_rows
    center_rate: float = TrainingConfig.center_rate


@dataclass(frozen=True)
class ObjectiveSettings:
    """`ObjectiveOptions` with every "auto" resolved.

    Attributes
    ----------
    kind : {"soft-labels", "likelihood", "em"}
        What is maximized.
    labeled_fraction : float or None
        Weight of the labeled rows together; None counts every row once.
    cross_entropy_weight : float
        For each nat per column of likelihood.
    consistency_weight, consistency_noise : float
        Weight of the consistency term; standard deviation of its noise, for tables.
    e_step_interval : int
        Steps between two E-steps.
    training_noise : float
        Standard deviation of the noise added to rows in training, in standardized units.
    """

    kind: str
    labeled_fraction: float | None
    cross_entropy_weight: float
    consistency_weight: float
    consistency_noise: float
    e_step_interval: int
    training_noise: float

    @classmethod
    def resolve(cls, options: ObjectiveOptions, automatic: Automatic) -> Self:
        """Put the automatic values in the place of "auto"."""
        fraction = chosen(options.labeled_fraction, automatic.labeled_fraction)
        return cls(
            kind=options.kind,
            labeled_fraction=None if fraction is None else float(fraction),
            cross_entropy_weight=float(
                chosen(options.cross_entropy_weight, automatic.cross_entropy_weight)
            ),
            consistency_weight=float(
                chosen(options.consistency_weight, automatic.consistency_weight)
            ),
            consistency_noise=float(options.consistency_noise),
            e_step_interval=int(options.e_step_interval),
            training_noise=float(chosen(options.training_noise, automatic.training_noise)),
        )


@dataclass(frozen=True)
class TrainingSettings:
    """How an estimator's parameters ask for training; most fields are parameters of its constructor.

    ``learning_rate`` is "auto" only where the estimator leaves it to the kind of rows;
    ``random_start`` says whether training begins from flows without any fit to the rows.
    """

    max_epochs: int | str
    batch_size: int | str
    learning_rate: float | str
    weight_decay: float
    early_stopping: bool
    device: str
    random_start: bool = False

    def config(
        self, automatic: Automatic, labeled_fraction: float | None, n_rows: int, seed: int
    ) -> TrainingConfig:
        """Return what the training loop takes for ``n_rows`` rows."""
        size = min(int(chosen(self.batch_size, automatic.batch_size)), n_rows)
        steps = max(automatic.min_steps_per_epoch, math.ceil(n_rows / size))
        epochs = min(MAX_EPOCHS, max(automatic.min_epochs, math.ceil(automatic.steps / steps)))
        epochs = int(chosen(self.max_epochs, epochs))
        return TrainingConfig(
            max_epochs=epochs,
            steps_per_epoch=steps,
            batch_size=size,
            labeled_fraction=labeled_fraction,
            learning_rate=chosen(self.learning_rate, automatic.learning_rate),
            weight_decay=self.weight_decay,
            patience=PATIENCE if self.early_stopping else epochs,
            patience_from=math.ceil(SETTLING * epochs) if self.random_start else 0,
            seed=seed,
            device=self.device,
            evaluation_rows=automatic.evaluation_rows,
            center_rate=automatic.center_rate,
        )


def chosen(value: T | str, automatic: T) -> T:
    """Return a parameter's value, or the automatic one for "auto"."""
    return automatic if isinstance(value, str) else value
