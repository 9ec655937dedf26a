"""The rows that a flow is trained on and how batches are drawn from them.

Every batch holds rows drawn without replacement. Where labeled rows are to count more, some of them
stand beside these and their joint weight in the objective is stated (``labeled_fraction``), never left
to how often a sampler draws them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from flowssl.objectives import Batch


@dataclass(frozen=True)
class TrainingRows:
    """Rows with class probabilities, labels and weights, all on one device.

    Attributes
    ----------
    x : Tensor of shape (n, D)
        Rows.
    targets : Tensor of shape (n, C)
        Class probabilities, one-hot for labeled rows.
    labeled : Tensor of shape (n,), bool
        Which rows carry a label.
    weight : Tensor of shape (n,)
        Sample weights, positive.
    """

    x: Tensor
    targets: Tensor
    labeled: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return self.x.shape[0]

    def to(self, device: torch.device) -> TrainingRows:
        """Return the same rows on another device."""
        parts = (self.x, self.targets, self.labeled, self.weight)
        return TrainingRows(*(part.to(device) for part in parts))

    def take(self, index: Tensor) -> TrainingRows:
        """Return some of the rows."""
        parts = (self.x, self.targets, self.labeled, self.weight)
        return TrainingRows(*(part[index] for part in parts))

    def batch(self, index: Tensor, labeled_fraction: float | None = None) -> Batch:
        """Return the rows at ``index`` (n,) as a batch whose weights add up to 1.

        Parameters
        ----------
        index : Tensor of shape (n,), int64
            Positions; a row may come twice.
        labeled_fraction : float in [0, 1], optional
            Weight of the labeled rows together. By default each row has its own sample weight.
        """
        labeled, weight = self.labeled[index], self.weight[index]
        if labeled_fraction is not None:
            of_labeled = (weight * labeled).sum()
            of_unlabeled = (weight * ~labeled).sum()
            tiny = torch.finfo(weight.dtype).tiny
            share = torch.where(
                labeled,
                labeled_fraction / of_labeled.clamp_min(tiny),
                (1 - labeled_fraction) / of_unlabeled.clamp_min(tiny),
            )
            weight = weight * share
        return Batch(self.x[index], self.targets[index], labeled, weight / weight.sum(), index)

    def batches(
        self,
        batch_size: int,
        n_batches: int,
        labeled_fraction: float | None,
        generator: torch.Generator,
    ) -> Iterator[Batch]:
        """Yield batches of ``batch_size`` rows, pass after pass, each pass in a new order.

        With a ``labeled_fraction`` up to a quarter as many labeled rows are added to each batch.
        """
        device = self.x.device
        shared = labeled_fraction is not None
        labeled = self.labeled.nonzero().squeeze(1).cpu()
        others = (~self.labeled).nonzero().squeeze(1).cpu() if shared else torch.arange(len(self))
        if len(others) == 0:
            others, labeled = labeled, labeled[:0]
        main = _passes(others, batch_size, generator)
        beside = _passes(labeled, max(1, batch_size // 4), generator) if shared else None
        for _ in range(n_batches):
            index = next(main)
            if beside is not None and len(labeled):
                index = torch.cat((index, next(beside)))
            yield self.batch(index.to(device), labeled_fraction)


def _passes(index: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield parts of ``index`` of equal size for ever, reshuffled when too few are left."""
    size = min(size, len(index))
    while True:
        order = index[torch.randperm(len(index), generator=generator)]
        for start in range(0, len(order) - size + 1, max(size, 1)):
            yield order[start : start + size]
