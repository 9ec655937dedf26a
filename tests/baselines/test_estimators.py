"""The neural baselines keep scikit-learn's contract, their seeds, and the papers' losses."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.utils.estimator_checks import check_estimator

from flowssl.baselines import DropoutMLPClassifier, PiModelClassifier
from flowssl.baselines.network import DropoutNetwork
from flowssl.datasets import hide_labels, make_moons
from flowssl.exceptions import TrainingDivergedError

SMALL = {"hidden_layer_sizes": (32,), "learning_rate": 1e-2, "dropout": 0.1, "random_state": 0}
MODELS = {
    "dropout-mlp": DropoutMLPClassifier(n_steps=150, **SMALL),
    "pi-model": PiModelClassifier(n_steps=150, unlabeled_batch_size=100, **SMALL),
}
# Unlabeled rows are marked by -1, as everywhere in scikit-learn; this check takes -1 for a class.
MINUS_ONE_IS_NO_CLASS = {"check_classifiers_classes": "-1 marks an unlabeled row"}


def _clone(name, **changes):
    model = MODELS[name]
    return type(model)(**{**model.get_params(), **changes})


@pytest.mark.filterwarnings("ignore")  # the checks themselves warn
@pytest.mark.parametrize(
    ("name", "marker", "expected"),
    [
        ("dropout-mlp", None, {}),
        ("pi-model", None, {}),
        ("pi-model", "auto", MINUS_ONE_IS_NO_CLASS),
    ],
)
def test_check_estimator(name, marker, expected):
    model = _clone(name, unlabeled_value=marker, n_steps=40, learning_rate=5e-2)
    results = check_estimator(model, expected_failed_checks=expected, on_fail=None)
    failed = {r["check_name"]: str(r["exception"]) for r in results if r["status"] == "failed"}
    assert failed == {}
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(expected)


@pytest.fixture(scope="module")
def moons():
    X, y = make_moons(400, random_state=0)
    return X, y, hide_labels(y, per_class=5, random_state=0)


@pytest.mark.parametrize("name", MODELS)
def test_unlabeled_rows_are_no_class_and_strings_come_back(name, moons):
    X, y, partial = moons
    words = np.array(["inner", "outer"], dtype=object)[partial]
    words[partial == -1] = None
    model = _clone(name).fit(X, words)
    assert model.classes_.tolist() == ["inner", "outer"]
    assert np.mean((model.predict(X) == "outer") == (y == 1)) > 0.8


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_decides_and_the_global_stream_is_left_alone(name, moons):
    X, _, partial = moons
    torch.manual_seed(1)
    expected = torch.get_rng_state()
    first = _clone(name).fit(X, partial).predict_proba(X)
    torch.testing.assert_close(torch.get_rng_state(), expected)
    torch.manual_seed(2)
    np.testing.assert_array_equal(first, _clone(name).fit(X, partial).predict_proba(X))
    other = _clone(name, random_state=1).fit(X, partial).predict_proba(X)
    assert not np.array_equal(first, other)


def test_the_mlp_ignores_unlabeled_rows(moons):
    X, _, partial = moons
    all_rows = _clone("dropout-mlp").fit(X, partial)
    labels_only = _clone("dropout-mlp").fit(X[partial >= 0], partial[partial >= 0])
    np.testing.assert_array_equal(all_rows.predict_proba(X), labels_only.predict_proba(X))


def test_without_dropout_the_mlp_learns_what_scikit_learns_does(moons):
    X, y, _ = moons
    ours = _clone("dropout-mlp", dropout=0.0, n_steps=400).fit(X, y)
    theirs = MLPClassifier((32,), learning_rate_init=1e-2, batch_size=400, alpha=0, random_state=0)
    theirs.set_params(max_iter=400, tol=1e-9, n_iter_no_change=398)
    with pytest.warns(ConvergenceWarning):  # because it takes all 400 steps
        theirs.fit(X, y)
    assert abs(ours.loss_curve_[-1] - theirs.loss_) < 0.02
    assert ours.score(X, y) == theirs.score(X, y) == 1.0


def test_pi_model_without_consistency_is_the_mlp(moons):
    # Without dropout no random number is drawn within a step, so both see the same losses.
    X, _, partial = moons
    pi = _clone("pi-model", consistency_weight=0.0, dropout=0.0).fit(X, partial)
    mlp = _clone("dropout-mlp", dropout=0.0).fit(X, partial)
    np.testing.assert_allclose(pi.loss_curve_, mlp.loss_curve_, rtol=1e-4)


def test_consistency_makes_predictions_agree_under_dropout(moons):
    X, _, partial = moons

    def disagreement(weight):
        model = _clone("pi-model", consistency_weight=weight, dropout=0.5).fit(X, partial)
        rows, generator = torch.tensor(X), torch.Generator().manual_seed(0)
        first, second = (torch.softmax(model.network_(rows, generator), 1) for _ in range(2))
        return float((first - second).square().sum(1).mean())

    assert disagreement(30.0) < 0.5 * disagreement(0.0)


def test_the_weight_of_consistency_grows_to_its_full_size(moons):
    X, _, partial = moons

    def curve(**changes):  # the same random numbers and, as nothing is learned, the same network
        model = _clone("pi-model", learning_rate=1e-30, n_steps=20, **changes)
        return np.array(model.fit(X, partial).loss_curve_)

    cross_entropy = curve(consistency_weight=0.0)
    grown = (curve(ramp_up=0.5) - cross_entropy) / (curve(ramp_up=0) - cross_entropy)
    expected = [*np.exp(-5 * (1 - np.arange(10) / 10) ** 2), *np.ones(10)]
    np.testing.assert_allclose(grown, expected, rtol=1e-3, atol=1e-4)


def test_the_first_loss_is_the_formula(moons):
    # One step on one batch that holds all rows, with dropout masks resampled by hand.
    X, _, partial = moons
    model = PiModelClassifier(
        hidden_layer_sizes=(8,),
        ramp_up=0,
        n_steps=1,
        unlabeled_batch_size=400,
        random_state=3,
    ).fit(X, partial)
    seed = int(np.random.RandomState(3).randint(2**31))
    generator = torch.Generator().manual_seed(seed)
    network = DropoutNetwork((2, 8, 2), 0.5, generator)
    order = np.random.default_rng(0).permutation(400)  # any order: the mean does not depend on it
    known = np.flatnonzero(partial >= 0)
    torch.randperm(400, generator=generator)
    weights = [p.detach().double().numpy() for p in network.parameters()]
    mask = torch.empty(len(known) + 800, 8).bernoulli_(0.5, generator=generator).numpy() * 2.0

    permutation = _permutation(seed)
    rows = np.concatenate([known, permutation, permutation])
    hidden = np.maximum(X[rows] @ weights[0].T + weights[1], 0) * mask
    logits = hidden @ weights[2].T + weights[3]
    proba = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    cross_entropy = -np.log(proba[np.arange(len(known)), partial[known]]).mean()
    first, second = np.split(proba[len(known) :], 2)
    squared = ((first - second) ** 2).sum(1)[order].mean()
    assert model.loss_curve_[0] == pytest.approx(cross_entropy + 30 * squared, rel=1e-5)


def _permutation(seed):
    generator = torch.Generator().manual_seed(seed)
    DropoutNetwork((2, 8, 2), 0.5, generator)
    return torch.randperm(400, generator=generator).numpy()


def test_dropout_keeps_the_mean_and_drops_the_stated_fraction():
    generator = torch.Generator().manual_seed(0)
    network = DropoutNetwork((3, 2000, 1), 0.3, generator).requires_grad_(False)
    x = torch.ones(200, 3)
    with torch.no_grad():
        network.layers[1].weight.fill_(1.0)
        network.layers[0].weight.zero_()
        network.layers[0].bias.fill_(1.0)
        network.layers[1].bias.zero_()
    kept = network(x, generator).squeeze(1) * 0.7 / 2000
    # A mean of 2000 coin tosses for each of 200 rows.
    assert abs(kept.mean().item() - 0.7) < 4 * np.sqrt(0.21 / 400_000)
    assert kept.std().item() == pytest.approx(np.sqrt(0.21 / 2000), rel=0.2)
    torch.testing.assert_close(network(x), torch.full((200, 1), 2000.0))


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("dropout-mlp", "n_steps", 0),
        ("dropout-mlp", "dropout", 1.0),
        ("dropout-mlp", "hidden_layer_sizes", (8, 0)),
        ("dropout-mlp", "learning_rate", 0.0),
        ("dropout-mlp", "batch_size", 0),
        ("pi-model", "consistency_weight", -1.0),
        ("pi-model", "ramp_up", 1.5),
        ("pi-model", "n_steps", 0),
        ("pi-model", "unlabeled_batch_size", 0),
    ],
)
def test_bad_parameters_are_named(name, parameter, value, moons):
    X, y, _ = moons
    with pytest.raises(ValueError, match=parameter):
        _clone(name, **{parameter: value}).fit(X, y)


def test_a_loss_without_a_number_stops_with_advice(moons):
    X, y, _ = moons
    with pytest.raises(TrainingDivergedError, match=r"step .* lower learning_rate"):
        _clone("dropout-mlp").fit(X * 1e38, y)


def test_more_labels_than_a_batch_holds_are_sampled(moons):
    X, y, _ = moons
    model = _clone("dropout-mlp", batch_size=50, n_steps=300).fit(X, y)
    assert model.score(X, y) > 0.95
