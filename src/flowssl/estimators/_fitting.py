"""From canonical rows and a start to what the training loop takes."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from flowssl._persistence import JSON
from flowssl._typing import Floats
from flowssl.bijections import Bijection
from flowssl.estimators._rows import Rows
from flowssl.exceptions import UnlabeledDataWarning
from flowssl.initialization import SoftLabels
from flowssl.initialization.pooling import match_prior
from flowssl.objectives import Perturbation
from flowssl.preprocessing import Completion, Pixels
from flowssl.training import TrainingConfig, TrainingRows, seeded

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier


T = TypeVar("T")

MIN_HELD_OUT = 10
"""Rows below which none is held out: a mean over fewer says nothing."""

COPIES_WITH_HOLES = 4
"""Random completions of each training row when rows have missing numbers or categories."""

LEAST_SHARE = 0.1
"""Of a given class share, what the unlabeled rows keep where the labels alone use it up: then they
were not drawn from the rows that the share speaks of."""

MAX_EPOCHS = 40
"""Largest automatic number of epochs."""

PATIENCE = 10


@dataclass(frozen=True)
class Automatic:
    """What a training takes where its parameters are "auto".

    Attributes
    ----------
    steps : int
        Optimizer steps, as far as the bounds on epochs allow.
    min_epochs : int
        Smallest automatic number of epochs.
    min_steps_per_epoch : int
        Few rows are passed several times in an epoch to make as many.
    batch_size, labeled_fraction, learning_rate, evaluation_rows, means_rate
        As in `TrainingConfig`.
    noise : float
        Standard deviation of the noise of training, in standardized units.
    """

    steps: int
    min_epochs: int
    min_steps_per_epoch: int
    batch_size: int
    labeled_fraction: float | None
    learning_rate: float
    noise: float
    evaluation_rows: int = TrainingConfig.evaluation_rows
    means_rate: float = TrainingConfig.means_rate


@dataclass(frozen=True)
class Preparation:
    """What training needs besides a model.

    Attributes
    ----------
    z : ndarray of shape (n, D), float64, or float32 for images
        Distinct training rows in standardized units, holes filled by their typical values; of
        images the centers of the levels, in float32.
    targets : ndarray of shape (n, C)
        Soft labels; one-hot for labeled rows.
    rows : Rows
        The rows they belong to.
    held_out : ndarray of shape (n,), bool
        Unlabeled rows that are not trained on.
    """

    z: Floats
    targets: Floats
    rows: Rows
    held_out: NDArray[np.bool_]

    @property
    def n_trained(self) -> int:
        """Number of rows that are trained on."""
        return int((~self.held_out).sum())

    def labeled_and_others(self, n_others: int, seed: int) -> NDArray[np.int64]:
        """Return which rows are labeled, and so many of the others that are trained on."""
        labeled = self.rows.labeled
        others = np.flatnonzero(~labeled & ~self.held_out)
        others = np.random.default_rng(seed).permutation(others)[:n_others]
        return np.concatenate((np.flatnonzero(labeled), others))

    @property
    def share(self) -> Floats:
        """How much of the rows' weight belongs to each class, shape (n, C)."""
        return self.targets * self.rows.weight[:, None]


