"""SemiConditionalFlowClassifier: what it has beyond the contract that all classifiers share."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs

import flowssl
from flowssl import ObjectiveOptions, SemiConditionalFlowClassifier
from flowssl.datasets import hide_labels

# Tiny tables: whether their unlabeled rows help is a matter of chance.
pytestmark = pytest.mark.filterwarnings("ignore::flowssl.exceptions.UnlabeledDataWarning")


@pytest.fixture(scope="module")
def blobs():
    """Three classes in six columns, five labels each."""
    X, truth = make_blobs(400, centers=3, n_features=6, cluster_std=1.5, random_state=0)
    return X, truth, hide_labels(truth, per_class=5, random_state=0)


@pytest.fixture(scope="module")
def scnf(blobs):
    X, _, y = blobs
    return SemiConditionalFlowClassifier(class_features=3, max_epochs=5, random_state=0).fit(X, y)


def test_the_first_latents_hold_the_classes_and_the_others_do_not(scnf, blobs):
    X, truth, _ = blobs
    z = scnf.transform(X)
    between = np.stack([z[truth == k].mean(axis=0) for k in range(3)]).std(axis=0)
    assert between[:2].min() > 5 * between[3:].max()
    assert scnf.class_features_ == 3


@pytest.mark.parametrize(
    ("class_density", "architecture", "class_architecture"),
    [("flow", "glow", "plane"), ("flow", "affine", "plane"), ("gaussian", "plane", "auto")],
)
def test_every_combination_keeps_what_the_start_knows(
    moons, class_density, architecture, class_architecture
):
    X, truth, y = moons
    model = SemiConditionalFlowClassifier(
        class_density=class_density,
        architecture=architecture,
        class_architecture=class_architecture,
        max_epochs=2,
        random_state=0,
    ).fit(X, y)
    assert model.score(X, truth) > 0.9


@pytest.mark.parametrize(("init", "objective"), [("propagate", "likelihood"), ("random", "em")])
def test_the_papers_way_trains(moons, init, objective):
    X, _, y = moons
    model = SemiConditionalFlowClassifier(
        init=init, max_epochs=3, random_state=0,
        objective=ObjectiveOptions(
            objective, labeled_fraction=0.3, cross_entropy_weight=0.0,
            e_step_interval=5 if objective == "em" else 1,
        ),
    ).fit(X, y)  # fmt: skip
    assert model.score_samples(X).mean() > -2.0  # two independent normal columns have -2.0


def test_code_without_class_leads_back_to_the_row_and_translation_changes_the_class(scnf, blobs):
    X, truth, _ = blobs
    predicted = scnf.predict(X)
    np.testing.assert_allclose(scnf.translate(X, to=predicted), X, atol=1e-9)
    moved = scnf.translate(X, to=2)
    assert np.mean(scnf.predict(moved) == 2) > 0.9
    # The style is kept: the same code in the class that the model now sees.
    kept = scnf.predict(moved) == 2
    np.testing.assert_allclose(
        scnf.transform(moved, remove_class=True)[kept],
        scnf.transform(X, remove_class=True)[kept],
        atol=1e-9,
    )
    code, z = scnf.transform(X, remove_class=True), scnf.transform(X)
    np.testing.assert_array_equal(code[:, 3:], z[:, 3:])

    def spread(rows):
        return np.stack([rows[truth == k, :3].mean(axis=0) for k in range(3)]).std(axis=0).max()

    assert spread(code) < 0.2 * spread(z)


def test_noise_is_added_to_the_rows_before_they_are_mapped(scnf, blobs):
    X, _, _ = blobs
    n, dim = X.shape
    assert scnf.training_noise_ == pytest.approx(
        min(0.3, (1.5 * dim / n) ** 0.5), rel=0.06
    )  # fewer trained
    noisy = [scnf.transform(X, noise=scnf.training_noise_, random_state=seed) for seed in (0, 0, 1)]
    assert np.array_equal(noisy[0], noisy[1])
    assert not np.isclose(noisy[0], noisy[2]).any(axis=1).all()
    code = scnf.transform(X, remove_class=True, noise=scnf.training_noise_, random_state=0)
    np.testing.assert_array_equal(code[:, 3:], noisy[0][:, 3:])
    rows = [
        scnf.models_[0].flow.inverse(torch.from_numpy(z)).detach().numpy()
        for z in (noisy[0], scnf.transform(X))
    ]
    assert (rows[0] - rows[1]).std() == pytest.approx(scnf.training_noise_, rel=0.1)
    with pytest.raises(ValueError, match="noise must be a number from 0 on, got nan"):
        scnf.transform(X, noise=float("nan"))


def test_gaussian_classes_have_no_code(blobs):
    X, _, y = blobs
    model = SemiConditionalFlowClassifier(
        class_density="gaussian", architecture="affine", max_epochs=1, random_state=0
    ).fit(X, y)
    with pytest.raises(ValueError, match="only class_density='flow'"):
        model.transform(X, remove_class=True)


def test_saved_with_its_shape(scnf, blobs, tmp_path):
    X, _, _ = blobs
    scnf.save(tmp_path / "a.flowssl")
    loaded = flowssl.load(tmp_path / "a.flowssl")
    assert isinstance(loaded, SemiConditionalFlowClassifier)
    assert np.array_equal(loaded.predict_proba(X), scnf.predict_proba(X))
    assert np.array_equal(
        loaded.transform(X, remove_class=True), scnf.transform(X, remove_class=True)
    )
    assert (loaded.class_features_, loaded.training_noise_) == (3, scnf.training_noise_)


def test_too_many_class_features_are_named(blobs):
    X, _, y = blobs
    with pytest.raises(ValueError, match=r"class_features is 9, .* only 6 latents"):
        SemiConditionalFlowClassifier(class_features=9).fit(X, y)


def test_the_unconditional_flow_is_evaluated_once_for_all_classes(scnf):
    model = scnf.models_[0]
    seen = []
    hook = model.flow.register_forward_hook(lambda flow, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        model.log_joint(torch.zeros(11, 6, dtype=torch.float64))
    hook.remove()
    assert [len(x) for x in seen] == [11]


@pytest.fixture(scope="module")
def small_digits():
    """The first 120 digits, 8 x 8, between 0 and 1, five labels each."""
    X, truth = load_digits(return_X_y=True)
    return X[:120] / 16, truth[:120], hide_labels(truth[:120], per_class=5, random_state=0)


def image_model(X, y, **parameters):
    """Fit images in 10 steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowssl.estimators._image_domain.STEPS", 400)  # 10 in an epoch
        return SemiConditionalFlowClassifier(
            images=(1, 8, 8), max_epochs=1, batch_size=8, random_state=0, **parameters
        ).fit(X, y)


