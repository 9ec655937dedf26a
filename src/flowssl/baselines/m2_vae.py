"""The variational auto-encoders that the semi-conditional flow's paper compares with.

M1 learns latents from all rows and a linear classifier of them from the labeled ones; M2 treats the
class as a further latent variable; M1+M2 is M2 on the latents of M1 (Kingma et al. 2014).
"""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Tags, check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from flowssl._isolation import isolated
from flowssl._labels import codes_of
from flowssl._model_file import Arrays, ModelFileMixin, State, grouped, kinds_of
from flowssl._persistence import JSON
from flowssl._records import Record, check_arrays
from flowssl._typing import Floats
from flowssl.baselines.auto_encoder import KINDS, Kind, M2VAENetwork
from flowssl.baselines.base import NetworkClassifier
from flowssl.baselines.pi_model import shuffled_batches
from flowssl.densities.base import check_temperature
from flowssl.exceptions import ModelFileError
from flowssl.preprocessing import TableEncoder
from flowssl.preprocessing.containers import TableLike

_CLASSIFICATION_WEIGHT = 0.1  # a literal in the signature too: the command line parses it


class M2VAEClassifier(NetworkClassifier, ModelFileMixin):
    r"""Semi-supervised variational auto-encoder (Kingma et al. 2014, sections 2 and 3).

    M2 minimizes, with the bound :math:`L(x, y) \ge -\log p(x, y)` of eq. 6,

    .. math:: \overline{L(x_l, y_l)} + \overline{\sum_y q(y|x_u) L(x_u, y) - H(q(y|x_u))}
              + \alpha \, \overline{-\log q(y_l|x_l)}

    (eq. 7 to 9), where the first two means are weighted by their fractions of the rows. Rows are
    Gaussian given their latents, with a learned variance for each column; classes are equally
    probable a priori.

    It takes the same tables as the flows; columns are standardized, and missing values are replaced
    by the column's mean. There is no ``score_samples``: these models only have a lower bound on the
    density.

    Parameters
    ----------
    kind : {"m1", "m2", "m1+m2"}, default="m1+m2"
        Which of the paper's models.
    n_latents : int, default=10
        Number of latents of each auto-encoder; 50 in the paper, for images.
    hidden_layer_sizes : sequence of int, default=(256,)
        Widths of the hidden layers of all networks, which have ReLU units.
    classification_weight : float, default=0.1
        Weight of the labeled rows' cross-entropy, the paper's :math:`\alpha`. "m1" has no such
        weight and refuses another value than the default.
    n_steps : int, default=3000
        Gradient steps. "m1" and "m1+m2" train the auto-encoder of M1 for as many steps before.
    batch_size : int, default=256
        Labeled rows per step, at most, and unlabeled rows per step.
    learning_rate : float, default=1e-3
        Learning rate of Adam; 3e-4 in the paper, which trains for longer.
    unlabeled_value : object, default="auto"
        What marks an unlabeled row in ``y``: "auto" is -1, NaN, None and pd.NA; None means that
        every row is labeled.
    random_state : int, RandomState or None, default=None
        Seed of weights, noise and batches.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        Labels seen in `fit`, sorted.
    n_features_in_ : int
        Number of columns of the table.
    n_labeled_, n_unlabeled_ : int
        Numbers of labeled and unlabeled rows in `fit`.
    encoder_ : flowssl.preprocessing.TableEncoder
        From the table to a matrix and back.
    mean_, scale_ : ndarray of shape (D,)
        Mean and standard deviation of the matrix's columns.
    loss_curve_ : list of float
        Loss of each step of the last stage, in nats per row.
    network_ : torch.nn.Module
        The trained model in double precision; it returns logits of the classes.

    Examples
    --------
    >>> from flowssl.baselines import M2VAEClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(500, random_state=0)
    >>> y = hide_labels(truth, per_class=10, random_state=0)
    >>> model = M2VAEClassifier(kind="m2", n_steps=200, learning_rate=0.01, random_state=0)
    >>> bool(model.fit(X, y).score(X, truth) > 0.8)
    True
    """

    mean_: Floats
    scale_: Floats
    network_: M2VAENetwork

    def __init__(
        self,
        *,
        kind: Kind = "m1+m2",
        n_latents: int = 10,
        hidden_layer_sizes: Sequence[int] = (256,),
        classification_weight: float = 0.1,
        n_steps: int = 3000,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        unlabeled_value: object = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.kind = kind
        self.n_latents = n_latents
        self.hidden_layer_sizes = hidden_layer_sizes
        self.classification_weight = classification_weight
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.unlabeled_value = unlabeled_value
        self.random_state = random_state

    @isolated()
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
            Number of rows; ignored when `y` is an array.
        y : label or array-like of shape (n_samples,), optional
            Class of all rows, or of each. By default all classes are equally probable.
        temperature : float, default=1.0
            Factor on all variances: of the latents, and of the rows given the latents.
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
            If a label is not one of `classes_`, the temperature is negative, no row is wanted, or the
            kind is "m1", whose density knows no classes.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
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

    def _get_state(self) -> State:
        network = self.network_
        facts: dict[str, JSON] = {
            "network": {
                "kind": network.kind,
                "n_latents": network.n_latents,
                "hidden": list(network.hidden),
            }
        }
        arrays: dict[str, NDArray[np.generic]] = {
            f"network.{key}": value.numpy() for key, value in network.state_dict().items()
        }
        return facts, arrays | {"mean": self.mean_, "scale": self.scale_}

    def _set_state(self, manifest: Mapping[str, JSON], tensors: Arrays) -> None:
        self._check_parameters()
        facts = Record(manifest, "manifest")
        self._take_encoder(TableEncoder.from_json(facts.text("encoder")))
        shape = facts.record("network")
        kind = cast(Kind, shape.text("kind", KINDS))
        n_latents, hidden = shape.whole("n_latents", least=1), tuple(shape.sizes("hidden"))
        dim = len(self.encoder_.output_columns_)
        parts = grouped(tensors)
        weights = parts.pop("network", {})
        n_numbers = sum(map(np.size, weights.values()))
        if dim == 0 or 2 * len(hidden) > len(weights) or max(n_latents, *hidden, 0) > n_numbers:
            raise ModelFileError("its network is larger than its tensors, or empty")
        check_arrays(
            {name: part.get("", np.zeros(0)) for name, part in parts.items()},
            {"mean": ("f", (dim,)), "scale": ("f", (dim,))},
            "",
        )
        self.mean_ = tensors["mean"].astype(np.float64)
        self.scale_ = tensors["scale"].astype(np.float64)
        if not (self.scale_ > 0).all():
            raise ModelFileError("its tensor 'scale' must be positive")
        # Without a generator it takes no memory until it is filled with the file's own tensors.
        network = M2VAENetwork(kind, dim, n_latents, hidden, len(self.classes_), None)
        check_arrays(weights, kinds_of(network), "network")
        network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, assign=True)
        self.network_ = network.double().requires_grad_(False)

    def __sklearn_tags__(self) -> Tags:
        """Say to scikit-learn that NaN, categories and sparse matrices are allowed in X."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = tags.input_tags.sparse = True
        return tags

    def _learn_columns(self, X: TableLike) -> Floats:
        self._take_encoder(TableEncoder().fit(X))
        matrix = self._centered(X)
        if len(matrix) < 2:
            raise ValueError(f"a density needs at least 2 rows, got n_samples = {len(matrix)}")
        if matrix.shape[1] == 0:
            raise ValueError("every column of X is constant: there is nothing to learn from")
        self.mean_, self.scale_ = np.nanmean(matrix, axis=0), np.nanstd(matrix, axis=0)
        lost = np.flatnonzero(~(np.isfinite(self.scale_) & (self.scale_ > 0)))
        if len(lost):
            column = self.encoder_.output_columns_[lost[0]].column
            raise ValueError(
                f"column {column!r} has numbers up to {np.nanmax(np.abs(matrix[:, lost[0]])):g}, and "
                "its standard deviation cannot be computed; scale or clip the column"
            )
        return self._standardized(matrix)

    def _columns(self, X: TableLike) -> Floats:
        return self._standardized(self._centered(X))

    def _centered(self, X: TableLike) -> Floats:
        """Return the encoded table; a category is at the center of its interval."""
        matrix: Floats = self.encoder_.transform(X) + self.encoder_.dequantization_width_ / 2
        return matrix

    def _standardized(self, matrix: Floats) -> Floats:
        with np.errstate(over="ignore"):  # far beyond the rows of fit; the largest number stands in
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
                features, lambda: features.bound(rows[next(batches)], None, generator).mean()
            )
            features.requires_grad_(False)

        labeled_fraction = len(labeled) / len(rows)
        # Without unlabeled rows there is nothing to shuffle and labeled_fraction is 1.
        others = shuffled_batches(max(1, len(unlabeled)), self.batch_size, generator)

        def loss() -> Tensor:
            known = self._labeled_batch(labeled, generator)
            x, y = network.inputs(rows[known], generator), codes[known]
            cross_entropy = nn.functional.cross_entropy(network.classifier(x), y)
            if network.generative is None:
                return cross_entropy
            total = labeled_fraction * network.generative.bound(x, y, generator).mean()
            if len(unlabeled):
                x = network.inputs(rows[unlabeled[next(others)]], generator)
                bound = network.unlabeled_bound(x, generator).mean()
                total = total + (1 - labeled_fraction) * bound
            return total + self.classification_weight * cross_entropy

        return self._minimize(network, loss)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.kind not in KINDS:
            raise ValueError(f"kind must be 'm1', 'm2' or 'm1+m2', got {self.kind!r}.")
        if self.n_latents < 1:
            raise ValueError(f"n_latents must be at least 1, got {self.n_latents}.")
        if not self.classification_weight >= 0:
            raise ValueError(
                f"classification_weight must be >= 0, got {self.classification_weight}."
            )
        if self.kind == "m1" and self.classification_weight != _CLASSIFICATION_WEIGHT:
            raise ValueError(
                f"classification_weight={self.classification_weight} acts only with kind='m2' or "
                f"'m1+m2'; leave it at {_CLASSIFICATION_WEIGHT} with kind='m1'."
            )
