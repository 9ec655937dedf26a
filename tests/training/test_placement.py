"""Tensors are made where the model is: nothing relies on PyTorch's default device.

Here the default device is "meta", whose tensors have no values: a tensor that is made without saying
where cannot be mixed with those of the model, as it could not on a GPU.
"""

import math

import pytest
import torch

from flowssl.architectures import ARCHITECTURES, build_flow
from flowssl.densities import (
    CLASS_DENSITIES,
    COVARIANCES,
    ClassDensityOptions,
    ClassInit,
    ClassPrior,
    SemiConditionalClasses,
)
from flowssl.models import JointModel
from flowssl.objectives import (
    Consistency,
    CrossEntropy,
    ExpectationMaximization,
    GaussianNoise,
    Objective,
    PseudoLabels,
    ShapedNoise,
)
from flowssl.training import TrainingConfig, TrainingRows, train

DIM, FEATURES = 5, 3
DENSITIES = [(name, "diag") for name in CLASS_DENSITIES] + [
    ("gaussian", kind) for kind in COVARIANCES
]


def build(density: str, covariance: str) -> JointModel:
    generator = torch.Generator().manual_seed(0)
    flow = build_flow(ARCHITECTURES["table"], torch.eye(DIM), torch.zeros(DIM), generator=generator)
    means = torch.randn(2, 1, FEATURES, generator=generator)
    init = ClassInit(means, ClassPrior(torch.ones(2)), generator=generator)
    options = ClassDensityOptions(covariance, architecture="small")
    classes = CLASS_DENSITIES[density].from_init(init, options)
    return JointModel(flow, SemiConditionalClasses(classes, DIM))


def make_rows(device: torch.device) -> TrainingRows:
    x = torch.randn(40, DIM, generator=torch.Generator().manual_seed(1))
    y = torch.arange(40) % 2
    return TrainingRows(x, torch.eye(2)[y], torch.arange(40) < 8, torch.ones(40)).to(device)


@pytest.mark.parametrize(("density", "covariance"), DENSITIES)
def test_densities_and_samples(density, covariance, device):
    model, x = build(density, covariance).to(device).eval(), make_rows(device).x
    y = torch.arange(6, device=device) % 2
    with torch.device("meta"), torch.no_grad():
        results = [
            model.log_joint(x),
            model.class_density.log_prior(),
            model.class_density.class_means(),
            model.sample(y, 0.5, torch.Generator(device).manual_seed(0)),
        ]
    assert all(result.device == model.flow[0].bias.device for result in results)
    assert all(result.isfinite().all() for result in results)


@pytest.mark.parametrize("density", list(CLASS_DENSITIES))
def test_training_leaves_the_model_where_it_trained(density, device, tmp_path):
    model, rows = build(density, "full"), make_rows(device)
    terms = [
        ExpectationMaximization(refresh=2),
        CrossEntropy(of_view=True),
        Consistency(model.class_density.log_prior),
        PseudoLabels(),
    ]
    objective = Objective(terms, GaussianNoise(0.1), noise=ShapedNoise(0.1 * torch.eye(DIM)))
    config = TrainingConfig(
        max_epochs=2, steps_per_epoch=3, batch_size=8, labeled_fraction=0.5, device=str(device)
    )
    with torch.device("meta"):
        result = train(model, objective, rows, rows, config, checkpoint=tmp_path / "checkpoint")
    assert len(result.history) == 2
    assert all(math.isfinite(epoch["loss"]) for epoch in result.history)
    assert {p.device.type for p in model.parameters()} == {device.type}
    assert not model.training
