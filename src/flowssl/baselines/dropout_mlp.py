"""The supervised network of the FlowGMM paper: three hidden layers with dropout, labels only."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowssl.baselines.base import DropoutNetworkClassifier, RandomState


class DropoutMLPClassifier(DropoutNetworkClassifier):
    """Multilayer perceptron with dropout, trained on the labeled rows alone.

    "3-Layer NN + Dropout" of Izmailov et al. (2020), table 1 and appendix D: ReLU layers, cross-
    entropy, Adam.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(512, 512, 512)
        Widths of the hidden layers; the paper's.
    dropout : float, default=0.5
        Share of hidden units switched off at each step; the paper's.
    learning_rate : float, default=3e-4
        Of Adam; the paper's, for all its data sets.
    n_steps : int, default=1000
        Gradient steps. The paper gives no number; at 20 to 500 labels the cross-entropy is flat by
        then.
    batch_size : int, default=2000
        Labeled rows a step; all of them where there are no more.
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
        Cross-entropy of each step, in nats a row, under dropout.
    network_ : flowssl.baselines.network.DropoutNetwork
        The trained network, in double precision.
    """

    def __init__(
        self,
        *,
        hidden_layer_sizes: Sequence[int] = (512, 512, 512),
        dropout: float = 0.5,
        learning_rate: float = 3e-4,
        n_steps: int = 1000,
        batch_size: int = 2000,
        unlabeled_value: object = "auto",
        random_state: RandomState = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.unlabeled_value = unlabeled_value
        self.random_state = random_state

    def _train(
        self, network: nn.Module, rows: Tensor, codes: Tensor, generator: torch.Generator
    ) -> list[float]:
        labeled = torch.nonzero(codes >= 0).squeeze(1)

        def loss() -> Tensor:
            batch = self._labeled_batch(labeled, generator)
            return nn.functional.cross_entropy(network(rows[batch], generator), codes[batch])

        return self._minimize(network, self.n_steps, loss)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, got {self.n_steps}.")
