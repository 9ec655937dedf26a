"""Models say how the optimizer treats their parameters: the trainer knows no names."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from flowssl.bijections import Bijection, Chain
from flowssl.densities import ClassDensity, ClassPrior, SemiConditionalClasses
from flowssl.models import JointModel
from flowssl.objectives import Batch, Likelihood, Objective
from flowssl.training import TrainingConfig, TrainingRows, train


class Shift(Bijection):
    """Moves the second half of a row by what a network makes of the first."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Linear(dim - dim // 2, dim // 2)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        first, second = x.tensor_split(2, dim=1)
        return torch.cat((first, second + self.net(first)), dim=1), x.new_zeros(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        first, second = z.tensor_split(2, dim=1)
        return torch.cat((first, second - self.net(first)), dim=1)

    def decayed_parameters(self) -> Iterator[nn.Parameter]:
        yield self.net.weight


class Laplace(ClassDensity):
    """``p(z | y=k)`` proportional to ``exp(-|z - c_k|)``."""

    def __init__(self, centers: Tensor) -> None:
        super().__init__()
        self.n_classes, self.dim = centers.shape
        self.centers = nn.Parameter(centers)
        self.prior = ClassPrior(torch.ones(self.n_classes), learn=True)

    def log_joint(self, z: Tensor) -> Tensor:
        return self.prior() - (z[:, None] - self.centers).abs().sum(2)

    def sample(self, y, temperature=1.0, generator=None):
        raise NotImplementedError

    def log_prior(self) -> Tensor:
        return self.prior()

    def class_means(self) -> Tensor:
        return self.centers

    def center_parameters(self) -> Iterator[nn.Parameter]:
        yield self.centers


class LastIsBest(Likelihood):
    """The likelihood times a factor, under which the last epoch is always the best."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.evaluations = 0

    def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
        return self.factor * super().losses(batch, log_joint, view)

    def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
        self.evaluations += 1
        return torch.full_like(batch.weight, -float(self.evaluations))


@pytest.fixture
def model() -> JointModel:
    """The toy density of some latents behind two toy bijections, one of them nested."""
    torch.manual_seed(0)
    density = SemiConditionalClasses(Laplace(torch.tensor([[-1.0, -1.0], [1.0, 1.0]])), 3)
    return JointModel(Chain(Shift(3), Chain(Shift(3))), density)


def moved_by_one_step(model: JointModel, factor: float, **settings: float) -> dict[str, Tensor]:
    """Return how far a step at rate 1e-3 moves each parameter."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(1))
    rows = TrainingRows(x, torch.eye(2)[torch.arange(60) % 2], torch.arange(60) < 9, torch.ones(60))
    config = TrainingConfig(
        1, 1, batch_size=60, learning_rate=1e-3, warmup=0.0, device="cpu", **settings
    )
    train(model, Objective([LastIsBest(factor)]), rows, rows, config)
    return {name: (p.detach() - before[name]) for name, p in model.named_parameters()}


def test_centers_get_their_rate(model):
    """AdamW's first step is as long as its rate, whatever the size of the gradient."""
    steps = moved_by_one_step(model, 1.0, center_rate=7.0, weight_decay=0.0)
    (centers,) = (name for name in steps if name.endswith("centers"))
    torch.testing.assert_close(steps[centers].abs(), torch.full((2, 2), 7e-3), rtol=1e-2, atol=0)
    assert max(step.abs().max() for name, step in steps.items() if name != centers) < 1.1e-3


def test_networks_get_their_decay(model):
    """With a loss of zero, only weight decay moves anything."""
    weights = {n: p.detach().clone() for n, p in model.named_parameters() if "net.weight" in n}
    steps = moved_by_one_step(model, 0.0, weight_decay=0.5)
    assert len(weights) == 2
    assert {name for name, step in steps.items() if step.any()} == set(weights)
    for name, weight in weights.items():
        torch.testing.assert_close(steps[name], -0.5 * 1e-3 * weight, rtol=1e-2, atol=1e-7)
