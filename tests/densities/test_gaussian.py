"""Class densities against SciPy, against counted work and against their own samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from flowssl.densities import (
    COVARIANCES,
    ClassDensityOptions,
    ClassInit,
    ClassPrior,
    GaussianClasses,
    SemiConditionalClasses,
)

KINDS = pytest.mark.parametrize("kind", list(COVARIANCES))
PRIOR = [0.1, 0.6, 0.3]


def random_classes(
    kind: str, dim: int, n_components: int, seed: int = 0, rank: int | None = None
) -> GaussianClasses:
    """Build 3 classes whose every parameter is random, in float64."""
    generator = torch.Generator().manual_seed(seed)
    means = 2 * torch.randn(3, n_components, dim, generator=generator)
    weights = torch.rand(3, n_components, generator=generator) + 0.1
    classes = GaussianClasses(
        means,
        ClassPrior(torch.tensor(PRIOR)),
        weights=weights,
        covariance=kind,
        covariance_rank=rank,
    ).double()
    with torch.no_grad():
        for parameter in classes.covariance.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.4 * noise)
    return classes


def parameters(classes: GaussianClasses) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return prior (C,), weights (C, M), means (C, M, D) and covariances (C, M, D, D)."""
    with torch.no_grad():
        covariances = classes.covariance.matrices().unflatten(0, classes.means.shape[:2])
        return (
            classes.log_prior().exp().numpy(),
            classes.logits.softmax(1).numpy(),
            classes.means.numpy(),
            covariances.numpy(),
        )


def scipy_log_joint(classes: GaussianClasses, z: np.ndarray) -> np.ndarray:
    """Evaluate the mixtures at rows (n, D) by SciPy, shape (n, 3)."""
    prior, weights, means, covariances = parameters(classes)
    expected = np.empty((len(z), 3))
    for k in range(3):
        log_parts = [
            np.log(weights[k, m]) + multivariate_normal(means[k, m], covariances[k, m]).logpdf(z)
            for m in range(means.shape[1])
        ]
        expected[:, k] = np.log(prior[k]) + logsumexp(log_parts, axis=0)
    return expected


