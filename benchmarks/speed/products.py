"""The floor: a step's matrix products alone, through each float32 route that PyTorch has here."""

from collections.abc import Callable

import torch
from benchmarks.speed.models import N_COUPLINGS, Size
from torch import Tensor

Product = Callable[[Tensor, Tensor], Tensor]
"""Multiplies (n, k) by the transpose of (m, k), both contiguous."""


def default(a: Tensor, b: Tensor) -> Tensor:
    """PyTorch's own choice: MKL's or OpenBLAS' sgemm, whichever it was built with."""
    return a @ b.T


def onednn(a: Tensor, b: Tensor) -> Tensor:
    """Multiply by oneDNN's inner product."""
    return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")


ROUTES: dict[str, Product] = {"default": default, "onednn": onednn}


def available() -> dict[str, Product]:
    """Return the routes of this build of PyTorch."""
    found = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return ROUTES if found else {"default": default}


def floor(size: Size, product: Product, *, backward: bool) -> Callable[[], None]:
    """Return a function that runs a step's products on operands laid out as the route wants them.

    Three for each linear layer of a training step, namely the output, the gradient of the input
    and the gradient of the weight; the first alone for a prediction.
    """
    pairs: list[tuple[Tensor, Tensor]] = []
    for coupling in range(N_COUPLINGS):
        given, changed = size.widths(coupling)
        for inside, outside in ((given, size.hidden), (size.hidden, 2 * changed)):
            x, weight = torch.randn(size.batch, inside), torch.randn(outside, inside)
            pairs.append((x, weight))
            if backward:
                gradient = torch.randn(size.batch, outside)
                pairs.append((gradient, weight.T.contiguous()))
                pairs.append((gradient.T.contiguous(), x.T.contiguous()))

    def run() -> None:
        for a, b in pairs:
            product(a, b)

    return run


def gflop(size: Size, *, backward: bool) -> float:
    """Return the floating-point operations of the floor, in thousand millions."""
    per_row = sum(size.hidden * (g + 2 * c) for g, c in map(size.widths, range(N_COUPLINGS)))
    return 2 * (3 if backward else 1) * size.batch * per_row / 1e9


def relative_error(product: Product) -> float:
    """Return the error of a float32 product against float64, relative in the Frobenius norm.

    About 1e-7 for float32 arithmetic, 1e-3 where a processor's bfloat16 unit did the work.
    """
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(256, 384, generator=generator)
    b = torch.randn(512, 384, generator=generator)
    exact = a.double() @ b.double().T
    return float((product(a, b).double() - exact).norm() / exact.norm())


def relative_error_of_bf16_flag() -> float:
    """Return the error of a float32 product under oneDNN's ``fp32_precision = "bf16"``.

    On some processors that flag merely picks faster float32 kernels; on those with bfloat16 matrix
    units it computes in bfloat16. Nothing here or in flowssl sets it; the figure says which it is.
    """
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    try:
        return relative_error(default)
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before
