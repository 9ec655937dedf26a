"""The class prior: log-probabilities of the classes, fixed or learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowssl.bijections.base import all_true


class ClassPrior(nn.Module):
    """Log-probabilities of the classes before a row is seen.

    Parameters
    ----------
    probabilities : Tensor of shape (C,)
        Positive weights; they are normalized.
    learn : bool, default=False
        Whether training may change them.

    Raises
    ------
    ValueError
        If the weights are not a vector of positive, finite numbers.

    Examples
    --------
    >>> import torch
    >>> from flowssl.densities import ClassPrior
    >>> ClassPrior(torch.tensor([1.0, 3.0]))().exp()
    tensor([0.2500, 0.7500])
    """

    def __init__(self, probabilities: Tensor, *, learn: bool = False) -> None:
        super().__init__()
        positive = torch.isfinite(probabilities) & (probabilities > 0)
        if probabilities.ndim != 1 or not all_true(positive):
            raise ValueError(f"class priors must be positive, got {probabilities.tolist()}")
        logits = probabilities.log().to(torch.float32)
        self.logits = nn.Parameter(logits, requires_grad=learn)

    def forward(self) -> Tensor:
        """Return ``log p(y=k)``, shape (C,), nats."""
        return self.logits.log_softmax(0)
