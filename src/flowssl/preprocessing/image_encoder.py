"""From the user's images to rows of 8-bit levels, from levels to what a flow takes, and back.

`ImageEncoder` and `Pixels` are to images what `TableEncoder` and `Completion` are to tables: the
first knows the user's array, the second the flow's units.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import qmc
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from flowssl._typing import Floats
from flowssl.bijections.images import LEVELS, Shape
from flowssl.preprocessing.completion import CompletedRows
from flowssl.preprocessing.table_encoder import OutputColumn

Levels = Floats
"""Rows of levels. They are 8-bit numbers, an eighth of the memory of a table's float64 matrix, and
go wherever that goes, so to the type checker they are the same."""

N_COMPONENTS = 64
_COMPONENT_ROWS = 10_000
_FEATURE_MAPS = 64
_LAYOUTS = ("rows", "planes", "channels first", "channels last")
_ON_A_LEVEL = 1e-3


def bits_per_dimension(log_prob: ArrayLike, dim: int) -> Floats:
    """Turn log-probabilities of discrete images, in nats, into bits for each of ``dim`` numbers.

    ``-log p / (D log 2)``; 8 for uniformly random levels, lower is better.
    """
    bits: Floats = -np.asarray(log_prob, dtype=np.float64) / (dim * math.log(2))
    return bits


class ImageEncoder:
    """Arrays of images as rows of levels 0 to 255, channel by channel, and back.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width.

    Attributes
    ----------
    n_features_in_ : int
        Numbers D in an image.
    layout_ : str
        How the images came in ``fit``, and how decoded ones are given back: "rows" (n, D), "planes"
        (n, h, w), "channels first" (n, c, h, w) or "channels last" (n, h, w, c).
    dtype_ : str
        Their dtype; levels are whole numbers 0 to 255, floats shares from 0 to 1.
    dequantization_width_ : ndarray of shape (D,)
        Width of the interval that a level stands for: 1.
    """

    row_kind: ClassVar[Literal["image"]] = "image"
    """What rows are; whatever depends on it asks the encoder."""

    layout_: str
    dtype_: str

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.n_features_in_ = math.prod(shape)
        self.output_columns_ = [OutputColumn(i, None) for i in range(self.n_features_in_)]
        self.dequantization_width_ = np.ones(self.n_features_in_)
        self.constant_: dict[str | int, object] = {}
        self.duplicate_of_: dict[str | int, str | int] = {}

    def fit(self, X: object) -> Self:
        """Remember how these images are given."""
        images = self._array(X)
        self.layout_ = self._layout(images)
        self.dtype_ = images.dtype.str
        return self

    def transform(self, X: object) -> Levels:
        """Return the images as rows of levels, shape (n, D), uint8; colors come one by one.

        Floats are rounded to the nearest of the 256 levels.

        Raises
        ------
        ValueError
            If the array has another shape, or numbers outside 0..255 (whole) or 0..1 (floats).
        """
        images = self._array(X)
        if self._layout(images) == "channels last":
            images = np.moveaxis(images, -1, 1)
        rows = _levels(images).reshape(len(images), self.n_features_in_)
        return cast(Levels, np.ascontiguousarray(rows))

    def inverse_transform(self, levels: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return rows of levels as images of the layout and dtype that ``fit`` saw."""
        if not hasattr(self, "layout_"):
            raise NotFittedError("this ImageEncoder is not fitted yet; call fit first")
        images: NDArray[np.generic] = np.asarray(levels).reshape(-1, *self.shape)
        if self.layout_ == "rows":
            images = images.reshape(len(images), -1)
        elif self.layout_ == "planes":
            images = images[:, 0]
        elif self.layout_ == "channels last":
            images = np.moveaxis(images, 1, -1)
        dtype = np.dtype(self.dtype_)
        if dtype.kind == "f":
            images = images.astype(np.float64) / (LEVELS - 1)
        decoded: NDArray[np.generic] = images.astype(dtype)
        return decoded

    def get_feature_names_out(self) -> NDArray[np.object_]:
        """Return the names of the levels: ``x0``, ``x1``, ..."""
        return np.array([f"x{i}" for i in range(self.n_features_in_)], dtype=object)

    def to_json(self) -> str:
        """Return what ``fit`` has learned as text."""
        return json.dumps({"shape": self.shape, "layout": self.layout_, "dtype": self.dtype_})

    @classmethod
    def from_json(cls, text: str) -> ImageEncoder:
        """Rebuild an encoder from :meth:`to_json`.

        Raises
        ------
        ValueError
            If the text does not describe one.
        """
        record = json.loads(text)
        channels, height, width = (int(side) for side in record["shape"])
        encoder = cls((channels, height, width))
        dtype = np.dtype(str(record["dtype"]))
        if record["layout"] not in _LAYOUTS or dtype.kind not in "iuf":
            raise ValueError(
                f"images of layout {record['layout']!r} and dtype {dtype} do not exist"
            )
        encoder.layout_, encoder.dtype_ = str(record["layout"]), dtype.str
        return encoder

    def _array(self, X: object) -> NDArray[np.generic]:
        images = np.asarray(X)
        if images.dtype.kind not in "iuf":
            raise ValueError(
                f"images are arrays of whole numbers 0..255 or floats 0..1, got dtype {images.dtype}"
            )
        return images

    def _layout(self, images: NDArray[np.generic]) -> str:
        channels, height, width = self.shape
        shapes = {
            "rows": (self.n_features_in_,),
            "channels first": self.shape,
            "channels last": (height, width, channels),
        }
        if channels == 1:
            shapes["planes"] = (height, width)
        for layout, shape in shapes.items():
            if images.shape[1:] == shape:
                return layout
        wanted = ", ".join(f"(n, {', '.join(map(str, shape))})" for shape in shapes.values())
        raise ValueError(
            f"X has shape {images.shape}; with image_shape={self.shape} it must be one of {wanted}"
        )


