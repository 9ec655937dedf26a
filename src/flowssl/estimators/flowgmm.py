"""FlowGMM for tables, embeddings and images (Izmailov et al. 2020), behind scikit-learn's interface."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, StrOptions

from flowssl._class_prior import is_learned
from flowssl.densities import COVARIANCES
from flowssl.estimators._spec import ModelRequest
from flowssl.estimators.base import FlowClassifier
from flowssl.estimators.options import ImageOptions, ObjectiveOptions, TextOptions
from flowssl.initialization.means import TABULAR_DISTANCE
from flowssl.preprocessing.text_split import ColumnNames


class FlowGMMClassifier(FlowClassifier):
    """Semi-supervised classifier with an exact joint density: a flow and class Gaussians.

    An invertible network maps rows to latents in which each class is a Gaussian, or a few. Labeled
    and unlabeled rows are trained on together and Bayes' rule classifies (Izmailov et al. 2020,
    eq. 1 to 5). Unlike the paper's recipe, training is initialized from the data: soft labels for
    all rows are averaged over cheap candidates, weighted by how well each predicts held-out labels,
    and the flow is initialized with the affine map that fits them. One run suffices, without
    validation labels.

    With ``images`` the flow is convolutional, and training sees random views (section 5.3).

    Parameters
    ----------
    architecture : str, default="auto"
        Name of a preset of ``flowssl.architectures``, or of ``flowssl.image_architectures`` for
        images; "auto" chooses by the numbers of columns and rows, and "small" for images.
    images : ImageOptions, (channels, height, width) or None, default=None
        Options of images, or their shape alone, such as (1, 28, 28); None means tables.
    text : TextOptions, str, int, sequence of these, True or None, default=None
        Options of texts, or their columns alone: names in a data frame, positions in an array, or
        True for a list of texts. None means that columns of text are categories.
    init : {"propagate", "latent", "random"}, default="propagate"
        Where class means and the first whitening come from. "propagate": the soft labels'
        pooled within-class covariance and weighted means. "latent": means of the labeled rows'
        latents (appendix B). "random": random means, the paper's recipe; often fails with few
        labels.
    objective : ObjectiveOptions or {"soft-labels", "likelihood", "em"}, default="soft-labels"
        What training maximizes: a kind, or options that say how much each part weighs.
    covariance_type : {"auto", "spherical", "diag", "tied", "low_rank", "full"}, default="auto"
        Kind of the covariances of the class Gaussians; "auto" is "spherical".
    covariance_rank : int or "auto", default="auto"
        Rank of "low_rank" covariances, which are a diagonal matrix and a product of such factors.
    n_components : int or "auto", default="auto"
        Gaussians per class. "auto" takes the number of the architecture (8 up to 3 columns, 4 up
        to 128) if there are 15 rows per column and Gaussian, and 1 otherwise or if ``init`` is not
        "propagate".
    learn_gaussians : bool, default=True
        Whether training changes the Gaussians: means, covariances and weights; the paper fixes them.
    class_prior : {"uniform", "learned"}, array-like of shape (n_classes,), dict or None, default=None
        Fractions of the classes among all rows, if known: a dict or a pandas Series by label, or
        numbers in the order of the sorted labels. None takes the mean of the soft labels, "learned"
        trains it further. Known fractions place the decision boundary better than a few labels do.
    propagation_weight : "auto" or float in [0, 1], default="auto"
        Weight of the soft labels that are propagated to the unlabeled rows; the rest are the
        labels-only baseline's probabilities. "auto" takes 1 unless held-out labels say that the
        unlabeled rows mislead.
    max_epochs : int or "auto", default="auto"
        Largest number of passes over the rows; an epoch passes over small tables several times.
        "auto" makes about 1,000 steps, 40 epochs of a small table and 10 of a large one; for images
        about 3,600 steps, in at least 3 epochs.
    batch_size : int or "auto", default="auto"
        Rows per step; "auto" is 256, 512 from 20,000 rows, and 96 for images.
    learning_rate : float or "auto", default="auto"
        Peak learning rate of AdamW; "auto" is 5e-3, and 2e-3 for images.
    weight_decay : float, default=1e-4
        Weight decay of the networks' matrices.
    early_stopping : bool, default=True
        Whether some unlabeled rows are held out to find the best epoch: a tenth, up to a quarter
        of small tables, none of fewer than 40 rows, and at most 2,000 images.
    temperature_scaling : bool, default=True
        Whether class probabilities get a temperature, fitted to the soft labels of held-out
        unlabeled rows or, if none are held out, of all unlabeled rows; it is 1 if there are none.
        It never changes ``score_samples``.
    n_estimators : int, default=1
        Number of models whose densities are averaged, at most 256.
    warm_start : bool, default=False
        Whether a further ``fit`` continues from the present models, encoder and classes; it cannot
        be resumed from a checkpoint.
    checkpoint : path or None, default=None
        File to which training writes its state after each epoch. If it exists, training of the
        same rows and parameters continues from it, to the same bits, and with its seed where
        ``random_state`` is None; it is removed at the end of the fit. The command line keeps it
        until the model is saved.
    unlabeled_value : object, default="auto"
        What marks an unlabeled row in ``y``: "auto" is -1, NaN, None and pd.NA; None means that
        every row is labeled.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1" or "mps". Prediction runs there too, in double precision
        (on the CPU where that has none, as on "mps").
    random_state : int, RandomState or None, default=None
        Source of randomness; an int gives the same bits on the same machine.
    verbose : int, default=0
        1 shows a progress bar on a terminal.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    transduction_ : ndarray of shape (n_samples,)
        Labels of the training rows in the order given: their own, or the most probable one under
        the soft labels. Not in model files.
    label_distributions_ : ndarray of shape (n_samples, n_classes)
        Soft labels of the training rows in the order given, on which the flow was trained; one-hot
        for labeled rows. Unlabeled rows of weight 0 have the class prior. Not in model files.
    class_prior_ : ndarray of shape (n_classes,)
        Class probabilities of the first model.
    means_ : ndarray of shape (C, M, F)
        Means of the first model's Gaussians in latent space: C classes, M Gaussians per class,
        F latents.
    covariances_ : ndarray of shape (C, M, F, F)
        Their covariances.
    architecture_ : str
        Name of the preset that was used.
    n_components_ : int
        Gaussians per class.
    class_features_ : int
        Number of the first latents in which the Gaussians differ; the others are N(0, I) in every
        class. All of them, but for images with ``init="propagate"`` a quarter of the deepest scale.
    n_iter_ : int
        Epochs that the first model was trained for.
    models_ : list of JointModel
        The trained models, in standardized units.
    density_ : FittedDensity
        Their average as a density of encoded rows.
    spec_ : ModelSpec
        Which model: all choices that decide its tensors.
    baseline_ : Pipeline
        Labels-only logistic regression, fitted on the encoded rows.
    initialization_ : dict
        How the candidates for the soft labels scored: ``candidates`` (name, weight, cross-fitted
        ``label_log_likelihood`` in nats per label), and the ``label_log_likelihood`` of their
        combination next to ``baseline_label_log_likelihood``; None where labels are too few.
    training_noise_ : float
        Standard deviation of the noise that was added in training, in standardized units.
    history_ : list of dict
        Figures of each epoch of the first model.
    calibration_temperature_ : float
        Divisor of the log-odds in ``predict_proba``.
    calibration_variance_ : float
        Factor of the class covariances in ``predict_proba``; 1 but after ``calibrate``.
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
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(500, random_state=0)
    >>> y = hide_labels(truth, per_class=5, random_state=0)
    >>> model = FlowGMMClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> bool(model.score(X, truth) > 0.95)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        **FlowClassifier._parameter_constraints,
        "covariance_type": [StrOptions({"auto", *COVARIANCES})],
        "covariance_rank": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "n_components": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learn_gaussians": ["boolean"],
    }

    def __init__(
        self,
        *,
        architecture: str = "auto",
        images: ImageOptions | tuple[int, int, int] | None = None,
        text: TextOptions | ColumnNames | None = None,
        init: str = "propagate",
        objective: ObjectiveOptions | str = "soft-labels",
        covariance_type: str = "auto",
        covariance_rank: int | str = "auto",
        n_components: int | str = "auto",
        learn_gaussians: bool = True,
        class_prior: ArrayLike | Mapping[object, float] | str | None = None,
        propagation_weight: float | str = "auto",
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        weight_decay: float = 1e-4,
        early_stopping: bool = True,
        temperature_scaling: bool = True,
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
        self.text = text
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
        self.temperature_scaling = temperature_scaling
        self.n_estimators = n_estimators
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.unlabeled_value = unlabeled_value
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @property
    def n_components_(self) -> int:
        """Gaussians per class."""
        return self.spec_.options.n_components

    def _model_request(self) -> ModelRequest:
        # Of images, the deepest scale describes the class; the papers' means are in all latents.
        narrowed = self.images is not None and self.init == "propagate"
        return ModelRequest(
            architecture=self.architecture,
            class_density="gaussian",
            class_features="auto" if narrowed else "all",
            class_architecture="auto",
            covariance_type=self.covariance_type,
            covariance_rank=self.covariance_rank,
            n_components=self.n_components,
            default_covariance="spherical",
            learn_gaussians=bool(self.learn_gaussians),
            learn_prior=is_learned(self.class_prior),
            init=self.init,
            random_distance=TABULAR_DISTANCE,
        )
