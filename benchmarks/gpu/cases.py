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
from flowssl.densities import ClassPrior, GaussianClasses
from flowssl.estimators import FlowClassifier
from flowssl.image_architectures import IMAGE_ARCHITECTURES, build_image_flow
from flowssl.models import JointModel
from flowssl.training import TrainingRows

PER_CLASS = 10
SIDE = 16


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
    """

    X: NDArray[np.generic]
    truth: NDArray[np.int64]
    make: Callable[[str, int], FlowClassifier]

    def labels(self) -> NDArray[np.int64]:
        """Return labels of which all but 10 per class are hidden."""
        return hide_labels(self.truth, per_class=PER_CLASS, random_state=0)


def digits(n: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return scikit-learn's digits, 1,797 rows of 64 columns."""
    X, truth = load_digits(return_X_y=True)
    return X[:n], truth[:n]


def embeddings(n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return rows of 384 columns, as wide as sentence embeddings, in four classes of two clusters."""
    rng = np.random.default_rng(0)
    centers = 0.6 * rng.normal(size=(8, 384))
    cluster = rng.integers(8, size=n)
    mixing = rng.normal(size=(384, 384)) / 384**0.5
    X = centers[cluster] + rng.normal(size=(n, 384)) @ mixing
    return X, cluster // 2


def images(n: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return digits of 16 x 16 pixels, each shifted by up to two, as gray images (n, 1, 16, 16)."""
    rng = np.random.default_rng(0)
    X, truth = load_digits(return_X_y=True)
    chosen = rng.integers(len(X), size=n)
    large = zoom(X[chosen].reshape(-1, 8, 8), (1, 1.5, 1.5), order=1)
    canvas = np.zeros((n, SIDE, SIDE))
    offsets = rng.integers(5, size=(n, 2))
    for image, (top, left), place in zip(large, offsets, canvas, strict=True):
        place[top : top + 12, left : left + 12] = image
    return np.clip(canvas * 255 / 16, 0, 255).astype(np.uint8)[:, None], truth[chosen]


def cases(*, quick: bool) -> dict[str, Case]:
    """Return the cases by name; quick ones have few rows, for a test without a GPU."""

    def flowgmm(**options: object) -> Callable[[str, int], FlowClassifier]:
        return lambda device, epochs: FlowGMMClassifier(
            device=device, max_epochs=epochs, random_state=0, **options
        )

    return {
        "digits": Case(*digits(400 if quick else None), flowgmm(architecture="table")),
        "embeddings": Case(*embeddings(300 if quick else 8_000), flowgmm(architecture="embedding")),
        "images": Case(*images(250 if quick else 5_000), flowgmm(images=(1, SIDE, SIDE))),
        "scnf": Case(
            *digits(400 if quick else None),
            lambda device, epochs: SemiConditionalFlowClassifier(
                device=device, max_epochs=epochs, random_state=0
            ),
        ),
    }


def untrained(name: str, n: int) -> tuple[JointModel, TrainingRows]:
    """Return a model of a case's size and standardized rows with soft labels, for timing steps.

    Parameters
    ----------
    name : {"digits", "embeddings", "images"}
        The case.
    n : int
        Rows.
    """
    generator = torch.Generator().manual_seed(0)
    n_classes = 10
    if name == "images":
        X, _ = images(n)
        x = torch.from_numpy(X.reshape(n, -1)).float() + 0.5
        shape = (1, SIDE, SIDE)
        flow: Chain = build_image_flow(
            IMAGE_ARCHITECTURES["small"], shape, x=x[:500], generator=generator
        )
    else:
        dim = 384 if name == "embeddings" else 64
        x = torch.randn(n, dim, generator=generator)
        preset = ARCHITECTURES["embedding" if name == "embeddings" else "table"]
        flow = build_flow(preset, torch.eye(dim), torch.zeros(dim), generator=generator)
    dim = x.shape[1]
    means = torch.randn(n_classes, dim, generator=generator)
    model = JointModel(flow, GaussianClasses(means, ClassPrior(torch.ones(n_classes))))
    targets = torch.rand(n, n_classes, generator=generator).softmax(1)
    labeled = torch.arange(n) < PER_CLASS * n_classes
    targets[labeled] = torch.eye(n_classes)[torch.arange(n)[labeled] % n_classes]
    return model, TrainingRows(x, targets, labeled, torch.ones(n))
