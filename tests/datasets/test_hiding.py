"""hide_labels keeps what was asked for, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowssl.datasets import hide_labels


def test_per_class_keeps_that_many_true_labels_in_each_class():
    y = np.repeat([0, 1, 2], [10, 40, 200])
    partial = hide_labels(y, per_class=4, random_state=0)
    kept = partial != -1
    assert np.bincount(partial[kept]).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(partial[kept], y[kept])
    assert partial.dtype == y.dtype


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=6),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_n_labeled_is_kept_exactly_and_in_proportion(counts, fraction, seed):
    y = np.repeat(np.arange(len(counts)), counts)
    n = round(len(counts) + fraction * (len(y) - len(counts)))
    kept = np.bincount(y[hide_labels(y, n, random_state=seed) != -1], minlength=len(counts))
    assert kept.sum() == n
    assert np.all(kept >= 1)
    assert np.all(kept <= counts)
    # No class is further from its exact number than one label beyond the guaranteed one.
    assert np.all(np.abs(kept - n * np.array(counts) / len(y)) <= 2)


def test_the_seed_decides_the_draw():
    y = np.arange(300) % 3
    first = hide_labels(y, 30, random_state=1)
    np.testing.assert_array_equal(first, hide_labels(y, 30, random_state=1))
    assert not np.array_equal(first, hide_labels(y, 30, random_state=2))


@pytest.mark.parametrize(
    ("y", "marker", "dtype"),
    [
        (["a", "b"] * 5, -1, object),
        (["a", "b"] * 5, "", "<U1"),
        (["a", "b"] * 5, "?missing", object),
        ([1.0, 2.0] * 5, np.nan, float),
        ([1, 2] * 5, np.nan, object),
        ([1, 2] * 5, None, object),
        (np.array([1, 2] * 5, dtype=np.uint8), -1, object),
        ([True, False] * 5, -1, object),
    ],
)
def test_the_marker_is_stored_unchanged(y, marker, dtype):
    partial = hide_labels(y, per_class=1, random_state=0, marker=marker)
    assert partial.dtype == np.dtype(dtype)
    hidden = [v for v in partial.tolist() if v is marker or v == marker or v != v]
    assert len(hidden) == 8
    assert type(hidden[0]) is type(marker)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "either n_labeled or per_class"),
        ({"n_labeled": 3, "per_class": 1}, "either n_labeled or per_class"),
        ({"n_labeled": 1}, "between 2 .* and 10 .* got 1"),
        ({"n_labeled": 11}, "between 2 .* and 10 .* got 11"),
        ({"per_class": 0}, "at least 1, got 0"),
        ({"per_class": 6}, "has 5 rows, fewer than the 6"),
        ({"per_class": 1, "marker": 1}, "marker 1 is a class"),
    ],
)
def test_impossible_requests_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        hide_labels([0, 1] * 5, **kwargs)


def test_a_table_is_refused():
    with pytest.raises(ValueError, match="one dimension"):
        hide_labels(np.zeros((3, 2)), per_class=1)
