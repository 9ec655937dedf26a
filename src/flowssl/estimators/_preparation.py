"""From canonical rows and soft labels to what the training loop takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from flowssl._random import seeded
from flowssl._typing import Booleans, Floats, Integers
from flowssl.bijections import Bijection
from flowssl.estimators._rows import ROWS_AT_ONCE, Rows
from flowssl.objectives import Perturbation
from flowssl.preprocessing import Completion, Pixels
from flowssl.training import TrainingRows

MIN_HELD_OUT = 10
"""Rows below which none is held out: a mean over fewer says nothing."""

COPIES_WITH_MISSING = 4
"""Random completions of each training row when rows have missing numbers or categories."""


@dataclass(frozen=True)
class Preparation:
    """What training needs besides a model.

    Attributes
    ----------
    z : ndarray of shape (n, D), float64, or float32 for images
        Distinct training rows in standardized units, missing values filled by typical ones; of
        images the centers of the pixel values, in float32.
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
    held_out: Booleans

    @property
    def n_trained(self) -> int:
        """Number of rows that are trained on."""
        return int((~self.held_out).sum())

    @property
    def mass(self) -> Floats:
        """How much of each row's weight belongs to each class, shape (n, C)."""
        return self.targets * self.rows.weight[:, None]

    def labeled_and_others(self, n_others: int, seed: int) -> Integers:
        """Return the positions of the labeled rows and of so many others that are trained on."""
        labeled = self.rows.labeled
        others = np.flatnonzero(~labeled & ~self.held_out)
        others = np.random.default_rng(seed).permutation(others)[:n_others]
        return np.concatenate((np.flatnonzero(labeled), others))


def prepare(
    completion: Completion | Pixels, rows: Rows, posteriors: Floats, max_held_out: int, seed: int
) -> Preparation:
    """Put the soft labels on the rows and hold some of the unlabeled ones out."""
    labeled = rows.labeled
    targets = np.where(labeled[:, None], rows.one_hot(), posteriors)
    unlabeled = np.flatnonzero(~labeled)
    held_out = np.zeros(len(labeled), dtype=bool)
    # A tenth; of small tables more, as fewer than 30 rows cannot tell one epoch from another.
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
    out. Rows with missing values are trained on in several random completions.
    """
    rows, held_out = prepared.rows, prepared.held_out
    rng = np.random.default_rng(seed)
    trained = np.flatnonzero(~held_out)
    evaluated = np.flatnonzero(held_out | rows.labeled) if held_out.any() else trained
    has_missing = completion.has_missing(rows.matrix)
    z = completion.sampled(rows.matrix, rng) if has_missing else prepared.z
    # In single precision at once: several copies in double would be most of a fit's memory.
    copies, seen = [_single(z, trained)], _single(z, evaluated)
    for _ in range(COPIES_WITH_MISSING - 1 if has_missing else 0):
        z = completion.sampled(rows.matrix, rng)
        copies.append(_single(z, trained))
    return _stack(prepared, copies, trained), _stack(prepared, [seen], evaluated)


def _stack(prepared: Preparation, copies: list[torch.Tensor], index: Integers) -> TrainingRows:
    repeated = np.tile(index, len(copies))
    weight = prepared.rows.weight / prepared.rows.weight.mean()
    return TrainingRows(
        copies[0] if len(copies) == 1 else torch.cat(copies),
        _single(prepared.targets, repeated),
        torch.from_numpy(prepared.rows.labeled[repeated]),
        torch.from_numpy(weight[repeated]).float(),
    )


def _single(matrix: Floats, index: Integers) -> torch.Tensor:
    """Return some rows of a matrix in single precision."""
    parts = np.array_split(index, max(1, len(index) // ROWS_AT_ONCE))
    return torch.cat([torch.from_numpy(matrix[part]).float() for part in parts])


@torch.no_grad()
def noisy_latents(
    flow: Bijection,
    z: Floats,
    index: Integers,
    noise: Perturbation | None,
    *,
    at_once: int,
    seed: int,
) -> torch.Tensor:
    """Return latents, on the flow's device, of some rows with seeded noise.

    Parameters
    ----------
    flow : Bijection
        Left in evaluation mode.
    z : ndarray of shape (n, D)
        Rows.
    index : ndarray of shape (m,)
        Which of them; a row may come several times.
    noise : callable or None
        Makes what the flow sees instead of the rows.
    at_once : int
        Rows that go through the flow together.
    seed : int
        Of the noise.
    """
    flow.eval()
    device = next((p.device for p in flow.parameters()), torch.device("cpu"))
    found = []
    with seeded(seed, device):
        for first in range(0, max(len(index), 1), at_once):
            part = torch.from_numpy(z[index[first : first + at_once]]).float().to(device)
            found.append(flow(part if noise is None else noise(part))[0])
    return torch.cat(found)
