"""Seeds of global generators: the same draws, and nothing left behind."""

import torch

from flowssl.training.seeding import seeded


def test_a_seed_gives_the_same_draws_and_the_generator_goes_on_as_if_unused(device):
    torch.manual_seed(5)
    expected = torch.rand(3, device=device)
    torch.manual_seed(5)
    draws = []
    for seed in (1, 2, 1):
        with seeded(seed, device):
            draws.append(torch.rand(4, device=device))
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])
    assert torch.equal(torch.rand(3, device=device), expected)


def test_a_seed_is_that_of_torch(device):
    with seeded(7, device):
        draw = torch.randn(5, device=device)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        assert torch.equal(torch.randn(5, device=device), draw)
