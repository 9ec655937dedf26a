"""The same affine-coupling flow in four libraries, each through its own public classes.

Every model maps rows to a standard normal by couplings that alternate between the two halves of a
row, with one network for scale and shift. What differs is the library's own: the bound of the
scale, how halves are taken, how the pieces are called, and the optimizer that its guide shows.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import torch
from torch import Tensor, nn

from flowssl.bijections import Chain, vector_coupling
from flowssl.densities import ClassPrior, GaussianClasses
from flowssl.models import JointModel

N_COUPLINGS = 7


@dataclass(frozen=True)
class Size:
    """A problem: D columns, hidden widths of each coupling's network, rows in a batch."""

    dim: int
    hidden: int
    batch: int

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Read ``21x256x2020``."""
        return cls(*(int(part) for part in text.split("x")))

    def __str__(self) -> str:
        return f"{self.dim}x{self.hidden}x{self.batch}"

    def widths(self, coupling: int) -> tuple[int, int]:
        """Return how many columns a coupling conditions on and how many it changes."""
        first = self.dim // 2
        halves = (first, self.dim - first)
        return halves if coupling % 2 == 0 else halves[::-1]


@dataclass(frozen=True)
class Weights:
    """One coupling, ``z_b = x_b * exp(log_scale) + W_2 relu(W_1 x_a + b_1) + b_2``.

    The log-scale is the same for all rows, so that libraries which bound it in different ways can
    hold exactly the same map.
    """

    first: Tensor
    first_bias: Tensor
    log_scale: Tensor
    last: Tensor
    last_bias: Tensor

    @classmethod
    def draw(cls, size: Size, coupling: int, generator: torch.Generator) -> "Weights":
        """Draw weights in float64; log-scales below 0, as one library can only contract."""
        given, changed = size.widths(coupling)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        return cls(
            normal(size.hidden, given) / math.sqrt(given),
            normal(size.hidden) / 10,
            -0.2 * torch.rand(changed, generator=generator, dtype=torch.float64) - 0.01,
            normal(changed, size.hidden) / math.sqrt(size.hidden),
            normal(changed) / 10,
        )


class Flow(ABC):
    """A library's flow: its log-density, its latents, and how its weights are set."""

    name: str

    def __init__(self, size: Size) -> None:
        self.size = size
        self.module = self.build()

    @property
    def version(self) -> str:
        """The installed version of the library."""
        return version(self.name)

    @property
    def n_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.module.parameters() if p.requires_grad)

    @abstractmethod
    def build(self) -> nn.Module:
        """Make the module."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x), shape (n,)."""

    @abstractmethod
    def latent(self, x: Tensor) -> Tensor:
        """Return z = f(x), shape (n, D), columns in any order."""

    @abstractmethod
    def networks(self) -> Sequence[tuple[nn.Linear, nn.Linear]]:
        """Return the two linear layers of each coupling, in the order data pass them."""

    @abstractmethod
    def last_layer(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the last layer that make the coupling hold ``weights``."""

    def ordered(self, x: Tensor) -> Tensor:
        """Return rows with their columns in the order that ``load`` assumes."""
        return x

    def optimizer(self) -> torch.optim.Optimizer:
        """Return plain Adam, as the libraries' guides show."""
        return torch.optim.Adam(self.module.parameters(), lr=1e-3)

    @torch.no_grad()
    def load(self, couplings: Sequence[Weights]) -> None:
        """Hold the given couplings."""
        for (first, last), weights in zip(self.networks(), couplings, strict=True):
            first.weight.copy_(weights.first)
            first.bias.copy_(weights.first_bias)
            weight, bias = self.last_layer(weights)
            last.weight.copy_(weight)
            last.bias.copy_(bias)


def _interleave(shift: Tensor, scale: Tensor) -> Tensor:
    return torch.stack((shift, scale), 1).flatten(0, 1)


class FlowSSL(Flow):
    """flowssl's joint model with one class: N(0, I)."""

    name = "flowssl"

    def build(self) -> JointModel:
        """Make the module."""
        couplings = [
            vector_coupling(self.size.dim, flip=i % 2 == 1, hidden_features=(self.size.hidden,))
            for i in range(N_COUPLINGS)
        ]
        classes = GaussianClasses(
            torch.zeros(1, self.size.dim),
            ClassPrior(torch.ones(1)),
            learn_means=False,
            learn_covariance=False,
        )
        return JointModel(Chain(*couplings), classes)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x), shape (n,)."""
        return self.module(x).logsumexp(1)

    def latent(self, x: Tensor) -> Tensor:
        """Return z = f(x), shape (n, D)."""
        return self.module.latent(x)

    def optimizer(self) -> torch.optim.Optimizer:
        """Return AdamW in one fused kernel, as flowssl's training loop uses it."""
        trained = [p for p in self.module.parameters() if p.requires_grad]
        return torch.optim.AdamW(trained, lr=1e-3, fused=True)

    def networks(self) -> Sequence[tuple[nn.Linear, nn.Linear]]:
        """Return the two linear layers of each coupling."""
        nets = [coupling.conditioner.layers for coupling in self.module.flow]
        return [(net[0], net[-1]) for net in nets]

    def last_layer(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Log-scales first, ``s = 3 tanh(raw / 3)``, then shifts."""
        raw = 3 * torch.atanh(weights.log_scale / 3)
        weight = torch.cat((torch.zeros_like(weights.last), weights.last))
        return weight, torch.cat((raw, weights.last_bias))


class Zuko(Flow):
    """zuko's coupling transform with half masks instead of checkered ones."""

    name = "zuko"

    def build(self) -> nn.Module:
        """Make the module."""
        from zuko.distributions import DiagNormal
        from zuko.flows import Flow as ZukoFlow
        from zuko.flows import GeneralCouplingTransform, UnconditionalDistribution

        dim = self.size.dim
        first = torch.arange(dim) < dim // 2
        couplings = [
            GeneralCouplingTransform(
                dim,
                mask=first if i % 2 == 0 else ~first,
                hidden_features=(self.size.hidden,),
            )
            for i in range(N_COUPLINGS)
        ]
        base = UnconditionalDistribution(DiagNormal, torch.zeros(dim), torch.ones(dim), buffer=True)
        return ZukoFlow(couplings, base)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x), shape (n,)."""
        return self.module().log_prob(x)

    def latent(self, x: Tensor) -> Tensor:
        """Return z = f(x), shape (n, D)."""
        return self.module().transform(x)

    def networks(self) -> Sequence[tuple[nn.Linear, nn.Linear]]:
        """Return the two linear layers of each coupling."""
        nets = [coupling.hyper for coupling in self.module.transform.transforms]
        return [(net[0], net[-1]) for net in nets]

    def last_layer(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Shift and ``s = a / (1 + |a| / log 1000)`` in turn."""
        raw = weights.log_scale / (1 - weights.log_scale.abs() / math.log(1000))
        weight = _interleave(weights.last, torch.zeros_like(weights.last))
        return weight, _interleave(weights.last_bias, raw)


