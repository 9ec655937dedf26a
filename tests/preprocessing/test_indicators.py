"""Groups of indicator columns, against the encoder that made them."""

import numpy as np
import pandas as pd
import pytest

from flowssl.preprocessing import TableEncoder
from flowssl.preprocessing.codecs import category_groups
from flowssl.preprocessing.indicators import codes_of


def _table():
    return pd.DataFrame(
        {
            "size": [1.5, 2.0, 0.5, 4.0, 3.0, 1.0],
            "color": ["red", "blue", "red", None, "green", "red"],
            "same": ["a", "a", "a", "a", "a", "a"],
            "paint": ["r", "b", "r", None, "g", "r"],  # repeats "color"
            "flag": [True, False, None, True, True, False],
            "key": ["k1", "k2", "k3", "k1", "k4", "k2"],  # two share the code "infrequent"
            "when": pd.to_datetime(["2020-01-01", "2021-01-01", "2022-01-01"] * 2),
        }
    )


@pytest.fixture
def encoder():
    return TableEncoder(max_categories=3).fit(_table())


def test_groups_cover_the_indicators_and_no_other_column(encoder):
    groups = category_groups(encoder.codecs_)
    origins = [
        {column.column for column in encoder.output_columns_[group.columns]} for group in groups
    ]
    assert origins == [{"color"}, {"flag"}, {"key"}]
    assert [group.n_levels for group in groups] == [3, 2, 3]
    covered = np.zeros(len(encoder.output_columns_))
    for group in groups:
        covered[group.columns] += 1
    assert covered.tolist() == encoder.dequantization_width_.tolist()


def test_codes_name_the_levels_of_the_table(encoder):
    matrix = encoder.transform(_table())
    color, flag, key = (group.codes(matrix) for group in category_groups(encoder.codecs_))
    assert color.tolist() == [0, 1, 0, -1, 2, 0]  # the most frequent is the reference
    assert flag.tolist() == [0, 1, -1, 0, 0, 1]
    assert key.tolist() == [0, 1, 2, 0, 2, 1]


def test_indicators_of_codes_are_the_columns_of_the_matrix(encoder):
    matrix = encoder.transform(_table())
    for group in category_groups(encoder.codecs_):
        np.testing.assert_array_equal(
            group.indicators(group.codes(matrix)), matrix[:, group.columns]
        )


def test_codes_are_those_of_the_box_that_holds_the_numbers():
    boxes = np.array([[0.0, 0.99, 1.0, 1.3, 0.2, np.nan], [0.0, 0.5, 0.9, 1.4, 1.9, 1.0]])
    assert codes_of(boxes).tolist() == [0, 0, 1, 2, 2, -1]
    noise = np.random.default_rng(0).random((4, 1000))
    codes = np.random.default_rng(1).integers(5, size=1000)
    np.testing.assert_array_equal(codes_of(np.eye(5)[codes].T[1:] + noise), codes)


def test_a_table_of_numbers_has_no_groups():
    encoder = TableEncoder().fit(np.array([[1.0, 2.0], [3.0, 5.0]]))
    assert category_groups(encoder.codecs_) == ()
