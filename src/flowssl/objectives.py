"""What training minimizes: small terms of ``log_joint`` that add up.

A term turns the log-joint of a batch into one loss for each row, in nats. How much a row counts
(its sample weight, and the share of the objective that the labeled rows have together) is part of
the batch, so no term hides a weight and no sampler does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from flowssl.models import JointModel

__all__ = [
    "Batch",
    "Consistency",
    "CrossEntropy",
    "ExpectationMaximization",
    "GaussianNoise",
    "Likelihood",
    "Objective",
    "Perturbation",
    "PseudoLabels",
    "ShapedNoise",
    "SoftLabelLikelihood",
    "Term",
]


@dataclass(frozen=True)
class Batch:
    """Rows on their way through training, labeled and unlabeled together.

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
        Share of the training that is done, by which terms grow.
    """

    x: Tensor
    targets: Tensor
    labeled: Tensor
    weight: Tensor
    index: Tensor
    progress: float = 1.0

    def part(self, number: int, n_parts: int) -> Batch:
        """Return every ``n_parts``-th row from ``number`` on, for one of as many processes.

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


class Term(ABC):
    """One summand of an objective.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the term.
    """

    looks_at_view = False
    """Whether the term looks at a perturbed copy of the rows besides the rows themselves."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    @abstractmethod
    def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,), nats.

        Parameters
        ----------
        batch : Batch
        log_joint : Tensor of shape (n, C)
            Of the rows.
        view : Tensor of shape (n, C)
            Log-joint of a perturbed copy of the rows, where a term looks at it.
        """

    def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
        """Return the loss of rows that are not trained on, shape (n,), by which to stop early."""
        return self.losses(batch, log_joint, log_joint)

    def before_step(  # noqa: B027  # a hook, not a duty
        self, model: JointModel, x: Tensor, step: int
    ) -> None:
        """Look at the model and all training rows before a step; most terms need not.

        ``step`` counts from 0 in each epoch: what a term keeps never reaches into the next one.
        """

    def __repr__(self) -> str:
        """Show the settings; equal terms give equal text in every process."""
        settings = {k: v for k, v in vars(self).items() if isinstance(v, int | float)}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in settings.items())})"


class Likelihood(Term):
    """Negative log-likelihood of what is known of each row (Izmailov et al. 2020, eq. 4).

    ``-log p(x, y)`` for a labeled row, ``-log p(x)`` for an unlabeled one.
    """

    def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,)."""
        known = (batch.targets * log_joint).sum(1)
        return -torch.where(batch.labeled, known, log_joint.logsumexp(1))


class SoftLabelLikelihood(Term):
    """``-sum_k q_k log p(x, y=k)`` with the batch's class probabilities q.

    With q fixed this is the M-step of EM for responsibilities that come from elsewhere: a safe
    start that plain likelihood, which hardly notices 1 % of labeled rows, cannot drift away from.
    """

    def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,)."""
        return -(batch.targets * log_joint).sum(1)


