"""DIGLMClassifier: one density for all classes, and boundaries that the labels draw."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import flowssl
from flowssl import DIGLMClassifier


@pytest.fixture(scope="module")
def diglm(moons):
    X, _, y = moons
    return DIGLMClassifier(max_epochs=5, random_state=0).fit(X, y)


def test_moons_are_told_apart(diglm, moons):
    X, truth, _ = moons
    assert diglm.score(X, truth) > 0.95
    drawn, labels = diglm.sample(300, y=1, random_state=0)
    assert diglm.score(drawn, labels) > 0.85


def test_the_density_is_that_of_one_gaussian_in_latent_space(diglm, moons):
    X = moons[0][:50]
    z = diglm.transform(X)
    step = 1e-7  # the networks have kinks: a longer step meets one in some row
    jacobians = np.stack(
        [
            (diglm.transform(X + step * e) - diglm.transform(X - step * e)) / (2 * step)
            for e in np.eye(2)
        ],
        axis=-1,
    )
    expected = multivariate_normal(np.zeros(2), np.eye(2)).logpdf(z)
    expected += np.linalg.slogdet(jacobians).logabsdet
    log_joint = diglm.density_.class_log_joint(diglm.encoder_.transform(X))
    np.testing.assert_allclose(logsumexp(log_joint, axis=1), expected, atol=1e-4)


def test_it_comes_back_from_its_file(diglm, moons, tmp_path):
    diglm.save(tmp_path / "a.flowssl")
    loaded = flowssl.load(tmp_path / "a.flowssl")
    assert isinstance(loaded, DIGLMClassifier)
    assert np.array_equal(loaded.predict_proba(moons[0]), diglm.predict_proba(moons[0]))
