"""The continuous flow against autograd, SciPy's solver and integrals."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from flowssl.bijections import ContinuousFlow

pytest.importorskip("torchode", reason="the extra flowssl[ode] is not installed")


def shaken(dim: int, **options) -> ContinuousFlow:
    """Build a flow with random weights, in float64."""
    generator = torch.Generator().manual_seed(0)
    options = {"hidden_features": (8, 8), "tolerances": (1e-3, 1e-8), **options}
    flow = ContinuousFlow(dim, generator=generator, **options).double().eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator).double())
    return flow


def rows(n: int, dim: int) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_log_det_is_that_of_the_jacobian_and_inverse_undoes_forward(dim):
    flow, x = shaken(dim), rows(4, dim)
    z, log_det = flow(x)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow(x)[0].sum(0), x).movedim(1, 0)
    expected = torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(log_det, expected, rtol=0, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(flow.inverse(z), x, rtol=0, atol=1e-6)
        assert not torch.allclose(z, x, atol=0.05)


def test_rows_follow_the_velocity_as_scipy_solves_it():
    flow, x = shaken(2, context_features=3), rows(3, 2)
    context = rows(3, 3)

    def velocity(t, state, i):
        given = torch.cat((torch.tensor([[t]], dtype=torch.float64), context[i : i + 1]), dim=1)
        with torch.no_grad():
            return flow.velocity(torch.from_numpy(state)[None], given, None)[0][0].numpy()

    with torch.no_grad():
        z = flow(x, context)[0].numpy()
    for i in range(3):
        expected = solve_ivp(velocity, (0, 1), x[i].numpy(), args=(i,), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(z[i], expected.y[:, -1], atol=1e-6)


def test_a_row_does_not_depend_on_its_batch():
    flow, x = shaken(2), torch.cat((rows(5, 2), 50 * rows(2, 2)))
    with torch.no_grad():
        together = torch.cat((flow(x)[0], flow(x)[1][:, None]), dim=1)
        alone = [torch.cat((flow(row)[0], flow(row)[1][:, None]), dim=1) for row in x.split(1)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=0, atol=1e-12)
    assert flow(x[:0])[0].shape == (0, 2)


def test_density_integrates_to_one_on_a_grid():
    flow = shaken(2, tolerances=(1e-3, 1e-5))
    axis = torch.linspace(-7, 7, 101, dtype=torch.float64)
    with torch.no_grad():
        z, log_det = flow(torch.cartesian_prod(axis, axis))
    log_prob = -0.5 * z.square().sum(1) - np.log(2 * np.pi) + log_det
    assert log_prob.exp().sum().item() * 0.14**2 == pytest.approx(1.0, abs=1e-2)


def test_hutchinsons_estimate_is_right_on_average():
    exact = shaken(4)
    x = rows(6, 4)
    with torch.no_grad():
        log_det = exact(x)[1]
        estimates = []
        for signs in torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4).double():
            exact.exact_trace = False
            exact.signs = signs
            estimates.append(exact(x)[1])
    torch.testing.assert_close(torch.stack(estimates).mean(0), log_det, rtol=0, atol=1e-6)
    assert torch.stack(estimates).std(0).min() > 1e-3


def test_it_starts_as_the_identity_and_counts_its_evaluations():
    flow = ContinuousFlow(3, generator=torch.Generator().manual_seed(0)).eval()
    x = rows(5, 3).float()
    with torch.no_grad():
        z, log_det = flow(x)
    torch.testing.assert_close(z, x)
    assert (log_det == 0).all()
    wild = shaken(3)
    loose = shaken(3, tolerances=(1e-3, 1e-3))
    x = rows(5, 3)
    assert wild.n_evaluations(x) > loose.n_evaluations(x) >= 7


@pytest.mark.parametrize(
    ("context_features", "context", "message"),
    [
        (0, torch.zeros(3, 2), r"no context, got one of shape \(3, 2\)"),
        (2, None, r"\(3, 2\), got None"),
        (2, torch.zeros(3, 1), r"\(3, 2\), got \(3, 1\)"),
    ],
)
def test_context_is_used_or_refused(context_features, context, message):
    flow = shaken(2, context_features=context_features)
    context = None if context is None else context.double()
    for function in (flow, flow.inverse, flow.n_evaluations):
        with pytest.raises(ValueError, match=message):
            function(rows(3, 2), context)


def test_decayed_parameters_are_the_matrices_of_the_velocity():
    flow = shaken(2)
    expected = [layer.weight for layer in flow.velocity.layers]
    assert [id(p) for p in flow.decayed_parameters()] == [id(weight) for weight in expected]
