"""The image sets, from the data folder (see benchmarks/README.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from benchmarks.folders import DATA

FILES = {
    "mnist": ("mnist_train", "mnist_test"),
    "fashion": ("fashion_mnist_train", "fashion_mnist_test"),
    "cifar": ("cifar10_train_10k", "cifar10_test_2k"),
}

Pixels = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """Training and test images of one set, as pixel values (n, h, w) or (n, h, w, 3)."""

    X: Pixels
    y: Codes
    X_test: Pixels
    y_test: Codes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels = self.X.shape[3] if self.X.ndim == 4 else 1
        return channels, self.X.shape[1], self.X.shape[2]

    def some(self, n_images: int, seed: int) -> Images:
        """Keep a random subset of the training images."""
        chosen = np.random.default_rng(seed).permutation(len(self.X))[:n_images]
        return replace(self, X=self.X[chosen], y=self.y[chosen])


def load(name: str) -> Images:
    """Read a set; FileNotFoundError if its files are missing."""
    parts = [np.load(DATA / "images" / f"{file}.npz") for file in FILES[name]]
    train, test = ((part["x"], part["y"].astype(np.int64)) for part in parts)
    return Images(*train, *test)


def draw(y: Codes, n_labels: int, seed: int) -> Codes:
    """Hide all labels but ``n_labels``, the same number in each class: -1 elsewhere."""
    rng = np.random.default_rng(seed)
    each = n_labels // len(np.unique(y))
    hidden = np.full_like(y, -1)
    for k in np.unique(y):
        shown = rng.choice(np.flatnonzero(y == k), each, replace=False)
        hidden[shown] = k
    return hidden
