"""The Pi-model with dropout as its perturbation, the paper's consistency baseline for tables.

Two passes of the same rows under different dropout masks ought to give the same probabilities; how
far they differ is added to the cross-entropy of the labeled rows.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from flowssl.baselines.base import DropoutNetworkClassifier, RandomState


class PiModelClassifier(DropoutNetworkClassifier):
    r"""Pi-model (Laine and Aila 2017) on the network of `DropoutMLPClassifier`.

    A step minimizes, after Izmailov et al. (2020), appendix D,

    .. math:: \mathrm{CE}(g(x_l'), y_l) + \lambda \, \overline{\lVert g(x'') - g(x')\rVert^2}

    with g the softmax probabilities and x', x'' the same row under two dropout masks. The second
    mean goes over a batch of all rows, labeled ones included (Laine and Aila, algorithm 1).

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(512, 512, 512)
        Widths of the hidden layers; the paper's.
    dropout : float, default=0.5
        Share of hidden units switched off at each pass; the paper's.
    consistency_weight : float, default=30.0
        :math:`\lambda`; the paper's, for all its data sets.
    ramp_up : float, default=0.4
        Share of the steps in which the weight grows as :math:`\lambda e^{-5 (1 - t)^2}` with t from
        0 to 1 (Laine and Aila, section 3). The FlowGMM paper does not mention it, but without it
        the network settles on uncertain answers before it has learned the labels: on digits with
        10 labels a class it is 75 % right after 600 steps, with it 94 %. 0 switches it off.
    learning_rate : float, default=1e-3
        Of Adam. The paper tunes it for each data set between 1e-4 and 3e-3 (table 5).
    n_epochs : int, default=50
        Passes over all rows; the paper's.
    min_steps : int, default=1000
        Gradient steps at least. The paper's data give 50 epochs of thousands of steps; on a few
        thousand rows 50 epochs would be too short to fit even the labels.
    batch_size : int, default=2000
        Labeled rows a step; all of them where there are no more.
    unlabeled_batch_size : int or None, default=2000
        Rows a step in the consistency term: 2000 in the paper's tables; None, as many as labeled
        ones, in its texts.
    unlabeled_value : object, default="auto"
        What marks an unlabeled row in `y`; see `flowssl._labels.encode_labels`.
    random_state : int, RandomState or None, default=None
        Seed of weights, dropout and batches.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        Labels seen in `fit`, sorted.
    n_features_in_ : int
        Number of columns D.
    loss_curve_ : list of float
        Loss of each step.
    network_ : flowssl.baselines.network.DropoutNetwork
        The trained network, in double precision.
    """

    def __init__(
        self,
        *,
        hidden_layer_sizes: Sequence[int] = (512, 512, 512),
        dropout: float = 0.5,
        consistency_weight: float = 30.0,
        ramp_up: float = 0.4,
        learning_rate: float = 1e-3,
        n_epochs: int = 50,
        min_steps: int = 1000,
        batch_size: int = 2000,
        unlabeled_batch_size: int | None = 2000,
        unlabeled_value: object = "auto",
        random_state: RandomState = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.dropout = dropout
        self.consistency_weight = consistency_weight
        self.ramp_up = ramp_up
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.min_steps = min_steps
        self.batch_size = batch_size
        self.unlabeled_batch_size = unlabeled_batch_size
        self.unlabeled_value = unlabeled_value
        self.random_state = random_state

    def _train(
        self, network: nn.Module, rows: Tensor, codes: Tensor, generator: torch.Generator
    ) -> list[float]:
        labeled = torch.nonzero(codes >= 0).squeeze(1)
        size = self.unlabeled_batch_size or min(len(labeled), self.batch_size)
        batches = shuffled_batches(len(rows), size, generator)
        n_steps = max(self.n_epochs * -(-len(rows) // size), self.min_steps)
        weights = _weights(self.consistency_weight, math.ceil(self.ramp_up * n_steps))

        def loss() -> Tensor:
            known, some = self._labeled_batch(labeled, generator), next(batches)
            stacked = rows[torch.cat([known, some, some])]
            logits = network(stacked, generator)
            cross_entropy = nn.functional.cross_entropy(logits[: len(known)], codes[known])
            first, second = torch.softmax(logits[len(known) :], dim=1).chunk(2)
            difference = (first - second).square().sum(dim=1).mean()
            return cross_entropy + next(weights) * difference

        return self._minimize(network, n_steps, loss)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not self.consistency_weight >= 0:
            raise ValueError(f"consistency_weight must be >= 0, got {self.consistency_weight}.")
        if not 0 <= self.ramp_up <= 1:
            raise ValueError(f"ramp_up must lie between 0 and 1, got {self.ramp_up}.")
        for name in ("n_epochs", "min_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.unlabeled_batch_size is not None and self.unlabeled_batch_size < 1:
            raise ValueError(
                f"unlabeled_batch_size must be at least 1 or None, got {self.unlabeled_batch_size}."
            )


def _weights(final: float, n_growing: int) -> Iterator[float]:
    """Weights of the consistency term, step by step, without end."""
    for step in range(n_growing):
        yield final * math.exp(-5 * (1 - step / n_growing) ** 2)
    while True:
        yield final


def shuffled_batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Row numbers in batches, without end, every row once an epoch."""
    while True:
        yield from torch.split(torch.randperm(n, generator=generator), size)
