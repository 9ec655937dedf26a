"""Data to learn on and to compare with: toy sets, small real sets, and the papers' own files.

Everything comes back as NumPy arrays with complete labels; `hide_labels` turns a complete label
vector into one with a few labeled rows. Nothing is downloaded and nothing is unpickled.
"""

from flowssl.datasets.bundled import NAMES, load
from flowssl.datasets.canonical import (
    load_ag_news,
    load_hepmass,
    load_miniboone,
    load_yahoo_answers,
)
from flowssl.datasets.container import Dataset
from flowssl.datasets.hiding import hide_labels
from flowssl.datasets.images import load_cifar10, load_fashion_mnist, load_mnist, load_svhn
from flowssl.datasets.toy import make_circles, make_eight_gaussians, make_moons, make_pinwheel

__all__ = [
    "NAMES",
    "Dataset",
    "hide_labels",
    "load",
    "load_ag_news",
    "load_cifar10",
    "load_fashion_mnist",
    "load_hepmass",
    "load_miniboone",
    "load_mnist",
    "load_svhn",
    "load_yahoo_answers",
    "make_circles",
    "make_eight_gaussians",
    "make_moons",
    "make_pinwheel",
]
