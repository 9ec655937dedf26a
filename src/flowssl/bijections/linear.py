"""Affine bijections: scales of the columns, full linear maps in LU form, fixed rotations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowssl.bijections.base import (
    ORTHOGONALITY_ERROR,
    Bijection,
    all_true,
    check_shape,
    layer_device,
    orthogonal,
    rows_of,
)


class ActNorm(Bijection):
    """A learned scale and shift of each column (Kingma and Dhariwal 2018, section 3.1).

    It starts as the identity. :meth:`initialize` sets it from data, explicitly, so that no call of
    ``forward`` depends on which batch is the first.

    Parameters
    ----------
    dim : int
        Width D of a row.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import ActNorm
    >>> layer = ActNorm(1)
    >>> layer.initialize(torch.tensor([[10.0], [14.0]]))
    >>> [round(value, 4) for value in layer(torch.tensor([[12.0], [14.0]]))[0].flatten().tolist()]
    [0.0, 1.0]
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.log_scale = nn.Parameter(torch.zeros(dim, dtype=torch.float32))
        self.shift = nn.Parameter(torch.zeros(dim, dtype=torch.float32))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Set scale and shift so that the latents of these rows have mean 0 and variance 1.

        Parameters
        ----------
        x : Tensor of shape (n, D)
            At least one row. Columns that do not vary keep the scale 1.

        Raises
        ------
        ValueError
            If there is no row, or ``x`` has another width.
        """
        check_shape(x, self.dim)
        if len(x) == 0:
            raise ValueError("ActNorm is initialized from at least 1 row, got 0")
        std, mean = torch.std_mean(x, dim=0, correction=0)
        # The rounded mean of equal numbers can differ from them; their range cannot.
        varies = x.amax(0) > x.amin(0)
        self.log_scale.copy_(-torch.where(varies, std, torch.ones_like(std)).log())
        self.shift.copy_(-mean * self.log_scale.exp())

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scale, then shift."""
        check_shape(x, self.dim)
        return x * self.log_scale.exp() + self.shift, rows_of(self.log_scale.sum(), x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Undo the shift, then the scale."""
        check_shape(z, self.dim)
        return (z - self.shift) * (-self.log_scale).exp()

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"dim={self.dim}"


class LULinear(Bijection):
    """A learned full linear map ``z = P L U x + b`` (Kingma and Dhariwal 2018, eq. 10).

    ``P`` is a fixed permutation, ``L`` has a unit diagonal and the diagonal of ``U`` is
    ``sign * exp(log_diagonal)``: the map is invertible for any parameters, and its log-determinant
    is a sum of D numbers.

    Parameters
    ----------
    weight : Tensor of shape (D, D)
        Initial matrix, invertible.
    bias : Tensor of shape (D,), optional
        Initial shift; zero by default.

    Raises
    ------
    ValueError
        If ``weight`` is not square or is singular, or ``bias`` has another length.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import LULinear
    >>> layer = LULinear(torch.tensor([[0.0, 2.0], [1.0, 0.0]]), torch.tensor([0.0, 5.0]))
    >>> z, log_det = layer(torch.tensor([[3.0, 4.0]]))
    >>> z.tolist(), round(log_det.item(), 3)
    ([[8.0, 8.0]], 0.693)
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        if weight.ndim != 2 or weight.shape[0] != weight.shape[1]:
            raise ValueError(f"weight must be a square matrix, got shape {tuple(weight.shape)}")
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ValueError(f"bias must have shape ({weight.shape[0]},), got {tuple(bias.shape)}")
        device = "meta" if weight.is_meta else layer_device()
        permutation, lower, upper = torch.linalg.lu(weight.to(device, torch.float64))
        diagonal = upper.diagonal()
        if not all_true(diagonal.abs() > 0):
            raise ValueError("weight is singular; a bijection needs an invertible matrix")
        dtype = torch.float32
        self.dim = weight.shape[0]
        self.rows: Tensor
        self.sign: Tensor
        self.register_buffer("rows", permutation.argmax(1))
        self.register_buffer("sign", diagonal.sign().to(dtype))
        self.lower = nn.Parameter(lower.tril(-1).to(dtype))
        self.upper = nn.Parameter(upper.triu(1).to(dtype))
        self.log_diagonal = nn.Parameter(diagonal.abs().log().to(dtype))
        # A copy: training must not write into the caller's tensor.
        initial = (
            torch.zeros(self.dim, dtype=dtype, device=device)
            if bias is None
            else bias.to(device, dtype, copy=True)
        )
        self.bias = nn.Parameter(initial)

    def check_buffers(self) -> None:
        """Refuse rows that are no permutation, and signs other than 1 and -1."""
        if not torch.equal(self.rows.sort().values, torch.arange(self.dim)):
            raise ValueError("the rows of a linear map are no permutation")
        if not (self.sign.abs() == 1).all():
            raise ValueError("the signs of a linear map must be 1 or -1")

    def _factors(self) -> tuple[Tensor, Tensor]:
        eye = torch.eye(self.dim, dtype=self.lower.dtype, device=self.lower.device)
        upper = self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())
        return self.lower.tril(-1) + eye, upper

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Multiply by the matrix and add the bias."""
        check_shape(x, self.dim)
        lower, upper = self._factors()
        # One product of matrices for all rows: most batches have more rows than columns.
        weight = (lower @ upper).index_select(0, self.rows)
        z = torch.addmm(self.bias, x, weight.T)
        return z, rows_of(self.log_diagonal.sum(), x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Solve the two triangular systems."""
        check_shape(z, self.dim)
        lower, upper = self._factors()
        rhs = (z - self.bias)[:, self.rows.argsort()].T
        rhs = torch.linalg.solve_triangular(lower, rhs, upper=False, unitriangular=True)
        x: Tensor = torch.linalg.solve_triangular(upper, rhs, upper=True).T
        return x

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"dim={self.dim}"


