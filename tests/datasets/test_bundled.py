"""The data sets that need no file."""

import numpy as np
import pytest

from flowssl.datasets import Dataset, load_dataset
from flowssl.datasets.bundled import NAMES

SHAPES = {
    "digits": (1797, 64, 10),
    "breast_cancer": (569, 30, 2),
    "wine": (178, 13, 3),
    "moons": (1000, 2, 2),
    "circles": (1000, 2, 2),
    "eight_gaussians": (1000, 2, 3),
    "pinwheel": (1000, 2, 5),
}


@pytest.mark.parametrize("name", NAMES)
def test_sizes_and_names(name):
    data = load_dataset(name)
    assert (*data.X.shape, data.n_classes) == SHAPES[name]
    assert data.name == name
    assert len(data.feature_names) == data.X.shape[1]
    assert set(data.y.tolist()) == set(range(data.n_classes))


def test_toy_size_and_seed_are_the_users():
    small = load_dataset("pinwheel", n_samples=50, random_state=1)
    assert small.X.shape == (50, 2)
    assert not np.array_equal(small.X, load_dataset("pinwheel", n_samples=50, random_state=2).X)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'iris'.*digits.*pinwheel"):
        load_dataset("iris")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.array([0, 1])}, "3 rows but 2 labels"),
        ({"y": np.array([0, 1, 2])}, r"codes 0\.\.1; got 0\.\.2"),
        ({"X_test": np.zeros((1, 2))}, "both X_test and y_test, or neither"),
        ({"X_test": np.zeros((1, 2)), "y_test": np.array([-1])}, r"\(test\).*got -1\.\.-1"),
    ],
)
def test_a_dataset_that_does_not_fit_together_is_refused(changes, message):
    parts = {"X": np.zeros((3, 2)), "y": np.array([0, 1, 1]), "class_names": ("a", "b")}
    with pytest.raises(ValueError, match=message):
        Dataset("made", **(parts | changes))
