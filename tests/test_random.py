"""Generators of a thread: the draws of PyTorch's own, and nothing taken from the global ones."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch._dynamo

from flowssl._random import (
    generator_on,
    global_generator_seeded,
    rand_like,
    randint,
    randn_like,
    seeded,
)
from flowssl.bijections import MLP


def test_draws_are_those_of_torch_for_the_same_seed(device):
    x = torch.zeros(30, 7, device=device)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        normal, uniform = torch.randn_like(x), torch.rand_like(x)
        whole = torch.randint(-2, 3, (9, 1), device=device)
    with seeded(3, device):
        assert torch.equal(randn_like(x), normal)
        assert torch.equal(rand_like(x), uniform)
        assert torch.equal(randint(-2, 3, (9, 1), device), whole)


def test_the_global_generator_goes_on_as_if_unused(device):
    torch.manual_seed(5)
    expected = torch.rand(3, device=device)
    torch.manual_seed(5)
    draws = []
    for seed in (1, 2, 1):
        with seeded(seed, device):
            draws.append(randn_like(torch.zeros(4, device=device)))
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])
    assert torch.equal(torch.rand(3, device=device), expected)


def test_generators_nest_and_end(device):
    assert generator_on(device) is None
    with seeded(1, device):
        outer = generator_on(device)
        with seeded(2, device):
            assert generator_on(device) is not outer
        assert generator_on(device) is outer
    assert generator_on(device) is None


def test_a_thread_does_not_see_the_generator_of_another():
    with seeded(1), ThreadPoolExecutor(1) as pool:
        assert pool.submit(generator_on, torch.device("cpu")).result() is None


def test_outside_of_a_training_draws_follow_torch_manual_seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = torch.randn(5)
        torch.manual_seed(3)
        assert torch.equal(randn_like(torch.zeros(5)), expected)


def test_dropout_draws_from_the_generator_and_keeps_the_mean(device):
    network = MLP(4, 3, (400,), dropout=0.25).to(device).train()
    torch.nn.init.ones_(network.layers[-1].weight)
    before = torch.random.get_rng_state()
    x = torch.ones(200, 4, device=device)
    with seeded(1, device):
        first, second = network(x), network(x)
    with seeded(1, device):
        assert torch.equal(network(x), first)
    assert not torch.equal(first, second)
    assert first.mean().item() == pytest.approx(network.eval()(x).mean().item(), rel=0.02)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_functions_of_users_find_the_global_generator_seeded_and_leave_it(device):
    with torch.random.fork_rng():
        torch.manual_seed(8)
        expected = torch.rand(3, device=device)
        torch.manual_seed(8)
        draws = []
        for _ in range(2):
            with seeded(4, device), global_generator_seeded(device):
                draws.append(torch.rand(3, device=device))
        assert torch.equal(*draws)
        assert torch.equal(torch.rand(3, device=device), expected)


# PyTorch's compiler warns of what it does itself where a graph ends.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute")
def test_a_compiled_network_draws_from_the_generator_too():
    torch._dynamo.reset()
    network = MLP(4, 3, (16,), dropout=0.5).train()
    torch.nn.init.ones_(network.layers[-1].weight)
    compiled = torch.compile(network, backend="eager")
    before = torch.random.get_rng_state()
    with seeded(1):
        plain = network(torch.ones(5, 4))
    with seeded(1):
        assert torch.equal(compiled(torch.ones(5, 4)), plain)
    assert torch.equal(torch.random.get_rng_state(), before)
