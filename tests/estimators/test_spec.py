"""The object that says which model: it builds, compares, and goes through JSON."""

import json
from dataclasses import replace

import pytest
import torch

from flowssl._records import Record
from flowssl.estimators._domains import domain_of
from flowssl.estimators._spec import ModelSpec
from flowssl.estimators.options import ImageOptions


@pytest.fixture(scope="module", params=["gaussian", "flow", "linear"])
def spec(request, moons):
    from flowssl import SemiConditionalFlowClassifier

    X, _, y = moons
    parameters = {"class_density": request.param, "architecture": "affine", "class_features": 1}
    model = SemiConditionalFlowClassifier(**parameters, max_epochs=1, random_state=0)
    return model.fit(X, y)


def test_a_blank_model_has_the_tensors_of_the_trained_one(spec):
    blank = spec.spec_.blank(spec._domain)
    shapes = {name: value.shape for name, value in blank.state_dict().items()}
    assert shapes == {name: v.shape for name, v in spec.models_[0].state_dict().items()}
    assert repr(blank) == repr(spec.models_[0])


def test_json_gives_the_same_spec_back(spec):
    record = json.loads(json.dumps(spec.spec_.to_json()))
    assert ModelSpec.from_json(Record(record, "model")) == spec.spec_


def test_specs_say_where_they_differ(spec):
    other = replace(spec.spec_, class_features=2)
    assert other != spec.spec_
    assert other.differs(spec.spec_) == "class_features would be 2, not 1"


def test_images_keep_their_shape():
    options = ImageOptions((1, 8, 8))
    assert domain_of(options, None, _training()).image_shape == (1, 8, 8)
    assert torch.Size(domain_of(options, None, _training()).image_shape).numel() == 64


def _training():
    from flowssl.estimators._settings import TrainingSettings

    return TrainingSettings("auto", "auto", "auto", 0.0, True, "cpu")