def _levels(images: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return whole numbers 0 to 255."""
    if images.size == 0 or images.dtype == np.uint8:
        return images.astype(np.uint8)
    low, high = images.min(), images.max()
    if images.dtype.kind in "iu":
        if low < 0 or high > LEVELS - 1:
            raise ValueError(f"whole-number images hold levels 0..255, got {low}..{high}")
        return images.astype(np.uint8)
    if not np.isfinite(images).all():
        raise ValueError("images must not hold NaN or infinity: leave such images out")
    if low < 0 or high > 1:
        raise ValueError(
            f"images of floats hold shares 0..1, got {low:g}..{high:g}; divide levels by 255 or "
            "convert them to uint8"
        )
    return np.rint(images.astype(np.float64) * (LEVELS - 1)).astype(np.uint8)


def level_centers(levels: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return ``v + 1/2``, the center of the interval [v, v + 1) that level v stands for."""
    return levels.astype(np.float32) + np.float32(0.5)


class Pixels:
    """The step from rows of levels to numbers that a flow of images takes.

    Level v stands for the interval [v, v + 1), which training fills with uniform noise, so that
    the flow's density bounds the probability of discrete images, ``log P(v) >= E_u log p(v + u)``
    (Theis et al. 2016). Prediction draws no noise: it looks at the center v + 1/2, or averages the
    density over a few fixed draws, an unbiased estimate of P(v). Either way an image always gets
    the same score.

    Parameters
    ----------
    mean : ndarray of shape (D,)
        Mean of the training images, levels.
    components : ndarray of shape (K, D)
        Their principal axes, on which cheap classifiers look at images.
    draws : int, default=0
        Fixed draws within the levels at prediction; 0 takes the center.
    """

    def __init__(self, mean: Floats, components: Floats, draws: int = 0) -> None:
        self.mean = mean
        self.components = components
        self.draws = draws

    @classmethod
    def fit(cls, matrix: Levels, draws: int = 0) -> Pixels:
        """Find the principal axes of images (n, D); of 10,000 of them if there are more."""
        n, dim = matrix.shape
        rows = np.random.default_rng(0).choice(n, min(n, _COMPONENT_ROWS), replace=False)
        pca = PCA(min(N_COMPONENTS, len(rows) - 1, dim), svd_solver="randomized", random_state=0)
        pca.fit(matrix[np.sort(rows)].astype(np.float32))
        return cls(pca.mean_.astype(np.float64), pca.components_.astype(np.float64), draws)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what :meth:`fit` has found."""
        return {"mean": self.mean, "components": self.components}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], draws: int = 0) -> Pixels:
        """Rebuild the step from :meth:`to_arrays`."""
        mean, components = (arrays[key].astype(np.float64) for key in ("mean", "components"))
        return cls(mean, components, draws)

    @property
    def dim(self) -> int:
        """Number D of levels in an image."""
        return len(self.mean)

    @property
    def row_numbers(self) -> int:
        """Numbers that an image grows to inside a convolutional network, about."""
        return _FEATURE_MAPS * self.dim

    def n_draws(self, matrix: Levels) -> int:
        """Return how many versions of each image prediction looks at."""
        return max(1, self.draws)

    def has_holes(self, matrix: Levels) -> bool:
        """Return False: an image has no missing numbers."""
        return False

    def typical(self, matrix: Levels) -> Floats:
        """Return the centers of the levels, shape (n, D)."""
        return cast(Floats, level_centers(matrix))

    def filled(self, matrix: Levels) -> Floats:
        """Return the images' principal components, shape (n, K)."""
        chunks = np.array_split(matrix, max(1, len(matrix) // _COMPONENT_ROWS))
        scores = [(chunk.astype(np.float64) - self.mean) @ self.components.T for chunk in chunks]
        return np.concatenate(scores)

    def far(self, matrix: Levels) -> NDArray[np.bool_]:
        """Tell that no image is out of range: levels are bounded."""
        return np.zeros(len(matrix), dtype=bool)

    def sampled(self, matrix: Levels, rng: np.random.Generator) -> Floats:
        """Fill the levels by random noise, shape (n, D)."""
        return cast(Floats, (matrix + rng.random(matrix.shape)).astype(np.float32))

    def restore(self, x: Floats) -> Levels:
        """Return the levels in whose intervals numbers lie, or the nearest, shape (n, D)."""
        levels = np.nan_to_num(np.floor(x)).clip(0, LEVELS - 1).astype(np.uint8)
        return cast(Levels, levels)

    def completed(self, matrix: Levels) -> CompletedRows:
        """Return the fixed points at which the density of each image is taken."""
        points = np.full((1, self.dim), 0.5)
        if self.draws:
            points = qmc.LatinHypercube(self.dim, rng=np.random.default_rng(0)).random(self.draws)
        z = matrix[:, None] + points
        return CompletedRows(z, np.zeros(z.shape[:2]))
