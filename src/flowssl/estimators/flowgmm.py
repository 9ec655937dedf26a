"""FlowGMM for tables, embeddings and images (Izmailov et al. 2020), behind scikit-learn's interface."""

from __future__ import annotations

import os
import sys
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, StrOptions

from flowssl._typing import Floats
from flowssl.bijections.images import Shape
from flowssl.densities import (
    COVARIANCES,
    ClassDensity,
    ClassPrior,
    GaussianClasses,
    SemiConditionalClasses,
)
from flowssl.estimators._building import class_prior, is_learned
from flowssl.estimators._domain import FlowInit
from flowssl.estimators._fitting import Preparation
from flowssl.estimators.base import FlowClassifier
from flowssl.estimators.options import ImageOptions, ObjectiveOptions
from flowssl.initialization import (
    TABULAR_DISTANCE,
    component_means,
    latent_means,
    random_means,
)
from flowssl.models import JointModel


class Nested:
    """The old parameters from the new ones, until the estimators have these."""

    def _flatten(self) -> None:
        self.chosen_objective = objective = self.objective
        if isinstance(objective, dict):
            objective = ObjectiveOptions(**objective)
        if isinstance(objective, str):
            objective = ObjectiveOptions(objective)
        for name, value in objective.get_params().items():
            setattr(
                self, {"kind": "objective_kind", "training_noise": "noise"}.get(name, name), value
            )
        images = self.images
        if isinstance(images, dict):
            images = ImageOptions(**images)
        if images is not None and not isinstance(images, ImageOptions):
            images = ImageOptions(tuple(images))
        self.image_shape = images and tuple(images.shape)
        self.views = images and images.views
        self.dequantization_draws = images.dequantization_draws if images else 0
        self.learn_means = getattr(self, "learn_gaussians", True)

    def fit(self, X, y, sample_weight=None):
        self._flatten()
        new = dict(
            objective=self.objective,
            learning_rate=self.learning_rate,
            **(
                {"covariance_type": self.covariance_type}
                if hasattr(self, "covariance_type")
                else {}
            ),
        )
        self.objective = self.objective_kind
        if new.get("covariance_type") == "auto":
            self.covariance_type = "spherical"
        if self.learning_rate == "auto" and not isinstance(self, FlowGMMClassifier):
            self.learning_rate = 2e-3
            if self.consistency_weight == "auto":
                self.consistency_weight = 1.0
        try:
            return super().fit(X, y, sample_weight)
        finally:
            vars(self).update(new)

    def get_params(self, deep=True):
        params = super().get_params(deep)
        if sys._getframe(1).f_code.co_name == "_parameters":  # of files.py
            for key in ("objective", "images"):
                if isinstance(params[key], ObjectiveOptions | ImageOptions):
                    params[key] = {
                        k: list(v) if isinstance(v, tuple) else v
                        for k, v in params[key].get_params().items()
                    }
        return params


