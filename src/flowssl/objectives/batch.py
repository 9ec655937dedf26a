"""A batch of labeled and unlabeled rows with their targets and weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """A batch of training rows, labeled and unlabeled together.

    Attributes
    ----------
    x : Tensor of shape (n, D)
        Rows.
    targets : Tensor of shape (n, C)
        Class probabilities of each row: one-hot for a labeled row, soft labels otherwise.
    labeled : Tensor of shape (n,), bool
        Which rows carry a label.
    weight : Tensor of shape (n,)
        How much each row counts; adds up to 1 over the batch, to about 1 over a part of it.
    index : Tensor of shape (n,), int64
        Position of each row in the training data.
    progress : float, default=1.0
        Fraction of the training that is done, by which ramps of terms grow.

    Examples
    --------
    >>> import torch
    >>> from flowssl.objectives import Batch
    >>> batch = Batch(
    ...     x=torch.zeros(4, 2),
    ...     targets=torch.eye(2)[[0, 1, 0, 1]],
    ...     labeled=torch.tensor([True, True, False, False]),
    ...     weight=torch.full((4,), 0.25),
    ...     index=torch.arange(4),
    ... )
    >>> batch.part(0, 2).index.tolist()
    [0, 2]
    """

    x: Tensor
    targets: Tensor
    labeled: Tensor
    weight: Tensor
    index: Tensor
    progress: float = 1.0

    def part(self, number: int, n_parts: int) -> Batch:
        """Return every ``n_parts``-th row from ``number`` on, for one of ``n_parts`` processes.

        The mean of the parts' losses is the loss of the batch.
        """
        if n_parts == 1:
            return self
        mine = slice(number, None, n_parts)
        return replace(
            self,
            x=self.x[mine],
            targets=self.targets[mine],
            labeled=self.labeled[mine],
            weight=n_parts * self.weight[mine],
            index=self.index[mine],
        )
