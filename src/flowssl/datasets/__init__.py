"""Data sets: synthetic ones, small real ones, and readers of the files that papers report on.

All come as NumPy arrays with complete labels; `hide_labels` keeps the labels of a few rows. Nothing
is downloaded and nothing is unpickled.
"""

from flowssl.datasets.bundled import load_dataset
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
    "Dataset",
    "hide_labels",
    "load_ag_news",
    "load_cifar10",
    "load_dataset",
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
