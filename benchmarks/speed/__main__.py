"""Command line of the speed benchmark."""

import argparse
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from benchmarks.speed import machine, products, results, sameness
from benchmarks.speed.models import FLOWS, Flow, FlowSSL, Size
from benchmarks.speed.timing import CLOCKS, Timing, interleaved
from torch import Tensor, nn

SIZES = ("21x256x2020", "43x256x2020", "768x512x400")
COMPILED = "flowssl, compiled"
BFLOAT16 = "flowssl, bfloat16"
FLOAT64 = "flowssl, float64"

Call = Callable[[], object]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument(
        "--sizes", nargs="+", type=Size.parse, default=[Size.parse(text) for text in SIZES],
        metavar="DxHxN", help="columns x hidden units x rows in a batch",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=2, help="threads (default: 2)")
    parser.add_argument("--repeats", type=int, default=11, help="windows of each (default: 11)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="default: wall")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("-o", "--output", type=Path, default=results.FOLDER, metavar="FOLDER")
    return parser.parse_args(argv)


def training_step(flow: Flow, log_prob: Callable[[Tensor], Tensor], x: Tensor) -> Call:
    """Return a function that takes one step on the mean negative log-likelihood."""
    optimizer = flow.optimizer()

    def step() -> None:
        loss = -log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def prediction(log_prob: Callable[[Tensor], Tensor], x: Tensor) -> Call:
    """Return a function that scores the rows without gradients."""

    def score() -> Tensor:
        with torch.no_grad():
            return log_prob(x)

    return score


def _compiled(flow: Flow) -> Callable[[Tensor], Tensor]:
    joint: nn.Module = torch.compile(flow.module)
    return lambda x: joint(x).logsumexp(1)


def _in_bfloat16(flow: Flow) -> Callable[[Tensor], Tensor]:
    def log_prob(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return flow.log_prob(x)

    return log_prob


def training_candidates(size: Size, compile: bool) -> dict[str, Call]:
    """Return what is timed as a training step, the floors first."""
    x = torch.randn(size.batch, size.dim)
    calls: dict[str, Call] = {
        results.floor_name(name): products.floor(size, route, backward=True)
        for name, route in products.available().items()
    }
    for kind in FLOWS:
        flow = kind(size)
        calls[flow.name] = training_step(flow, flow.log_prob, x)
    if compile:
        flow = FlowSSL(size)
        calls[COMPILED] = training_step(flow, _compiled(flow), x)
    flow = FlowSSL(size)
    calls[BFLOAT16] = training_step(flow, _in_bfloat16(flow), x)
    return calls


def prediction_candidates(size: Size, compile: bool) -> dict[str, Call]:
    """Return what is timed as a prediction, the floors first."""
    x = torch.randn(size.batch, size.dim)
    calls: dict[str, Call] = {
        results.floor_name(name): products.floor(size, route, backward=False)
        for name, route in products.available().items()
    }
    for kind in FLOWS:
        flow = kind(size)
        flow.module.eval()
        calls[flow.name] = prediction(flow.log_prob, x)
    if compile:
        flow = FlowSSL(size)
        flow.module.eval()
        calls[COMPILED] = prediction(_compiled(flow), x)
    flow = FlowSSL(size)
    flow.module.double().eval()
    calls[FLOAT64] = prediction(flow.log_prob, x.double())
    return calls


def measure(size: Size, repeats: int, clock: str, compile: bool) -> results.SizeResult:
    """Check that the models are the same and time them."""
    difference = sameness.largest_difference(FLOWS, size)
    log_det = {kind.name: sameness.log_det_error(kind, size) for kind in FLOWS}
    if max(difference, *log_det.values()) > sameness.TOLERANCE:
        raise SystemExit(f"the likelihoods differ at {size}: {difference:.1e} nats, {log_det}")
    torch.manual_seed(0)
    training: dict[str, Timing] = interleaved(training_candidates(size, compile), repeats, clock)
    scoring: dict[str, Timing] = interleaved(prediction_candidates(size, compile), repeats, clock)
    return results.SizeResult(
        size, FlowSSL(size).n_parameters, difference, log_det, training, scoring
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Time all sizes and write the table."""
    arguments = _arguments(argv)
    torch.set_num_threads(arguments.threads)
    # The peers use deprecated functions of torch; their warnings are not of interest here.
    warnings.filterwarnings("ignore")
    torch._dynamo.config.cache_size_limit = 64
    compile = not arguments.no_compile
    load = os.getloadavg()[0]
    facts = machine.describe(arguments.threads)
    facts |= {"clock": arguments.clock, "repeats": arguments.repeats, "load at the start": load}
    measured = []
    for size in arguments.sizes:
        measured.append(measure(size, arguments.repeats, arguments.clock, compile))
        print(results.table(measured[-1]), flush=True)
    facts["load at the end"] = os.getloadavg()[0]
    results.write(arguments.output, facts, measured)


if __name__ == "__main__":
    main()
