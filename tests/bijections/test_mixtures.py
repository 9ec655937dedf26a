"""The map of a mixture of Gaussians, against scikit-learn and the normal distribution."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.mixture import GaussianMixture

from flowssl.bijections import MixtureMap


@pytest.fixture(scope="module")
def fitted() -> tuple[GaussianMixture, MixtureMap]:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1, (200, 3)), rng.normal(4, 0.3, (100, 3))])
    rows[:, 2] = rows[:, 0] + rows[:, 1] + 1e-4 * rng.normal(size=300)  # nearly determined
    model = GaussianMixture(4, random_state=0, reg_covar=1e-9).fit(rows)
    arrays = np.log(model.weights_), model.means_, np.linalg.cholesky(model.covariances_)
    return model, MixtureMap(*map(torch.from_numpy, arrays))


def test_density_is_that_of_the_mixture(fitted):
    model, mixture = fitted
    rows, _ = model.sample(200)
    u, log_det = mixture(torch.from_numpy(rows))
    log_prob = norm.logpdf(u.numpy()).sum(1) + log_det.numpy()
    np.testing.assert_allclose(log_prob, model.score_samples(rows), rtol=1e-7)


def test_rows_of_the_mixture_become_normal(fitted):
    model, mixture = fitted
    u, _ = mixture(torch.from_numpy(model.sample(20_000)[0]))
    np.testing.assert_allclose(u.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(u.numpy().T), np.eye(3), atol=0.04)


def test_inverse_of_the_normal_is_a_sample(fitted):
    model, mixture = fitted
    u = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = mixture.inverse(u).numpy()
    np.testing.assert_allclose(rows.mean(0), model.weights_ @ model.means_, atol=0.06)
    mean = model.score(model.sample(20_000)[0])
    assert model.score_samples(rows).mean() == pytest.approx(mean, abs=0.05)


def test_far_tails_keep_their_distance():
    """At 1,000 standard deviations probabilities vanish, but their logarithms do not."""
    mixture = MixtureMap(
        torch.tensor([0.5, 0.5]).log(), torch.zeros(2, 1), torch.tensor([1.0, 2.0])[:, None, None]
    )
    u, log_det = mixture(torch.tensor([[1000.0], [-1000.0]], dtype=torch.float64))
    np.testing.assert_allclose(u[:, 0], [500, -500], rtol=1e-2)  # the wider Gaussian's distance
    assert torch.isfinite(log_det).all()


@pytest.mark.parametrize("change", [{"factors": -1.0}, {"log_weights": 2.0}])
def test_forged_buffers_are_refused(fitted, change):
    _, mixture = fitted
    forged = MixtureMap(mixture.log_weights, mixture.means, mixture.factors)
    for name, factor in change.items():
        setattr(forged, name, getattr(forged, name) * factor)
    with pytest.raises(ValueError, match="of a mixture must"):
        forged.check_buffers()
