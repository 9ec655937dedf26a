"""The cost of classes: ``log_joint`` of a semi-conditional flow with 10 classes compared with one.

``python -m benchmarks.scnf.cost`` times the evaluation and a training step of a wide unconditional
flow under a small conditional flow, for 1, 10 and 100 classes, interleaved, and measures the peak
memory of each in a separate process. It writes ``results/cost.json`` and prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from flowssl.architectures import Architecture, build_flow
from flowssl.densities import (
    ClassDensityOptions,
    ClassInit,
    ClassPrior,
    ConditionalFlowClasses,
    SemiConditionalClasses,
)
from flowssl.layers import couplings
from flowssl.models import JointModel

RESULTS = Path(__file__).parent / "results" / "cost.json"
DIM, FEATURES, N_ROWS = 384, 8, 1024
UNCONDITIONAL = Architecture(couplings(8, (512, 512)))
CLASSES = (1, 10, 100)
REPEATS = 15


def build_classes(n_classes: int) -> ConditionalFlowClasses:
    """Build a class density of 8 latents."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(n_classes, 1, FEATURES, generator=generator, dtype=torch.float64)
    init = ClassInit(means, ClassPrior(torch.ones(n_classes)), generator=generator)
    return ConditionalFlowClasses.from_init(init, ClassDensityOptions(architecture="small"))


def build(n_classes: int) -> JointModel:
    """Build a model of 384 columns whose classes see 8 latents."""
    generator = torch.Generator().manual_seed(0)
    classes = SemiConditionalClasses(build_classes(n_classes), DIM)
    flow = build_flow(UNCONDITIONAL, torch.eye(DIM), torch.zeros(DIM), generator=generator)
    return JointModel(flow, classes)


def evaluate(model: JointModel, x: torch.Tensor) -> None:
    """Evaluate without gradients."""
    with torch.no_grad():
        model.log_joint(x)


def step(model: JointModel, x: torch.Tensor) -> None:
    """Compute the likelihood's gradient."""
    model.zero_grad()
    model.log_joint(x).logsumexp(1).mean().backward()


def times() -> dict[str, dict[int, float]]:
    """Return median seconds of both for each number of classes; the runs are interleaved."""
    models = {c: build(c) for c in CLASSES}
    x = torch.randn(N_ROWS, DIM, generator=torch.Generator().manual_seed(1))
    figures: dict[str, dict[int, float]] = {}
    for name, work in (("evaluation", evaluate), ("training step", step)):
        seconds: dict[int, list[float]] = {c: [] for c in CLASSES}
        for _ in range(REPEATS):
            for c, model in models.items():
                began = time.process_time()
                work(model, x)
                seconds[c].append(time.process_time() - began)
        figures[name] = {c: float(np.median(values[2:])) for c, values in seconds.items()}
    return figures


def peak(n_classes: int, n_rows: int) -> float:
    """Return what a step of the class density adds to the peak memory, MiB (Linux)."""
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from benchmarks.memory import peak_mib\n"
        "from benchmarks.scnf import cost\n"
        f"model = cost.build_classes({n_classes})\n"
        f"z = torch.randn({n_rows}, cost.FEATURES)\n"
        "model.log_joint(z[:8]).sum().backward()\n"
        "before = peak_mib()\n"
        "model.log_joint(z).sum().backward()\n"
        "print(peak_mib() - before)\n"
    )
    # Large blocks are returned to the system when freed: the peak has no fragmentation.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return float(run.stdout)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    figures = {
        "seconds": times(),
        "peak_mib": {f"C = 100, n = {n}": peak(100, n) for n in (256, 1024, 4096, 16384)},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    for name, values in figures["seconds"].items():
        ratios = ", ".join(f"C = {c}: {s / values[1]:.2f}" for c, s in values.items())
        print(f"{name}: {1000 * values[1]:.0f} ms with one class; times that: {ratios}")
    print("peak MiB of the class density:", figures["peak_mib"])


if __name__ == "__main__":
    main()
