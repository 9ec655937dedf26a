"""The toy sets have the shape that their definitions give them."""

import numpy as np
import pytest

from flowssl.datasets import make_circles, make_eight_gaussians, make_moons, make_pinwheel

MAKERS = {make_moons: 2, make_circles: 2, make_eight_gaussians: 3, make_pinwheel: 5}


@pytest.mark.parametrize("make", MAKERS)
def test_shapes_classes_and_repeatability(make):
    X, y = make(403, random_state=3)
    assert X.shape == (403, 2)
    assert y.shape == (403,)
    assert set(y.tolist()) == set(range(MAKERS[make]))
    again = make(403, random_state=3)
    np.testing.assert_array_equal(X, again[0])
    np.testing.assert_array_equal(y, again[1])
    assert not np.array_equal(X, make(403, random_state=4)[0])


@pytest.mark.parametrize("make", MAKERS)
def test_bad_arguments_are_named(make):
    with pytest.raises(ValueError, match="n_samples must be at least 1, got 0"):
        make(0)
    with pytest.raises(ValueError, match=r"noise .* got -1"):
        make(10, noise=-1)


def test_circles_without_noise_lie_on_their_radii():
    X, y = make_circles(100, noise=0.0, factor=0.4)
    np.testing.assert_allclose(np.hypot(*X.T), np.where(y == 0, 1.0, 0.4))


def test_moons_without_noise_lie_on_their_half_circles():
    X, y = make_moons(100, noise=0.0)
    centers = np.where(y[:, None] == 0, [[0.0, 0.0]], [[1.0, 0.5]])
    np.testing.assert_allclose(np.hypot(*(X - centers).T), 1.0)


def test_eight_gaussians_centers_spread_and_classes():
    X, y = make_eight_gaussians(80_000, random_state=0)
    octant = np.round(np.arctan2(X[:, 1], X[:, 0]) / (np.pi / 4)).astype(int) % 8
    for k, label in enumerate([0, 1, 2, 0, 1, 2, 0, 1]):
        mine = octant == k
        # A few rows in ten thousand cross into the neighbor's octant.
        assert np.mean(y[mine] == label) > 0.99
        rows = X[mine & (y == label)]
        angle = k * np.pi / 4
        center = 4 / np.sqrt(2) * np.array([np.cos(angle), np.sin(angle)])
        np.testing.assert_allclose(rows.mean(axis=0), center, atol=0.03)
        np.testing.assert_allclose(rows.std(axis=0), 0.5 / np.sqrt(2), rtol=0.05)


def test_pinwheel_untwisted_is_one_gaussian_for_each_arm():
    X, y = make_pinwheel(50_000, random_state=0)
    # A rotation about the origin keeps the radius, and the radius is close to the coordinate along
    # the arm where that is large against the noise: without noise it is equal to it.
    X0, y0 = make_pinwheel(50_000, noise=0.0, random_state=0)
    np.testing.assert_array_equal(y, y0)
    radius = np.hypot(*X0.T)
    positive = radius > 0.05
    angle = np.arctan2(X0[:, 1], X0[:, 0]) - 2 * np.pi / 5 * y0 - 0.25 * np.exp(radius)
    away = np.abs(np.exp(1j * angle) - 1)[positive]
    assert np.mean(away < 1e-9) > 0.998  # the rest has a negative coordinate along the arm
    assert abs(radius.mean() - 1) < 0.01
    assert abs(radius.std() - 0.3) < 0.01
    # The noise across the arm is what is left between the two draws.
    assert abs(np.hypot(*(X - X0).T).std() / (0.1 * np.sqrt(1 - 2 / np.pi)) - 1) < 0.02


def test_arms_are_equally_large():
    _, y = make_pinwheel(1000, n_arms=5, random_state=1)
    assert np.bincount(y).tolist() == [200] * 5
