"""Terms that compare the log-joint of rows with that of a perturbed view of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from flowssl.objectives.batch import Batch
from flowssl.objectives.terms import Term


class Consistency(Term):
    """``-log p(x' | y'')`` of a view x', with the label y'' predicted from the row itself.

    This is eq. 7 of Izmailov et al. 2020. A labeled row keeps its own label (in the authors' code
    the prediction overrides it). No gradient goes through the prediction.

    Parameters
    ----------
    log_prior : callable () -> Tensor of shape (C,)
        The model's ``log p(y=k)``, which turns the joint into a class-conditional density.
    weight : float, default=1.0
        Factor of the term.
    ramp : float in [0, 1], default=0.0
        Fraction of the training in which the term grows linearly to its weight.

    Examples
    --------
    >>> import torch
    >>> from flowssl.objectives import Batch, Consistency
    >>> batch = Batch(
    ...     x=torch.zeros(2, 1),
    ...     targets=torch.tensor([[1.0, 0.0], [0.5, 0.5]]),
    ...     labeled=torch.tensor([True, False]),
    ...     weight=torch.full((2,), 0.5),
    ...     index=torch.arange(2),
    ... )
    >>> consistency = Consistency(lambda: torch.tensor([0.5, 0.5]).log())
    >>> rows, view = torch.tensor([[[0.0, 1.0], [0.0, 1.0]], [[-1.0, -5.0], [-5.0, -1.0]]])
    >>> consistency.losses(batch, rows, view)
    tensor([0.3069, 0.3069])
    """

    looks_at_view = True

    def __init__(
        self, log_prior: Callable[[], Tensor], weight: float = 1.0, *, ramp: float = 0.0
    ) -> None:
        super().__init__(weight)
        self.log_prior = log_prior
        self.ramp = ramp

    def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,)."""
        scores = torch.where(batch.labeled[:, None], batch.targets, log_joint.detach())
        label = scores.argmax(1, keepdim=True)
        conditional = (view - self.log_prior()).gather(1, label).squeeze(1)
        return -_ramped(batch, self.ramp) * conditional

    def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
        """Return zeros: held-out rows are evaluated without perturbed views."""
        return torch.zeros_like(batch.weight)


class PseudoLabels(Term):
    """``-log p(y'' | x')`` of a view x' of an unlabeled row with a confident prediction y''.

    As ``-log p(x' | y'') = -log p(x') - log p(y'' | x') + log p(y'')``, this is the part of
    :class:`Consistency` that depends on the classes. Here it has a weight of its own, and rows
    without a confident prediction are left out (Sohn et al. 2020, FixMatch, eq. 4).

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the term.
    threshold : float in [0, 1], default=0.95
        Smallest probability of the predicted label.
    ramp : float in [0, 1], default=0.0
        Fraction of the training in which the term grows linearly to its weight.

    Examples
    --------
    >>> import torch
    >>> from flowssl.objectives import Batch, PseudoLabels
    >>> batch = Batch(
    ...     x=torch.zeros(2, 1),
    ...     targets=torch.tensor([[1.0, 0.0], [0.5, 0.5]]),
    ...     labeled=torch.tensor([True, False]),
    ...     weight=torch.full((2,), 0.5),
    ...     index=torch.arange(2),
    ... )
    >>> rows, view = torch.tensor([[[0.0, 9.0], [0.0, 9.0]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> PseudoLabels(threshold=0.9).losses(batch, rows, view)
    tensor([0.0000, 0.3133])
    """

    looks_at_view = True

    def __init__(self, weight: float = 1.0, *, threshold: float = 0.95, ramp: float = 0.0) -> None:
        super().__init__(weight)
        self.threshold = threshold
        self.ramp = ramp

    def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,)."""
        confidence, label = log_joint.detach().softmax(1).max(1)
        counts = (confidence >= self.threshold) & ~batch.labeled
        cross_entropy = -view.log_softmax(1).gather(1, label[:, None]).squeeze(1)
        return _ramped(batch, self.ramp) * torch.where(counts, cross_entropy, 0.0)

    def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
        """Return zeros: held-out rows are evaluated without perturbed views."""
        return torch.zeros_like(batch.weight)


def _ramped(batch: Batch, ramp: float) -> float:
    """Return the factor, 0 to 1, of a linear ramp over the first fraction of the training."""
    return min(1.0, batch.progress / ramp) if ramp else 1.0
