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
        Fraction of hidden units dropped in each step; the paper's.
    n_steps : int, default=1000
        Gradient steps. The paper gives no number; with 20 to 500 labels the cross-entropy has
        converged by then.
    batch_size : int, default=2000
        Labeled rows per step, at most.
    learning_rate : float, default=3e-4
        Learning rate of Adam; the paper's, for all its data sets.
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
        Cross-entropy of each step under dropout, in nats per row.
    network_ : flowssl.baselines.network.DropoutNetwork
        The trained network, in double precision.

    Examples
    --------
    >>> from flowssl.baselines import DropoutMLPClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(500, random_state=0)
    >>> y = hide_labels(truth, per_class=10, random_state=0)
    >>> model = DropoutMLPClassifier(hidden_layer_sizes=(32,), n_steps=200, learning_rate=0.01, random_state=0)
    >>> bool(model.fit(X, y).score(X, truth) > 0.8)
    True
    """

    def __init__(
        self,
        *,
        hidden_layer_sizes: Sequence[int] = (512, 512, 512),
        dropout: float = 0.5,
        n_steps: int = 1000,
        batch_size: int = 2000,
        learning_rate: float = 3e-4,
        unlabeled_value: object = "auto",
        random_state: RandomState = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.dropout = dropout
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.unlabeled_value = unlabeled_value
        self.random_state = random_state

    def _train(
        self, network: nn.Module, rows: Tensor, codes: Tensor, generator: torch.Generator
    ) -> list[float]:
        labeled = torch.nonzero(codes >= 0).squeeze(1)

        def loss() -> Tensor:
            batch = self._labeled_batch(labeled, generator)
            return nn.functional.cross_entropy(network(rows[batch], generator), codes[batch])

        return self._minimize(network, loss)
