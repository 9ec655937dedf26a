"""The objective: a weighted sum of terms, evaluated in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flowssl.models import JointModel
from flowssl.objectives.batch import Batch
from flowssl.objectives.perturbations import Perturbation
from flowssl.objectives.terms import Term


class Objective:
    """The weighted sum of terms over a batch, per dimension.

    The rows and their perturbed copy go through the flow in one forward pass.

    Parameters
    ----------
    terms : sequence of Term
        The terms to add up.
    perturb : callable, optional
        Perturbs rows into the view that some terms use; required by them.
    noise : callable, optional
        Perturbs the rows that the other terms are evaluated on: Gaussian noise for tables,
        dequantization noise for images.

    Raises
    ------
    ValueError
        If there is no term, or a term uses a view and ``perturb`` is missing.

    Examples
    --------
    >>> from flowssl.objectives import CrossEntropy, GaussianNoise, Objective, SoftLabelLikelihood
    >>> Objective([SoftLabelLikelihood(), CrossEntropy(3.0)], noise=GaussianNoise(0.1)).noise
    GaussianNoise(std=0.1)
    """

    def __init__(
        self,
        terms: Sequence[Term],
        perturb: Perturbation | None = None,
        *,
        noise: Perturbation | None = None,
    ) -> None:
        self.terms = tuple(terms)
        self.perturb = perturb
        self.noise = noise
        if not self.terms:
            raise ValueError("an objective needs at least 1 term, got 0")
        self.looks_at_view = any(term.looks_at_view for term in self.terms)
        if self.looks_at_view and perturb is None:
            raise ValueError(
                "a term that uses a view of the rows needs a perturbation: give perturb"
            )

    def __call__(self, model: JointModel, batch: Batch) -> Tensor:
        """Return the loss, a scalar: weighted nats divided by the number of columns."""
        log_joint, view = self._log_joints(model, batch.x)
        total = batch.x.new_zeros(())
        for term in self.terms:
            losses = term.losses(batch, log_joint, view)
            total = total + term.weight * (batch.weight * losses).sum()
        return total / batch.x.shape[1]

    def _log_joints(self, model: JointModel, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-joint (n, C) of the rows and of the view, if any term uses one."""
        rows = x if self.noise is None else self.noise(x)
        if self.perturb is None or not self.looks_at_view:
            log_joint: Tensor = model(rows)
            return log_joint, log_joint
        both: Tensor = model(torch.cat([rows, self.perturb(x)]))
        log_joint, view = both.chunk(2)
        return log_joint, view

    def held_out(self, batch: Batch, log_joint: Tensor) -> Tensor:
        """Return the loss of held-out rows, a scalar, nats."""
        total = log_joint.new_zeros(())
        for term in self.terms:
            losses = term.held_out_losses(batch, log_joint)
            total = total + term.weight * (batch.weight * losses).sum()
        return total

    def __repr__(self) -> str:
        """Show the terms; equal objectives give equal text in every process."""
        return f"Objective({list(self.terms)}, perturb={self.perturb}, noise={self.noise})"

    def before_step(self, model: JointModel, x: Tensor, step: int) -> None:
        """Let every term prepare for a step, the ``step``-th of its epoch."""
        for term in self.terms:
            term.before_step(model, x, step)
