"""The variational auto-encoders with which the semi-conditional flow compares itself.

M1 learns latents from all rows and a linear classifier of them from the labeled ones; M2 makes the
class a latent variable of its own; M1+M2 is M2 on the latents of M1 (Kingma et al. 2014).
"""

import math
import os
from collections.abc import Sequence
from typing import ClassVar, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from flowssl._labels import codes_of
from flowssl._typing import Floats
from flowssl.baselines.base import DropoutNetworkClassifier
from flowssl.baselines.network import DropoutNetwork
from flowssl.baselines.pi_model import shuffled_batches
from flowssl.densities.base import check_temperature
from flowssl.preprocessing import TableEncoder
from flowssl.preprocessing.containers import TableLike

Kind = Literal["m1", "m2", "m1+m2"]
KINDS = ("m1", "m2", "m1+m2")
LOG_2PI = math.log(2 * math.pi)


class M2VAEClassifier(DropoutNetworkClassifier):
    r"""Semi-supervised variational auto-encoder (Kingma et al. 2014, sections 2 and 3).

    M2 minimizes, with the bound :math:`L(x, y) \ge -\log p(x, y)` of eq. 6,

    .. math:: \overline{L(x_l, y_l)} + \overline{\sum_y q(y|x_u) L(x_u, y) - H(q(y|x_u))}
              + \alpha \, \overline{-\log q(y_l|x_l)}

    (eq. 7 to 9), where the first two means share the weight 1 by their numbers of rows. Rows are
    Gaussian given their latents, with a learned variance for each column; classes are equally
    probable a priori.

    It takes the tables that the flows take: columns are encoded as theirs, standardized here, and
    missing values stand at the column's mean. There is no ``score_samples``: these models have a
    lower bound of the density alone.

    Parameters
    ----------
    kind : {"m1", "m2", "m1+m2"}, default="m1+m2"
        Which of the paper's models.
    n_latents : int, default=10
        Latents of each auto-encoder; 50 in the paper, for images.
    hidden_layer_sizes : sequence of int, default=(256,)
        Widths of the hidden layers of all networks, which have ReLU units.
    classification_weight : float, default=0.1
        Weight of the labeled rows' cross-entropy, the paper's :math:`\alpha`.
    learning_rate : float, default=1e-3
        Of Adam; 3e-4 in the paper, whose trainings are longer.
    n_steps : int, default=3000
        Gradient steps of each stage: M1+M2 trains M1 first.
    batch_size : int, default=256
        Labeled rows a step, at most, and unlabeled rows a step.
    unlabeled_value : object, default="auto"
        What marks an unlabeled row in `y`; see `flowssl._labels.encode_labels`.
    random_state : int, RandomState or None, default=None
        Seed of weights, noise and batches.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        Labels seen in `fit`, sorted.
    n_features_in_ : int
        Number of columns of the table.
    n_labeled_, n_unlabeled_ : int
        Rows of either kind in `fit`.
    encoder_ : flowssl.preprocessing.TableEncoder
        From the table to a matrix and back.
    mean_, scale_ : ndarray of shape (D,)
        Of the matrix's columns.
    loss_curve_ : list of float
        Loss of each step of the last stage, nats a row.
    network_ : torch.nn.Module
        The trained model in double precision; it gives logits of the classes.
    """

    dropout = 0.0
    image_shape: ClassVar[None] = None  # of tables alone
    encoder_: TableEncoder
    mean_: Floats
    scale_: Floats
    network_: "M2VAENetwork"

    def __init__(
        self,
        *,
        kind: Kind = "m1+m2",
        n_latents: int = 10,
        hidden_layer_sizes: Sequence[int] = (256,),
        classification_weight: float = 0.1,
        learning_rate: float = 1e-3,
        n_steps: int = 3000,
        batch_size: int = 256,
        unlabeled_value: object = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.kind = kind
        self.n_latents = n_latents
        self.hidden_layer_sizes = hidden_layer_sizes
        self.classification_weight = classification_weight
        self.learning_rate = learning_rate
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.unlabeled_value = unlabeled_value
        self.random_state = random_state

    def sample(
        self,
        n_samples: int = 1,
        y: ArrayLike | object | None = None,
        temperature: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> tuple[TableLike, NDArray[np.generic]]:
        """Draw rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
            How many; ignored when `y` is an array.
        y : label or array-like of shape (n_samples,), optional
            Class of all rows, or of each. By default all classes are equally probable.
        temperature : float, default=1.0
            Factor of all variances, those of the latents and of the rows given them.
        random_state : int, RandomState or None, default=None
            Source of randomness.

        Returns
        -------
        X : table like that of `fit`, of shape (n_samples, n_features)
            Rows.
        y : ndarray of shape (n_samples,)
            Their classes.

        Raises
        ------
        ValueError
            If a label is not one of `classes_`, the temperature is negative, or the kind is "m1",
            whose density knows no classes.
        """
        check_is_fitted(self)
        check_temperature(temperature)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        generator = torch.Generator().manual_seed(seed)
        if y is None:
            codes = torch.randint(len(self.classes_), (n_samples,), generator=generator)
        else:
            codes = torch.from_numpy(codes_of(y, self.classes_, n_samples))
        rows = self.network_.sample(codes, temperature, generator).numpy()
        matrix = rows * self.scale_ + self.mean_
        return self.encoder_.inverse_transform(matrix), self.classes_[codes.numpy()]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted classifier to one ``.flowssl`` file; see :func:`flowssl.load`."""
        from flowssl.estimators.files import save

        save(self, path)

    def __sklearn_tags__(self) -> Tags:
        """Say to scikit-learn that NaN and categories are allowed in X."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags

    def _learn_columns(self, X: TableLike) -> Floats:
        self.encoder_ = TableEncoder().fit(X)
        matrix = self._centered(X)
        if len(matrix) < 2:
            raise ValueError(f"a density needs at least 2 rows, got n_samples = {len(matrix)}")
        if matrix.shape[1] == 0:
            raise ValueError("every column of X is constant: there is nothing to learn from")
        self.n_features_in_ = self.encoder_.n_features_in_
        if hasattr(self.encoder_, "feature_names_in_"):
            self.feature_names_in_ = self.encoder_.feature_names_in_
        self.mean_, self.scale_ = np.nanmean(matrix, axis=0), np.nanstd(matrix, axis=0)
        return self._standardized(matrix)

    def _columns(self, X: TableLike) -> Floats:
        return self._standardized(self._centered(X))

    def _centered(self, X: TableLike) -> Floats:
        """Return the encoded table; a category stands at the center of its box."""
        matrix: Floats = self.encoder_.transform(X) + self.encoder_.dequantization_width_ / 2
        return matrix

    def _standardized(self, matrix: Floats) -> Floats:
        return np.nan_to_num((matrix - self.mean_) / self.scale_, nan=0.0)

    def _network(self, dim: int, n_classes: int, generator: torch.Generator) -> nn.Module:
        hidden = tuple(self.hidden_layer_sizes)
        return M2VAENetwork(self.kind, dim, self.n_latents, hidden, n_classes, generator)

    def _train(
        self, network: nn.Module, rows: Tensor, codes: Tensor, generator: torch.Generator
    ) -> list[float]:
        network = cast(M2VAENetwork, network)
        labeled = torch.nonzero(codes >= 0).squeeze(1)
        unlabeled = torch.nonzero(codes < 0).squeeze(1)
        if network.features is not None:
            features = network.features
            batches = shuffled_batches(len(rows), self.batch_size, generator)
            self._minimize(
                features,
                self.n_steps,
                lambda: features.bound(rows[next(batches)], None, generator).mean(),
            )
            features.requires_grad_(False)

        share = len(labeled) / len(rows)
        # Without unlabeled rows there is nothing to shuffle, and all weight is the labeled rows'.
        others = shuffled_batches(max(1, len(unlabeled)), self.batch_size, generator)

        def loss() -> Tensor:
            known = self._labeled_batch(labeled, generator)
            x, y = network.inputs(rows[known], generator), codes[known]
            cross_entropy = nn.functional.cross_entropy(network.classifier(x), y)
            if network.generative is None:
                return cross_entropy
            total = share * network.generative.bound(x, y, generator).mean()
            if len(unlabeled):
                x = network.inputs(rows[unlabeled[next(others)]], generator)
                total = total + (1 - share) * network.unlabeled_bound(x, generator).mean()
            return total + self.classification_weight * cross_entropy

        return self._minimize(network, self.n_steps, loss)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.kind not in KINDS:
            raise ValueError(f"kind must be 'm1', 'm2' or 'm1+m2', got {self.kind!r}.")
        for name in ("n_latents", "n_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not self.classification_weight >= 0:
            raise ValueError(
                f"classification_weight must be >= 0, got {self.classification_weight}."
            )


def noisy(mean: Tensor, scale: Tensor | float, generator: torch.Generator) -> Tensor:
    """Draw from a Gaussian of independent columns."""
    return mean + scale * torch.empty_like(mean).normal_(generator=generator)


class M2VAENetwork(nn.Module):
    """The parts of a kind: M1's auto-encoder, the classifier q(y | x), M2's auto-encoder.

    Without a generator it is a shape whose numbers a file has; see `DropoutNetwork`.
    """

    features: "_AutoEncoder | None"
    generative: "_AutoEncoder | None"

    def __init__(
        self,
        kind: Kind,
        dim: int,
        n_latents: int,
        hidden: tuple[int, ...],
        n_classes: int,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.kind, self.n_latents, self.hidden = kind, n_latents, hidden
        self.n_classes = n_classes
        self.features = self.generative = None
        if kind != "m2":
            self.features = _AutoEncoder(dim, n_latents, hidden, 0, generator)
            dim = n_latents
        sizes = (dim, n_classes) if kind == "m1" else (dim, *hidden, n_classes)
        self.classifier = DropoutNetwork(sizes, 0.0, generator)
        if kind != "m1":
            self.generative = _AutoEncoder(dim, n_latents, hidden, n_classes, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, C) of rows (n, D)."""
        if self.features is not None:
            x = self.features.encode(x, None)[0]
        logits: Tensor = self.classifier(x)
        return logits

    def inputs(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return what the second stage learns from: rows, or draws of M1's latents of them."""
        if self.features is None:
            return x
        mean, log_scale = self.features.encode(x, None)
        return noisy(mean, log_scale.exp(), generator)

    def sample(self, y: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        """Draw one row for each class index in ``y`` (n,), shape (n, D)."""
        if self.generative is None:
            raise ValueError("kind='m1' has no classes in its density; sample from 'm2' or 'm1+m2'")
        z = self.generative.log_scale.new_zeros(len(y), self.n_latents)
        spread = temperature**0.5
        x = self.generative.generate(noisy(z, spread, generator), y, spread, generator)
        return x if self.features is None else self.features.generate(x, None, spread, generator)

    def unlabeled_bound(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return ``sum_y q(y|x) L(x, y) - H(q(y|x))`` of rows (n, D), eq. 7, shape (n,)."""
        generative = cast(_AutoEncoder, self.generative)  # M1 has no such stage
        log_q = self.classifier(x).log_softmax(1)
        y = torch.arange(self.n_classes, device=x.device).repeat(len(x))
        pairs = x.repeat_interleave(self.n_classes, 0)
        bounds = generative.bound(pairs, y, generator).reshape(len(x), -1)
        expected: Tensor = (log_q.exp() * (bounds + log_q)).sum(1)
        return expected


class _AutoEncoder(nn.Module):
    """Gaussian q(z | x, y) and p(x | z, y), with a standard normal prior of z."""

    def __init__(
        self,
        dim: int,
        n_latents: int,
        hidden: tuple[int, ...],
        n_classes: int,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.n_latents = n_latents
        self.n_classes = n_classes
        self.encoder = DropoutNetwork((dim + n_classes, *hidden, 2 * n_latents), 0.0, generator)
        self.decoder = DropoutNetwork((n_latents + n_classes, *hidden, dim), 0.0, generator)
        device = "meta" if generator is None else "cpu"
        self.log_scale = nn.Parameter(torch.zeros(dim, device=device))

    def encode(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return mean and log-scale of the latents, both (n, L)."""
        mean, log_scale = self.encoder(self._with_class(x, y)).chunk(2, dim=1)
        return mean, log_scale

    def generate(
        self, z: Tensor, y: Tensor | None, spread: float, generator: torch.Generator
    ) -> Tensor:
        """Draw rows (n, D) of latents (n, L) and classes; ``spread`` multiplies deviations."""
        return noisy(self.decoder(self._with_class(z, y)), spread * self.log_scale.exp(), generator)

    def bound(self, x: Tensor, y: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return a draw of ``L(x, y) >= -log p(x, y)``, without y of ``-log p(x)``, shape (n,)."""
        mean, log_scale = self.encode(x, y)
        z = noisy(mean, log_scale.exp(), generator)
        error = (x - self.decoder(self._with_class(z, y))) * (-self.log_scale).exp()
        reconstruction = 0.5 * (error.square() + LOG_2PI).sum(1) + self.log_scale.sum()
        divergence = 0.5 * (mean.square() + (2 * log_scale).exp() - 1).sum(1) - log_scale.sum(1)
        log_classes = math.log(self.n_classes) if y is not None else 0.0
        bound: Tensor = reconstruction + divergence + log_classes
        return bound

    def _with_class(self, x: Tensor, y: Tensor | None) -> Tensor:
        if y is None:
            return x
        return torch.cat((x, nn.functional.one_hot(y, self.n_classes).to(x)), dim=1)
