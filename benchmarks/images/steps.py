"""Time a training step of each preset and the fraction that the class density takes of it.

    OMP_NUM_THREADS=1 python -m benchmarks.images.steps --preset small glow --batch 64

A step takes 64 images (32 labeled and 32 unlabeled in the paper) and a view of each, both with
gradient, and updates with AdamW.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from flowssl._views import Translated, Views
from flowssl.bijections import ConvResNet
from flowssl.densities import ClassPrior, GaussianClasses
from flowssl.image_architectures import IMAGE_ARCHITECTURES, build_image_flow, train_in_bfloat16
from flowssl.models import JointModel
from flowssl.objectives import Batch, Consistency, CrossEntropy, Likelihood, Objective

RESULTS = Path(__file__).parent / "results" / "steps.json"
SHAPES = {"mnist": (1, 28, 28), "cifar": (3, 32, 32)}
CLASSES = 10
KEY = ("preset", "images", "batch", "bfloat16", "threads")
"""Identifies an entry of the results; a new one replaces the old."""


@dataclass(frozen=True)
class Case:
    """One preset on images of one shape."""

    preset: str
    shape: str
    batch: int
    bfloat16: bool


def measure(case: Case, repeats: int) -> dict[str, object]:
    """Return CPU seconds per step, the median after one to warm up."""
    shape = SHAPES[case.shape]
    dim = shape[0] * shape[1] * shape[2]
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (case.batch, dim), generator=generator).float() + 0.5
    flow = build_image_flow(IMAGE_ARCHITECTURES[case.preset], shape, x=x, generator=generator)
    if case.bfloat16:
        train_in_bfloat16(flow)
    means = torch.randn(CLASSES, dim, generator=generator)
    model = JointModel(flow, GaussianClasses(means, ClassPrior(torch.ones(CLASSES)))).train()
    terms = [Likelihood(), CrossEntropy(dim, labeled_only=True)]
    terms.append(Consistency(model.class_density.log_prior))
    objective = Objective(terms, Views(shape, (Translated(4),)), noise=Views(shape, ()))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    index = torch.arange(case.batch)
    labeled = index < case.batch // 2
    batch = Batch(
        x, torch.eye(CLASSES)[index % CLASSES], labeled, torch.ones(len(index)) / len(index), index
    )

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        objective(model, batch).backward()
        optimizer.step()

    z = torch.randn(case.batch, dim, generator=generator, requires_grad=True)

    def class_density() -> None:
        model.class_density(z).logsumexp(1).mean().backward()

    seconds = _seconds(step, repeats)
    of_classes = _seconds(class_density, 20)
    parameters = sum(p.numel() for m in flow.modules() for p in m.parameters(recurse=False))
    uses_half = any(isinstance(m, ConvResNet) and m.in_bfloat16 for m in flow.modules())
    return {
        "preset": case.preset,
        "images": case.shape,
        "batch": case.batch,
        "parameters": parameters,
        "bfloat16": uses_half,
        "threads": torch.get_num_threads(),
        "cpu_seconds_per_step": round(seconds, 3),
        "cpu_seconds_per_1000_images": round(1000 * seconds / case.batch, 2),
        "class_density_fraction": round(2 * of_classes / seconds, 5),
    }


def _seconds(run: Callable[[], None], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return statistics.median(times[1:])


def main() -> None:
    """Measure the presets asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images.steps", description=__doc__)
    parser.add_argument("--preset", nargs="+", default=list(IMAGE_ARCHITECTURES))
    parser.add_argument("--shape", choices=SHAPES, default="mnist")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--float32", action="store_true", help="do not use bfloat16")
    arguments = parser.parse_args()
    done = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for preset in arguments.preset:
        case = Case(preset, arguments.shape, arguments.batch, not arguments.float32)
        measured = measure(case, arguments.repeats)
        done = [other for other in done if any(other[key] != measured[key] for key in KEY)]
        done.append(measured)
        print(json.dumps(done[-1]), flush=True)
        RESULTS.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main()
