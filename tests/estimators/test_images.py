"""FlowGMM on images: fit, predict, sample, score and files, on scikit-learn's small digits."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.datasets import load_digits

import flowssl
from flowssl import FlowGMMClassifier, ImageOptions, ObjectiveOptions


@pytest.fixture(scope="module", autouse=True)
def _short():
    """Make initialization and training as short as the tests can do with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowssl.estimators._image_domain.STEPS", 40 * 12)
        patch.setattr("flowssl.initialization.propagation.FOLDS_UP_TO", ())
        yield


@pytest.fixture(scope="module")
def digits():
    """Zeros and ones, 8 x 8, as pixel values."""
    X, y = load_digits(n_class=2, return_X_y=True)
    return (X[:120].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8), y[:120]


@pytest.fixture(scope="module")
def hidden(digits):
    y = np.full(len(digits[1]), -1)
    for k in (0, 1):
        y[np.flatnonzero(digits[1] == k)[:5]] = k
    return y


@pytest.fixture(scope="module")
def model(digits, hidden):
    return FlowGMMClassifier(images=(1, 8, 8), max_epochs=1, batch_size=16, random_state=0).fit(
        digits[0], hidden
    )


def test_labels_spread_to_all_images(model, digits):
    assert model.architecture_ == "small"
    assert model.score(*digits) > 0.94


def test_predictions_do_not_depend_on_the_form_of_the_array(model, digits):
    X = digits[0][:20]
    expected = model.score_samples(X)
    for same in (X[:, None], X.reshape(20, -1), X[..., None], X / 255, X.astype(int)):
        np.testing.assert_allclose(model.score_samples(same), expected, rtol=1e-12)
    np.testing.assert_allclose(model.score_samples(X[3:4]), expected[3:4], rtol=1e-12)


def test_density_is_that_of_the_latents_at_the_centers_per_level(model, digits):
    """An independent computation: the volume by autograd, the mixture by hand."""
    image = torch.tensor(digits[0][:1].reshape(1, -1) + 0.5, dtype=torch.float64)
    flow, classes = model.models_[0].flow, model.models_[0].class_density
    jacobian = torch.autograd.functional.jacobian(lambda x: flow(x)[0][0], image)[:, 0]
    with torch.no_grad():
        z = flow(image)[0].numpy()
    known, rest = z[:, : model.class_features_], z[:, model.class_features_ :]
    assert 0 < known.size < 64
    means = classes.inner.means[:, 0].detach().numpy()
    scales = classes.inner.covariance.log_scale.detach()
    prior = classes.log_prior().detach().numpy()
    log_joint = [
        log_p - 0.5 * ((known - mean) ** 2).sum() / np.exp(2 * s) - known.size * s
        for mean, s, log_p in zip(means, scales.tolist(), prior, strict=True)
    ]
    plain = -0.5 * (rest**2).sum() - 32 * np.log(2 * np.pi)
    volume = torch.linalg.slogdet(jacobian).logabsdet.item()
    assert model.score_samples(digits[0][:1])[0] == pytest.approx(
        logsumexp(log_joint) + plain + volume, abs=1e-6
    )


def test_class_means_end_in_the_middle_of_their_images_latents(model, digits):
    """For images the likelihood has the last word: a class's mean is that of its latents."""
    with torch.no_grad():
        means = model.models_[0].class_density.class_means().numpy()[:, : model.class_features_]
    z = model.transform(digits[0])[:, : model.class_features_]
    share = model.predict_proba(digits[0])
    found = share.T @ z / share.sum(axis=0)[:, None]
    apart = np.linalg.norm(found[0] - found[1])
    assert np.linalg.norm(means - found, axis=1).max() < 0.2 * apart


def test_samples_are_images_like_those_of_fit_and_of_their_class(model):
    X, y = model.sample(40, temperature=0.25, random_state=0)
    assert X.shape == (40, 8, 8)
    assert X.dtype == np.uint8
    assert (model.predict(X) == y).mean() > 0.9


def test_latents_lead_back_to_the_same_images(model, digits):
    z = model.transform(digits[0][:10])
    assert z.shape == (10, 64)
    assert (model.inverse_transform(z) == digits[0][:10]).all()
    assert model.ood_score(digits[0][:10], method="distance").shape == (10,)


