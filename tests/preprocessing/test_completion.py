"""The step from encoded columns to a flow's units and back."""

import numpy as np

from flowssl.preprocessing import Completion


def test_draws_from_far_out_stay_finite_and_in_order():
    """The tails grow like sinh, which overflows beyond 710; a hardly trained flow draws there."""
    rows = np.random.default_rng(0).lognormal(size=(200, 2))
    completion = Completion.fit(rows, np.zeros(2))
    restored = completion.restore(np.array([[-1e6, 1e6], [-800.0, 800.0], [0.0, 0.0]]))
    assert np.isfinite(restored).all()
    assert (restored[:2, 0] < restored[2, 0]).all()
    assert (restored[:2, 1] > restored[2, 1]).all()


def test_rows_are_far_out_beyond_half_a_range():
    rows = np.array([[0.0, 10.0], [4.0, 30.0]])
    completion = Completion.fit(rows, np.array([0.0, 1.0]))  # of the second column 10 to 31
    inside = np.array([[-2.0, 41.4], [6.0, -0.4]])
    outside = np.array([[-2.1, 20.0], [2.0, 41.6], [2.0, -0.6], [2.0, np.nan], [np.inf, 20.0]])
    assert not completion.far(inside).any()
    assert completion.far(outside).all()


def test_the_way_there_and_back_is_the_identity():
    rows = np.random.default_rng(0).lognormal(size=(200, 2))
    completion = Completion.fit(rows, np.zeros(2))
    np.testing.assert_allclose(completion.restore(completion.typical(rows)), rows, rtol=1e-9)
