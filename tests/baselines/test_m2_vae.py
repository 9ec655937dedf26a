"""M1, M2 and M1+M2: exact bounds where they have closed forms, and what unlabeled rows are for."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.datasets import make_blobs

import flowssl
from flowssl._persistence import read_model_file, write_model_file
from flowssl.baselines import M2VAEClassifier
from flowssl.baselines.auto_encoder import AutoEncoder, M2VAENetwork
from flowssl.datasets import hide_labels
from flowssl.exceptions import ModelFileError

SMALL = {
    "n_latents": 2,
    "hidden_layer_sizes": (32,),
    "n_steps": 200,
    "learning_rate": 5e-3,
    "random_state": 0,
}
KINDS = pytest.mark.parametrize("kind", ["m1", "m2", "m1+m2"])


@pytest.fixture(scope="module")
def blobs():
    X, truth = make_blobs(400, centers=3, n_features=5, cluster_std=1.0, random_state=3)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return X, truth, hide_labels(truth, per_class=3, random_state=0)


@KINDS
def test_three_labels_a_class_suffice_on_unimodal_clusters(kind, blobs):
    X, truth, y = blobs
    words = np.array(["a", "b", "c"], dtype=object)[y]
    words[y < 0] = None
    model = M2VAEClassifier(kind=kind, **SMALL).fit(X, words)
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert model.score(X, np.array(["a", "b", "c"], dtype=object)[truth]) > 0.9
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)


def test_the_seed_decides(blobs):
    X, _, y = blobs
    few = {**SMALL, "n_steps": 10}
    first, again, other = (
        M2VAEClassifier(**{**few, "random_state": seed}).fit(X, y).predict_proba(X)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def linear_gaussian() -> tuple[AutoEncoder, np.ndarray]:
    """An auto-encoder with one latent whose q(z | x) is the exact posterior; covariance of x."""
    generator = torch.Generator().manual_seed(0)
    auto = AutoEncoder(3, 1, (), 0, generator).double()
    weight = torch.tensor([[1.0], [-0.5], [2.0]], dtype=torch.float64)
    scale = torch.tensor([0.5, 1.0, 0.8], dtype=torch.float64)
    precision = 1 + (weight.squeeze(1) / scale).square().sum()
    with torch.no_grad():
        auto.decoder.layers[0].weight.copy_(weight)
        auto.decoder.layers[0].bias.zero_()
        auto.log_scale.copy_(scale.log())
        auto.encoder.layers[0].weight[0] = weight.squeeze(1) / scale.square() / precision
        auto.encoder.layers[0].weight[1] = 0
        auto.encoder.layers[0].bias.copy_(torch.tensor([0.0, -0.5 * precision.log()]))
    return auto, (weight @ weight.T + scale.square().diag()).numpy()


def test_the_bound_of_an_exact_posterior_is_the_density():
    auto, covariance = linear_gaussian()
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        draws = torch.stack([auto.bound(x, None, generator) for _ in range(1500)])
        expected = -multivariate_normal(np.zeros(3), covariance).logpdf(x.numpy())
        error = draws.std(0).numpy() / len(draws) ** 0.5
        assert (np.abs(draws.mean(0).numpy() - expected) < 5 * error + 1e-12).all()
        # Any other posterior is worse.
        auto.encoder.layers[0].bias[0] += 0.7
        worse = torch.stack([auto.bound(x, None, generator) for _ in range(1500)]).mean(0)
    assert (worse.numpy() > expected + 0.1).all()


def test_the_unlabeled_bound_is_smallest_at_the_posterior_of_the_classes():
    """With q(y | x) in proportion to exp(-L(x, y)), eq. 7 is -log sum_y exp(-L(x, y))."""
    generator = torch.Generator().manual_seed(0)
    model = M2VAENetwork("m2", 3, 2, (4,), 3, generator).double()
    x = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        pairs, y = x.repeat_interleave(3, 0), torch.arange(3).repeat(2)
        bounds = model.generative.bound(pairs, y, torch.Generator().manual_seed(5)).reshape(2, 3)
        model.classifier.forward = lambda x: -bounds
        best = model.unlabeled_bound(x, torch.Generator().manual_seed(5))
        torch.testing.assert_close(best, -(-bounds).logsumexp(1))
        model.classifier.forward = lambda x: torch.zeros(2, 3, dtype=torch.float64)
        assert (model.unlabeled_bound(x, torch.Generator().manual_seed(5)) > best).all()


def test_drawn_rows_have_the_models_covariance_times_the_temperature():
    auto, covariance = linear_gaussian()
    network = M2VAENetwork("m2", 3, 1, (), 2, torch.Generator().manual_seed(0)).double()
    shift = torch.tensor([[0.0, 4.0], [0.0, 0.0], [0.0, -2.0]], dtype=torch.float64)
    with torch.no_grad():
        weight = torch.cat((auto.decoder.layers[0].weight, shift), dim=1)
        network.generative.decoder.layers[0].weight.copy_(weight)
        network.generative.decoder.layers[0].bias.zero_()
        network.generative.log_scale.copy_(auto.log_scale)
        y = torch.arange(2).repeat_interleave(20_000)
        rows = network.sample(y, 0.25, torch.Generator().manual_seed(1)).numpy()
    for k in (0, 1):
        drawn = rows[y.numpy() == k]
        np.testing.assert_allclose(drawn.mean(0), shift[:, k].numpy(), atol=0.05)
        np.testing.assert_allclose(np.cov(drawn.T), 0.25 * covariance, atol=0.05)


@pytest.fixture(scope="module")
def mixed():
    """A frame of a number, a number with missing values and a category; the class decides all three."""
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=300)
    frame = pd.DataFrame(rng.normal(size=(300, 2)) + 4 * truth[:, None], columns=["a", "b"])
    frame.loc[::7, "b"] = np.nan
    frame["color"] = np.where(truth == 1, "red", "blue")
    return frame, np.where(truth == 1, "yes", "no")


@KINDS
def test_tables_come_and_go_as_they_are(kind, mixed, tmp_path):
    frame, truth = mixed
    y = np.where(np.arange(300) < 20, truth, None)
    weight = 0.1 if kind == "m1" else 1.0
    model = M2VAEClassifier(**SMALL, kind=kind, classification_weight=weight).fit(frame, y)
    assert (model.n_labeled_, model.n_unlabeled_) == (20, 280)
    assert model.score(frame, y) == model.score(frame[:20], truth[:20]) > 0.9
    model.save(tmp_path / "m.flowssl")
    loaded = flowssl.load(tmp_path / "m.flowssl")
    np.testing.assert_array_equal(loaded.predict_proba(frame), model.predict_proba(frame))
    assert loaded.get_params() == model.get_params() | {"hidden_layer_sizes": [32]}
    if kind == "m1":
        with pytest.raises(ValueError, match="kind='m1' has no classes in its density"):
            model.sample(1)
        return
    pd.testing.assert_frame_equal(
        loaded.sample(9, random_state=0)[0], model.sample(9, random_state=0)[0]
    )
    X, labels = model.sample(y=["no", "yes"] * 200, random_state=0)
    yes = X[labels == "yes"]
    assert set(X["color"]) == {"red", "blue"}
    assert (yes["color"] == "red").mean() > 0.8
    assert abs(yes["a"].mean() - 4) < 0.8
    with pytest.raises(ValueError, match="'maybe' is not one of the classes"):
        model.sample(3, "maybe")


@pytest.fixture(scope="module")
def saved(mixed, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "m.flowssl"
    frame, truth = mixed
    M2VAEClassifier(**{**SMALL, "n_steps": 1}).fit(frame, truth).save(path)
    return read_model_file(path)


@pytest.mark.parametrize(
    "change",
    [
        {"n_latents": 10**12},
        {"hidden": [10**9, 10**9]},
        {"hidden": [32] * 10**5},
        {"hidden": "32"},
        {"kind": "m2"},
        {"kind": "m3"},
    ],
    ids=str,
)
def test_forged_sizes_are_refused_before_they_take_memory(saved, change, tmp_path):
    reserved = {"schema_version", "created", "versions", "tensors_sha256"}
    manifest = {key: value for key, value in saved.manifest.items() if key not in reserved}
    network = {**manifest["network"], **change}
    path = tmp_path / "forged.flowssl"
    write_model_file(path, {**manifest, "network": network}, saved.tensors)
    with pytest.raises(ModelFileError):
        flowssl.load(path)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kind": "m3"}, "'m3'"),
        ({"n_latents": 0}, "n_latents"),
        ({"n_steps": 0}, "n_steps"),
        ({"kind": "m1", "classification_weight": 1.0}, "classification_weight=1.0 acts only with"),
    ],
)
def test_bad_parameters_are_named(blobs, parameters, message):
    X, _, y = blobs
    with pytest.raises(ValueError, match=message):
        M2VAEClassifier(**parameters).fit(X, y)
