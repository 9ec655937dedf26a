"""What must hold of every bijection and of every preset, whatever its parameters."""

import copy

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from flowssl.bijections import Chain, Conditioner

DIMS = st.integers(1, 7)
COUNTS = st.sampled_from([0, 1, 17])
SEEDS = st.integers(0, 2**16)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Compare numbers by number, relatively above 1 and absolutely below."""
    assert actual.shape == expected.shape
    error = (actual - expected).abs() / (1 + expected.abs())
    assert error.max().item() <= tolerance if error.numel() else True


def jacobians(function, x: Tensor) -> Tensor:
    """Differentiate a map of rows by autograd: (n, D, D). Rows are known not to mix."""
    joint = torch.autograd.functional.jacobian(lambda rows: function(rows).sum(0), x)
    return joint.movedim(1, 0)


@settings(max_examples=6)
@given(dim=DIMS, n=COUNTS, seed=SEEDS)
@example(dim=1, n=17, seed=0)
@example(dim=64, n=17, seed=1)
@example(dim=5, n=0, seed=2)
@example(dim=5, n=1, seed=3)
def test_inverse_undoes_forward_and_forward_undoes_inverse(case, device, dim, n, seed):
    bijection = case.build(dim, seed, device)
    context = case.context(n, seed, device)
    with torch.no_grad():
        x = case.rows(n, dim, seed, device)
        z, log_det = bijection(x, context)
        assert z.shape == (n, dim)
        assert log_det.shape == (n,)
        assert_close(bijection.inverse(z, context), x, 1e-9)

        z = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)).double().to(device)
        assert_close(bijection(bijection.inverse(z, context), context)[0], z, 1e-9)


@settings(max_examples=4)
@given(dim=DIMS, seed=SEEDS)
@example(dim=1, seed=0)
@example(dim=20, seed=1)
def test_log_det_is_that_of_the_jacobian_both_ways(case, device, dim, seed):
    bijection = case.build(dim, seed, device)
    n = 3
    x, context = case.rows(n, dim, seed, device), case.context(n, seed, device)
    with torch.no_grad():
        z, log_det = bijection(x, context)

    forward = jacobians(lambda rows: bijection(rows, context)[0], x)
    backward = jacobians(lambda rows: bijection.inverse(rows, context), z)

    assert_close(log_det, torch.linalg.slogdet(forward).logabsdet, 1e-8)
    assert_close(-log_det, torch.linalg.slogdet(backward).logabsdet, 1e-8)


def test_inverse_is_exact_after_training_in_float32(case, device):
    """What is learned in float32 is the same map, as exactly inverted, in float64."""
    dim, n, seed = 6, 40, 0
    bijection = case.build(dim, seed, device, shake=0.0).float().train()
    rows, context = case.rows(n, dim, seed, device), case.context(n, seed, device)
    parameters = list(bijection.parameters())
    if parameters:
        optimizer = torch.optim.AdamW(parameters, lr=2e-3, foreach=False)
        for _ in range(10):
            optimizer.zero_grad()
            z, log_det = bijection(rows.float(), None if context is None else context.float())
            (0.5 * z.square().sum(1) - log_det).mean().backward()
            optimizer.step()

    bijection.double().eval()
    with torch.no_grad():
        assert_close(bijection.inverse(bijection(rows, context)[0], context), rows, 1e-9)


def test_row_does_not_depend_on_its_batch(case, device):
    dim, n, seed = 5, 17, 3
    bijection = case.build(dim, seed, device)
    x, context = case.rows(n, dim, seed, device), case.context(n, seed, device)
    with torch.no_grad():
        z, log_det = bijection(x, context)
        for i in range(n):
            row = None if context is None else context[i : i + 1]
            alone, log_det_alone = bijection(x[i : i + 1], row)
            assert_close(alone, z[i : i + 1], 1e-12)
            assert_close(log_det_alone, log_det[i : i + 1], 1e-12)
            assert_close(bijection.inverse(alone, row), bijection.inverse(z, context)[[i]], 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(case, device, dtype):
    bijection = case.build(4, 0, device).to(dtype)
    x, context = case.rows(3, 4, 0, device), case.context(3, 0, device)
    context = None if context is None else context.to(dtype)
    z, log_det = bijection(x.to(dtype), context)
    assert z.dtype == log_det.dtype == bijection.inverse(z, context).dtype == dtype


def test_wrong_width_names_both_numbers(case, device):
    if case.name == "empty-chain":
        pytest.skip("the identity takes rows of any width")
    bijection = case.build(5, 0, device)
    context = case.context(2, 0, device)
    wrong = torch.zeros(2, 3, dtype=torch.float64, device=device)
    for function in (bijection, bijection.inverse):
        with pytest.raises(ValueError, match=r"(?s)5.*3"):
            function(wrong, context)


def test_context_is_used_or_refused(case, device):
    """Only maps without a conditioner ignore it, so that a chain can pass it to its members."""
    n, dim = 5, 4
    bijection = case.build(dim, 0, device)
    x, context = case.rows(n, dim, 0, device), case.context(n, 0, device)
    conditioned = any(isinstance(module, Conditioner) for module in bijection.modules())
    other = torch.ones(n, 3, dtype=torch.float64, device=device)
    with torch.no_grad():
        z, log_det = bijection(x, context)
        if context is None and not conditioned:
            assert torch.equal(bijection(x, other)[0], z)
            assert torch.equal(bijection.inverse(z, other), bijection.inverse(z))
            return
        for function in (bijection, bijection.inverse):
            with pytest.raises(ValueError, match="context"):
                function(z, other)
        if context is not None:
            for function in (bijection, bijection.inverse):
                with pytest.raises(ValueError, match=r"\(5, 2\), got None"):
                    function(z)
            moved, moved_log_det = bijection(x, context + 1)
            assert ((moved - z).abs().amax(1) > 1e-6).all()
            assert ((moved_log_det - log_det).abs() > 1e-6).all()
            assert ((bijection.inverse(z, context + 1) - x).abs().amax(1) > 1e-6).all()


def test_decayed_parameters_are_the_matrices_of_the_networks_once_each(case, device):
    bijection = case.build(4, 0, device)
    networks = [module for module in bijection.modules() if isinstance(module, Conditioner)]
    expected = [id(p) for network in networks for p in network.parameters() if p.ndim > 1]
    assert [id(p) for p in bijection.decayed_parameters()] == expected


def test_repr_and_building_leave_the_global_random_stream_alone(case, device):
    before = torch.get_rng_state()
    text = repr(case.build(4, 0, device))
    assert torch.equal(torch.get_rng_state(), before)
    assert text == repr(case.build(4, 0, device))


def test_copy_and_state_dict_give_the_same_map(case, device):
    bijection = case.build(4, 0, device)
    x, context = case.rows(5, 4, 0, device), case.context(5, 0, device)
    with torch.no_grad():
        expected = [part.clone() for part in bijection(x, context)]
        clone = copy.deepcopy(bijection)
        restored = case.build(4, 0, device)
        for tensor in restored.state_dict().values():
            tensor.zero_()
        restored.load_state_dict(bijection.state_dict())
        # The copies must not share what the original now loses.
        for tensor in bijection.state_dict().values():
            tensor.zero_()

        for other in (clone, restored):
            for actual, wanted in zip(other(x, context), expected, strict=True):
                assert torch.equal(actual, wanted)


def test_chain_slices_share_parameters_and_compose(case, device):
    chain = case.build(4, 0, device)
    if not isinstance(chain, Chain):
        chain = Chain(chain, copy.deepcopy(chain))
    x, context = case.rows(5, 4, 0, device), case.context(5, 0, device)
    with torch.no_grad():
        z, log_det = chain(x, context)
        for k in range(len(chain) + 1):
            middle, first = chain[:k](x, context)
            end, second = chain[k:](middle, context)
            assert torch.equal(end, z)
            assert_close(first + second, log_det, 1e-12)
            assert {id(p) for p in chain[:k].parameters()} <= {id(p) for p in chain.parameters()}
    assert [id(member) for member in chain[::-1]] == [
        id(member) for member in reversed(list(chain))
    ]
