"""Covariances of J latent Gaussians: spherical, diagonal, tied, low-rank and full.

Each kind evaluates the log-density of rows under all J Gaussians at once and builds a D x D
factor only where its structure requires one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

LOG_2PI = math.log(2 * math.pi)
DEFAULT_RANK = 4


class Covariance(nn.Module, ABC):
    """Covariances of J Gaussians in D dimensions, initialized at or near the identity.

    Parameters
    ----------
    n_components : int
        Number J of Gaussians.
    dim : int
        Number D of dimensions.

    Examples
    --------
    >>> import torch
    >>> from flowssl.densities import COVARIANCES
    >>> covariance = COVARIANCES["full"](n_components=2, dim=3)
    >>> covariance.log_prob(torch.zeros(5, 3), means=torch.zeros(2, 3)).shape
    torch.Size([5, 2])
    >>> covariance.matrices()[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    def __init__(self, n_components: int, dim: int) -> None:
        super().__init__()
        self.n_components = n_components
        self.dim = dim

    @abstractmethod
    def distances(self, z: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far rows lie from the means, in the units of the covariances.

        Parameters
        ----------
        z : Tensor of shape (n, D)
            Rows.
        means : Tensor of shape (J, D)
            Means of the Gaussians.

        Returns
        -------
        squared : Tensor of shape (n, J)
            Squared Mahalanobis distances ``(z - mu_j)^T Sigma_j^-1 (z - mu_j)``.
        log_det : Tensor of shape (J,) or ()
            ``log |Sigma_j| / 2``.
        """

    def log_prob(self, z: Tensor, means: Tensor) -> Tensor:
        """Return ``log N(z | mu_j, Sigma_j)`` for rows (n, D) and means (J, D), shape (n, J)."""
        squared, log_det = self.distances(z, means)
        return -0.5 * (squared + self.dim * LOG_2PI) - log_det

    @abstractmethod
    def color(self, noise: Tensor, component: Tensor) -> Tensor:
        """Turn N(0, I) noise (n, D) into N(0, Sigma_j) noise of each row's component (n,)."""

    @abstractmethod
    def matrices(self) -> Tensor:
        """Return the covariances as dense matrices, shape (J, D, D)."""


def _squared_distances(z: Tensor, means: Tensor) -> Tensor:
    """Return ``||z_i - m_j||^2`` by one matrix product; rows are centered first for accuracy."""
    center = means.mean(0)
    z, means = z - center, means - center
    return z.square().sum(1, keepdim=True) - 2 * (z @ means.T) + means.square().sum(1)


def _scaled_distances(z: Tensor, means: Tensor, log_scale: Tensor) -> Tensor:
    """Return ``sum_d (z_id - m_jd)^2 / sigma_jd^2`` by two matrix products; rows are centered."""
    precision = (-2 * log_scale).exp()
    constant = (means.square() * precision).sum(1)
    return z.square() @ precision.T - 2 * (z @ (means * precision).T) + constant


class Widened(Covariance):
    """Covariances of another kind, all times the same factor: ``v Sigma_j``.

    Parameters
    ----------
    inner : Covariance
        The covariances ``Sigma_j``.
    factor : float
        The factor ``v``, positive.
    """

    def __init__(self, inner: Covariance, factor: float) -> None:
        super().__init__(inner.n_components, inner.dim)
        self.inner = inner
        self.factor = factor

    def distances(self, z: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances (n, J) and halves of the log-determinants (J,)."""
        squared, half_log_det = self.inner.distances(z, means)
        return squared / self.factor, half_log_det + 0.5 * self.dim * math.log(self.factor)

    def color(self, noise: Tensor, component: Tensor) -> Tensor:
        """Scale what the other covariances make of the noise."""
        return math.sqrt(self.factor) * self.inner.color(noise, component)

    def matrices(self) -> Tensor:
        """Return the covariances as dense matrices, shape (J, D, D)."""
        return self.factor * self.inner.matrices()


class Spherical(Covariance):
    """``Sigma_j = sigma_j^2 I``: one matrix product (n x D by D x J) for all components."""

    def __init__(self, n_components: int, dim: int) -> None:
        super().__init__(n_components, dim)
        self.log_scale = nn.Parameter(torch.zeros(n_components, dtype=torch.float32))

    def distances(self, z: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances (n, J) and halves of the log-determinants (J,)."""
        squared = _squared_distances(z, means) * (-2 * self.log_scale).exp()
        return squared, self.dim * self.log_scale

    def color(self, noise: Tensor, component: Tensor) -> Tensor:
        """Scale the noise by each component's standard deviation."""
        return noise * self.log_scale.exp()[component, None]

    def matrices(self) -> Tensor:
        """Return the covariances as dense matrices, shape (J, D, D)."""
        return torch.diag_embed((2 * self.log_scale).exp()[:, None].expand(-1, self.dim))


class Diagonal(Covariance):
    """``Sigma_j = diag(sigma_j1^2 .. sigma_jD^2)``: two matrix products."""

    def __init__(self, n_components: int, dim: int) -> None:
        super().__init__(n_components, dim)
        self.log_scale = nn.Parameter(torch.zeros(n_components, dim, dtype=torch.float32))

    def distances(self, z: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances (n, J) and halves of the log-determinants (J,)."""
        center = means.mean(0)
        squared = _scaled_distances(z - center, means - center, self.log_scale)
        return squared, self.log_scale.sum(1)

    def color(self, noise: Tensor, component: Tensor) -> Tensor:
        """Scale each coordinate of the noise."""
        return noise * self.log_scale.exp()[component]

    def matrices(self) -> Tensor:
        """Return the covariances as dense matrices, shape (J, D, D)."""
        return torch.diag_embed((2 * self.log_scale).exp())


def _triangular(lower: Tensor, log_diagonal: Tensor) -> Tensor:
    """Return lower triangular matrices (..., D, D) with the diagonals ``exp(log_diagonal)``."""
    return lower.tril(-1) + torch.diag_embed(log_diagonal.exp())


class Tied(Covariance):
    """One full covariance for all components, parametrized by a triangular factor of its inverse.

    ``Sigma^-1 = A^T A`` with ``A`` lower triangular, so a log-density is a product with ``A``
    and training needs no factorization.
    """

    def __init__(self, n_components: int, dim: int) -> None:
        super().__init__(n_components, dim)
        self.lower = nn.Parameter(torch.zeros(dim, dim, dtype=torch.float32))
        self.log_diagonal = nn.Parameter(torch.zeros(dim, dtype=torch.float32))

    def _factor(self) -> Tensor:
        return _triangular(self.lower, self.log_diagonal)

    def distances(self, z: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances (n, J) and halves of the log-determinants ()."""
        factor = self._factor()
        center = means.mean(0)
        squared = _squared_distances((z - center) @ factor.T, (means - center) @ factor.T)
        return squared, -self.log_diagonal.sum()

    def color(self, noise: Tensor, component: Tensor) -> Tensor:
        """Solve ``A x = noise``."""
        colored: Tensor = torch.linalg.solve_triangular(self._factor(), noise.T, upper=False).T
        return colored

    def matrices(self) -> Tensor:
        """Return the covariances as dense matrices, shape (J, D, D)."""
        factor = self._factor()
        covariance: Tensor = torch.linalg.inv(factor.T @ factor)
        return covariance.expand(self.n_components, -1, -1)


class LowRank(Covariance):
    """``Sigma_j = diag(sigma_j^2) + V_j V_j^T`` with V_j of shape (D, rank).

    Densities use the matrix inversion and determinant lemmas: a rank x rank factorization for
    each component, never a D x D one.

    Parameters
    ----------
    n_components, dim : int
        Number J of Gaussians, number D of dimensions.
    rank : int or None, default=None
        Columns of V, from 1 to D; None is 4, or D where that is smaller. V is initialized at
        small, distinct directions: at exactly zero its gradient would vanish.

    Raises
    ------
    ValueError
        If the rank is not from 1 to D.
    """

    def __init__(self, n_components: int, dim: int, rank: int | None = None) -> None:
        super().__init__(n_components, dim)
        if rank is not None and not 1 <= rank <= dim:
            raise ValueError(
                f"covariance_rank must be from 1 to {dim}, the number of latent dimensions, got "
                f"{rank}; covariance_type='full' has no limit on the rank"
            )
        self.rank = min(DEFAULT_RANK, dim) if rank is None else rank
        self.log_scale = nn.Parameter(torch.zeros(n_components, dim, dtype=torch.float32))
        directions = torch.eye(dim, dtype=torch.float32)[:, : self.rank]
        self.factor = nn.Parameter(0.1 * directions.repeat(n_components, 1, 1))

    def distances(self, z: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances (n, J) and halves of the log-determinants (J,)."""
        center = means.mean(0)
        z, means = z - center, means - center
        scaled = self._scaled_factor()
        eye = torch.eye(self.rank, dtype=scaled.dtype, device=scaled.device)
        cholesky = torch.linalg.cholesky(eye + scaled.mT @ scaled)
        weighted = scaled * (-self.log_scale).exp()[:, :, None]
        offset = torch.einsum("nd,jdr->jrn", z, weighted)
        offset = offset - torch.einsum("jd,jdr->jr", means, weighted)[:, :, None]
        projected = torch.linalg.solve_triangular(cholesky, offset, upper=False)
        squared = _scaled_distances(z, means, self.log_scale) - projected.square().sum(1).T
        log_det = self.log_scale.sum(1) + cholesky.diagonal(dim1=1, dim2=2).log().sum(1)
        return squared, log_det

    def color(self, noise: Tensor, component: Tensor) -> Tensor:
        """Multiply by ``S (I + W W^T)^1/2`` with S the scales and W = S^-1 V, one SVD of W."""
        u, s, _ = torch.linalg.svd(self._scaled_factor(), full_matrices=False)
        u, gain = u[component], (torch.sqrt(1 + s.square()) - 1)[component]
        along = gain * torch.einsum("ndr,nd->nr", u, noise)
        stretched = noise + torch.einsum("ndr,nr->nd", u, along)
        colored: Tensor = stretched * self.log_scale.exp()[component]
        return colored

    def _scaled_factor(self) -> Tensor:
        return self.factor * (-self.log_scale).exp()[:, :, None]

    def matrices(self) -> Tensor:
        """Return the covariances as dense matrices, shape (J, D, D)."""
        return torch.diag_embed((2 * self.log_scale).exp()) + self.factor @ self.factor.mT


class Full(Covariance):
    """A full covariance for each component, parametrized by a triangular factor of its inverse.

    ``Sigma_j^-1 = A_j^T A_j`` with ``A_j`` lower triangular and its diagonal stored as a logarithm:
    ``A_j^-1`` is the Cholesky factor of ``Sigma_j``. One matrix product (n x D by D x JD) gives the
    log-densities; there are J D (D + 1) / 2 parameters to estimate.
    """

    def __init__(self, n_components: int, dim: int) -> None:
        super().__init__(n_components, dim)
        self.lower = nn.Parameter(torch.zeros(n_components, dim, dim, dtype=torch.float32))
        self.log_diagonal = nn.Parameter(torch.zeros(n_components, dim, dtype=torch.float32))

    def _factor(self) -> Tensor:
        return _triangular(self.lower, self.log_diagonal)

    def distances(self, z: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances (n, J) and halves of the log-determinants (J,)."""
        factor, center = self._factor(), means.mean(0)
        projected = (z - center) @ factor.flatten(0, 1).T
        projected = projected - torch.einsum("jed,jd->je", factor, means - center).flatten()
        squared = projected.square().reshape(-1, self.n_components, self.dim).sum(2)
        return squared, -self.log_diagonal.sum(1)

    def color(self, noise: Tensor, component: Tensor) -> Tensor:
        """Solve ``A_j x = noise`` with the factor of each row's component."""
        colored = torch.empty_like(noise)
        for j, factor in enumerate(self._factor()):
            rows = component == j
            colored[rows] = torch.linalg.solve_triangular(factor, noise[rows].T, upper=False).T
        return colored

    def matrices(self) -> Tensor:
        """Return the covariances as dense matrices, shape (J, D, D)."""
        factor = self._factor()
        eye = torch.eye(self.dim, dtype=factor.dtype, device=factor.device)
        cholesky: Tensor = torch.linalg.solve_triangular(factor, eye, upper=False)
        return cholesky @ cholesky.mT


COVARIANCES: dict[str, type[Covariance]] = {
    "spherical": Spherical,
    "diag": Diagonal,
    "tied": Tied,
    "low_rank": LowRank,
    "full": Full,
}
"""The kinds by name, in scikit-learn's spelling where it has one."""


def build_covariance(kind: str, n_components: int, dim: int, rank: int | None = None) -> Covariance:
    """Build a covariance by its name in ``COVARIANCES``.

    Parameters
    ----------
    kind : str
        A key of ``COVARIANCES``.
    n_components, dim : int
        Number of Gaussians, number of dimensions.
    rank : int or None, default=None
        Rank of a "low_rank" covariance; None is its default.

    Raises
    ------
    ValueError
        If the kind is unknown, has no rank to choose, or the rank is out of range.
    """
    if kind not in COVARIANCES:
        raise ValueError(f"covariance must be one of {sorted(COVARIANCES)}, got {kind!r}")
    covariance = COVARIANCES[kind]
    if rank is None:
        return covariance(n_components, dim)
    if not issubclass(covariance, LowRank):
        raise ValueError(
            f"covariance_rank={rank} needs a 'low_rank' covariance: {kind!r} has no rank to choose"
        )
    return covariance(n_components, dim, rank)
