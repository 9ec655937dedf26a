"""Checks, seeds, training loop and prediction that the neural baselines share.

A subclass says which loss a step minimizes. Training takes ``n_steps`` gradient steps in all of
them: steps mean the same whatever the numbers of labeled and unlabeled rows, passes do not.
"""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data
from torch import Tensor, nn

from flowssl._isolation import isolated
from flowssl._labels import LabelsLike, encode_labels
from flowssl._plain_values import plain_values
from flowssl._typing import Floats
from flowssl.baselines.network import DropoutNetwork
from flowssl.exceptions import TrainingDivergedError
from flowssl.model_selection import labeled_accuracy
from flowssl.preprocessing.containers import TableLike

RandomState = int | np.random.RandomState | None


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """Base of the classifiers that train a network with Adam."""

    hidden_layer_sizes: Sequence[int]
    n_steps: int
    batch_size: int
    learning_rate: float
    unlabeled_value: object
    random_state: RandomState

    @isolated()
    def fit(self, X: TableLike, y: LabelsLike) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Rows; standardized columns are expected, as for any network.
        y : array-like of shape (n,)
            Labels; unlabeled rows hold `unlabeled_value`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X is not a finite matrix, holds a number beyond single precision, if no row is labeled,
            or if a parameter is out of range.
        flowssl.exceptions.TrainingDivergedError
            If the loss becomes infinite or NaN.
        """
        matrix = self._learn_columns(X)
        labels = encode_labels(y, self.unlabeled_value)
        check_consistent_length(matrix, labels.codes)
        self._check_parameters()
        self.classes_ = labels.classes
        self.n_labeled_ = int((labels.codes >= 0).sum())
        self.n_unlabeled_ = len(labels.codes) - self.n_labeled_

        seed = int(check_random_state(self.random_state).randint(2**31))
        generator = torch.Generator().manual_seed(seed)
        network = self._network(matrix.shape[1], len(labels.classes), generator)
        _check_size(matrix, torch.finfo(torch.float32).max)
        rows = torch.from_numpy(matrix.astype(np.float32))
        codes = torch.from_numpy(labels.codes)
        self.loss_curve_ = self._train(network, rows, codes, generator)
        # Double precision, so that a row scores the same alone and among others.
        self.network_ = network.double().requires_grad_(False)
        return self

    @isolated()
    def predict_log_proba(self, X: TableLike) -> Floats:
        """Logarithms of the class probabilities without dropout.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        ndarray of shape (n, C)
            Columns in the order of `classes_`.

        Raises
        ------
        ValueError
            If a number is so large that the network's sums overflow.
        """
        check_is_fitted(self)
        matrix = self._columns(X)
        logits = self.network_(torch.tensor(matrix))
        log_proba: Floats = torch.log_softmax(logits, dim=1).numpy()
        lost = np.isnan(log_proba).any(axis=1)
        if lost.any():
            _check_size(matrix, 1.0)  # the largest number of all is named
            raise ValueError(
                f"the network has no finite answer for {lost.sum()} rows; the first is row "
                f"{lost.argmax()}"
            )
        return log_proba

    @isolated()
    def predict_proba(self, X: TableLike) -> Floats:
        """Class probabilities without dropout; see `predict_log_proba`. Rows add up to 1."""
        return np.exp(self.predict_log_proba(X))

    @isolated()
    def predict(self, X: TableLike) -> npt.NDArray[np.generic]:
        """Most probable classes.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        ndarray of shape (n,)
            Labels, of the type seen in `fit`.
        """
        best = self.predict_log_proba(X).argmax(axis=1)
        labels: npt.NDArray[np.generic] = self.classes_[best]
        return labels

    @isolated()
    def score(
        self, X: TableLike, y: LabelsLike, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Accuracy on the labeled rows; unlabeled rows are never counted as errors.

        Raises
        ------
        ValueError
            If no row is labeled.
        """
        return labeled_accuracy(
            y, self.predict(X), self.unlabeled_value, sample_weight, self.classes_
        )

    def _learn_columns(self, X: TableLike) -> Floats:
        """Return the training rows as the matrix (n, D) that the network sees."""
        matrix: Floats = validate_data(self, plain_values(X), dtype=np.float64)
        return matrix

    def _columns(self, X: TableLike) -> Floats:
        """Return further rows in the same way."""
        matrix: Floats = validate_data(self, plain_values(X), dtype=np.float64, reset=False)
        return matrix

    def _network(self, dim: int, n_classes: int, generator: torch.Generator) -> nn.Module:
        """Build the untrained network, which returns logits."""
        raise NotImplementedError

    def _train(
        self, network: nn.Module, rows: Tensor, codes: Tensor, generator: torch.Generator
    ) -> list[float]:
        """Train `network` in place; return the loss of every step."""
        raise NotImplementedError

    def _minimize(self, network: nn.Module, loss: Callable[[], Tensor]) -> list[float]:
        """Take ``n_steps`` steps of Adam on what `loss` returns; return the losses."""
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate, fused=True)
        curve = []
        for step in range(self.n_steps):
            optimizer.zero_grad()
            value = loss()
            curve.append(value.item())
            if not np.isfinite(curve[-1]):
                raise TrainingDivergedError(
                    f"the loss is {curve[-1]} at step {step + 1} of {self.n_steps}; lower "
                    f"learning_rate (now {self.learning_rate}) or standardize the columns of X."
                )
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return curve

    def _labeled_batch(self, labeled: Tensor, generator: torch.Generator) -> Tensor:
        """Return all labeled rows if they fit into a batch, else a random sample of them."""
        if len(labeled) <= self.batch_size:
            return labeled
        return labeled[torch.randperm(len(labeled), generator=generator)[: self.batch_size]]

    def _check_parameters(self) -> None:
        if any(size < 1 for size in self.hidden_layer_sizes):
            raise ValueError(
                f"hidden_layer_sizes must be positive, got {tuple(self.hidden_layer_sizes)}."
            )
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}.")
        for name in ("n_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")


def _check_size(matrix: Floats, limit: float) -> None:
    """Raise ValueError if a number of rows (n, D) as the network sees them is beyond a limit."""
    size = np.nan_to_num(np.abs(matrix), nan=np.inf)
    if not size.size or size.max() <= limit:
        return
    row, column = np.unravel_index(size.argmax(), size.shape)
    raise ValueError(
        f"the number {matrix[row, column]:g} in row {row} and column {column} of the matrix is too "
        "large for a network's single precision; check its units, or scale or clip the column"
    )


class DropoutNetworkClassifier(NetworkClassifier):
    """Base of the classifiers whose network has dropout between its hidden layers."""

    dropout: float

    def _network(self, dim: int, n_classes: int, generator: torch.Generator) -> nn.Module:
        sizes = (dim, *self.hidden_layer_sizes, n_classes)
        return DropoutNetwork(sizes, self.dropout, generator)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {self.dropout}.")