def summary(start: SoftLabels) -> dict[str, JSON]:
    """Return how the start's candidates fared, without the posteriors; NaN becomes None."""

    def number(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    candidates = zip(start.candidates, start.weights, start.label_log_likelihoods, strict=True)
    return {
        "candidates": [
            {"name": name, "weight": float(weight), "label_log_likelihood": number(value)}
            for name, weight, value in candidates
        ],
        "label_log_likelihood": number(start.label_log_likelihood),
        "baseline_label_log_likelihood": number(start.baseline_label_log_likelihood),
    }


def propagation_weight(parameter: float | str, start: SoftLabels, rows: Rows) -> float:
    """Return how much the start counts beside its labels-only baseline; "auto" is all or nothing.

    Warns
    -----
    UnlabeledDataWarning
        If held-out labels say that the unlabeled rows mislead.
    """
    if not isinstance(parameter, str):
        return parameter
    if not start.misleads or rows.labeled.all():
        return 1.0
    warnings.warn(
        f"held-out labels are predicted worse with the unlabeled rows "
        f"({start.label_log_likelihood:.3f} nats each) than without them "
        f"({start.baseline_label_log_likelihood:.3f}, standard error of the "
        f"difference {start.label_gain_error:.3f}); training on the labels-only "
        "baseline's soft labels. Set propagation_weight=1 to use them all the same.",
        UnlabeledDataWarning,
        stacklevel=4,
    )
    return 0.0


def with_shares(posteriors: Floats, prior: Floats, rows: Rows) -> Floats:
    """Return posteriors (n, C) of which the unlabeled rows' give all rows the shares `prior` (C,).

    Labels are often drawn in equal numbers: what is rare among the rows is then rarer still among
    the unlabeled ones.
    """
    unlabeled = ~rows.labeled
    if not unlabeled.any():
        return posteriors
    wanted = prior * rows.weight.sum() - rows.weight @ rows.one_hot()
    wanted = np.maximum(wanted, LEAST_SHARE * prior * rows.weight[unlabeled].sum())
    matched = posteriors.copy()
    matched[unlabeled] = match_prior(
        posteriors[unlabeled], wanted / wanted.sum(), rows.weight[unlabeled]
    )
    return matched


def prepare(
    completion: Completion | Pixels, rows: Rows, posteriors: Floats, max_held_out: int, seed: int
) -> Preparation:
    """Put the soft labels on the rows and hold some of the unlabeled ones out."""
    labeled = rows.labeled
    targets = np.where(labeled[:, None], rows.one_hot(), posteriors)
    unlabeled = np.flatnonzero(~labeled)
    held_out = np.zeros(len(labeled), dtype=bool)
    # A tenth; of small tables more, as 30 rows are the least that tell one epoch from another.
    n_held_out = max(len(unlabeled) // 10, min(len(unlabeled) // 4, 30))
    n_held_out = min(n_held_out, max_held_out)
    if n_held_out >= MIN_HELD_OUT:
        held_out[np.random.default_rng(seed).choice(unlabeled, n_held_out, replace=False)] = True
    return Preparation(completion.typical(rows.matrix), targets, rows, held_out)


def training_rows(
    completion: Completion | Pixels, prepared: Preparation, seed: int
) -> tuple[TrainingRows, TrainingRows]:
    """Return the rows to train on and the rows to stop by.

    The second are the held-out unlabeled rows and the labeled ones, or all rows where none is held
    out. Rows with holes are trained on in several random completions.
    """
    rows, held_out = prepared.rows, prepared.held_out
    rng = np.random.default_rng(seed)
    has_holes = completion.has_holes(rows.matrix)
    copies = [
        completion.sampled(rows.matrix, rng) if has_holes else prepared.z
        for _ in range(COPIES_WITH_HOLES if has_holes else 1)
    ]
    trained = np.flatnonzero(~held_out)
    judged = np.flatnonzero(held_out | rows.labeled) if held_out.any() else trained
    return (
        _stack(prepared, [z[trained] for z in copies], trained),
        _stack(prepared, [copies[0][judged]], judged),
    )


def _stack(prepared: Preparation, copies: list[Floats], index: NDArray[np.int64]) -> TrainingRows:
    repeated = np.tile(index, len(copies))
    weight = prepared.rows.weight / prepared.rows.weight.mean()
    return TrainingRows(
        torch.from_numpy(np.concatenate(copies)).float(),
        torch.from_numpy(prepared.targets[repeated]).float(),
        torch.from_numpy(prepared.rows.labeled[repeated]),
        torch.from_numpy(weight[repeated]).float(),
    )


def training_config(
    estimator: FlowClassifier, automatic: Automatic, n_rows: int, seed: int
) -> TrainingConfig:
    """Take the estimator's settings for ``n_rows`` rows, and the automatic ones for "auto"."""
    size = min(int(chosen(estimator.batch_size, automatic.batch_size)), n_rows)
    steps = max(automatic.min_steps_per_epoch, math.ceil(n_rows / size))
    epochs = min(MAX_EPOCHS, max(automatic.min_epochs, math.ceil(automatic.steps / steps)))
    epochs = int(chosen(estimator.max_epochs, epochs))
    return TrainingConfig(
        max_epochs=epochs,
        steps_per_epoch=steps,
        batch_size=size,
        labeled_fraction=chosen(estimator.labeled_fraction, automatic.labeled_fraction),
        learning_rate=chosen(estimator.learning_rate, automatic.learning_rate),
        weight_decay=estimator.weight_decay,
        patience=PATIENCE if estimator.early_stopping else epochs,
        seed=seed,
        device=estimator.device,
        evaluation_rows=automatic.evaluation_rows,
        means_rate=automatic.means_rate,
    )


def chosen(value: T | str, automatic: T) -> T:
    """Return a parameter's value, or the automatic one for "auto"."""
    return automatic if isinstance(value, str) else value


@torch.no_grad()
def noisy_latents(
    flow: Bijection, z: Floats, noise: Perturbation | None, *, at_once: int, seed: int
) -> torch.Tensor:
    """Return the latents (m, D) of rows (m, D) with noise drawn under a seed."""
    flow.eval()
    parts = torch.split(torch.from_numpy(z).float(), at_once)
    with seeded(seed):
        return torch.cat([flow(part if noise is None else noise(part))[0] for part in parts])
