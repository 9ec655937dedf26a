"""Conditional-flow and semi-conditional classes against autograd, SciPy and closed forms."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from flowssl.architectures import ARCHITECTURES, Architecture
from flowssl.bijections import Chain
from flowssl.densities import (
    ClassDensityOptions,
    ClassInit,
    ClassPrior,
    ConditionalFlowClasses,
    GaussianClasses,
    LinearClasses,
    SemiConditionalClasses,
    conditional_flow,
)
from flowssl.layers import couplings, interleave, rotation

PRIOR = [0.1, 0.6, 0.3]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def initialized(means: torch.Tensor, n_couplings: int) -> ConditionalFlowClasses:
    """Build classes by ``from_init`` with a small preset of rotations and couplings."""
    n_classes = len(means)
    prior = torch.tensor(PRIOR) if n_classes == 3 else torch.ones(n_classes)
    init = ClassInit(means[:, None], ClassPrior(prior), generator=torch.Generator().manual_seed(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            ARCHITECTURES,
            "test",
            Architecture(interleave(couplings(n_couplings, (8,)), rotation, every=2)),
        )
        return ConditionalFlowClasses.from_init(init, ClassDensityOptions(architecture="test"))


def shaken(
    dim: int, n_classes: int = 3, n_couplings: int = 3, by: float = 0.3
) -> ConditionalFlowClasses:
    """Build classes whose every parameter is random, in float64."""
    classes = initialized(normal(n_classes, dim), n_couplings).double().eval()
    with torch.no_grad():
        for i, parameter in enumerate(classes.flow.parameters()):
            parameter.add_(by * normal(*parameter.shape, seed=i))
        classes.log_scale.add_(0.2 * normal(*classes.log_scale.shape))
    return classes


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_log_joint_is_the_change_of_variables_of_each_class(dim):
    classes = shaken(dim)
    z = 2 * normal(7, dim, seed=1)
    expected = np.empty((7, 3))
    for k in range(3):
        y = torch.full((7,), k)
        code = classes.encode(z, y).detach().numpy()
        jacobian = torch.autograd.functional.jacobian(lambda z, y=y: classes.encode(z, y).sum(0), z)
        log_det = torch.linalg.slogdet(jacobian.movedim(1, 0)).logabsdet.numpy()
        base = multivariate_normal(np.zeros(dim), np.eye(dim)).logpdf(code)
        expected[:, k] = np.log(PRIOR[k]) + base + log_det
    with torch.no_grad():
        np.testing.assert_allclose(classes.log_joint(z).numpy(), expected, atol=1e-6)
        assert classes.log_joint(z[:0]).shape == (0, 3)


def test_without_couplings_the_classes_are_gaussians():
    classes = shaken(3, n_couplings=0)
    gaussians = GaussianClasses(classes.means, classes.prior, covariance="diag").double()
    with torch.no_grad():
        gaussians.covariance.log_scale.copy_(classes.log_scale)
        z = normal(20, 3, seed=1)
        torch.testing.assert_close(classes.log_joint(z), gaussians.log_joint(z))
        torch.testing.assert_close(classes.class_means(), gaussians.class_means())


def test_training_begins_with_unit_gaussians_around_the_means():
    latents, means = normal(50, 4), normal(3, 4, seed=1)
    classes = initialized(means, 4)
    for k in range(3):
        expected = np.log(PRIOR[k]) + multivariate_normal(means[k], np.eye(4)).logpdf(latents)
        actual = classes.log_joint(latents.float())[:, k].detach().numpy()
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize("n_classes", [3, 40])
def test_codes_lead_back_to_their_latents(n_classes):
    classes = shaken(5, n_classes)
    z, y = normal(n_classes, 5, seed=1), torch.arange(n_classes)
    with torch.no_grad():
        code = classes.encode(z, y)
        torch.testing.assert_close(classes.decode(code, y), z, rtol=0, atol=1e-10)
        # The networks see the class: with the codes of another class the latents differ.
        moved = classes.decode(code, y.roll(1)) - classes.means[y.roll(1)]
        assert not torch.allclose(moved, z - classes.means, atol=1e-3)


class Recording(Chain):
    """A chain that notes how many rows it was given."""

    def forward(self, x, context=None):
        self.seen = [*getattr(self, "seen", []), len(x)]
        return super().forward(x, context)


def test_many_classes_go_through_in_chunks_with_the_same_densities_and_gradients(monkeypatch):
    classes = shaken(4, 40)
    classes.flow = Recording(*classes.flow)
    z = normal(30, 4, seed=2)

    def run():
        classes.zero_grad()
        log_joint = classes.log_joint(z)
        log_joint.logsumexp(1).sum().backward()
        gradients = [p.grad.clone() for p in classes.parameters() if p.grad is not None]
        return [log_joint.detach(), *gradients]

    whole = run()
    assert classes.flow.seen == [30 * 40]
    monkeypatch.setattr(conditional_flow, "CHUNK_PAIRS", 300)
    classes.flow.seen = []
    parts = run()
    assert max(classes.flow.seen) <= 300
    assert sum(classes.flow.seen) == 2 * 30 * 40  # once more for the gradient
    for part, expected in zip(parts, whole, strict=True):
        torch.testing.assert_close(part, expected)


def test_density_of_each_class_integrates_to_its_prior():
    classes = shaken(2, by=0.15)
    axis = torch.linspace(-15, 15, 481, dtype=torch.float64)
    with torch.no_grad():
        density = classes.log_joint(torch.cartesian_prod(axis, axis)).exp()
    mass = density.sum(0) * (axis[1] - axis[0]) ** 2
    assert mass.tolist() == pytest.approx(PRIOR, abs=1e-3)


def test_cold_samples_are_the_centers_and_warm_ones_have_normal_codes():
    classes = shaken(3)
    y = torch.arange(3).repeat(1500)
    with torch.no_grad():
        cold = classes.sample(y, temperature=0.0)
        torch.testing.assert_close(cold[:3], classes.class_means())
        warm = classes.sample(y, 4.0, torch.Generator().manual_seed(0))
        code = classes.encode(warm, y)
    assert code.mean(0).abs().max() < 5 * 2 / len(y) ** 0.5
    np.testing.assert_allclose(np.cov(code.numpy().T), 4 * np.eye(3), atol=0.4)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        classes.sample(y, -1.0)


@pytest.mark.parametrize("dim", [3, 8])
def test_auxiliary_latents_are_standard_normal_in_every_class(dim):
    inner = shaken(3)
    classes = SemiConditionalClasses(inner, dim)
    z = normal(10, dim, seed=1)
    with torch.no_grad():
        rest = classes.log_joint(z) - inner.log_joint(z[:, :3])
        expected = -0.5 * z[:, 3:].square().sum(1) - (dim - 3) * 0.5 * np.log(2 * np.pi)
        torch.testing.assert_close(rest, expected[:, None].expand(-1, 3))
        assert classes.class_means().shape == (3, dim)
        assert (classes.class_means()[:, 3:] == 0).all()
        y = torch.zeros(3000, dtype=torch.int64)
        drawn = classes.sample(y, 0.25, torch.Generator().manual_seed(0))
    assert drawn.shape == (3000, dim)
    if dim > 3:
        assert drawn[:, 3:].std().item() == pytest.approx(0.5, rel=0.03)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="takes 3 latents, but there are only 2"):
        SemiConditionalClasses(shaken(3), 2)
    with pytest.raises(ValueError, match="3 classes"):
        ConditionalFlowClasses(torch.zeros(2, 4), ClassPrior(torch.ones(3)), Chain(), torch.eye(2))


@pytest.mark.parametrize("architecture", [None, "tabel"])
def test_an_architecture_that_is_no_preset_is_named(architecture):
    init = ClassInit(torch.zeros(2, 1, 4), ClassPrior(torch.ones(2)))
    with pytest.raises(ValueError, match=f"one of .*small.*; got {architecture!r}"):
        ConditionalFlowClasses.from_init(init, ClassDensityOptions(architecture=architecture))


@pytest.mark.parametrize("kind", [ConditionalFlowClasses, LinearClasses])
def test_densities_with_one_center_refuse_several(kind):
    init = ClassInit(torch.zeros(2, 3, 4), ClassPrior(torch.ones(2)))
    with pytest.raises(ValueError, match="1 center for each class, got 3; set n_components=1"):
        kind.from_init(init, ClassDensityOptions(n_components=3, architecture="small"))


def test_the_distance_of_flow_classes_is_that_of_the_nearest_code():
    classes, z = initialized(normal(3, 4), n_couplings=2).double(), normal(11, 4, seed=1)
    with torch.no_grad():
        codes = [classes.encode(z, torch.full((11,), k)) for k in range(3)]
        found = classes.squared_distance(z)
    nearest = torch.stack([code.square().sum(1) for code in codes]).amin(0)
    torch.testing.assert_close(found, nearest)
