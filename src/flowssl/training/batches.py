"""Training rows, and how batches are drawn from them.

Every batch holds rows drawn without replacement. With a ``labeled_fraction``, labeled rows are
added to each batch, and that fraction is their weight in the objective; how often they are drawn
does not change it.
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

    Examples
    --------
    >>> import torch
    >>> from flowssl.training import TrainingRows
    >>> y = torch.arange(6) % 2
    >>> rows = TrainingRows(torch.zeros(6, 3), torch.eye(2)[y], torch.arange(6) < 2, torch.ones(6))
    >>> rows.batch(torch.arange(6), labeled_fraction=0.5).weight
    tensor([0.2500, 0.2500, 0.1250, 0.1250, 0.1250, 0.1250])
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
            Positions, on the device of the rows; a row may come twice.
        labeled_fraction : float in [0, 1], optional
            Weight of the labeled rows together. By default each row has its own sample weight.
        """
        labeled, weight = self.labeled[index], self.weight[index]
        if labeled_fraction is not None:
            of_labeled = (weight * labeled).sum()
            of_unlabeled = (weight * ~labeled).sum()
            tiny = torch.finfo(weight.dtype).tiny
            factor = torch.where(
                labeled,
                labeled_fraction / of_labeled.clamp_min(tiny),
                (1 - labeled_fraction) / of_unlabeled.clamp_min(tiny),
            )
            weight = weight * factor
        return Batch(self.x[index], self.targets[index], labeled, weight / weight.sum(), index)

    def batches(
        self,
        batch_size: int,
        n_batches: int,
        labeled_fraction: float | None,
        generator: torch.Generator,
    ) -> Iterator[Batch]:
        """Yield batches of ``batch_size`` rows, pass after pass, each pass in a new order.

        Parameters
        ----------
        batch_size : int
            Rows in a batch, at most all.
        n_batches : int
            Number of batches.
        labeled_fraction : float in [0, 1] or None
            As for :meth:`batch`. With a number, batches are drawn from the unlabeled rows, and
            labeled ones are added: a quarter of ``batch_size``, at most all.
        generator : torch.Generator
            Source of the orders, on the CPU: they are the same on every device.
        """
        index = torch.arange(len(self), device=self.x.device)
        if labeled_fraction is None or self.labeled.all() or not self.labeled.any():
            passes = [_passes(index, batch_size, generator)]
        else:
            labeled, unlabeled = index[self.labeled], index[~self.labeled]
            passes = [
                _passes(unlabeled, batch_size, generator),
                _passes(labeled, max(1, batch_size // 4), generator),
            ]
        for _ in range(n_batches):
            yield self.batch(torch.cat([next(each) for each in passes]), labeled_fraction)


def _passes(index: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield slices of ``index`` of equal size endlessly, reshuffled when too few are left."""
    size = min(size, len(index))
    while True:
        # The order is drawn on the CPU and copied once for each pass, not for each batch.
        order = torch.randperm(len(index), generator=generator, device=generator.device)
        order = index[order.to(index.device)]
        for start in range(0, len(order) - size + 1, max(size, 1)):
            yield order[start : start + size]
