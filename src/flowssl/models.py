"""The joint model: a flow and a class density behind one function, ``log_joint``.

Everything that flowssl predicts, scores, samples or trains on is derived from
``log_joint(x) = log p(x, y=k)`` here, once, for every method.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from flowssl.bijections import Bijection
from flowssl.densities import ClassDensity

__all__ = ["JointModel"]


class JointModel(nn.Module):
    """``p(x, y=k) = p(z, y=k) |det dz/dx|`` with ``z = f(x)`` (Izmailov et al. 2020, eq. 1, 2).

    Parameters
    ----------
    flow : Bijection
        The map f from data to latents.
    class_density : ClassDensity
        The joint density of latents and classes.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import Chain, vector_coupling
    >>> from flowssl.densities import ClassPrior, GaussianClasses
    >>> from flowssl.models import JointModel
    >>> means = torch.tensor([[-2.0, 0.0], [2.0, 0.0]])
    >>> flow = Chain(vector_coupling(2), vector_coupling(2, flip=True))
    >>> model = JointModel(flow, GaussianClasses(means, ClassPrior(torch.ones(2))))
    >>> model.posterior(means).argmax(1).tolist()
    [0, 1]
    >>> model.sample(torch.tensor([0, 1, 1])).shape
    torch.Size([3, 2])
    """

    def __init__(self, flow: Bijection, class_density: ClassDensity) -> None:
        super().__init__()
        self.flow = flow
        self.class_density = class_density

    @property
    def n_classes(self) -> int:
        """Number C of classes."""
        n_classes: int = self.class_density.n_classes
        return n_classes

    def forward(self, x: Tensor) -> Tensor:
        """Return :meth:`log_joint`; training calls this, on one device or on several."""
        z, log_det = self.flow(x)
        joint: Tensor = self.class_density(z) + log_det[:, None]
        return joint

    def log_joint(self, x: Tensor) -> Tensor:
        """Return ``log p(x, y=k)`` of rows (n, D), shape (n, C), nats."""
        joint: Tensor = self(x)
        return joint

    def log_prob(self, x: Tensor) -> Tensor:
        """Return ``log p(x) = logsumexp_k log p(x, y=k)``, shape (n,), nats (eq. 3)."""
        return self.log_joint(x).logsumexp(1)

    def posterior(self, x: Tensor) -> Tensor:
        """Return ``p(y=k | x)`` by Bayes' rule, shape (n, C) (eq. 5)."""
        return self.log_joint(x).softmax(1)

    def latent(self, x: Tensor) -> Tensor:
        """Return ``z = f(x)``, shape (n, D)."""
        z: Tensor = self.flow(x)[0]
        return z

    def squared_distance(self, x: Tensor) -> Tensor:
        """Return the squared distance of ``f(x)`` to the nearest Gaussian of a class, shape (n,)."""
        return self.class_density.squared_distance(self.latent(x))

    def sample(
        self, y: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw one row for each class index.

        Parameters
        ----------
        y : Tensor of shape (n,), int64
            Class indices, on the device of the model.
        temperature : float, default=1.0
            Factor of the latent covariances; below 1 the rows come closer to the typical row of
            their class, ``f^-1(mu_k)``.
        generator : torch.Generator, optional
            Of the same device; PyTorch's global generator of that device by default.

        Returns
        -------
        Tensor of shape (n, D)
        """
        return self.flow.inverse(self.class_density.sample(y, temperature, generator))

    def center_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the class centers, which have a learning rate of their own."""
        yield from self.class_density.center_parameters()

    def decayed_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the flow and the class density that weight decay shrinks."""
        yield from self.flow.decayed_parameters()
        yield from self.class_density.decayed_parameters()
