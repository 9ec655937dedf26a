"""The semi-conditional flow (Atanov et al. 2019), behind scikit-learn's interface."""

from __future__ import annotations

import os
from numbers import Real
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from flowssl._labels import codes_of
from flowssl._typing import Floats
from flowssl.architectures import ROWS_PER_COLUMN, choose_architecture
from flowssl.bijections.images import Shape
from flowssl.densities import CLASS_DENSITIES, ConditionalFlowClasses, SemiConditionalClasses
from flowssl.estimators.class_density import ClassPartClassifier
from flowssl.estimators.flowgmm import Nested
from flowssl.estimators.options import ImageOptions, ObjectiveOptions
from flowssl.preprocessing.containers import TableLike


class SemiConditionalFlowClassifier(Nested, ClassPartClassifier):
    """Semi-supervised classifier whose classes are flows of a few latents of a larger flow.

    One flow carries rows to latents ``z = (z_f, z_aux)``; only ``z_f`` knows the class, through a
    small flow ``h(z_f; y)`` to N(0, I), or a Gaussian for each class. The large flow is evaluated
    once for a row, whatever the number of classes (Atanov et al. 2019, eq. 3 and 4). Unlike the
    paper's recipe, training starts from the data, as that of
    :class:`~flowssl.FlowGMMClassifier` does.

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
        Name of a preset of ``flowssl.architectures`` for the unconditional flow; "auto" chooses by
        the numbers of columns and rows.
    class_architecture : str, default="auto"
        Name of the preset whose couplings the classes' flow has; "auto" is "small", and "affine",
        which makes the classes Gaussian, with fewer than 15 rows for each of ``class_features``.
    class_features : int, "auto" or "all", default="auto"
        Width of ``z_f``, the latents that know the class. "auto" is the number of classes, but at
        least 8; never more than all columns. Of images it is at least a quarter of the deepest
        scale. A number takes so many of the first latents: channels of the deepest scale, one after
        the other, and then those of the next.
    images : tuple of int, ImageOptions or None, default=None
        Shape (channels, height, width) of images, or with it how training looks at them. None: tables.
    init : {"propagate", "random"}, default="propagate"
        Where the classes and the first whitening come from. "propagate": the soft labels.
        "random": random class means and no whitening, the papers' way.
    objective : {"soft-labels", "likelihood", "em"} or ObjectiveOptions, default="soft-labels"
        What is maximized. "soft-labels": expected log p(x, y) under the soft labels, which cannot
        drift away from them (of images log p(x), and cross-entropies). "likelihood": log p(x, y)
        of labeled and log p(x) of unlabeled rows (eq. 1), directly. "em": the same by expectation
        maximization (appendix B).
    covariance_type : {"auto", "spherical", "diag", "tied", "low_rank", "full"}, default="auto"
        Kind of the class covariances in latent space.
    covariance_rank : int or "auto", default="auto"
        Rank of low-rank covariances.
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
        Peak learning rate of AdamW.
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
        Number of models whose densities are averaged.
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
    class_features_ : int
        Width of ``z_f``, which comes first among the latents.
    architecture_, class_architecture_ : str
        Names of the presets that were used.
    classes_, models_, baseline_, initialization_, used_unlabeled_
        As of :class:`~flowssl.FlowGMMClassifier`.
    training_noise_, history_, calibration_temperature_, outlier_scale_
        As there.

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

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        **ClassPartClassifier._parameter_constraints,
        "class_density": [StrOptions(set(CLASS_DENSITIES))],
        "class_architecture": [str],
        "consistency_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        class_density: str = "flow",
        architecture: str = "auto",
        class_architecture: str = "auto",
        class_features: int | str = "auto",
        images: Shape | ImageOptions | None = None,
        init: str = "propagate",
        objective: str | ObjectiveOptions = "soft-labels",
        covariance_type: str = "auto",
        covariance_rank: int | str = "auto",
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
        self.class_density = class_density
        self.architecture = architecture
        self.class_architecture = class_architecture
        self.class_features = class_features
        self.images = images
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
        self.calibrate = calibrate
        self.n_estimators = n_estimators
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.unlabeled_value = unlabeled_value
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self._flatten()

    def _choose_class_architecture(self, n_rows: int) -> str:
        name = self.class_architecture
        if name == "auto":
            name = "affine" if n_rows < ROWS_PER_COLUMN * self.class_features_ else "small"
        return choose_architecture(name, self.class_features_, n_rows)

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
            is that of rows with the noise of training, ``training_noise_``: from them the class is removed
            best, as what is finer than the noise can still tell it. Images have none.
        random_state : int, RandomState or None, default=None
            Source of that noise.

        Raises
        ------
        ValueError
            If the class is to be removed and the class part is not "flow", or the noise is
            negative.
        """
        if not 0 <= noise < np.inf:
            raise ValueError(f"noise must be a number from 0 on, got {noise!r}")
        z = self._latents(X, noise, random_state)
        if not remove_class:
            return z
        return self._exchange(z, self._log_joint(X).argmax(1), "encode")

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
            If a label is not one of ``classes_`` or the class part is not "flow".
        """
        code = self._exchange(self._latents(X), self._log_joint(X).argmax(1), "encode")
        codes = codes_of(to, self.classes_, len(code))
        return self.inverse_transform(self._exchange(code, codes, "decode"))

    def _exchange(self, z: Floats, codes: NDArray[np.int64], way: str) -> Floats:
        """Encode or decode the first latents of rows of the given classes."""
        classes = cast(SemiConditionalClasses, self.models_[0].class_density)
        part = classes.inner
        if not isinstance(part, ConditionalFlowClasses):
            raise ValueError(
                f"only class_density='flow' has a code without the class, got {self.class_density!r}"
            )
        map_ = part.encode if way == "encode" else part.decode
        with torch.no_grad():
            z_f, z_aux = classes.split(torch.from_numpy(z))
            exchanged = torch.cat((map_(z_f, torch.from_numpy(codes)), z_aux), dim=1)
        out: Floats = exchanged.numpy()
        return out