def test_images_keep_the_class_in_a_part_of_the_deepest_scale(small_digits, tmp_path):
    X, truth, y = small_digits
    model = image_model(X, y)
    # 1 x 8 x 8 to 4 x 4 x 4, half of it to 8 x 2 x 2, a quarter of which is 8.
    assert model.class_features_ == max(8, len(np.unique(truth)))
    code = model.transform(X, remove_class=True)
    rest = slice(model.class_features_, None)
    np.testing.assert_array_equal(code[:, rest], model.transform(X)[:, rest])
    assert model.score(X, truth) > 0.3
    model.save(tmp_path / "a.flowssl")
    loaded = flowssl.load(tmp_path / "a.flowssl")
    assert np.array_equal(loaded.predict_proba(X[:20]), model.predict_proba(X[:20]))


@pytest.mark.parametrize("width", [7, 45, 64])
def test_any_number_of_an_images_latents_may_know_the_class(small_digits, width):
    """Less than the deepest scale has, more, and all of them."""
    X, _, y = small_digits
    model = image_model(X, y, class_features=width, propagation_weight=1.0)
    z, code = model.transform(X), model.transform(X, remove_class=True)
    assert model.class_features_ == width
    np.testing.assert_array_equal(code[:, width:], z[:, width:])
    assert (code[:, :width] != z[:, :width]).all(axis=0).all()
    # The class-free code leads back to the levels of the image.
    np.testing.assert_allclose(model.translate(X, to=model.predict(X)), X, atol=1 / 256)