def test_saved_model_predicts_the_same_bits(model, digits, tmp_path):
    model.save(tmp_path / "m.flowssl")
    loaded = flowssl.load(tmp_path / "m.flowssl")
    X = digits[0][:30]
    assert (loaded.score_samples(X) == model.score_samples(X)).all()
    assert (loaded.predict_proba(X) == model.predict_proba(X)).all()
    for kind in (loaded, model):
        drawn, _ = kind.sample(3, random_state=1)
        assert drawn.dtype == np.uint8
    assert (loaded.sample(3, random_state=1)[0] == model.sample(3, random_state=1)[0]).all()


def test_same_seed_gives_the_same_bits(model, digits, hidden):
    again = FlowGMMClassifier(images=(1, 8, 8), max_epochs=1, batch_size=16, random_state=0).fit(
        digits[0].reshape(-1, 64), hidden
    )
    assert (again.score_samples(digits[0]) == model.score_samples(digits[0])).all()


@pytest.mark.parametrize(
    ("init", "objective", "views"),
    [
        ("latent", ObjectiveOptions("likelihood", consistency_weight=1.0), "translate"),
        ("random", ObjectiveOptions("em", consistency_weight=0, e_step_interval=3), "translate"),
        ("propagate", ObjectiveOptions(cross_entropy_weight=0.0), None),
        ("propagate", "soft-labels", None),
    ],
)
def test_the_papers_ways_train_too(init, objective, views, digits):
    X, y = digits[0][:40], np.where(np.arange(40) < 20, digits[1][:40], -1)
    images = ImageOptions((1, 8, 8), views=views, dequantization_draws=2)
    model = FlowGMMClassifier(
        images=images, init=init, objective=objective, max_epochs=2, batch_size=16, random_state=0
    ).fit(X, y)
    losses = [epoch["train_loss"] for epoch in model.history_]
    assert losses[1] < losses[0]
    assert np.isfinite(model.score_samples(X)).all()


def test_views_of_ones_own_are_used_and_stay_out_of_the_file(digits, hidden, tmp_path):
    shapes = set()

    def view(images):
        shapes.add(tuple(images.shape[1:]))
        return images

    model = FlowGMMClassifier(
        images=ImageOptions((1, 8, 8), views=view), max_epochs=1, batch_size=16, random_state=0
    ).fit(digits[0][:60], hidden[:60])
    assert shapes == {(1, 8, 8)}
    model.save(tmp_path / "m.flowssl")
    assert flowssl.load(tmp_path / "m.flowssl").images.views is None


def test_images_and_their_views_are_both_learned(digits, hidden):
    """Negatives are as far from the images as can be; without such views .175 of them are right."""
    model = FlowGMMClassifier(
        images=ImageOptions((1, 8, 8), views=lambda values: 255 - values),
        objective=ObjectiveOptions(consistency_weight=0.0),
        max_epochs=1,
        batch_size=16,
        random_state=0,
    ).fit(digits[0], hidden)
    assert model.score(*digits) > 0.85
    assert model.score(255 - digits[0], digits[1]) > 0.85


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": (1, 8)}, r"\(channels, height, width\).*got \(1, 8\)"),
        ({"images": (1, 8, 9)}, r"\(n, 8, 9\)"),
        ({"images": (1, 8, 8), "architecture": "table"}, "one of auto, paper-realnvp, glow"),
        ({"images": ImageOptions((1, 8, 8), views="rotate")}, "'views' parameter"),
    ],
)
def test_wrong_parameters_say_what_would_be_right(options, message, digits, hidden):
    with pytest.raises(ValueError, match=message):
        FlowGMMClassifier(**options).fit(digits[0][:40], hidden[:40] * 0 + np.arange(40) % 2)


def test_sizes_that_squeezes_do_not_divide_are_refused_with_the_next_larger(digits, hidden):
    with pytest.raises(ValueError, match=r"multiples of 4, got 6 x 8; pad the images to 8 x 8"):
        FlowGMMClassifier(images=(1, 6, 8)).fit(digits[0][:, 1:7], hidden)
    with pytest.raises(ValueError, match=r"1 channel \(gray\) or 3 \(color\), got 2"):
        FlowGMMClassifier(images=(2, 4, 8)).fit(digits[0].reshape(-1, 2, 4, 8), hidden)


def test_statistics_of_images_are_kept_in_files(model, digits, tmp_path):
    model.save(tmp_path / "m.flowssl")
    again = flowssl.load(tmp_path / "m.flowssl")
    rows = model.encoder_.transform(digits[0])
    unusual = model.completion_.unusual(rows)
    assert (again.completion_.unusual(rows) == unusual).all()
    assert np.median(model.completion_.unusual(255 - rows)) > np.quantile(unusual, 0.99)
