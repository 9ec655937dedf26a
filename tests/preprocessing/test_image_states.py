"""The density of the statistics of images: what they are, what is unusual, and its file."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from flowssl.exceptions import ModelFileError
from flowssl.preprocessing import Pixels
from flowssl.preprocessing.image_states import image_statistics

SHAPE = (1, 8, 8)


def smooth(n, seed, *, width=2.0):
    """Gaussian bumps of random place and brightness."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(2, 6, (n, 2, 1, 1))
    grid = np.arange(8.0)
    distance = (grid[:, None] - place[:, 0]) ** 2 + (grid - place[:, 1]) ** 2
    bright = rng.uniform(100, 250, (n, 1, 1))
    return np.rint(bright * np.exp(-distance / width**2 / 2)).astype(np.uint8).reshape(n, 64)


@pytest.fixture(scope="module")
def pixels():
    return Pixels.fit(smooth(1000, 0), shape=SHAPE)


def test_distances_are_those_of_principal_components():
    matrix = smooth(60, 1).astype(float)
    pca = PCA(5).fit(matrix[:30])
    total, residual = image_statistics(matrix, SHAPE, pca.mean_, pca.components_).T[:2]
    np.testing.assert_allclose(np.expm1(total), ((matrix - pca.mean_) ** 2).sum(1))
    back = pca.inverse_transform(pca.transform(matrix))
    np.testing.assert_allclose(np.expm1(residual), ((matrix - back) ** 2).sum(1), rtol=1e-6)


def test_neighbors_are_compared_within_a_channel():
    """Two flat channels of different brightness have no differences."""
    flat = np.repeat([[10.0, 200.0]], 6, axis=0).T.reshape(1, 12)
    statistics = image_statistics(flat, (2, 2, 3), np.zeros(12), np.eye(12)[:1])
    assert statistics[0, 2] == pytest.approx(105)
    assert (statistics[0, 4:] == 0).all()
    column = np.arange(4.0)[None]
    assert np.isfinite(image_statistics(column, (1, 4, 1), np.zeros(4), np.eye(4)[:1])).all()


@pytest.mark.parametrize("width", [1.2, 4.0], ids=["rougher", "smoother"])
def test_what_is_rougher_or_smoother_is_unusual(pixels, width):
    usual, other = pixels.unusual(smooth(300, 2)), pixels.unusual(smooth(300, 3, width=width))
    assert roc_auc_score(np.repeat([0, 1], 300), np.concatenate((usual, other))) > 0.95
    blank = np.repeat([[0], [128], [255]], 64, axis=1).astype(np.uint8)
    assert pixels.unusual(blank).min() > np.quantile(usual, 0.99)


def test_axes_of_few_images_do_not_make_others_unusual():
    """Their own residuals are 0, those of others are not: axes and statistics share no image."""
    few = Pixels.fit(smooth(120, 4), shape=SHAPE)
    false_alarms = few.unusual(smooth(500, 5)) > np.quantile(few.unusual(smooth(500, 6)), 0.95)
    assert false_alarms.mean() < 0.1
    assert np.median(few.unusual(smooth(500, 5))) < 20


def test_the_density_is_that_of_the_mixture(pixels):
    states, matrix = pixels.states, smooth(5, 7)
    rows = image_statistics(matrix, SHAPE, pixels.mean, pixels.components)
    density = sum(
        weight
        * multivariate_normal(
            states.center + states.scale * mean,
            covariance * np.outer(states.scale, states.scale),
        ).pdf(rows)
        for weight, mean, covariance in zip(
            states.weights, states.means, states.covariances, strict=True
        )
    )
    expected = -np.log(density) - np.log(states.scale).sum()
    np.testing.assert_allclose(pixels.unusual(matrix), expected)


def test_file_restores_the_scores_and_earlier_files_have_none(pixels):
    arrays, matrix = pixels.to_arrays(), smooth(5, 8)
    assert (Pixels.from_arrays(arrays).unusual(matrix) == pixels.unusual(matrix)).all()
    earlier = Pixels.from_arrays({name: arrays[name] for name in ("mean", "components")})
    with pytest.raises(ValueError, match="earlier version of flowssl fitted it; fit it again"):
        earlier.unusual(matrix)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("shape", lambda a: a + 1),
        ("shape", lambda a: -a),
        ("scale", lambda a: -a),
        ("weights", lambda a: 0 * a),
        ("covariances", lambda a: -a),
        ("covariances", lambda a: a + np.triu(np.ones((8, 8)), 1)),
        ("means", lambda a: a[:, :3]),
        ("center", lambda a: a * np.nan),
    ],
)
def test_forged_mixtures_are_refused(pixels, name, change):
    arrays = pixels.to_arrays()
    with pytest.raises(ModelFileError):
        Pixels.from_arrays(arrays | {f"states_{name}": change(arrays[f"states_{name}"])})
    with pytest.raises(ModelFileError, match="is missing"):
        Pixels.from_arrays({k: v for k, v in arrays.items() if k != f"states_{name}"})


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_few_images_have_states_too(n):
    few = Pixels.fit(smooth(n, 9), shape=SHAPE)
    assert np.isfinite(few.unusual(smooth(3, 10))).all()