@KINDS
@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("dim", [1, 2, 9])
def test_log_density_equals_scipy(kind, n_components, dim):
    classes = random_classes(kind, dim, n_components)
    z = 3 * torch.randn(20, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        actual = classes.log_joint(z).numpy()
    np.testing.assert_allclose(actual, scipy_log_joint(classes, z), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_low_rank_densities_of_any_rank_equal_scipy(rank):
    classes = random_classes("low_rank", 5, 2, rank=rank)
    factor = classes.covariance.factor.detach()
    assert torch.linalg.matrix_rank(factor @ factor.mT).tolist() == [rank] * 6
    z = 3 * torch.randn(20, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        actual = classes.log_joint(z).numpy()
    np.testing.assert_allclose(actual, scipy_log_joint(classes, z), rtol=1e-10, atol=1e-10)


def test_full_covariances_differ_between_components_and_learn_a_given_one():
    """Maximum likelihood of a Gaussian is the mean and covariance of its rows."""
    classes = random_classes("full", 3, 1)
    first, second, _ = classes.covariance.matrices().detach()
    assert (first - second).abs().max() > 0.1

    generator = torch.Generator().manual_seed(0)
    mixing = torch.tensor([[2.0, 0.0], [0.9, 0.3]], dtype=torch.float64)
    rows = torch.randn(500, 2, generator=generator, dtype=torch.float64) @ mixing.T
    classes = GaussianClasses(torch.ones(1, 2), ClassPrior(torch.ones(1)), covariance="full")
    classes.double()
    optimizer = torch.optim.LBFGS(classes.parameters(), max_iter=200, tolerance_grad=1e-10)

    def loss():
        optimizer.zero_grad()
        value = -classes.log_joint(rows).mean()
        value.backward()
        return value

    for _ in range(5):
        optimizer.step(loss)
    np.testing.assert_allclose(classes.means[0, 0].detach(), rows.mean(0), atol=1e-5)
    covariance = classes.covariance.matrices()[0].detach()
    np.testing.assert_allclose(covariance, np.cov(rows.T, bias=True), atol=1e-5)


@pytest.mark.parametrize("kind", ["spherical", "diag", "tied", "full"])
def test_initial_covariance_is_the_identity(kind):
    classes = GaussianClasses(torch.zeros(1, 3), ClassPrior(torch.ones(1)), covariance=kind)
    with torch.no_grad():
        torch.testing.assert_close(classes.covariance.matrices(), torch.eye(3)[None])


def test_initial_low_rank_covariance_is_close_to_the_identity_and_can_move():
    classes = GaussianClasses(torch.zeros(1, 3), ClassPrior(torch.ones(1)), covariance="low_rank")
    with torch.no_grad():
        torch.testing.assert_close(
            classes.covariance.matrices(), torch.eye(3)[None], atol=0.02, rtol=0
        )
    classes.log_joint(
        torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    ).sum().backward()
    for name, parameter in classes.covariance.named_parameters():
        assert parameter.grad.abs().max() > 0, name


class LargestResult(TorchDispatchMode):
    """Records the operations that run and the size of the largest tensor that one returns."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: set[str] = set()
        self.largest = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        self.operations.add(str(operation))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


@pytest.mark.parametrize(("kind", "products"), [("spherical", 1), ("diag", 2)])
def test_structured_covariances_cost_one_or_two_matrix_products(kind, products):
    n, dim, n_classes = 16, 400, 3
    classes = GaussianClasses(
        torch.randn(n_classes, dim), ClassPrior(torch.ones(n_classes)), covariance=kind
    )
    z = torch.randn(n, dim)
    with LargestResult() as seen, FlopCounterMode(display=False) as counter, torch.no_grad():
        classes.log_joint(z)

    assert counter.get_total_flops() == products * 2 * n * dim * n_classes
    assert seen.largest <= n * dim
    assert n * dim < dim * dim  # a D x D intermediate would have been noticed
    assert not [name for name in seen.operations if "linalg" in name or "cholesky" in name]


def test_low_rank_densities_and_samples_build_nothing_of_size_d_times_d():
    n, dim = 16, 400
    classes = GaussianClasses(torch.randn(3, dim), ClassPrior(torch.ones(3)), covariance="low_rank")
    z, y = torch.randn(n, dim), torch.zeros(n, dtype=torch.int64)
    with LargestResult() as seen, torch.no_grad():
        classes.log_joint(z)
        classes.sample(y)
    assert seen.largest <= n * dim * 4 < dim * dim


@KINDS
@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_samples_have_the_mean_and_the_tempered_covariance(kind, temperature):
    dim, n, label = 3, 100_000, 2
    classes = random_classes(kind, dim, n_components=2)
    y = torch.full((n,), label)
    with torch.no_grad():
        z = classes.sample(y, temperature, torch.Generator().manual_seed(0)).numpy()

    _, weights, means, covariances = parameters(classes)
    mean = weights[label] @ means[label]
    offset = means[label] - mean
    within = temperature * np.einsum("m,mij->ij", weights[label], covariances[label])
    covariance = within + np.einsum("m,mi,mj->ij", weights[label], offset, offset)

    scale = np.sqrt(covariance.diagonal())
    np.testing.assert_array_less(np.abs(z.mean(0) - mean), 5 * scale / np.sqrt(n))
    np.testing.assert_allclose(
        np.cov(z.T) / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=0.03
    )
    np.testing.assert_allclose(classes.class_means()[label].detach().numpy(), mean, rtol=1e-12)


def test_samples_of_temperature_zero_are_the_means():
    classes = random_classes("tied", 3, n_components=1)
    y = torch.tensor([2, 0, 1])
    with torch.no_grad():
        assert torch.equal(classes.sample(y, 0.0), classes.means[y, 0])


def test_same_generator_gives_the_same_samples_and_spares_the_global_stream():
    classes = random_classes("diag", 3, n_components=2)
    y = torch.tensor([0, 1, 2])
    before = torch.get_rng_state()
    first, second = (
        classes.sample(y, generator=torch.Generator().manual_seed(7)) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_prior_is_normalized_and_learned_only_when_asked():
    given = ClassPrior(torch.tensor([2.0, 6.0]))
    assert given().exp().tolist() == pytest.approx([0.25, 0.75])
    assert not given.logits.requires_grad

    # With z that carries no information, the likeliest prior is the fraction of each class.
    learned = ClassPrior(torch.ones(2), learn=True)
    classes = GaussianClasses(torch.zeros(2, 1), learned, learn_means=False, learn_covariance=False)
    y = torch.tensor([0, 1, 1, 1, 1])
    optimizer = torch.optim.SGD([p for p in classes.parameters() if p.requires_grad], lr=1.0)
    for _ in range(200):
        optimizer.zero_grad()
        classes.log_joint(torch.zeros(5, 1)).gather(1, y[:, None]).mean().neg().backward()
        optimizer.step()
    assert learned().exp().tolist() == pytest.approx([0.2, 0.8], abs=1e-3)


def trainable(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"means", "logits", "covariance.log_scale"}),
        ({"learn_means": False}, {"covariance.log_scale"}),
        ({"learn_covariance": False}, {"means", "logits"}),
        ({"learn_means": False, "learn_covariance": False}, set()),
    ],
)
def test_flags_say_what_is_learned(options, expected):
    classes = GaussianClasses(torch.zeros(2, 3, 4), ClassPrior(torch.ones(2)), **options)
    assert trainable(classes) == expected


def test_from_init_places_the_gaussians_with_their_weights():
    means = torch.arange(24.0, dtype=torch.float64).reshape(2, 3, 4)
    weights = torch.tensor([[1.0, 1.0, 2.0], [4.0, 2.0, 2.0]])
    init = ClassInit(means, ClassPrior(torch.tensor([1.0, 3.0])), weights)
    options = ClassDensityOptions("low_rank", covariance_rank=2, n_components=3)
    classes = GaussianClasses.from_init(init, options)
    assert torch.equal(classes.means.double(), means)
    torch.testing.assert_close(
        classes.logits.softmax(1).detach() * weights.sum(1)[:, None], weights
    )
    assert classes.log_prior().exp().tolist() == pytest.approx([0.25, 0.75])
    assert classes.covariance.factor.shape == (6, 4, 2)
    assert trainable(classes) == {
        "means",
        "logits",
        "covariance.log_scale",
        "covariance.factor",
    }
    fixed = replace(options, learn=False)
    assert trainable(GaussianClasses.from_init(init, fixed)) == set()
    with pytest.raises(ValueError, match="n_components is 2, but there are means for 3"):
        GaussianClasses.from_init(init, replace(options, n_components=2))


def test_initial_means_are_copied():
    means = torch.zeros(2, 1, 3)
    classes = GaussianClasses(means, ClassPrior(torch.ones(2)))
    with torch.no_grad():
        classes.means.fill_(9.0)
    assert means.eq(0).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ClassPrior(torch.tensor([1.0, 0.0])), r"positive, got \[1.0, 0.0\]"),
        (lambda: ClassPrior(torch.tensor([1.0, float("nan")])), "positive"),
        (lambda: ClassPrior(torch.ones(2, 2)), "positive"),
        (
            lambda: GaussianClasses(torch.zeros(3, 4), ClassPrior(torch.ones(2))),
            r"\(2, M, D\), got \(3, 1, 4\)",
        ),
        (
            lambda: GaussianClasses(torch.zeros(2, 4), ClassPrior(torch.ones(2)), covariance="x"),
            "spherical.*'x'",
        ),
        (lambda: random_classes("low_rank", 3, 1, rank=4), "from 1 to 3, .* got 4; .*'full'"),
        (lambda: random_classes("low_rank", 3, 1, rank=0), "from 1 to 3, .* got 0"),
        (lambda: random_classes("diag", 3, 1, rank=2), "covariance_rank=2 .* 'diag' has no rank"),
        (
            lambda: ClassInit(torch.zeros(3, 4), ClassPrior(torch.ones(3))),
            r"\(3, M, D\), got \(3, 4\)",
        ),
        (
            lambda: GaussianClasses(
                torch.zeros(2, 3, 4), ClassPrior(torch.ones(2)), weights=torch.ones(2, 2)
            ),
            r"\(2, 3\).*\(2, 2\)",
        ),
        (
            lambda: random_classes("diag", 2, 1).sample(torch.tensor([0]), temperature=-1.0),
            "at least 0, got -1.0",
        ),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@KINDS
def test_widened_classes_have_their_covariances_times_the_factor(kind):
    classes = random_classes(kind, 3, 2)
    wide = classes.widened(2.5)
    with torch.no_grad():
        np.testing.assert_allclose(
            wide.covariance.matrices(), 2.5 * classes.covariance.matrices(), rtol=1e-12
        )
        z = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        actual = wide.log_joint(z).numpy()
        drawn = wide.sample(
            torch.full((20_000,), 1), generator=torch.Generator().manual_seed(2)
        ).numpy()
    np.testing.assert_allclose(actual, scipy_log_joint(wide, z.numpy()), rtol=1e-10, atol=1e-10)
    _, weights, means, covariances = (
        array[1] if array.ndim > 1 else array for array in parameters(wide)
    )
    center = weights @ means
    total = sum(
        w * (c + np.outer(m - center, m - center))
        for w, m, c in zip(weights, means, covariances, strict=True)
    )
    np.testing.assert_allclose(np.cov(drawn.T), total, atol=0.05 * np.abs(total).max())


@KINDS
def test_the_distance_to_the_nearest_gaussian_is_mahalanobis(kind):
    classes = random_classes(kind, dim=3, n_components=2)
    z = np.random.default_rng(0).normal(size=(20, 3))
    _, _, means, covariances = parameters(classes)
    expected = [
        [
            mahalanobis(row, mean, np.linalg.inv(covariance)) ** 2
            for mean, covariance in zip(
                means.reshape(-1, 3), covariances.reshape(-1, 3, 3), strict=True
            )
        ]
        for row in z
    ]
    with torch.no_grad():
        found = classes.squared_distance(torch.from_numpy(z)).numpy()
        wide = SemiConditionalClasses(classes, 5).squared_distance(
            torch.from_numpy(np.hstack((z, z[:, :2])))
        )
    np.testing.assert_allclose(found, np.min(expected, axis=1), atol=1e-9)
    np.testing.assert_allclose(wide, found + np.square(z[:, :2]).sum(1))
