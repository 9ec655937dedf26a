"""Candidates of wide tables: the span of the rows gives what all columns give."""

import numpy as np
import pytest

from flowssl.initialization import propagate
from flowssl.initialization.candidates import GRAPH, LINEAR
from flowssl.initialization.known_labels import KnownLabels
from flowssl.initialization.spaces import prepare_spaces

N, D = 24, 40


@pytest.fixture
def wide():
    rng = np.random.default_rng(0)
    y = np.arange(N) % 3
    X = rng.normal(size=(N, D)) * rng.uniform(0.5, 2, D)
    X[:, :3] += 3 * np.eye(3)[y]
    return X, np.where(np.arange(N) < 12, y, -1), y


# The optimizer of logistic regression stops at 1e-3, a little elsewhere in another basis.
@pytest.mark.parametrize(
    ("source", "name", "atol"),
    [(GRAPH, "affine from diffusion", 1e-9), (LINEAR, "logistic", 0.05)],
)
def test_candidates_do_not_change(wide, source, name, atol):
    X, codes, _ = wide
    labels = KnownLabels(codes, 3)
    space = prepare_spaces(X, 3, np.ones(N), np.random.default_rng(0))[0]

    def found():
        return next(P for method, _, P in source.run(space, labels) if method == name)

    ours = found()
    space.__dict__.pop("scatter", None)
    space.__dict__["coordinates"] = space.X  # as where there are more rows than columns
    np.testing.assert_allclose(ours, found(), atol=atol)


def test_labels_are_propagated(wide):
    X, codes, y = wide
    soft = propagate(X, codes, 3, random_state=0)
    assert (soft.posteriors.argmax(1) == y).mean() > 0.8
