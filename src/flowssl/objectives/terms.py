"""Terms of the objective: likelihoods, cross-entropy and expectation maximization."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from flowssl.models import JointModel
from flowssl.objectives.batch import Batch


class Term(ABC):
    """One summand of an objective; subclasses implement :meth:`losses`.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the term.

    Examples
    --------
    >>> from flowssl.objectives import Term
    >>> class Entropy(Term):
    ...     def losses(self, batch, log_joint, view):
    ...         log_posterior = log_joint.log_softmax(1)
    ...         return -(log_posterior.exp() * log_posterior).sum(1)
    >>> Entropy(0.1)
    Entropy(weight=0.1)
    """

    looks_at_view = False
    """Whether the term uses the log-joint of a perturbed copy of the rows."""

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
            Of a perturbed copy of the rows where a term of the objective uses one, else of the
            rows.
        """

    def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
        """Return the loss of held-out rows, shape (n,), used for early stopping."""
        return self.losses(batch, log_joint, log_joint)

    def before_step(  # noqa: B027  # an optional hook
        self, model: JointModel, x: Tensor, step: int
    ) -> None:
        """Prepare for a step, given the model and all training rows (n, D); optional.

        ``step`` counts from 0 in each epoch, so that no state is carried into the next epoch.
        """

    def __repr__(self) -> str:
        """Show the settings; equal terms give equal text in every process."""
        settings = {k: v for k, v in vars(self).items() if isinstance(v, int | float)}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in settings.items())})"


class Likelihood(Term):
    """Negative log-likelihood (Izmailov et al. 2020, eq. 4).

    ``-log p(x, y)`` for a labeled row, ``-log p(x)`` for an unlabeled one.

    Examples
    --------
    >>> import torch
    >>> from flowssl.objectives import Batch, Likelihood
    >>> batch = Batch(
    ...     x=torch.zeros(2, 1),
    ...     targets=torch.tensor([[1.0, 0.0], [0.5, 0.5]]),
    ...     labeled=torch.tensor([True, False]),
    ...     weight=torch.full((2,), 0.5),
    ...     index=torch.arange(2),
    ... )
    >>> log_joint = torch.tensor([[-1.0, -2.0], [-3.0, -3.0]])
    >>> Likelihood().losses(batch, log_joint, log_joint)
    tensor([1.0000, 2.3069])
    """

    def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,)."""
        known = (batch.targets * log_joint).sum(1)
        return -torch.where(batch.labeled, known, log_joint.logsumexp(1))


class SoftLabelLikelihood(Term):
    """``-sum_k q_k log p(x, y=k)`` with the batch's class probabilities q.

    With q fixed this is the M-step of EM for given responsibilities. Training cannot drift away
    from the soft labels, as it can with the plain likelihood where few rows are labeled.

    Examples
    --------
    >>> import torch
    >>> from flowssl.objectives import Batch, SoftLabelLikelihood
    >>> batch = Batch(
    ...     x=torch.zeros(2, 1),
    ...     targets=torch.tensor([[1.0, 0.0], [0.5, 0.5]]),
    ...     labeled=torch.tensor([True, False]),
    ...     weight=torch.full((2,), 0.5),
    ...     index=torch.arange(2),
    ... )
    >>> log_joint = torch.tensor([[-1.0, -2.0], [-2.0, -4.0]])
    >>> SoftLabelLikelihood().losses(batch, log_joint, log_joint).tolist()
    [1.0, 3.0]
    """

    def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,)."""
        return -(batch.targets * log_joint).sum(1)


class CrossEntropy(Term):
    """``-sum_k q_k log p(y=k | x)``: the cross-entropy of the posterior to the targets.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the term.
    labeled_only : bool, default=False
        True leaves out unlabeled rows, whose targets may then be anything, NaN included.
    of_view : bool, default=False
        True uses the posterior of a perturbed copy of each row instead: the classifier learns to
        be invariant to the perturbation, while the likelihood remains that of the rows.

    Examples
    --------
    >>> import torch
    >>> from flowssl.objectives import Batch, CrossEntropy
    >>> batch = Batch(
    ...     x=torch.zeros(2, 1),
    ...     targets=torch.tensor([[1.0, 0.0], [0.5, 0.5]]),
    ...     labeled=torch.tensor([True, False]),
    ...     weight=torch.full((2,), 0.5),
    ...     index=torch.arange(2),
    ... )
    >>> log_joint = torch.tensor([[-1.0, -1.0], [-2.0, -2.0]])
    >>> CrossEntropy(labeled_only=True).losses(batch, log_joint, log_joint)
    tensor([0.6931, -0.0000])
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
        if self.labeled_only:  # selected, not multiplied: targets of other rows may be NaN
            targets = torch.where(batch.labeled[:, None], targets, torch.zeros_like(targets))
        seen = view if self.looks_at_view else log_joint
        return -(targets * seen.log_softmax(1)).sum(1)


class ExpectationMaximization(Term):
    """EM with responsibilities that are at most ``refresh`` steps old.

    Labeled rows keep their label (Izmailov et al. 2020, appendix A). With ``refresh=1`` the
    gradient equals that of :class:`Likelihood` by Fisher's identity.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the term.
    refresh : int, default=1
        Steps between two E-steps over all training rows. Every epoch begins with one, so that
        training resumed at the end of an epoch gives the same result.

    Raises
    ------
    ValueError
        If ``refresh`` is less than 1.

    Examples
    --------
    >>> import torch
    >>> from flowssl.objectives import Batch, ExpectationMaximization
    >>> batch = Batch(
    ...     x=torch.zeros(2, 1),
    ...     targets=torch.tensor([[1.0, 0.0], [0.5, 0.5]]),
    ...     labeled=torch.tensor([True, False]),
    ...     weight=torch.full((2,), 0.5),
    ...     index=torch.arange(2),
    ... )
    >>> log_joint = torch.tensor([[-1.0, -2.0], [-3.0, -3.0]])
    >>> ExpectationMaximization().losses(batch, log_joint, log_joint).tolist()
    [1.0, 3.0]
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
