"""Spaces of a table."""

import numpy as np
import pytest
from sklearn.covariance import OAS

from flowssl.initialization.spaces import Scaling, oas_shrinkage, prepare_spaces


def spaces_of(X):
    spaces = prepare_spaces(X, 2, np.ones(len(X)), np.random.default_rng(0))
    return {space.scaling: space for space in spaces}


def test_shrinkage_is_scikit_learns():
    X = np.random.default_rng(0).normal(size=(30, 8)) * np.arange(1, 9)
    covariance = np.cov(X.T, bias=True)
    assert oas_shrinkage(covariance, 30, 8) == pytest.approx(OAS().fit(X).shrinkage_)


def test_of_fewer_rows_than_columns_the_coordinates_say_the_same():
    X = np.random.default_rng(0).normal(size=(10, 25)) * np.arange(1, 26)
    space = spaces_of(X)[Scaling.STANDARD]
    assert space.coordinates.shape == (10, 10)
    np.testing.assert_allclose(space.coordinates @ space.coordinates.T, space.X @ space.X.T)
    assert space.shrinkage == pytest.approx(OAS().fit(space.X).shrinkage_)


def test_of_more_rows_than_columns_the_coordinates_are_the_rows():
    space = spaces_of(np.random.default_rng(0).normal(size=(30, 4)))[Scaling.STANDARD]
    assert space.coordinates is space.X


def test_normal_scores_do_not_change_with_monotone_transformations():
    X = np.random.default_rng(0).normal(size=(60, 3))
    first, second = (spaces_of(Z)[Scaling.RANK].X for Z in (X, np.exp(X)))
    np.testing.assert_allclose(first, second)


def test_own_units_are_left_out_where_columns_have_the_same_scale():
    X = np.random.default_rng(0).normal(size=(200, 4))
    assert set(spaces_of(X)) == {Scaling.STANDARD, Scaling.RANK}
    raw = spaces_of(X * [1, 1, 5, 10])[Scaling.RAW].X
    np.testing.assert_allclose(
        raw[:, 0] / raw[:, 3], (X - X.mean(0))[:, 0] / (X - X.mean(0))[:, 3] / 10
    )


def test_binary_columns_do_not_shape_the_graph_unless_there_is_nothing_else():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(50, 2)), rng.integers(2, size=50)])
    assert spaces_of(X)[Scaling.STANDARD].compared.tolist() == [True, True, False]
    assert spaces_of(X[:, 1:])[Scaling.STANDARD].compared.all()


def test_scatter_is_the_weighted_covariance_about_the_origin():
    X = np.random.default_rng(0).normal(size=(40, 2))
    weight = np.random.default_rng(1).random(40)
    space = prepare_spaces(X, 2, weight / weight.mean(), np.random.default_rng(0))[0]
    expected = np.average(np.einsum("ni,nj->nij", space.X, space.X), axis=0, weights=weight)
    np.testing.assert_allclose(space.scatter, expected)