class Rotation(Bijection):
    """A fixed random rotation, which mixes the columns between couplings.

    The matrix is rounded to float32 when it is drawn, and the log-determinant of the rounded matrix
    (about 1e-7) is kept with it. The map and its exact inverse are then the same in any precision.

    Parameters
    ----------
    dim : int
        Width D of a row.
    generator : torch.Generator, optional
        Source of the rotation.

    Examples
    --------
    >>> import torch
    >>> from flowssl.bijections import Rotation
    >>> z, _ = Rotation(2, generator=torch.Generator().manual_seed(0))(torch.tensor([[3.0, 4.0]]))
    >>> round(z.norm().item(), 4)
    5.0
    """

    def __init__(self, dim: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.dim = dim
        rounded = orthogonal(dim, generator).to(torch.float32)
        log_det = torch.linalg.slogdet(rounded.to(torch.float64)).logabsdet
        self.weight: Tensor
        self.log_det: Tensor
        self.register_buffer("weight", rounded.to(torch.float32))
        self.register_buffer("log_det", log_det.to(torch.float32))

    def check_buffers(self) -> None:
        """Refuse a matrix that is no rotation, or another log-determinant than its own."""
        error = (self.weight @ self.weight.T - torch.eye(self.dim, dtype=self.weight.dtype)).abs()
        if (
            error.amax() > ORTHOGONALITY_ERROR
            or self.log_det.abs() > ORTHOGONALITY_ERROR * self.dim
        ):
            raise ValueError("the matrix of a rotation is not orthogonal")

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Rotate."""
        check_shape(x, self.dim)
        return x @ self.weight.T, rows_of(self.log_det, x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Rotate back."""
        check_shape(z, self.dim)
        x: Tensor = torch.linalg.solve(self.weight, z.T).T
        return x

    def extra_repr(self) -> str:
        """Describe the layer for ``repr``."""
        return f"dim={self.dim}"
