"""Committed results: one JSON file with every window's time, one Markdown table of medians."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.speed.models import PEERS, Size
from benchmarks.speed.products import gflop
from benchmarks.speed.timing import Timing, ratio

FOLDER = Path(__file__).with_name("results")


def floor_name(route: str) -> str:
    """Return the name of a route's floor in the tables."""
    return f"floor, {route}"


@dataclass(frozen=True)
class SizeResult:
    """What was measured at one size; differences and errors in nats."""

    size: Size
    n_parameters: int
    largest_difference: float
    log_det_errors: dict[str, float]
    training: dict[str, Timing]
    prediction: dict[str, Timing]

    def targets(self) -> dict[str, float]:
        """Return each flowssl's training step as a multiple of the floor and of the best peer."""
        base = (
            floor_name("onednn") if floor_name("onednn") in self.training else floor_name("default")
        )
        fastest = min(PEERS, key=lambda name: self.training[name].median)
        found = {}
        for name, timing in self.training.items():
            if name.startswith("flowssl"):
                found[f"{name} / {base}"] = ratio(timing, self.training[base])
                found[f"{fastest} / {name}"] = ratio(self.training[fastest], timing)
        return found


def table(result: SizeResult) -> str:
    """Return the Markdown table of one size."""
    size = result.size
    lines = [
        f"### D = {size.dim}, hidden {size.hidden}, batch {size.batch:,}",
        "",
        f"{result.n_parameters:,} parameters in each; log p(x) of the same weights within "
        f"{result.largest_difference:.0e} nats, log-determinants within "
        f"{max(result.log_det_errors.values()):.0e} of autograd's (float64).",
        "",
        "| ms: median (minimum - maximum) | training step | of the fastest floor | prediction |",
        "| --- | --- | --- | --- |",
    ]
    floors = [timing for name, timing in result.training.items() if name.startswith("floor")]
    lowest = min(floors, key=lambda timing: timing.median)
    for name in result.training | result.prediction:
        step, score = result.training.get(name), result.prediction.get(name)
        times = f"{ratio(step, lowest):.2f}" if step else "-"
        lines.append(f"| {name} | {_cell(step)} | {times} | {_cell(score)} |")
    lines += ["", f"The products of a step are {gflop(size, backward=True):.2f} GFLOP.", ""]
    lines += [f"* {name}: {value:.2f}" for name, value in result.targets().items()]
    return "\n".join([*lines, ""])


def _cell(timing: Timing | None) -> str:
    if timing is None:
        return "-"
    return f"{timing.median:.2f} ({timing.least:.2f} - {timing.most:.2f})"


def write(folder: Path, facts: dict[str, object], measured: list[SizeResult]) -> None:
    """Write ``speed.json`` and ``table.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "machine": facts,
        "sizes": [asdict(result) | {"ratios": result.targets()} for result in measured],
    }
    (folder / "speed.json").write_text(json.dumps(record, indent=1) + "\n")
    lines = ["# Speed", "", *(f"* {name}: {_fact(value)}" for name, value in facts.items()), ""]
    (folder / "table.md").write_text("\n".join(lines + [table(result) for result in measured]))


def _fact(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_fact(part)}" for key, part in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
