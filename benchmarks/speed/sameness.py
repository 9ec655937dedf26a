"""Whether the timed models compute the same thing: the condition for comparing their speed."""

import math
from collections.abc import Sequence

import torch
from benchmarks.speed.models import N_COUPLINGS, Flow, Size, Weights
from torch import Tensor

TOLERANCE = 1e-9
"""Nats, in float64."""


def largest_difference(flows: Sequence[type[Flow]], size: Size) -> float:
    """Return how far apart the libraries' log p(x) are with the same weights, float64, nats.

    Raises
    ------
    ValueError
        If the models do not have equally many parameters.
    """
    generator = torch.Generator().manual_seed(0)
    couplings = [Weights.draw(size, i, generator) for i in range(N_COUPLINGS)]
    x = torch.randn(64, size.dim, generator=generator, dtype=torch.float64)
    counts, values = {}, []
    for kind in flows:
        flow = kind(size)
        flow.module.double()
        flow.load(couplings)
        counts[flow.name] = flow.n_parameters
        with torch.no_grad():
            values.append(flow.log_prob(flow.ordered(x)))
    if len(set(counts.values())) > 1:
        raise ValueError(f"the models differ in their numbers of parameters: {counts}")
    return max(float((value - values[0]).abs().max()) for value in values)


def log_det_error(kind: type[Flow], size: Size) -> float:
    """Return the error of log p(x) against autograd's Jacobian at random weights, float64, nats.

    Here scales depend on the row, through each library's own bound.
    """
    flow = kind(size)
    flow.module.double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, last in flow.networks():
            last.weight.normal_(std=0.3 / math.sqrt(size.hidden), generator=generator)
    x = torch.randn(1, size.dim, generator=generator, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(flow.latent, x)[0, :, 0]
    z: Tensor = flow.latent(x)
    normal = -0.5 * (z.square().sum() + size.dim * math.log(2 * math.pi))
    exact = normal + torch.linalg.slogdet(jacobian).logabsdet
    return float((flow.log_prob(x)[0] - exact).detach().abs())