class FlowGMMClassifier(Nested, FlowClassifier):
    """Semi-supervised classifier with an exact joint density: a flow and class Gaussians.

    An invertible network carries rows to latents in which each class is a Gaussian. Labeled and
    unlabeled rows are trained on together and Bayes' rule classifies (Izmailov et al. 2020, eq. 1
    to 5). Unlike the paper's recipe, training starts from the data: soft labels for all rows are
    averaged over cheap candidates, weighted by how well each predicts held-out labels, and the
    flow begins as the affine map that fits them. One run needs no luck and no validation labels.

    With ``image_shape`` rows are images: the flow is convolutional, and training looks at random
    views of them (section 5.3).

    Parameters
    ----------
    architecture : str, default="auto"
        Name of a preset of ``flowssl.architectures``, or of ``flowssl.image_architectures`` for
        images; "auto" chooses by the numbers of columns and rows, and "small" for images.
    images : tuple of int, ImageOptions or None, default=None
        Shape (channels, height, width) of images, or with it how training looks at them. None: tables.
    init : {"propagate", "latent", "random"}, default="propagate"
        Where class means and the first whitening come from. "propagate": the soft labels'
        pooled within-class covariance and weighted means. "latent": means of the labeled rows'
        latents (appendix B). "random": random means, the paper's recipe; often fails with few
        labels.
    objective : {"soft-labels", "likelihood", "em"} or ObjectiveOptions, default="soft-labels"
        What is maximized. "soft-labels": expected log p(x, y) under the soft labels, which cannot
        drift away from them (of images log p(x), and cross-entropies). "likelihood": log p(x, y)
        of labeled and log p(x) of unlabeled rows (eq. 4). "em": the same by expectation
        maximization (appendix A).
    covariance_type : {"auto", "spherical", "diag", "tied", "low_rank", "full"}, default="auto"
        Kind of the class covariances in latent space.
    covariance_rank : int or "auto", default="auto"
        Rank of low-rank covariances.
    n_components : int or "auto", default="auto"
        Gaussians in each class. "auto" takes the architecture's, 8 up to 3 columns and 4 up to
        128, where there are 15 rows for each column of each of them; else 1, as also where
        ``init`` is not "propagate".
    learn_gaussians : bool, default=True
        Whether training moves the class means and covariances; the paper fixes them.
    class_prior : {"uniform", "learned"}, array-like of shape (n_classes,) or None, default=None
        Shares of the classes among all rows, sorted by label, if known; None takes the mean of
        the soft labels, "learned" trains on from it. Known shares place the boundary better than
        a few labels do.
    propagation_weight : "auto" or float in [0, 1], default="auto"
        How much the unlabeled rows shape the soft labels: 0 uses the labels-only baseline's,
        1 the propagated ones. "auto" takes 1 unless held-out labels say that they mislead.
    max_epochs : int or "auto", default="auto"
        Passes over the rows at most; small tables are passed several times in each. "auto" makes
        about 1,000 steps: 40 epochs of a small table, 10 of a large one. For images about 3,600,
        but 3 epochs at least.
    batch_size : int or "auto", default="auto"
        Rows in a step; "auto" is 256, 512 from 20,000 rows, and 96 for images.
    learning_rate : "auto" or float, default="auto"
        Peak learning rate of AdamW; "auto" is 5e-3, and 2e-3 for images.
    weight_decay : float, default=1e-4
        Weight decay of the coupling networks' matrices.
    early_stopping : bool, default=True
        Whether some unlabeled rows are held out to find the best epoch: a tenth, of small tables
        up to a quarter, none of fewer than 40, 2,000 images at most.
    calibrate : bool, default=True
        Whether class probabilities get a temperature, fitted to the soft labels of held-out
        unlabeled rows or, where none are held out, of all unlabeled ones; it is 1 without any.
        ``score_samples`` is never changed by it.
    n_estimators : int, default=1
        Number of flows whose densities are averaged.
    warm_start : bool, default=False
        Whether a further ``fit`` goes on from the present models, encoder and classes; it cannot
        be resumed from a checkpoint.
    checkpoint : path or None, default=None
        File to which training writes its state after each epoch. If it exists, training of the
        same rows and parameters goes on from it, to the same bits, and with its seed where
        ``random_state`` is None; it is removed at the end.
    unlabeled_value : object, default="auto"
        What marks an unlabeled row in ``y``: "auto" is -1, NaN, None and pd.NA; None means that
        every row is labeled.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1" or "mps". Prediction runs in float64 on the CPU.
    random_state : int, RandomState or None, default=None
        Source of randomness; an int gives the same bits on the same machine.
    verbose : int, default=0
        1 shows a progress bar on a terminal.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    architecture_ : str
        Name of the preset that was used.
    n_components_ : int
        Gaussians in each class.
    class_features_ : int
        Number of the first latents in which the Gaussians differ; the others are N(0, I) in every
        class. All of them, but of images with ``init="propagate"`` a quarter of the deepest scale.
    models_ : list of JointModel
        The trained models, in standardized units.
    baseline_ : Pipeline
        Labels-only logistic regression, fitted on the encoded table.
    initialization_ : dict
        How the start's candidates fared: ``candidates`` (name, weight, cross-fitted
        ``label_log_likelihood`` in nats per label), and the ``label_log_likelihood`` of their
        combination beside ``baseline_label_log_likelihood``; None where labels are too few.
    training_noise_ : float
        Standard deviation of the noise that was added in training, in standardized units.
    history_ : list of dict
        Figures of each epoch of the first flow.
    calibration_temperature_ : float
        Divisor of the log-odds in ``predict_proba``.
    outlier_scale_ : OutlierScale
        Typical log-densities, for ``ood_score``.
    used_unlabeled_ : bool
        False where the unlabeled rows would mislead and the labels-only soft labels are used.
    n_labeled_, n_unlabeled_ : int
        Rows of each kind in ``fit``.
    interrupted_ : bool
        Whether Ctrl-C ended training early.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(500, random_state=0)
    >>> y = hide_labels(truth, per_class=5, random_state=0)
    >>> model = FlowGMMClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> bool(model.score(X, truth) > 0.95)
    True
    """

    n_components_: int
    class_features_: int

    _shape: ClassVar[tuple[str, ...]] = ("architecture_", "n_components_", "class_features_")

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        **FlowClassifier._parameter_constraints,
        "init": [StrOptions({"propagate", "latent", "random"})],
        "covariance_type": [StrOptions({*COVARIANCES, "auto"})],
        "n_components": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learn_means": ["boolean"],
        "consistency_weight": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "consistency_noise": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        architecture: str = "auto",
        images: Shape | ImageOptions | None = None,
        init: str = "propagate",
        objective: str | ObjectiveOptions = "soft-labels",
        covariance_type: str = "auto",
        covariance_rank: int | str = "auto",
        n_components: int | str = "auto",
        learn_gaussians: bool = True,
        class_prior: ArrayLike | str | None = None,
        propagation_weight: float | str = "auto",
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        weight_decay: float = 1e-4,
        early_stopping: bool = True,
        calibrate: bool = True,
        n_estimators: int = 1,
        warm_start: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        unlabeled_value: object = "auto",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.architecture = architecture
        self.images = images
        self.init = init
        self.objective = objective
        self.covariance_type = covariance_type
        self.covariance_rank = covariance_rank
        self.n_components = n_components
        self.learn_gaussians = learn_gaussians
        self.class_prior = class_prior
        self.propagation_weight = propagation_weight
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.calibrate = calibrate
        self.n_estimators = n_estimators
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.unlabeled_value = unlabeled_value
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self._flatten()

    def _build_model(self, prepared: Preparation, seed: int) -> JointModel:
        groups = prepared.targets if self.init == "propagate" else None
        generator = torch.Generator().manual_seed(seed)
        start = self._domain.start_flow(self.architecture, prepared, groups, generator)
        self.architecture_ = start.architecture
        self.n_components_ = self._choose_n_components(start, len(prepared.z))
        self.class_features_ = start.dim
        if self.init == "propagate":
            self.class_features_ = self._domain.n_gaussian_features(start)
        means, weights = self._place_means(start, np.random.default_rng(seed))
        density = GaussianClasses(
            torch.from_numpy(means),
            class_prior(prepared, self.class_prior, self.classes_),
            weights=None if weights is None else torch.from_numpy(weights),
            covariance="spherical" if self.covariance_type == "auto" else self.covariance_type,
            learn_means=self.learn_means,
            learn_covariance=self.learn_means,
        )
        return JointModel(start.flow, self._with_auxiliary(density, start.dim))

    def _with_auxiliary(self, density: GaussianClasses, dim: int) -> ClassDensity:
        """Add the latents that do not know the class, if there are any."""
        if self.class_features_ == dim:
            return density
        return SemiConditionalClasses(density, dim)

    def _place_means(
        self, start: FlowInit, rng: np.random.Generator
    ) -> tuple[Floats, Floats | None]:
        """Return the class means (C, K) or (C, M, K) and the weights within a class, if any."""
        if self.init == "random":
            distance = TABULAR_DISTANCE if start.n_classes == 2 else None
            return random_means(start.n_classes, start.dim, rng, distance=distance), None
        if self.init == "latent":
            return latent_means(start.latents, start.codes, start.n_classes), None
        latents = start.latents[:, : self.class_features_]
        return component_means(latents, start.share, self.n_components_, rng)

    def _choose_n_components(self, start: FlowInit, n_rows: int) -> int:
        if isinstance(self.n_components, str):
            if self.init != "propagate":
                return 1
            return self._domain.n_components(start, n_rows)
        if self.n_components > 1 and self.init != "propagate":
            raise ValueError(
                f"n_components={self.n_components} needs init='propagate': {self.init!r} "
                "places one Gaussian a class"
            )
        return int(self.n_components)

    def _blank_model(self, dim: int, n_classes: int) -> JointModel:
        density = GaussianClasses(
            torch.zeros(n_classes, self.n_components_, self.class_features_),
            ClassPrior(torch.ones(n_classes), learn=is_learned(self.class_prior)),
            covariance="spherical" if self.covariance_type == "auto" else self.covariance_type,
            learn_means=self.learn_means,
            learn_covariance=self.learn_means,
        )
        flow = self._domain.blank_flow(self.architecture_, dim)
        return JointModel(flow, self._with_auxiliary(density, dim))
