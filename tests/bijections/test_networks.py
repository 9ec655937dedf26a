"""Conditioners: fast layers that compute what PyTorch's own do."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from flowssl.bijections import MLP, ConvResNet


def _shaken(*args, **kwargs):
    generator = torch.Generator().manual_seed(0)
    network = MLP(*args, generator=generator, **kwargs).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=generator)
    return network


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
@pytest.mark.parametrize("n", [0, 7])
@pytest.mark.parametrize("width", [3, 200])
def test_network_and_its_gradients_are_those_of_plain_linear_layers(hidden, n, width):
    network = _shaken(width, 2, hidden)
    wide = torch.randn(n, 2 * width, dtype=torch.float64)
    x = wide[:, ::2].detach().requires_grad_()  # a strided view, as couplings pass it
    layers = [layer for layer in network.layers if isinstance(layer, nn.Linear)]
    parameters = [p for layer in layers for p in (layer.weight, layer.bias)]
    expected = x
    for i, layer in enumerate(layers):
        expected = functional.linear(expected, layer.weight, layer.bias)
        expected = expected if i == len(layers) - 1 else expected.clamp_min(0)
    output = network(x)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    ours = torch.autograd.grad(output.square().sum(), [x, *parameters])
    theirs = torch.autograd.grad(expected.square().sum(), [x, *parameters])
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("probability", [0.2, 0.5, 0.999])
def test_dropout_drops_that_fraction_and_keeps_the_mean(probability):
    network = MLP(1, 1, (400_000,), dropout=probability)
    dropout = next(layer for layer in network.layers if isinstance(layer, nn.Dropout))
    torch.manual_seed(0)
    kept = dropout(torch.ones(1, 400_001)) != 0
    sigma = (probability * (1 - probability) / kept.numel()) ** 0.5
    assert abs(kept.double().mean() - (1 - probability)) < 4 * sigma + 2**-16
    # Neighbors come from the same random word: they must not fall together.
    for step in (1, 2, 3, 4):
        both = (kept[:, step:] & kept[:, :-step]).double().mean()
        assert abs(both - (1 - probability) ** 2) < 5 * sigma + 2**-15
    scale = dropout(torch.ones(1, 999, dtype=torch.float64)).max() if probability < 0.9 else None
    assert scale is None or scale.item() == pytest.approx(1 / (1 - probability), rel=1e-4)


def test_dropout_follows_the_global_seed_and_rests_in_evaluation():
    network = _shaken(2, 3, (16,), dropout=0.5)
    x = torch.randn(9, 2, dtype=torch.float64)
    torch.manual_seed(3)
    first, second = network(x), network(x)
    torch.manual_seed(3)
    assert torch.equal(network(x), first)
    assert not torch.equal(first, second)
    network.eval()
    before = torch.random.get_rng_state()
    assert torch.equal(network(x), network(x))
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(ValueError, match="probability"):
        MLP(2, 3, (16,), dropout=1.5)


@pytest.mark.parametrize(("probability", "kept"), [(1e-7, 1.0), (1.0, 0.0)])
def test_dropout_at_its_ends(probability, kept):
    network = MLP(1, 1, (50,), dropout=probability)
    dropout = next(layer for layer in network.layers if isinstance(layer, nn.Dropout))
    torch.manual_seed(0)
    assert (dropout(torch.ones(40, 50)) != 0).double().mean() == pytest.approx(kept, abs=2e-3)


def test_weights_follow_from_the_generator_alone():
    before = torch.get_rng_state()
    first, again, other = (
        MLP(3, 2, (5, 5), generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.layers[0].weight, again.layers[0].weight)
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)


def test_dropout_is_off_in_evaluation():
    network = MLP(3, 2, (64,), dropout=0.5)
    nn.init.normal_(network.layers[-1].weight)
    x = torch.ones(1, 3)
    assert torch.equal(network.eval()(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))


def test_context_is_one_more_input():
    network = _shaken(3, 2, (16,), context_features=2)
    plain = MLP(5, 2, (16,)).double()
    plain.load_state_dict(network.state_dict())
    x = torch.randn(7, 5, dtype=torch.float64)
    assert torch.equal(network(x[:, :3], x[:, 3:]), plain(x))


def test_context_of_an_image_is_at_every_pixel():
    network = ConvResNet(1, 2, 4, 1, context_features=2, generator=torch.Generator().manual_seed(0))
    torch.nn.init.normal_(network.last.weight)
    plain = ConvResNet(3, 2, 4, 1)
    plain.load_state_dict(network.state_dict())
    x, context = torch.randn(2, 1, 4, 4), torch.randn(2, 2)
    maps = context[:, :, None, None].repeat(1, 1, 4, 4)
    assert torch.equal(network(x, context), plain(torch.cat((x, maps), dim=1)))


def test_network_without_any_input_gives_constants():
    network = _shaken(0, 3, (8,))
    out = network(torch.zeros(4, 0, dtype=torch.float64))
    assert out.shape == (4, 3)
    assert (out == out[0]).all()
    assert (out != 0).all()
