"""The deep invertible generalized linear model (Nalisnick et al. 2019) as an estimator."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike

from flowssl.bijections.images import Shape
from flowssl.estimators.class_density import ClassPartClassifier
from flowssl.estimators.flowgmm import Nested
from flowssl.estimators.options import ImageOptions, ObjectiveOptions


class DIGLMClassifier(Nested, ClassPartClassifier):
    """Hybrid of a flow and a linear classifier on its latents (Nalisnick et al. 2019).

    ``log p(x, y) = log N(z; 0, I) + log |det dz/dx| + log softmax_y(W z + b)`` with ``z = f(x)``.
    Labels do not shape the density of a class; they only say where its linear boundaries lie. The
    paper's weight of log p(x) is 1 / (1 + cross_entropy_weight * columns) here.

    Parameters
    ----------
    architecture : str, default="auto"
        Name of a preset of ``flowssl.architectures`` for the unconditional flow; "auto" chooses by
        the numbers of columns and rows.
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

    Examples
    --------
    >>> from flowssl import DIGLMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(500, random_state=0)
    >>> y = hide_labels(truth, per_class=5, random_state=0)
    >>> model = DIGLMClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> bool(model.score(X, truth) > 0.95)
    True
    """

    class_density = "linear"

    def __init__(
        self,
        *,
        architecture: str = "auto",
        class_features: int | str = "auto",
        images: Shape | ImageOptions | None = None,
        init: str = "propagate",
        objective: str | ObjectiveOptions = "soft-labels",
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
        self.class_features = class_features
        self.images = images
        self.init = init
        self.objective = objective
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
