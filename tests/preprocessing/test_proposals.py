"""Proposals of missing values in wide tables against those of the whole covariance."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from flowssl.preprocessing.proposals import (
    SHRINKAGE,
    FullProposal,
    SpanProposal,
    fit_proposal,
    read_proposal,
)


@pytest.mark.parametrize("missing", [[3], [0, 5, 9], list(range(11)), list(range(12))])
def test_given_the_others_missing_columns_are_as_in_the_whole_covariance(missing):
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(4, 12))
    whole = FullProposal(factor.T @ factor + SHRINKAGE * np.eye(12))
    z, missing = rng.normal(size=(5, 12)), np.array(missing)
    z[:, missing] = np.nan
    expected, triangle = whole.conditional(z, missing)
    mean, root = SpanProposal(factor).conditional(z, missing)
    np.testing.assert_allclose(mean, expected, atol=1e-10)
    eye = np.eye(len(missing))
    covariance = triangle.times(eye).T @ triangle.times(eye)
    np.testing.assert_allclose(root.times(eye).T @ root.times(eye), covariance, atol=1e-10)
    assert root.log_det() == pytest.approx(triangle.log_det())
    assert root.scaled(2.0).log_det() == pytest.approx(triangle.scaled(2.0).log_det())


def test_columns_keep_their_variance_whatever_they_miss():
    z = np.random.default_rng(0).normal(size=(6, 20))
    z[:3, 4] = np.nan
    proposal = fit_proposal(z)
    assert isinstance(proposal, SpanProposal)
    variance = (proposal.factor**2).sum(0) + SHRINKAGE
    np.testing.assert_allclose(variance, 0.9 * np.nanmean(z**2, axis=0) + 0.1)


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_a_proposal_is_rebuilt_from_its_arrays(shape):
    rng = np.random.default_rng(0)
    proposal, z = fit_proposal(rng.normal(size=shape)), rng.normal(size=(2, shape[1]))
    again = read_proposal(proposal.to_arrays())
    missing = np.array([1, 4])
    np.testing.assert_array_equal(
        again.conditional(z, missing)[0], proposal.conditional(z, missing)[0]
    )


def test_the_density_of_a_proposal_is_that_of_its_covariance():
    rng = np.random.default_rng(0)
    factor, z = rng.normal(size=(4, 12)), 3 * rng.normal(size=(5, 12))
    covariance = factor.T @ factor + SHRINKAGE * np.eye(12)
    expected = multivariate_normal(cov=covariance).logpdf(z)
    np.testing.assert_allclose(FullProposal(covariance).log_prob(z), expected)
    np.testing.assert_allclose(SpanProposal(factor).log_prob(z), expected)