class NFlows(Flow):
    """nflows' affine coupling transform; its MLP takes no context, which the coupling passes."""

    name = "nflows"

    def build(self) -> nn.Module:
        """Make the module."""
        from nflows.distributions import StandardNormal
        from nflows.flows import Flow as NFlow
        from nflows.nn.nets import MLP
        from nflows.transforms import AffineCouplingTransform, CompositeTransform

        class Network(MLP):
            def forward(self, inputs: Tensor, context: Tensor | None = None) -> Tensor:
                return super().forward(inputs)

        hidden = [self.size.hidden]
        first = torch.arange(self.size.dim) < self.size.dim // 2
        couplings = [
            AffineCouplingTransform(
                (~first if i % 2 == 0 else first).int(),
                lambda given, changed: Network([given], [changed], hidden),
            )
            for i in range(N_COUPLINGS)
        ]
        return NFlow(CompositeTransform(couplings), StandardNormal([self.size.dim]))

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x), shape (n,)."""
        return self.module.log_prob(x)

    def latent(self, x: Tensor) -> Tensor:
        """Return z = f(x), shape (n, D)."""
        return self.module.transform_to_noise(x)

    def networks(self) -> Sequence[tuple[nn.Linear, nn.Linear]]:
        """Return the two linear layers of each coupling."""
        nets = [coupling.transform_net for coupling in self.module._transform._transforms]
        return [(net._input_layer, net._output_layer) for net in nets]

    def last_layer(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Shifts first, then ``exp(s) = sigmoid(raw + 2) + .001``."""
        raw = torch.logit(weights.log_scale.exp() - 1e-3) - 2
        weight = torch.cat((weights.last, torch.zeros_like(weights.last)))
        return weight, torch.cat((weights.last_bias, raw))


class NormFlows(Flow):
    """normflows' affine coupling block, whose inverse is the way from data to latents.

    Its networks start at zero, by its own option: its unbounded exponential otherwise gives an
    infinite first loss.
    """

    name = "normflows"

    def build(self) -> nn.Module:
        """Make the module."""
        from normflows import NormalizingFlow
        from normflows.distributions import DiagGaussian
        from normflows.flows import AffineCouplingBlock
        from normflows.nets import MLP

        blocks = []
        for i in range(N_COUPLINGS):
            given, changed = self.size.widths(i)
            network = MLP([given, self.size.hidden, 2 * changed], init_zeros=True)
            # It splits an odd row with the longer part first, so the parts are exchanged.
            mode = "channel_inv" if i % 2 == 0 else "channel"
            blocks.append(AffineCouplingBlock(network, split_mode=mode))
        return NormalizingFlow(DiagGaussian(self.size.dim, trainable=False), blocks[::-1])

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x), shape (n,)."""
        return self.module.log_prob(x)

    def latent(self, x: Tensor) -> Tensor:
        """Return z = f(x), shape (n, D)."""
        return self.module.inverse(x)

    def ordered(self, x: Tensor) -> Tensor:
        """Return rows with the second half first."""
        return x.roll(-(self.size.dim // 2), 1)

    def networks(self) -> Sequence[tuple[nn.Linear, nn.Linear]]:
        """Return the two linear layers of each coupling."""
        nets = [block.flows[1].param_map.net for block in reversed(self.module.flows)]
        return [(net[0], net[-1]) for net in nets]

    def last_layer(self, weights: Weights) -> tuple[Tensor, Tensor]:
        """Shift and log-scale in turn, ``z = (x - shift) exp(-scale)``."""
        inverse = (-weights.log_scale).exp()
        weight = _interleave(-weights.last * inverse[:, None], torch.zeros_like(weights.last))
        return weight, _interleave(-weights.last_bias * inverse, -weights.log_scale)


FLOWS: tuple[type[Flow], ...] = (FlowSSL, Zuko, NFlows, NormFlows)
PEERS: tuple[str, ...] = ("zuko", "nflows", "normflows")
