"""From the user's images to rows of 8-bit pixel values, from these to a flow's units, and back.

`ImageEncoder` and `Pixels` are to images what `TableEncoder` and `Completion` are to tables: the
first converts the user's array, the second converts to the flow's units.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import qmc
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from flowssl._plain_values import plain_values
from flowssl._records import Record, TensorKind, check_arrays, shown
from flowssl._typing import Floats
from flowssl.bijections.images import LEVELS, Shape
from flowssl.exceptions import ModelFileError
from flowssl.preprocessing.completion import CompletedRows
from flowssl.preprocessing.containers import TableLike
from flowssl.preprocessing.image_states import ImageStates
from flowssl.preprocessing.sparse import densified
from flowssl.preprocessing.table_encoder import OutputColumn

PixelValues = Floats
"""Rows of pixel values. They are 8-bit integers, an eighth of the memory of a table's float64 matrix.
As functions accept either, the type checker sees them as the same."""

N_COMPONENTS = 64
_COMPONENT_ROWS = 10_000
_LEAST_SPLIT = 4  # two images have one axis
_STATES = "states_"
_FEATURE_MAPS = 64
_LAYOUTS = ("rows", "planes", "channels first", "channels last")
_PIXEL_DTYPE = re.compile("[<>|=]?([iu][1248]|f[248]|f12|f16)")


def bits_per_dimension(log_prob: ArrayLike, dim: int) -> Floats:
    """Convert log-probabilities of discrete images, in nats, to bits for each of ``dim`` values.

    ``-log p / (D log 2)``: 8 for uniformly distributed pixel values, lower is better.

    Examples
    --------
    >>> import math
    >>> bits_per_dimension([-784 * math.log(256)], dim=784)
    array([8.])
    """
    bits: Floats = -np.asarray(log_prob, dtype=np.float64) / (dim * math.log(2))
    return bits


class ImageEncoder:
    """Encode arrays of images as rows of pixel values 0 to 255, and decode them.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width.

    Attributes
    ----------
    n_features_in_ : int
        Number D of pixel values of an image.
    layout_ : str
        Layout of the images in ``fit``, and of decoded images: "rows" (n, D), "planes" (n, h, w),
        "channels first" (n, c, h, w) or "channels last" (n, h, w, c).
    dtype_ : str
        Data type of the images in ``fit``, and of decoded images: integers are pixel values 0 to
        255, floats are scaled to 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.array([[[0.0, 1.0], [0.2, 0.4]]])
    >>> encoder = ImageEncoder((1, 2, 2)).fit(images)
    >>> encoder.transform(images)
    array([[  0, 255,  51, 102]], dtype=uint8)
    >>> encoder.inverse_transform([[0, 255, 51, 102]])
    array([[[0. , 1. ],
            [0.2, 0.4]]])
    """

    row_kind: ClassVar[Literal["image"]] = "image"
    """Kind of the rows; code that depends on it looks it up here."""

    layout_: str
    dtype_: str

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.n_features_in_ = math.prod(shape)
        self.constant_: dict[str | int, object] = {}
        self.duplicate_of_: dict[str | int, str | int] = {}

    # Made when asked for: a file may claim any shape.

    @property
    def output_columns_(self) -> list[OutputColumn]:
        """Origin of each of the D pixel values."""
        return [OutputColumn(i, None) for i in range(self.n_features_in_)]

    @property
    def dequantization_width_(self) -> Floats:
        """Width of the interval that a pixel value stands for: 1, shape (D,)."""
        return np.ones(self.n_features_in_)

    def fit(self, X: TableLike) -> Self:
        """Record the layout and the data type of images."""
        images = self._array(X)
        self.layout_ = self._layout(images)
        self.dtype_ = images.dtype.str
        return self

    def fit_transform(self, X: TableLike) -> PixelValues:
        """Do `fit`, then `transform`."""
        return self.fit(X).transform(X)

    def transform(self, X: TableLike) -> PixelValues:
        """Return the images as rows of pixel values, shape (n, D), uint8, channel by channel.

        Floats are rounded to the nearest of the 256 values.

        Raises
        ------
        ValueError
            If the array has another shape, masked pixels, or values outside 0..255 (integers) or
            0..1 (floats).
        """
        images = self._array(X)
        if self._layout(images) == "channels last":
            images = np.moveaxis(images, -1, 1)
        rows = _pixel_values(images).reshape(len(images), self.n_features_in_)
        return cast(PixelValues, np.ascontiguousarray(rows))

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.generic]:
        """Return rows of pixel values as images of the layout and data type of ``fit``."""
        if not hasattr(self, "layout_"):
            raise NotFittedError("this ImageEncoder is not fitted yet; call fit first")
        images: NDArray[np.generic] = np.asarray(X).reshape(-1, *self.shape)
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
        """Return the names of the pixel values: ``x0``, ``x1``, ..."""
        return np.array([f"x{i}" for i in range(self.n_features_in_)], dtype=object)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what a model file holds of the encoder beside `to_json`: no arrays."""
        return {}

    def to_json(self) -> str:
        """Write the fitted encoder as JSON text."""
        record = {"shape": self.shape, "layout": self.layout_, "dtype": self.dtype_}
        return json.dumps({"row_kind": self.row_kind, **record})

    @classmethod
    def from_json(cls, text: str) -> ImageEncoder:
        """Rebuild an encoder from :meth:`to_json`.

        Raises
        ------
        ModelFileError
            If the text does not describe an encoder.
        """
        record = Record.parse(text, "image encoder")
        record.text("row_kind", (cls.row_kind,))
        shape = record.sizes("shape")
        if len(shape) != 3:
            raise ModelFileError(f"its images have {len(shape)} sides, but must have 3")
        encoder = cls((shape[0], shape[1], shape[2]))
        encoder.layout_ = record.text("layout", _LAYOUTS)
        encoder.dtype_ = record.text("dtype")
        if not _PIXEL_DTYPE.fullmatch(encoder.dtype_):
            raise ModelFileError(f"its images cannot hold the type {shown(encoder.dtype_)}")
        return encoder

    def _array(self, X: TableLike) -> NDArray[np.generic]:
        if np.ma.is_masked(X):
            raise ValueError("images must not have masked pixels; remove such images or fill them")
        images = np.asarray(densified(plain_values(X)))
        if images.dtype.kind not in "iuf":
            raise ValueError(
                f"images must be arrays of integers 0..255 or floats 0..1, got dtype {images.dtype}"
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
            f"X has shape {images.shape}; for images of shape {self.shape} it must be one of {wanted}"
        )


