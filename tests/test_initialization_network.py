"""The convolutional candidate of the start of images, and how it joins the others."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss

from flowssl._views import Translated, Views
from flowssl.initialization import join, propagate
from flowssl.initialization.network import class_probabilities, train_network


@pytest.fixture(scope="module")
def digits():
    """800 pictures of 8 x 8 levels with their classes."""
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


@pytest.fixture(scope="module")
def start(digits):
    """A start of 300 pictures from three labels a class."""
    images, y = digits
    X = images[:300].reshape(300, -1).numpy().astype(float)
    codes = np.full(300, -1)
    for k in range(10):
        codes[np.flatnonzero(y[:300] == k)[:3]] = k
    varying = X[:, X.std(0) > 0]
    return propagate(varying, codes, 10, random_state=0), codes


def test_a_candidate_that_knows_the_labels_takes_over(digits, start):
    found, codes = start
    truth = digits[1][:300]
    known = codes >= 0
    told = 0.02 + 0.8 * np.eye(10)[truth]
    joined = join(found, "oracle", told, told[known], codes[known])
    assert joined.candidates[-1] == "oracle"
    assert joined.weights[-1] > 0.5 > joined.weights[:-1].sum()
    assert (joined.posteriors.argmax(1) == truth).mean() > (
        found.posteriors.argmax(1) == truth
    ).mean()
    crossed = joined.cross_fitted[np.isfinite(joined.cross_fitted[:, 0])]
    seen = codes[known][np.isfinite(joined.cross_fitted[:, 0])]
    expected = -log_loss(seen, crossed, labels=np.arange(10))
    assert joined.label_log_likelihood == pytest.approx(expected, abs=0.02)  # floored there
    assert joined.label_log_likelihood > found.label_log_likelihood


def test_a_candidate_that_is_sure_of_errors_does_no_harm(digits, start):
    found, codes = start
    truth = digits[1][:300]
    known = codes >= 0
    wrong = 0.001 + 0.99 * np.eye(10)[(truth + 1) % 10]
    joined = join(found, "liar", wrong, wrong[known], codes[known])
    assert joined.weights[-1] < 0.1
    before = (found.posteriors.argmax(1) == truth).mean()
    assert (joined.posteriors.argmax(1) == truth).mean() > before - 0.02
