"""What the figures were measured on: processor, versions, peaks and the precision of each route."""

import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch
from benchmarks.speed import products
from benchmarks.speed.models import FLOWS

PEAK_SIDE = 1536
PEAK_SECONDS = 1.0

Facts = dict[str, object]


def describe(threads: int) -> Facts:
    """Return the facts that a speed depends on."""
    routes = products.available()
    return {
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": threads,
        "torch": torch.__version__,
        "versions": {kind.name: version(kind.name) for kind in FLOWS},
        "peak, GFLOP/s": {name: round(peak(route)) for name, route in routes.items()},
        "relative error": {name: products.relative_error(route) for name, route in routes.items()}
        | {"fp32_precision='bf16', not used": products.relative_error_of_bf16_flag()},
    }


def peak(product: products.Product) -> float:
    """Return the best rate of a large square float32 product within a second, GFLOP/s."""
    a, b = torch.randn(PEAK_SIDE, PEAK_SIDE), torch.randn(PEAK_SIDE, PEAK_SIDE)
    best = float("inf")
    end = time.perf_counter() + PEAK_SECONDS
    while time.perf_counter() < end:
        began = time.perf_counter()
        product(a, b)
        best = min(best, time.perf_counter() - began)
    return 2 * PEAK_SIDE**3 / best / 1e9


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
