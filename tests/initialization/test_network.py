"""The convolutional network for images."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from flowssl._views import Translated, Views
from flowssl.initialization.network import NetworkCandidate, class_probabilities, train_network


@pytest.fixture(scope="module")
def digits():
    """800 images of 8 x 8 pixel values with their classes."""
    loaded = load_digits()
    images = torch.from_numpy(loaded.images[:800] * 255 / 16).float().floor() + 0.5
    return images[:, None], loaded.target[:800]


@pytest.fixture(scope="module")
def network(digits):
    images, y = digits
    views = Views((1, 8, 8), (Translated(1),))
    return train_network(images[:300], torch.from_numpy(y[:300]), 10, views, n_steps=150, seed=0)


def test_the_network_classifies_what_it_has_not_seen(digits, network):
    images, y = digits
    P = class_probabilities(network, images[300:])
    assert P.shape == (500, 10)
    np.testing.assert_allclose(P.sum(1), 1, atol=1e-6)
    assert (P.argmax(1) == y[300:]).mean() > 0.85


def test_the_same_seed_gives_the_same_network_and_leaves_the_stream_alone(digits):
    images, y = digits
    views = Views((1, 8, 8), ())

    def probabilities(seed):
        args = images[:50], torch.from_numpy(y[:50]), 10, views
        return class_probabilities(train_network(*args, n_steps=3, seed=seed), images[:5])

    before = torch.random.get_rng_state()
    first = probabilities(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(first, probabilities(1))
    assert not np.allclose(first, probabilities(2))


def test_the_candidate_is_trained_on_the_labels_it_is_given_and_predicts_the_rows_asked_for(digits):
    images, y = digits
    views = Views((1, 8, 8), ())
    network = NetworkCandidate(images[:100], 10, views, 3, 5, torch.device("cpu"))
    codes = np.where(np.arange(100) % 2, y[:100], -1)
    rows = np.array([7, 3, 50])
    seen = torch.from_numpy(np.flatnonzero(codes >= 0))
    expected = train_network(images[seen], torch.from_numpy(y[seen]), 10, views, n_steps=3, seed=5)
    np.testing.assert_array_equal(
        network.fit_predict(codes, rows), class_probabilities(expected, images[rows])
    )
