"""Conditional-flow classes: a flow conditioned on the class maps each class to N(0, I).

This is the class density of the semi-conditional flow (Atanov et al. 2019, section 3.3, eq. 4). One
small flow serves all classes: the class enters the networks of its couplings as an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from flowssl.architectures import ARCHITECTURES, build_couplings
from flowssl.bijections import Bijection
from flowssl.densities.base import (
    BuildableClassDensity,
    ClassDensityOptions,
    ClassInit,
    check_temperature,
)
from flowssl.densities.prior import ClassPrior

LOG_2PI = math.log(2 * math.pi)
CHUNK_PAIRS = 2**15
"""Pairs of a row and a class that go through the flow at once, which bounds the memory."""
MAX_EMBEDDING = 16
"""Largest width of the class embedding."""


class ConditionalFlowClasses(BuildableClassDensity):
    """``p(z, y=k) = p(y=k) N(h(z; k) | 0, I) |det dh(z; k)/dz|``.

    ``h(z; k) = g((z - mu_k) / sigma_k; e_k)`` with an invertible ``g`` that is initialized as the
    identity: training begins with Gaussian classes.

    Parameters
    ----------
    means : Tensor of shape (C, D)
        Initial class centers.
    prior : ClassPrior
        The class probabilities.
    flow : Bijection
        The map g, which takes a context of width K.
    embedding : Tensor of shape (C, K)
        Initial embeddings e_k of the classes; they are learned.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> import torch
    >>> from flowssl.densities import ClassDensityOptions, ClassInit, ClassPrior
    >>> from flowssl.densities import ConditionalFlowClasses
    >>> init = ClassInit(torch.eye(2)[:, None], ClassPrior(torch.ones(2)))
    >>> classes = ConditionalFlowClasses.from_init(init, ClassDensityOptions(architecture="small"))
    >>> y = torch.tensor([0, 1])
    >>> code = classes.encode(torch.zeros(2, 2), y)
    >>> torch.allclose(classes.decode(code, y), torch.zeros(2, 2), atol=1e-6)
    True
    """

    uses: ClassVar[frozenset[str]] = frozenset({"architecture"})

    def __init__(
        self, means: Tensor, prior: ClassPrior, flow: Bijection, embedding: Tensor
    ) -> None:
        super().__init__()
        if means.ndim != 2 or not len(means) == len(embedding) == len(prior.logits):
            raise ValueError(
                f"means and embedding need one row for each of {len(prior.logits)} classes, got "
                f"shapes {tuple(means.shape)} and {tuple(embedding.shape)}"
            )
        self.n_classes, self.dim = means.shape
        dtype = torch.float32
        self.prior = prior
        self.means = nn.Parameter(means.to(dtype).clone())
        self.log_scale = nn.Parameter(torch.zeros(self.n_classes, self.dim, dtype=dtype))
        self.embedding = nn.Parameter(embedding.to(dtype).clone())
        self.flow = flow

    @classmethod
    def from_init(cls, init: ClassInit, options: ClassDensityOptions) -> Self:
        """Begin with unit Gaussians around the class means, and ``options.architecture``.

        Up to 16 classes have embeddings of their own; more share 16 random directions.

        Raises
        ------
        ValueError
            If the architecture is no preset of vectors, or classes have several means.
        """
        if options.architecture not in ARCHITECTURES:
            raise ValueError(
                f"the architecture of conditional-flow classes must be one of "
                f"{', '.join(ARCHITECTURES)}; got {options.architecture!r}"
            )
        means = init.single_means()
        n_classes, dim = means.shape
        width = min(n_classes, MAX_EMBEDDING)
        embedding = torch.eye(n_classes, dtype=torch.float32)
        if n_classes > width:
            embedding = torch.randn(n_classes, width, generator=init.generator, dtype=torch.float32)
        flow = build_couplings(
            ARCHITECTURES[options.architecture],
            dim,
            context_features=width,
            generator=init.generator,
        )
        return cls(means, init.prior, flow, embedding)

    def log_joint(self, z: Tensor) -> Tensor:
        """Return ``log p(z, y=k)``, shape (n, C), nats: all classes of a chunk of rows at once.

        With several chunks, training stores no activations and recomputes them for the gradient.
        """
        chunks = torch.split(z, max(1, CHUNK_PAIRS // self.n_classes))
        if len(chunks) > 1 and torch.is_grad_enabled():
            parts = [checkpoint(self._log_prob, rows, use_reentrant=False) for rows in chunks]
        else:
            parts = [self._log_prob(rows) for rows in chunks]
        return torch.cat(parts) + self.log_prior()

    def _log_prob(self, z: Tensor) -> Tensor:
        code, log_det = self._encode_all(z)
        return log_det - 0.5 * (code.square().sum(2) + self.dim * LOG_2PI)

    def squared_distance(self, z: Tensor) -> Tensor:
        """Return the smallest ``|h(z; k)|^2`` over the classes, shape (n,)."""
        chunks = torch.split(z, max(1, CHUNK_PAIRS // self.n_classes))
        codes = (self._encode_all(rows)[0] for rows in chunks)
        return torch.cat([code.square().sum(2).amin(1) for code in codes])

    def encode(self, z: Tensor, y: Tensor) -> Tensor:
        """Return the class-free code ``z_h = h(z; y)`` of latents (n, D) of classes (n,)."""
        return self._encode(z, self.means[y], self.log_scale[y], self.embedding[y])[0]

    def decode(self, code: Tensor, y: Tensor) -> Tensor:
        """Return the latents (n, D) of class-free codes (n, D) in classes (n,)."""
        z = self.flow.inverse(code, self.embedding[y])
        return z * self.log_scale[y].exp() + self.means[y]

    def _encode_all(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes (n, C, D) and log-determinants (n, C) of latents (n, D) in all classes."""
        return self._encode(z[:, None], self.means, self.log_scale, self.embedding)

    def _encode(
        self, z: Tensor, means: Tensor, log_scale: Tensor, embedding: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Map latents to codes (..., D) and log-determinants (...) by broadcasting."""
        scaled = (z - means) * (-log_scale).exp()
        shape = scaled.shape[:-1]
        context = embedding.expand(*shape, -1).reshape(-1, embedding.shape[-1])
        code, log_det = self.flow(scaled.reshape(-1, self.dim), context)
        return code.reshape(scaled.shape), log_det.reshape(shape) - log_scale.sum(-1)

    def log_prior(self) -> Tensor:
        """Return ``log p(y=k)``, shape (C,), nats."""
        log_prior: Tensor = self.prior()
        return log_prior

    def class_means(self) -> Tensor:
        """Return ``h^-1(0; k)``, the latent at the center of each class, shape (C, D)."""
        y = torch.arange(self.n_classes, device=self.means.device)
        return self.decode(torch.zeros_like(self.means), y)

    def center_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the class centers."""
        yield self.means

    def sample(
        self, y: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw ``h^-1(z_h; y)`` with ``z_h ~ N(0, T I)``, shape (n, D).

        Raises
        ------
        ValueError
            If the temperature is negative.
        """
        check_temperature(temperature)
        noise = torch.randn(
            len(y), self.dim, dtype=self.means.dtype, device=y.device, generator=generator
        )
        return self.decode(temperature**0.5 * noise, y)
