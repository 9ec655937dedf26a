"""The Pi-model with dropout as its perturbation, the paper's consistency baseline for tables.

The squared difference between the probabilities of the same rows under two dropout masks is added
to the cross-entropy of the labeled rows.
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
    mean is over a batch of all rows, labeled ones included (Laine and Aila, algorithm 1).

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(512, 512, 512)
        Widths of the hidden layers; the paper's.
    dropout : float, default=0.5
        Fraction of hidden units dropped in each pass; the paper's.
    consistency_weight : float, default=30.0
        :math:`\lambda`; the paper's, for all its data sets.
    ramp_up : float, default=0.4
        Fraction of the steps over which the weight grows as :math:`\lambda e^{-5 (1 - t)^2}`, t
        from 0 to 1 (Laine and Aila, section 3); 0 means full weight from the first step. The
        FlowGMM paper does not mention it, but without it the network converges to uncertain
        predictions before it has learned the labels: on digits with 10 labels per class its
        accuracy after 600 steps is 75 %, with it 94 %.
    n_steps : int, default=1000
        Gradient steps. The paper's 50 passes over n rows are ``50 * n / unlabeled_batch_size``
        steps: 1,000 for 40,000 rows. On a few thousand rows, 50 passes would be too short to fit
        even the labels.
    batch_size : int, default=2000
        Labeled rows per step, at most.
    unlabeled_batch_size : int or None, default=2000
        Rows per step in the consistency term: 2000 in the paper's tables; None, used for its
        texts, means as many as labeled ones.
    learning_rate : float, default=1e-3
        Learning rate of Adam. The paper tunes it for each data set between 1e-4 and 3e-3
        (table 5).
    unlabeled_value : object, default="auto"
        What marks an unlabeled row in ``y``: "auto" is -1, NaN, None and pd.NA; None means that
        every row is labeled.
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

    Examples
    --------
    >>> from flowssl.baselines import PiModelClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(500, random_state=0)
    >>> y = hide_labels(truth, per_class=10, random_state=0)
    >>> model = PiModelClassifier(hidden_layer_sizes=(32,), n_steps=200, learning_rate=0.01, random_state=0)
    >>> bool(model.fit(X, y).score(X, truth) > 0.8)
    True
    """

    def __init__(
        self,
        *,
        hidden_layer_sizes: Sequence[int] = (512, 512, 512),
        dropout: float = 0.5,
        consistency_weight: float = 30.0,
        ramp_up: float = 0.4,
        n_steps: int = 1000,
        batch_size: int = 2000,
        unlabeled_batch_size: int | None = 2000,
        learning_rate: float = 1e-3,
        unlabeled_value: object = "auto",
        random_state: RandomState = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.dropout = dropout
        self.consistency_weight = consistency_weight
        self.ramp_up = ramp_up
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.unlabeled_batch_size = unlabeled_batch_size
        self.learning_rate = learning_rate
        self.unlabeled_value = unlabeled_value
        self.random_state = random_state

    def _train(
        self, network: nn.Module, rows: Tensor, codes: Tensor, generator: torch.Generator
    ) -> list[float]:
        labeled = torch.nonzero(codes >= 0).squeeze(1)
        size = self.unlabeled_batch_size or min(len(labeled), self.batch_size)
        batches = shuffled_batches(len(rows), size, generator)
        weights = _weights(self.consistency_weight, math.ceil(self.ramp_up * self.n_steps))

        def loss() -> Tensor:
            known, some = self._labeled_batch(labeled, generator), next(batches)
            stacked = rows[torch.cat([known, some, some])]
            logits = network(stacked, generator)
            cross_entropy = nn.functional.cross_entropy(logits[: len(known)], codes[known])
            first, second = torch.softmax(logits[len(known) :], dim=1).chunk(2)
            difference = (first - second).square().sum(dim=1).mean()
            return cross_entropy + next(weights) * difference

        return self._minimize(network, loss)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not self.consistency_weight >= 0:
            raise ValueError(f"consistency_weight must be >= 0, got {self.consistency_weight}.")
        if not 0 <= self.ramp_up <= 1:
            raise ValueError(f"ramp_up must lie between 0 and 1, got {self.ramp_up}.")
        if self.unlabeled_batch_size is not None and self.unlabeled_batch_size < 1:
            raise ValueError(
                f"unlabeled_batch_size must be at least 1 or None, got {self.unlabeled_batch_size}."
            )


def _weights(final: float, n_growing: int) -> Iterator[float]:
    """Yield the weight of the consistency term for each step, without end."""
    for step in range(n_growing):
        yield final * math.exp(-5 * (1 - step / n_growing) ** 2)
    while True:
        yield final


def shuffled_batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield row numbers in batches, without end; every row once per epoch."""
    while True:
        yield from torch.split(torch.randperm(n, generator=generator), size)
