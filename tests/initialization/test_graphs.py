"""Neighbor graphs against scikit-learn and dense linear algebra."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

from flowssl.initialization.graphs import (
    diffuse,
    nearest_neighbors,
    neighbor_disagreement,
    neighbor_graph,
    smooth,
)


@pytest.mark.parametrize("columns", [3, 20])
def test_neighbors_are_scikit_learns(columns):
    X = np.random.default_rng(0).normal(size=(300, columns))
    index, distance = nearest_neighbors(X, 7)
    expected, there = NearestNeighbors(n_neighbors=7).fit(X).kneighbors()[::-1]
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(distance, there, atol=1e-3)


def test_graph_is_symmetric_with_largest_eigenvalue_one():
    X = np.random.default_rng(0).normal(size=(80, 2))
    G = neighbor_graph(X).toarray()
    np.testing.assert_allclose(G, G.T)
    assert np.linalg.eigvalsh(G).max() == pytest.approx(1)


def test_diffusion_solves_the_linear_system():
    rng = np.random.default_rng(0)
    graph = neighbor_graph(rng.normal(size=(100, 3)))
    seeds = np.eye(3)[rng.integers(3, size=100)] * (rng.random((100, 1)) < 0.1)
    exact = np.linalg.solve(np.eye(100) - 0.99 * graph.toarray(), seeds)
    np.testing.assert_allclose(diffuse(graph, seeds, 0.99), exact, rtol=0.05, atol=0.02)


def test_neighbor_disagreement_counts_the_edges_between_classes():
    path = sp.csr_array(np.eye(6, k=1) + np.eye(6, k=-1))
    assert neighbor_disagreement(np.eye(2)[[0, 0, 0, 1, 1, 1]], path) == pytest.approx(0.2 / 0.501)
    assert neighbor_disagreement(np.eye(2)[[0, 1, 0, 1, 0, 1]], path) == pytest.approx(1 / 0.501)
    assert neighbor_disagreement(np.eye(2)[[1, 1, 1, 1, 1, 1]], path) == 1


def test_smoothing_removes_a_single_outlier_and_strength_zero_changes_nothing():
    X = np.random.default_rng(0).normal(size=(50, 2))
    P = np.tile([0.9, 0.1], (50, 1))
    P[7] = [0.1, 0.9]
    smoothed = smooth(P, neighbor_graph(X), 0.9)
    assert smoothed[7, 0] > 0.5
    np.testing.assert_array_equal(smooth(P, neighbor_graph(X), 0.0), P)


def test_smoothing_is_the_fixed_point_of_its_iteration():
    rng = np.random.default_rng(0)
    graph, P = neighbor_graph(rng.normal(size=(60, 2))), rng.dirichlet([1, 1, 1], 60)
    exact = np.linalg.solve(np.eye(60) - 0.8 * graph.toarray(), 0.2 * P)
    exact /= exact.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(smooth(P, graph, 0.8), exact, atol=0.01)
