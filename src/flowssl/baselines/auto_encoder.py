"""Variational auto-encoders of rows with or without their class (Kingma et al. 2014)."""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn

from flowssl.baselines.network import DropoutNetwork

Kind = Literal["m1", "m2", "m1+m2"]
KINDS = ("m1", "m2", "m1+m2")
LOG_2PI = math.log(2 * math.pi)


def noisy(mean: Tensor, scale: Tensor | float, generator: torch.Generator) -> Tensor:
    """Draw from a Gaussian with independent columns."""
    return mean + scale * torch.empty_like(mean).normal_(generator=generator)


class M2VAENetwork(nn.Module):
    """The networks of a kind: M1's auto-encoder, the classifier q(y | x), M2's auto-encoder.

    Without a generator, its parameters have shapes but no memory; see `DropoutNetwork`.
    """

    features: AutoEncoder | None
    generative: AutoEncoder | None

    def __init__(
        self,
        kind: Kind,
        dim: int,
        n_latents: int,
        hidden: tuple[int, ...],
        n_classes: int,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.kind, self.n_latents, self.hidden = kind, n_latents, hidden
        self.n_classes = n_classes
        self.features = self.generative = None
        if kind != "m2":
            self.features = AutoEncoder(dim, n_latents, hidden, 0, generator)
            dim = n_latents
        sizes = (dim, n_classes) if kind == "m1" else (dim, *hidden, n_classes)
        self.classifier = DropoutNetwork(sizes, 0.0, generator)
        if kind != "m1":
            self.generative = AutoEncoder(dim, n_latents, hidden, n_classes, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, C) of rows (n, D)."""
        if self.features is not None:
            x = self.features.encode(x, None)[0]
        logits: Tensor = self.classifier(x)
        return logits

    def inputs(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return what the second stage is trained on: rows, or draws of their latents in M1."""
        if self.features is None:
            return x
        mean, log_scale = self.features.encode(x, None)
        return noisy(mean, log_scale.exp(), generator)

    def sample(self, y: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        """Draw one row for each class index in ``y`` (n,), shape (n, D)."""
        if self.generative is None:
            raise ValueError(
                "kind='m1' has no classes in its density; use kind 'm2' or 'm1+m2' to sample"
            )
        z = self.generative.log_scale.new_zeros(len(y), self.n_latents)
        spread = temperature**0.5
        x = self.generative.generate(noisy(z, spread, generator), y, spread, generator)
        return x if self.features is None else self.features.generate(x, None, spread, generator)

    def unlabeled_bound(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return ``sum_y q(y|x) L(x, y) - H(q(y|x))`` of rows (n, D), eq. 7, shape (n,)."""
        generative = cast(AutoEncoder, self.generative)  # M1 has no such stage
        log_q = self.classifier(x).log_softmax(1)
        y = torch.arange(self.n_classes, device=x.device).repeat(len(x))
        pairs = x.repeat_interleave(self.n_classes, 0)
        bounds = generative.bound(pairs, y, generator).reshape(len(x), -1)
        expected: Tensor = (log_q.exp() * (bounds + log_q)).sum(1)
        return expected


class AutoEncoder(nn.Module):
    """Gaussian q(z | x, y) and p(x | z, y), with a standard normal prior of z."""

    def __init__(
        self,
        dim: int,
        n_latents: int,
        hidden: tuple[int, ...],
        n_classes: int,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.n_latents = n_latents
        self.n_classes = n_classes
        self.encoder = DropoutNetwork((dim + n_classes, *hidden, 2 * n_latents), 0.0, generator)
        self.decoder = DropoutNetwork((n_latents + n_classes, *hidden, dim), 0.0, generator)
        device = "meta" if generator is None else "cpu"
        self.log_scale = nn.Parameter(torch.zeros(dim, device=device, dtype=torch.float32))

    def encode(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return mean and log-scale of the latents, both (n, L)."""
        mean, log_scale = self.encoder(self._with_class(x, y)).chunk(2, dim=1)
        return mean, log_scale

    def generate(
        self, z: Tensor, y: Tensor | None, spread: float, generator: torch.Generator
    ) -> Tensor:
        """Draw rows (n, D) of latents (n, L) and classes; ``spread`` scales standard deviations."""
        return noisy(self.decoder(self._with_class(z, y)), spread * self.log_scale.exp(), generator)

    def bound(self, x: Tensor, y: Tensor | None, generator: torch.Generator) -> Tensor:
        """Return a draw of ``L(x, y) >= -log p(x, y)``, without y of ``-log p(x)``, shape (n,)."""
        mean, log_scale = self.encode(x, y)
        z = noisy(mean, log_scale.exp(), generator)
        error = (x - self.decoder(self._with_class(z, y))) * (-self.log_scale).exp()
        reconstruction = 0.5 * (error.square() + LOG_2PI).sum(1) + self.log_scale.sum()
        divergence = 0.5 * (mean.square() + (2 * log_scale).exp() - 1).sum(1) - log_scale.sum(1)
        log_classes = math.log(self.n_classes) if y is not None else 0.0
        bound: Tensor = reconstruction + divergence + log_classes
        return bound

    def _with_class(self, x: Tensor, y: Tensor | None) -> Tensor:
        if y is None:
            return x
        return torch.cat((x, nn.functional.one_hot(y, self.n_classes).to(x)), dim=1)