class CrossEntropy(Term):
    """``-sum_k q_k log p(y=k | x)``: how well the posterior agrees with the targets.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the term.
    labeled_only : bool, default=False
        True leaves out unlabeled rows, whose targets are then not looked at.
    of_view : bool, default=False
        True looks at the posterior of a perturbed copy of each row instead: what a view does not
        change of a class is learned so, and the likelihood may stay that of the rows.
    """

    def __init__(
        self,
        weight: float = 1.0,
        *,
        labeled_only: bool = False,
        of_view: bool = False,
    ) -> None:
        super().__init__(weight)
        self.labeled_only = labeled_only
        self.looks_at_view = of_view

    def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,)."""
        targets = batch.targets
        if self.labeled_only:  # chosen, not multiplied: the others may not be numbers
            targets = torch.where(batch.labeled[:, None], targets, torch.zeros_like(targets))
        seen = view if self.looks_at_view else log_joint
        return -(targets * seen.log_softmax(1)).sum(1)


class ExpectationMaximization(Term):
    """EM with responsibilities that are ``refresh`` steps old at most (appendix A).

    Labeled rows keep their label. With ``refresh=1`` the gradient equals that of
    :class:`Likelihood` (Fisher's identity), so only older responsibilities make EM differ.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the term.
    refresh : int, default=1
        Steps between two E-steps over all training rows. Every epoch begins with one, so that a
        training that is repeated or resumed from an epoch's end goes the same way.
    """

    def __init__(self, weight: float = 1.0, *, refresh: int = 1) -> None:
        super().__init__(weight)
        if refresh < 1:
            raise ValueError(f"refresh must be at least 1 step, got {refresh}")
        self.refresh = refresh
        self._responsibilities: Tensor | None = None

    @torch.no_grad()
    def before_step(self, model: JointModel, x: Tensor, step: int) -> None:
        """Run the E-step when it is due."""
        if self.refresh > 1 and (step % self.refresh == 0 or self._responsibilities is None):
            training = model.training
            model.eval()
            self._responsibilities = torch.cat(
                [model(rows).softmax(1) for rows in torch.split(x, 4096)]
            )
            model.train(training)

    def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
        """Return the expected complete-data loss of each row, shape (n,)."""
        if self._responsibilities is None:
            q = log_joint.detach().softmax(1)
        else:
            q = self._responsibilities[batch.index]
        q = torch.where(batch.labeled[:, None], batch.targets, q)
        return -(q * log_joint).sum(1)

    def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
        """Return the likelihood's losses: held-out rows have no stored responsibilities."""
        return Likelihood().losses(batch, log_joint, log_joint)


class Consistency(Term):
    """``-log p(x' | y'')`` of a view x', with the label ``y''`` that the row itself tells (eq. 7).

    A labeled row keeps its own label (the authors' code lets the prediction override it). No
    gradient goes through the prediction.

    Parameters
    ----------
    log_prior : callable () -> Tensor of shape (C,)
        The model's ``log p(y=k)``, which turns the joint into a class-conditional density.
    weight : float, default=1.0
        Factor of the term.
    ramp : float in [0, 1], default=0.0
        Share of the training in which the term grows linearly to its weight.
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
        told = torch.where(batch.labeled[:, None], batch.targets, log_joint.detach())
        conditional = view - self.log_prior()
        return -_ramped(batch, self.ramp) * conditional.gather(
            1, told.argmax(1, keepdim=True)
        ).squeeze(1)

    def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
        """Return zeros: held-out rows are looked at as they are, without perturbed views."""
        return torch.zeros_like(batch.weight)


class PseudoLabels(Term):
    """``-log p(y'' | x')`` of a view x' of unlabeled rows that tell their label y'' clearly.

    As ``-log p(x' | y'') = -log p(x') - log p(y'' | x') + log p(y'')``, this is the part of
    :class:`Consistency` that says something about classes; here it has a weight of its own and
    leaves out rows that are in doubt (Sohn et al. 2020, FixMatch, eq. 4).

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the term.
    threshold : float in [0, 1], default=0.95
        Least probability of the label.
    ramp : float in [0, 1], default=0.0
        Share of the training in which the term grows linearly to its weight.
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
        surprise = -view.log_softmax(1).gather(1, label[:, None]).squeeze(1)
        return _ramped(batch, self.ramp) * torch.where(counts, surprise, 0.0)

    def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
        """Return zeros: held-out rows are looked at as they are, without perturbed views."""
        return torch.zeros_like(batch.weight)


def _ramped(batch: Batch, ramp: float) -> float:
    """Return how far a linear ramp over the first ``ramp`` of the training has come, up to 1."""
    return min(1.0, batch.progress / ramp) if ramp else 1.0


Perturbation = Callable[[Tensor], Tensor]
"""Makes a perturbed copy of rows (n, D); draws from PyTorch's global generator, which the
training loop seeds for each epoch and hands back untouched."""


@dataclass(frozen=True)
class GaussianNoise:
    """The perturbation that adds N(0, std^2) noise, in standardized units."""

    std: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return noisy rows (n, D)."""
        return x + self.std * torch.randn_like(x)


@dataclass(frozen=True)
class ShapedNoise:
    """The perturbation that adds N(0, F F^T) noise, in standardized units.

    Attributes
    ----------
    factor : Tensor of shape (D, D)
        F.
    """

    factor: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return noisy rows (n, D)."""
        return torch.addmm(x, torch.randn_like(x), self.factor.to(x).T)

    def __repr__(self) -> str:
        """Show the largest and the least standard deviation of a direction."""
        width = torch.linalg.svdvals(self.factor)
        return f"ShapedNoise({float(width[0]):.6g} to {float(width[-1]):.6g})"


class Objective:
    """The sum of terms over a batch, per dimension.

    The rows and their perturbed copy go through the flow in one forward pass.

    Parameters
    ----------
    terms : sequence of Term
        What to add up.
    perturb : callable, optional
        Makes the copy that some terms look at; required by them.
    noise : callable, optional
        Makes what is trained on instead of the rows: rows of tables with noise, images with noise
        within their levels.

    Raises
    ------
    ValueError
        If there is no term, or a term looks at copies and nothing makes them.
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
            raise ValueError("a term that looks at copies of rows needs a perturbation")

    def __call__(self, model: JointModel, batch: Batch) -> Tensor:
        """Return the loss, a scalar: weighted nats divided by the number of columns."""
        log_joint, view = self._seen(model, batch.x)
        total = batch.x.new_zeros(())
        for term in self.terms:
            losses = term.losses(batch, log_joint, view)
            total = total + term.weight * (batch.weight * losses).sum()
        return total / batch.x.shape[1]

    def _seen(self, model: JointModel, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-joint (n, C) of the rows and of the view, if any term looks at one."""
        rows = x if self.noise is None else self.noise(x)
        if self.perturb is None or not self.looks_at_view:
            log_joint: Tensor = model(rows)
            return log_joint, log_joint
        both: Tensor = model(torch.cat([rows, self.perturb(x)]))
        log_joint, view = both.chunk(2)
        return log_joint, view

    def held_out(self, batch: Batch, log_joint: Tensor) -> Tensor:
        """Return the loss of rows that are not trained on, a scalar, nats."""
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
