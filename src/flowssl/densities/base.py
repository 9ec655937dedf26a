"""The contract of class-conditional densities: the latent half of ``log_joint``.

A method is a flow plus a class density. The class density gives ``log p(z, y=k)`` for latents ``z``
and draws latents of a class; predictions, scores and samples follow from these two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from flowssl.bijections import Bijection
from flowssl.densities.prior import ClassPrior


def check_temperature(temperature: float) -> None:
    """Raise ``ValueError`` unless a temperature is 0 or more."""
    if not temperature >= 0:
        raise ValueError(f"temperature must be at least 0, got {temperature}")


@dataclass(frozen=True)
class ClassInit:
    """Initialization of a class density, computed from soft labels before any training.

    Attributes
    ----------
    means : Tensor of shape (C, M, D), float64
        Latent means of the M components of each class; M = 1 for densities with one center.
    prior : ClassPrior
        The class probabilities.
    weights : Tensor of shape (C, M), optional
        Weights of the components within their class; equal by default.
    generator : torch.Generator, optional
        Source of random initial weights, on the CPU; by default a new one with PyTorch's default
        seed.

    Raises
    ------
    ValueError
        If the means are not of shape (C, M, D) for the C classes of the prior.

    Examples
    --------
    >>> import torch
    >>> from flowssl.densities import ClassInit, ClassPrior
    >>> ClassInit(torch.zeros(3, 1, 2), ClassPrior(torch.ones(3))).single_means().shape
    torch.Size([3, 2])
    """

    means: Tensor
    prior: ClassPrior
    weights: Tensor | None = None
    generator: torch.Generator = field(default_factory=torch.Generator)

    def __post_init__(self) -> None:
        n_classes = len(self.prior.logits)
        if self.means.ndim != 3 or len(self.means) != n_classes:
            raise ValueError(
                f"means must have shape ({n_classes}, M, D), got {tuple(self.means.shape)}"
            )

    def single_means(self) -> Tensor:
        """Return the means (C, D) of classes that have one component each.

        Raises
        ------
        ValueError
            If classes have several components.
        """
        if self.means.shape[1] != 1:
            raise ValueError(
                f"this class density has 1 center for each class, got {self.means.shape[1]}; "
                "set n_components=1"
            )
        return self.means[:, 0]


@dataclass(frozen=True)
class ClassDensityOptions:
    """Settings of a class density; each density reads those that apply to it.

    All are numbers, strings or None, so that ``dataclasses.asdict`` gives JSON.

    Attributes
    ----------
    covariance_type : str, default="spherical"
        Key of ``COVARIANCES``, for "gaussian".
    covariance_rank : int or None, default=None
        Rank of the "low_rank" covariance, at most the number of latents; None is 4, or the number
        of latents where that is smaller.
    n_components : int, default=1
        Number of Gaussians in each class, for "gaussian".
    learn : bool, default=True
        Whether training changes means, weights and covariances, for "gaussian".
    architecture : str or None, default=None
        Key of ``flowssl.architectures.ARCHITECTURES``, for "flow", which requires it.

    Examples
    --------
    >>> from dataclasses import asdict
    >>> from flowssl.densities import ClassDensityOptions
    >>> asdict(ClassDensityOptions(covariance_type="diag"))["covariance_type"]
    'diag'
    """

    covariance_type: str = "spherical"
    covariance_rank: int | None = None
    n_components: int = 1
    learn: bool = True
    architecture: str | None = None


class ClassDensity(nn.Module, ABC):
    """A joint density of latents and classes.

    Attributes
    ----------
    n_classes : int
        Number C of classes.
    dim : int
        Number D of latents.

    Examples
    --------
    >>> import torch
    >>> from flowssl.densities import ClassDensity, ClassPrior, GaussianClasses
    >>> density = GaussianClasses(torch.zeros(2, 3), ClassPrior(torch.ones(2)))
    >>> isinstance(density, ClassDensity), density.log_joint(torch.zeros(5, 3)).shape
    (True, torch.Size([5, 2]))
    """

    n_classes: int
    dim: int

    @abstractmethod
    def log_joint(self, z: Tensor) -> Tensor:
        """Return ``log p(z, y=k)`` for every class.

        Parameters
        ----------
        z : Tensor of shape (n, D)

        Returns
        -------
        Tensor of shape (n, C)
            Nats.
        """

    @abstractmethod
    def sample(
        self, y: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw one latent for each class index.

        Parameters
        ----------
        y : Tensor of shape (n,), int64
            Class indices, on the device of the density.
        temperature : float, default=1.0
            Factor of the covariance: ``z ~ N(mu_k, T Sigma_k)`` (Izmailov et al. 2020, section
            6.3); at least 0.
        generator : torch.Generator, optional
            Of the same device as ``y``; PyTorch's global generator of that device by default.

        Returns
        -------
        Tensor of shape (n, D)

        Raises
        ------
        ValueError
            If the temperature is negative.
        """

    @abstractmethod
    def log_prior(self) -> Tensor:
        """Return ``log p(y=k)``, shape (C,), nats."""

    @abstractmethod
    def class_means(self) -> Tensor:
        """Return the latent at the center of each class, shape (C, D)."""

    def squared_distance(self, z: Tensor) -> Tensor:
        """Return the squared distance of each latent (n, D) to the nearest Gaussian, shape (n,).

        Of a Gaussian it is the Mahalanobis distance, which has D on average over its own rows. By
        default the Gaussians are ``N(m_k, I)`` around the class means.
        """
        means = self.class_means()
        return torch.cdist(z, means).square().amin(1)

    def center_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the class centers, which have a learning rate of their own.

        By default those of the densities that this one wraps.
        """
        for part in _parts(self):
            if isinstance(part, ClassDensity):
                yield from part.center_parameters()

    def decayed_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that weight decay shrinks.

        By default those of the densities and bijections that this density contains.
        """
        for part in _parts(self):
            yield from part.decayed_parameters()

    def forward(self, z: Tensor) -> Tensor:
        """Return :meth:`log_joint`."""
        return self.log_joint(z)


class BuildableClassDensity(ClassDensity):
    """A class density that estimators can build: the base of the classes in ``CLASS_DENSITIES``.

    Examples
    --------
    >>> import torch
    >>> from flowssl.densities import CLASS_DENSITIES, ClassDensityOptions, ClassInit, ClassPrior
    >>> init = ClassInit(torch.zeros(3, 1, 2), ClassPrior(torch.ones(3)))
    >>> CLASS_DENSITIES["gaussian"].from_init(init, ClassDensityOptions()).n_classes
    3
    """

    whitens_classes: ClassVar[bool] = True
    """Whether the flow is initialized with unit covariance within the classes, or else overall."""

    uses: ClassVar[frozenset[str]] = frozenset()
    """The fields of `ClassDensityOptions` that it reads; a non-default value of others is refused."""

    has_prior: ClassVar[bool] = True
    """Whether it has class probabilities that training can change."""

    @classmethod
    @abstractmethod
    def from_init(cls, init: ClassInit, options: ClassDensityOptions) -> Self:
        """Build the density with which training begins.

        Parameters
        ----------
        init : ClassInit
            Means, prior and component weights.
        options : ClassDensityOptions
            Settings; those that do not apply to the density are not read.

        Raises
        ------
        ValueError
            If options and initialization do not fit.
        """


def _parts(module: nn.Module) -> Iterator[ClassDensity | Bijection]:
    """Yield the outermost densities and bijections inside a module."""
    for child in module.children():
        if isinstance(child, ClassDensity | Bijection):
            yield child
        else:
            yield from _parts(child)
