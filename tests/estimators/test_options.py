"""Groups of parameters, and parameters that cannot act."""

import inspect
from copy import copy

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import flowssl
from flowssl import (
    DIGLMClassifier,
    FlowGMMClassifier,
    ImageOptions,
    ObjectiveOptions,
    SemiConditionalFlowClassifier,
)
from flowssl.model_selection import LabeledStratifiedKFold

ESTIMATORS = (FlowGMMClassifier, SemiConditionalFlowClassifier, DIGLMClassifier)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_constructor_has_more_than_25_parameters(estimator):
    assert len(inspect.signature(estimator).parameters) <= 25


def test_a_parameter_has_the_same_default_and_order_everywhere():
    order = list(inspect.signature(SemiConditionalFlowClassifier).parameters)
    defaults = {}
    for estimator in ESTIMATORS:
        parameters = inspect.signature(estimator).parameters
        for name, parameter in parameters.items():
            assert defaults.setdefault(name, parameter.default) == parameter.default, name
        shared = [name for name in parameters if name in order]
        assert shared == sorted(shared, key=order.index)


IMAGES = {"images": (1, 8, 8)}


@pytest.mark.parametrize(
    ("estimator", "parameters", "message"),
    [
        (FlowGMMClassifier, {"objective": ObjectiveOptions(e_step_interval=2)}, "objective 'em'"),
        (
            SemiConditionalFlowClassifier,
            {"objective": ObjectiveOptions(consistency_noise=0.1)},
            "consistency_weight above 0",
        ),
        (FlowGMMClassifier, IMAGES | {"objective": ObjectiveOptions(training_noise=0.1)}, "tables"),
        (DIGLMClassifier, IMAGES | {"objective": ObjectiveOptions(consistency_noise=1)}, "tables"),
        (
            FlowGMMClassifier,
            {
                "images": ImageOptions((1, 8, 8), views=None),
                "objective": ObjectiveOptions(consistency_weight=1.0),
            },
            "views is None",
        ),
        (FlowGMMClassifier, {"covariance_rank": 2}, "covariance_type='low_rank'"),
        (SemiConditionalFlowClassifier, {"covariance_type": "full"}, "class_density='gaussian'"),
        (
            SemiConditionalFlowClassifier,
            {"class_density": "gaussian", "class_architecture": "small"},
            "class_density='flow'",
        ),
        (FlowGMMClassifier, {"n_components": 2, "init": "random"}, "needs init='propagate'"),
        (
            FlowGMMClassifier,
            {"covariance_type": "low_rank", "covariance_rank": 3},
            "only 2 latents",
        ),
        (
            FlowGMMClassifier,
            IMAGES
            | {"objective": ObjectiveOptions(cross_entropy_weight=0, consistency_weight=1.0)},
            "relative to cross_entropy_weight",
        ),
        (
            SemiConditionalFlowClassifier,
            {"class_density": "linear", "class_prior": "learned"},
            "needs a class density with a prior",
        ),
        (DIGLMClassifier, {"class_prior": "learned"}, "'class_prior' parameter"),
        (SemiConditionalFlowClassifier, {"class_density": "unheard"}, "one of .*'flow'"),
    ],
)
def test_what_cannot_act_is_refused(estimator, parameters, message, moons):
    X, _, y = moons
    if "images" in parameters:
        X = X.repeat(32, axis=1) / 100 + 0.5
    with pytest.raises(ValueError, match=message):
        estimator(**parameters, max_epochs=1).fit(X, y)


def test_the_first_option_stands_for_its_group(quick, moons):
    X, _, y = moons
    short = quick(objective="likelihood").fit(X, y)
    long = quick(objective=ObjectiveOptions("likelihood")).fit(X, y)
    assert (short.predict_proba(X) == long.predict_proba(X)).all()


def test_options_take_part_in_clone_search_and_files(quick_flowgmm, moons, tmp_path):
    X, _, y = moons
    model = quick_flowgmm(objective=ObjectiveOptions("em", e_step_interval=4))
    assert clone(model).objective is not model.objective
    search = GridSearchCV(
        model,
        {"objective__cross_entropy_weight": [0.0, 1.0]},
        cv=LabeledStratifiedKFold(2, shuffle=True, random_state=0),
    ).fit(X, y)
    best = search.best_estimator_
    best.save(tmp_path / "m.flowssl")
    loaded = flowssl.load(tmp_path / "m.flowssl")
    assert loaded.objective.get_params() == best.objective.get_params()
    assert (loaded.predict_proba(X) == best.predict_proba(X)).all()


def test_refusing_parameters_leaves_a_fitted_model_as_it_is(quick_flowgmm, moons):
    X, _, y = moons
    model = quick_flowgmm().fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="objective 'em'"):
        model.set_params(objective=ObjectiveOptions(e_step_interval=2)).fit(X[:, ::-1], y)
    assert (model.predict_proba(X) == before).all()


def test_a_file_of_images_that_became_a_table_is_not_written(image_model, tmp_path):
    model = copy(image_model[0]).set_params(images=None)
    with pytest.raises(ValueError, match="was changed after fit"):
        model.save(tmp_path / "m.flowssl")
    assert not list(tmp_path.iterdir())


def test_nested_names_reach_into_short_forms(quick_flowgmm, moons):
    model = quick_flowgmm().set_params(objective__cross_entropy_weight=1.0)
    assert model.objective.get_params()["cross_entropy_weight"] == 1.0
    model.set_params(objective="em", objective__e_step_interval=3)
    assert (model.objective.kind, model.objective.e_step_interval) == ("em", 3)
    images = quick_flowgmm(images=(1, 8, 8)).set_params(images__views=None).images
    assert (images.shape, images.views) == ((1, 8, 8), None)
    with pytest.raises(ValueError, match="images is None"):
        quick_flowgmm().set_params(images__views=None)
    search = GridSearchCV(quick_flowgmm(), {"objective__kind": ["em", "likelihood"]}, cv=2)
    assert search.fit(moons[0], moons[1]).best_params_["objective__kind"] in ("em", "likelihood")


def test_numbers_of_numpy_go_into_files(quick_flowgmm, moons, tmp_path):
    X, _, y = moons
    objective = ObjectiveOptions(
        training_noise=np.float32(0.2),
        labeled_fraction=np.float32(0.5),
        consistency_weight=np.float64(1),
    )
    model = quick_flowgmm(
        objective=objective,
        propagation_weight=np.float64(0.5),
        class_prior=(np.float32(0.25), np.int64(1)),
        learn_gaussians=np.True_,
    ).fit(X, y)
    model.save(tmp_path / "m.flowssl")
    loaded = flowssl.load(tmp_path / "m.flowssl")
    assert (loaded.predict_proba(X) == model.predict_proba(X)).all()


def test_draws_that_changed_after_fit_are_not_written(image_model, tmp_path):
    model = clone(image_model[0].set_params())
    vars(model).update({k: v for k, v in vars(image_model[0]).items() if k.endswith("_")})
    model.set_params(images__dequantization_draws=4)
    with pytest.raises(ValueError, match="was changed after fit"):
        model.save(tmp_path / "m.flowssl")
