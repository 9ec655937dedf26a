"""The semi-conditional flow (Atanov et al. 2019), behind scikit-learn's interface."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from flowssl._class_prior import is_learned
from flowssl._isolation import isolated
from flowssl._labels import codes_of
from flowssl._typing import Floats
from flowssl.densities import COVARIANCES
from flowssl.estimators._spec import ModelRequest
from flowssl.estimators.base import FlowClassifier
from flowssl.estimators.options import ImageOptions, ObjectiveOptions, TextOptions
from flowssl.preprocessing.containers import TableLike
from flowssl.preprocessing.text_split import ColumnNames


class SemiConditionalFlowClassifier(FlowClassifier):
    """Semi-supervised classifier whose classes are flows of a few latents of a larger flow.

    One flow maps rows to latents ``z = (z_f, z_aux)``; only ``z_f`` depends on the class, through a
    small flow ``h(z_f; y)`` to N(0, I), or a Gaussian for each class. The large flow is evaluated
    once per row, whatever the number of classes (Atanov et al. 2019, eq. 3 and 4). Unlike the
    paper's recipe, training is initialized from the data, as that of
    :class:`~flowssl.FlowGMMClassifier`.

    ``transform(X, remove_class=True)`` gives a code without the class and :meth:`translate` gives
    rows of another class with the same code. With ``architecture="affine"`` and
    ``class_features="all"`` the classifier is a class-conditional RealNVP, in which every coupling
    sees the class.

    Parameters
    ----------
    class_density : {"flow", "gaussian", "linear"}, default="flow"
        What a class is in the latents ``z_f``: a flow, a Gaussian, or one side of linear boundaries
        in one Gaussian for all (see :class:`~flowssl.DIGLMClassifier`).
    architecture : str, default="auto"
        Name of a preset of ``flowssl.architectures`` for the unconditional flow, or of
        ``flowssl.image_architectures`` for images; "auto" chooses by the numbers of columns and
        rows, and "small" for images.
    class_architecture : str, default="auto"
        Name of the preset whose couplings the classes' flow has; "auto" is "small", and "affine",
        which makes the classes Gaussian, with fewer than 15 rows for each of ``class_features``.
        For ``class_density="flow"`` only.
    class_features : int, "auto" or "all", default="auto"
        Width of ``z_f``, the latents that depend on the class. "auto" is the number of classes, but
        at least 8; never more than all columns. For images it is at least a quarter of the deepest
        scale. A number takes that many of the first latents: channels of the deepest scale, one
        after the other, and then those of the next.
    images : ImageOptions, (channels, height, width) or None, default=None
        Options of images, or their shape alone, such as (1, 28, 28); None means tables.
    text : TextOptions, str, int, sequence of these, True or None, default=None
        Options of texts, or their columns alone: names in a data frame, positions in an array, or
        True for a list of texts. None means that columns of text are categories.
    init : {"propagate", "latent", "random"}, default="propagate"
        Where the classes and the first whitening come from. "propagate": the soft labels. "latent":
        means of the labeled rows' latents. "random": random class means and no whitening, the
        papers' way.
    objective : ObjectiveOptions or {"soft-labels", "likelihood", "em"}, default="soft-labels"
        What training maximizes: a kind, or options that say how much each part weighs.
    covariance_type : {"auto", "spherical", "diag", "tied", "low_rank", "full"}, default="auto"
        Kind of the covariances of the class Gaussians; "auto" is "diag".
        For ``class_density="gaussian"`` only.
    covariance_rank : int or "auto", default="auto"
        Rank of "low_rank" covariances, which are a diagonal matrix and a product of such factors.
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
        Peak learning rate of AdamW; "auto" is 2e-3.
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
    means_, covariances_ : ndarray
        Of the class Gaussians, where ``class_density`` is "gaussian"; see
        :class:`~flowssl.FlowGMMClassifier`.
    class_features_ : int
        Width of ``z_f``, which comes first among the latents.
    architecture_, class_architecture_ : str
        Names of the presets that were used; the second is None unless ``class_density`` is "flow".
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
    >>> from flowssl import SemiConditionalFlowClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(500, random_state=0)
    >>> y = hide_labels(truth, per_class=5, random_state=0)
    >>> model = SemiConditionalFlowClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> bool(model.score(X, truth) > 0.95)
    True
    """

    _automatic_learning_rate = 2e-3

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        **FlowClassifier._parameter_constraints,
        "class_density": [str],
        "class_architecture": [str],
        "class_features": [StrOptions({"auto", "all"}), Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions({"auto", *COVARIANCES})],
        "covariance_rank": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        class_density: str = "flow",
        architecture: str = "auto",
        class_architecture: str = "auto",
        class_features: int | str = "auto",
        images: ImageOptions | tuple[int, int, int] | None = None,
        text: TextOptions | ColumnNames | None = None,
        init: str = "propagate",
        objective: ObjectiveOptions | str = "soft-labels",
        covariance_type: str = "auto",
        covariance_rank: int | str = "auto",
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
        self.class_density = class_density
        self.architecture = architecture
        self.class_architecture = class_architecture
        self.class_features = class_features
        self.images = images
        self.text = text
        self.init = init
        self.objective = objective
        self.covariance_type = covariance_type
        self.covariance_rank = covariance_rank
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
    def class_architecture_(self) -> str | None:
        """Name of the preset of the classes' flow, if they have one."""
        return self.spec_.options.architecture

    @isolated()
    def transform(
        self,
        X: TableLike,
        *,
        remove_class: bool = False,
        noise: float = 0.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> Floats:
        """Map rows to latents, shape (n_samples, n_latents); see :meth:`FlowClassifier.transform`.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows.
        remove_class : bool, default=False
            Whether the first ``class_features_`` latents, z_f, become ``z_h = h(z_f; y)`` with the
            predicted class y. Where the model is right about the density, the result
            ``(z_h, z_aux)`` is N(0, I) in every class and says nothing about it;
            ``flowssl.inspection.audit_class_removal`` measures how far that holds.
        noise : float, default=0.0
            Standard deviation of noise added to the rows first, in standardized units. The density
            is that of rows with the noise of training, ``training_noise_``: from them the class is
            removed best, as structure finer than the noise can still reveal the class. For tables
            only.
        random_state : int, RandomState or None, default=None
            Source of that noise.

        Raises
        ------
        ValueError
            If the class is to be removed and the class density is not "flow", the noise is
            negative, or rows are images and it is not 0.
        """
        if not 0 <= noise < np.inf:
            raise ValueError(f"noise must be a number from 0 on, got {noise!r}")
        density = self.density_  # asked for first: it reports a classifier that is not fitted
        if noise and self.encoder_.row_kind == "image":
            raise ValueError(
                f"noise={noise} is in units of standardized columns, which images do not have; "
                "leave it at 0"
            )
        matrix = self.encoder_.transform(X)
        drawn: Floats | float = 0.0
        if noise:
            shape = len(matrix), self.completion_.dim
            drawn = noise * check_random_state(random_state).standard_normal(shape)
        z = density.latents(matrix, drawn)
        if not remove_class:
            return z
        return density.encode_class(z, self._log_joint(X).argmax(1))

    @isolated()
    def translate(self, X: TableLike, to: ArrayLike | object) -> TableLike:
        """Return what the rows would be in another class: the same code, decoded with ``to``.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows; their own classes are predicted.
        to : label or array-like of shape (n_samples,)
            Class of all results, or of each.

        Returns
        -------
        X : table like that of ``fit``, of shape (n_samples, n_features)

        Raises
        ------
        ValueError
            If a label is not one of ``classes_`` or the class density is not "flow".
        """
        code = self.transform(X, remove_class=True)
        codes = codes_of(to, self.classes_, len(code))
        return self.inverse_transform(self.density_.decode_class(code, codes))

    def _model_request(self) -> ModelRequest:
        return ModelRequest(
            architecture=self.architecture,
            class_density=self.class_density,
            class_features=self.class_features,
            class_architecture=self.class_architecture,
            covariance_type=self.covariance_type,
            covariance_rank=self.covariance_rank,
            n_components=1,
            default_covariance="diag",
            learn_gaussians=True,
            learn_prior=is_learned(self.class_prior),
            init=self.init,
        )