def _pixel_values(images: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return integers 0 to 255."""
    if images.size == 0 or images.dtype == np.uint8:
        return images.astype(np.uint8)
    low, high = images.min(), images.max()
    if images.dtype.kind in "iu":
        if low < 0 or high > LEVELS - 1:
            raise ValueError(
                f"images of integers must hold 0..255, got {low}..{high}; give floats 0..1, such as "
                "values of 16 bits divided by 65535"
            )
        return images.astype(np.uint8)
    if not np.isfinite(images).all():
        raise ValueError("images must not hold NaN or infinity; remove such images")
    if low < 0 or high > 1:
        raise ValueError(
            f"images of floats must hold 0..1, got {low:g}..{high:g}; divide pixel values by 255 or "
            "convert them to uint8"
        )
    return np.rint(images.astype(np.float64) * (LEVELS - 1)).astype(np.uint8)


def pixel_centers(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return ``v + 1/2``, the center of the interval [v, v + 1) that pixel value v stands for."""
    return values.astype(np.float32) + np.float32(0.5)


def _principal_axes(matrix: PixelValues) -> tuple[Floats, Floats]:
    """Return the mean (D,) and principal axes (K, D) of images (n, D)."""
    n, dim = matrix.shape
    pca = PCA(min(N_COMPONENTS, n - 1, dim), svd_solver="randomized", random_state=0)
    pca.fit(matrix.astype(np.float32))
    return pca.mean_.astype(np.float64), pca.components_.astype(np.float64)


class Pixels:
    """The step from rows of pixel values to the units of a flow of images.

    Pixel value v stands for the interval [v, v + 1), which training fills with uniform noise, so
    that the flow's density bounds the probability of discrete images,
    ``log P(v) >= E_u log p(v + u)`` (Theis et al. 2016). Prediction draws no noise: it evaluates
    the density at the center v + 1/2, or averages it over a few fixed quasi-random points, an
    unbiased estimate of P(v). Either way the score of an image is deterministic.

    Parameters
    ----------
    mean : ndarray of shape (D,)
        Mean of the training images, pixel values.
    components : ndarray of shape (K, D)
        Principal axes of the training images, the features of the cheap classifiers.
    draws : int, default=0
        Fixed points within the intervals at prediction; 0 takes the center.
    states : ImageStates or None, default=None
        Density of the statistics of training images; None in files of earlier versions.

    Examples
    --------
    >>> import numpy as np
    >>> pixels = Pixels.fit(np.array([[0, 255], [10, 100], [20, 0]], dtype=np.uint8))
    >>> pixels.typical(np.array([[0, 255]], dtype=np.uint8))
    array([[  0.5, 255.5]], dtype=float32)
    >>> pixels.restore(np.array([[0.9, 300.0]]))
    array([[  0, 255]], dtype=uint8)
    """

    def __init__(
        self,
        mean: Floats,
        components: Floats,
        draws: int = 0,
        states: ImageStates | None = None,
    ) -> None:
        self.mean = mean
        self.components = components
        self.draws = draws
        self.states = states

    @classmethod
    def fit(cls, matrix: PixelValues, draws: int = 0, shape: Shape | None = None) -> Pixels:
        """Find the principal axes of images (n, D), of 10,000 random ones if there are more.

        Given their shape (c, h, w), also fit the density of their statistics (`unusual`): to half
        of these images, with the axes of the other half.
        """
        n = len(matrix)
        rows = np.random.default_rng(0).choice(n, min(n, _COMPONENT_ROWS), replace=False)
        states = None
        if shape is not None:
            others, usual = np.array_split(rows, 2) if len(rows) >= _LEAST_SPLIT else (rows, rows)
            states = ImageStates.fit(matrix[usual], shape, *_principal_axes(matrix[others]))
        return cls(*_principal_axes(matrix[np.sort(rows)]), draws, states)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the fitted arrays by name."""
        arrays: dict[str, NDArray[np.generic]] = {"mean": self.mean, "components": self.components}
        if self.states is not None:
            arrays |= {f"{_STATES}{k}": v for k, v in self.states.to_arrays().items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], draws: int = 0) -> Pixels:
        """Rebuild the step from :meth:`to_arrays`, which may have been forged.

        Raises
        ------
        ModelFileError
            If the arrays do not fit each other.
        """
        dim, n_axes = (arrays[k].shape[0] if k in arrays else 0 for k in ("mean", "components"))
        shapes: dict[str, TensorKind] = {"mean": ("f", (dim,)), "components": ("f", (n_axes, dim))}
        parts = {k.removeprefix(_STATES): v for k, v in arrays.items() if k.startswith(_STATES)}
        axes = {k: v for k, v in arrays.items() if not k.startswith(_STATES)}
        check_arrays(axes, shapes, "completion")
        mean, components = (axes[key].astype(np.float64) for key in shapes)
        states = ImageStates.from_arrays(parts, dim) if parts else None
        return cls(mean, components, draws, states)

    @property
    def dim(self) -> int:
        """Number D of pixel values of an image."""
        return len(self.mean)

    @property
    def row_numbers(self) -> int:
        """Approximate number of activations of an image in a convolutional network."""
        return _FEATURE_MAPS * self.dim

    def n_draws(self, matrix: PixelValues) -> int:
        """Return the number of points of each image at which prediction takes the density."""
        return max(1, self.draws)

    def has_missing(self, matrix: PixelValues) -> bool:
        """Return False: an image has no missing values."""
        return False

    def typical(self, matrix: PixelValues) -> Floats:
        """Return the centers of the pixel values' intervals, shape (n, D)."""
        return cast(Floats, pixel_centers(matrix))

    def filled(self, matrix: PixelValues) -> PixelValues:
        """Return the images themselves: none has a missing value."""
        return matrix

    def features(self, matrix: PixelValues) -> Floats:
        """Return the images' principal components, shape (n, K)."""
        chunks = np.array_split(matrix, max(1, len(matrix) // _COMPONENT_ROWS))
        scores = [(chunk.astype(np.float64) - self.mean) @ self.components.T for chunk in chunks]
        return np.concatenate(scores)

    def unusual(self, matrix: PixelValues) -> Floats:
        """Return minus the log-density of the images' statistics, shape (n,), nats.

        Raises
        ------
        ValueError
            If the model was saved by a version that did not fit this density.
        """
        if self.states is None:
            raise ValueError(
                "the model knows no density of the statistics of images, because an earlier "
                "version of flowssl fitted it; fit it again, or choose another score"
            )
        return self.states.unusual(matrix, self.mean, self.components)

    def far(self, matrix: PixelValues) -> NDArray[np.bool_]:
        """Return False for each image: pixel values are bounded."""
        return np.zeros(len(matrix), dtype=bool)

    def sampled(self, matrix: PixelValues, rng: np.random.Generator) -> Floats:
        """Return a random point of each pixel value's interval, shape (n, D)."""
        return cast(Floats, (matrix + rng.random(matrix.shape)).astype(np.float32))

    def restore(self, x: Floats) -> PixelValues:
        """Return the pixel values whose intervals contain numbers, or the nearest, shape (n, D)."""
        values = np.nan_to_num(np.floor(x)).clip(0, LEVELS - 1).astype(np.uint8)
        return cast(PixelValues, values)

    def completed(self, matrix: PixelValues) -> CompletedRows:
        """Return the fixed points at which the density of each image is taken."""
        points = np.full((1, self.dim), 0.5)
        if self.draws:
            points = qmc.LatinHypercube(self.dim, rng=np.random.default_rng(0)).random(self.draws)
        z = matrix[:, None] + points
        return CompletedRows(z, np.zeros(z.shape[:2]))
