"""Small real and generated data, made here, and the models that are trained on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

from flowssl import FlowGMMClassifier, SemiConditionalFlowClassifier
from flowssl.architectures import ARCHITECTURES, build_flow
from flowssl.bijections import Chain
from flowssl.datasets import hide_labels
from flowssl.densities import (
    ClassDensity,
    ClassDensityOptions,
    ClassInit,
    ClassPrior,
    ConditionalFlowClasses,
    GaussianClasses,
    SemiConditionalClasses,
)
from flowssl.estimators import FlowClassifier
from flowssl.image_architectures import IMAGE_ARCHITECTURES, build_image_flow
from flowssl.models import JointModel
from flowssl.training import TrainingRows

NAMES = ("digits", "embeddings", "images", "scnf")
N_CLASSES = 10
PER_CLASS = 10
DIGIT_COLUMNS = 64
CLASS_FEATURES = 10


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes
    ----------
    digits, embeddings, images : int
        Rows of the fits.
    columns : int
        Columns of the embedding-sized table.
    side : int
        Height and width of the images, a multiple of 4.
    image_batch : int
        Images in a batch.
    epochs : int
        Epochs of the fits.
    timed_rows : int
        Rows on which training steps are timed.
    steps, profiled_steps : int
        Training steps in a timed and in a profiled epoch.
    """

    digits: int
    embeddings: int
    images: int
    columns: int
    side: int
    image_batch: int
    epochs: int
    timed_rows: int
    steps: int
    profiled_steps: int


FULL = Size(
    digits=1_797,
    embeddings=8_000,
    images=5_000,
    columns=384,
    side=16,
    image_batch=64,
    epochs=3,
    timed_rows=5_000,
    steps=100,
    profiled_steps=30,
)
QUICK = Size(
    digits=300,
    embeddings=200,
    images=150,
    columns=32,
    side=8,
    image_batch=16,
    epochs=1,
    timed_rows=200,
    steps=4,
    profiled_steps=4,
)


@dataclass(frozen=True)
class Case:
    """One kind of data with an estimator.

    Attributes
    ----------
    X : ndarray
        Rows as the estimator takes them.
    truth : ndarray of shape (n,)
        Classes of all rows.
    make : callable
        Builds the estimator for a device and a number of epochs.
    fit_on_cpu : bool
        Whether the fit is short enough to be repeated on the CPU, to compare the accuracy.
    """

    X: NDArray[np.generic]
    truth: NDArray[np.int64]
    make: Callable[[str, int], FlowClassifier]
    fit_on_cpu: bool = False

    def labels(self) -> NDArray[np.int64]:
        """Return labels of which all but 10 per class are hidden."""
        return hide_labels(self.truth, per_class=PER_CLASS, random_state=0)


def digits(n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the first rows of scikit-learn's digits, which have 64 columns."""
    X, truth = load_digits(return_X_y=True)
    return X[:n], truth[:n]


def embeddings(n: int, columns: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return generated rows in four classes of two clusters each."""
    rng = np.random.default_rng(0)
    centers = 0.6 * rng.normal(size=(8, columns))
    cluster = rng.integers(8, size=n)
    mixing = rng.normal(size=(columns, columns)) / columns**0.5
    X = centers[cluster] + rng.normal(size=(n, columns)) @ mixing
    return X, cluster // 2


def images(n: int, side: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return digits, scaled to three quarters of the side and shifted, as (n, 1, side, side)."""
    rng = np.random.default_rng(0)
    X, truth = load_digits(return_X_y=True)
    chosen = rng.integers(len(X), size=n)
    inner = 3 * side // 4
    scaled = zoom(X[chosen].reshape(-1, 8, 8), (1, inner / 8, inner / 8), order=1)
    canvas = np.zeros((n, side, side))
    offsets = rng.integers(side - inner + 1, size=(n, 2))
    for image, (top, left), place in zip(scaled, offsets, canvas, strict=True):
        place[top : top + inner, left : left + inner] = image
    return np.clip(canvas * 255 / 16, 0, 255).astype(np.uint8)[:, None], truth[chosen]


def cases(size: Size) -> dict[str, Case]:
    """Return the cases by name."""

    def flowgmm(**options: object) -> Callable[[str, int], FlowClassifier]:
        return lambda device, epochs: FlowGMMClassifier(
            device=device, max_epochs=epochs, random_state=0, **options
        )

    def scnf(device: str, epochs: int) -> FlowClassifier:
        return SemiConditionalFlowClassifier(device=device, max_epochs=epochs, random_state=0)

    shape = (1, size.side, size.side)
    table = digits(size.digits)
    return {
        "digits": Case(*table, flowgmm(architecture="table"), fit_on_cpu=True),
        "embeddings": Case(
            *embeddings(size.embeddings, size.columns), flowgmm(architecture="embedding")
        ),
        "images": Case(
            *images(size.images, size.side), flowgmm(images=shape, batch_size=size.image_batch)
        ),
        "scnf": Case(*table, scnf, fit_on_cpu=True),
    }


def untrained(name: str, size: Size) -> tuple[JointModel, TrainingRows]:
    """Return an untrained model of a case and rows with random soft labels, for timing steps.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    size : Size
        Numbers of rows and columns.
    """
    generator = torch.Generator().manual_seed(0)
    n = size.timed_rows
    flow: Chain
    if name == "images":
        pixels, _ = images(n, size.side)
        x = torch.from_numpy(pixels.reshape(n, -1)).float() + 0.5
        shape = (1, size.side, size.side)
        flow = build_image_flow(IMAGE_ARCHITECTURES["small"], shape, x=x[:500], generator=generator)
    else:
        dim = size.columns if name == "embeddings" else DIGIT_COLUMNS
        x = torch.randn(n, dim, generator=generator)
        preset = ARCHITECTURES["embedding" if name == "embeddings" else "table"]
        flow = build_flow(preset, torch.eye(dim), torch.zeros(dim), generator=generator)
    targets = torch.rand(n, N_CLASSES, generator=generator).softmax(1)
    labeled = torch.arange(n) < PER_CLASS * N_CLASSES
    targets[labeled] = torch.eye(N_CLASSES)[torch.arange(n)[labeled] % N_CLASSES]
    model = JointModel(flow, _class_density(name, x.shape[1], generator))
    return model, TrainingRows(x, targets, labeled, torch.ones(n))


def _class_density(name: str, dim: int, generator: torch.Generator) -> ClassDensity:
    """Return the class density of a case: a conditional flow of the first latents for SCNF."""
    prior = ClassPrior(torch.ones(N_CLASSES))
    if name != "scnf":
        return GaussianClasses(torch.randn(N_CLASSES, dim, generator=generator), prior)
    means = torch.randn(N_CLASSES, 1, CLASS_FEATURES, generator=generator, dtype=torch.float64)
    init = ClassInit(means, prior, generator=generator)
    inner = ConditionalFlowClasses.from_init(init, ClassDensityOptions(architecture="small"))
    return SemiConditionalClasses(inner, dim)
