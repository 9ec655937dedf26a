"""The audit of class removal on codes whose truth is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from flowssl.bijections import Chain
from flowssl.densities import ClassPrior, GaussianClasses, SemiConditionalClasses
from flowssl.inspection import attackers, audit_class_removal
from flowssl.models import JointModel

AGAINST = {"linear": LogisticRegression(), "kNN": KNeighborsClassifier(10)}


class Oracle:
    """A stand-in whose classes are shifted Gaussians in its two first latents."""

    unlabeled_value = "auto"

    def __init__(self, leak: float) -> None:
        self.leak = leak
        inner = GaussianClasses(torch.zeros(2, 2), ClassPrior(torch.ones(2)))
        model = JointModel(Chain(), SemiConditionalClasses(inner, 3))
        self.density_ = SimpleNamespace(models=[model])

    def transform(self, X, *, remove_class=False, noise=0.0, random_state=None):
        drawn = np.random.default_rng(random_state).standard_normal((len(X), X.shape[1] - 1))
        z = X[:, 1:] + noise * drawn
        z[:, :2] += (self.leak if remove_class else 4.0) * X[:, :1]
        return z

    def predict(self, X):
        return X[:, 0].astype(int)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    truth = (rng.random(600) < 0.6).astype(int)
    return np.column_stack((truth, rng.standard_normal((600, 3)))), truth


def test_a_class_that_is_gone_is_found_by_chance_and_one_that_is_not_is_found(rows):
    X, truth = rows
    audit = audit_class_removal(Oracle(0.0), X, truth, against=AGAINST, random_state=0)
    assert audit.chance == pytest.approx(max(truth.mean(), 1 - truth.mean()))
    assert audit.predicted == 1.0
    assert audit.best("z_f") > 0.97
    for code in ("z_h", "z_aux", "z_h and z_aux"):
        assert audit.best(code) < audit.chance + 0.04
    leaking = audit_class_removal(Oracle(2.0), X, truth, against=AGAINST, random_state=0)
    assert leaking.best("z_h") > 0.85
    assert set(leaking.accuracy["z_h"]) == {"linear", "kNN"}


def test_unlabeled_rows_are_left_out(rows):
    X, truth = rows
    y = np.where(np.arange(600) < 300, truth, -1)
    audit = audit_class_removal(Oracle(0.0), X, y, against=AGAINST, random_state=0)
    half = audit_class_removal(Oracle(0.0), X[:300], truth[:300], against=AGAINST, random_state=0)
    assert audit == half


def test_noise_hides_what_is_finer_than_it(rows):
    X, truth = rows
    found = [
        audit_class_removal(Oracle(2.0), X, truth, against=AGAINST, noise=noise, random_state=0)
        for noise in (0.0, 30.0)
    ]
    assert found[0].best("z_h") > 0.85
    assert found[1].best("z_h") < found[1].chance + 0.04


def test_attackers_see_only_the_codes_asked_for(rows):
    X, truth = rows
    codes = ("z_h", "z_f")
    chosen = audit_class_removal(
        Oracle(1.0), X, truth, against=AGAINST, codes=codes, random_state=0
    )
    everything = audit_class_removal(Oracle(1.0), X, truth, against=AGAINST, random_state=0)
    assert chosen.accuracy == {code: everything.accuracy[code] for code in codes}
    with pytest.raises(ValueError, match=r"codes are z_f, .*; got 'z_g'"):
        audit_class_removal(Oracle(1.0), X, truth, codes=("z_g",))


def test_each_attacker_finds_what_its_kind_can_find(rows):
    X, truth = rows
    for model in attackers(0).values():
        assert model.fit(X[:400, :2], truth[:400]).score(X[400:, :2], truth[400:]) > 0.95
