"""Command line: ``python -m benchmarks.gpu``; five minutes on one card, nothing is downloaded.

Without a card it says so and exits with 0. ``--device cpu --quick`` runs every part without one.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import torch
from benchmarks.gpu.cases import cases
from benchmarks.gpu.measures import Row, processes, sameness, speed

import flowssl

RESULTS = Path(__file__).parent / "results"
EPOCHS = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Run all parts, print the tables and write them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a trial without a card")
    parser.add_argument("--quick", action="store_true", help="few rows and steps")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for JSON and table")
    arguments = parser.parse_args(argv)
    device, quick = arguments.device, arguments.quick
    if device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here, so there is nothing to measure; --device cpu --quick")
        print("runs the same parts on the processor.")
        return
    found: dict[str, object] = {"machine": machine(device), "quick": quick}
    found["sameness"] = [
        sameness(name, case, device, 1 if quick else EPOCHS)
        for name, case in cases(quick=quick).items()
    ]
    found["speed"] = [
        speed(name, device, precision, compiled=compiled, quick=quick)
        for name in ("digits", "embeddings", "images")
        for precision, compiled in settings(quick)
    ]
    if device == "cpu" or torch.cuda.device_count() >= 2:
        found["two_processes"] = processes(device, quick=quick)
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / f"{device}.json").write_text(json.dumps(found, indent=2) + "\n")
    page = tables(found)
    (arguments.results / f"{device}.md").write_text(page)
    print(page)


def settings(quick: bool) -> list[tuple[str, bool]]:
    """Return precisions, with and without compilation (which takes a minute on a processor)."""
    plain = [("32-true", False), ("bf16-mixed", False)]
    return plain if quick else [*plain, ("32-true", True), ("bf16-mixed", True)]


def machine(device: str) -> dict[str, str]:
    """Describe what the figures were measured on."""
    name = platform.processor() or platform.machine()
    if device != "cpu":
        name = torch.cuda.get_device_name()
    return {"device": name, "torch": torch.__version__, "flowssl": flowssl.__version__}


def tables(found: dict[str, object]) -> str:
    """Return the results as Markdown."""
    parts = [f"# {', '.join(f'{k} {v}' for k, v in found['machine'].items())}\n"]
    for part in ("sameness", "speed"):
        parts += [f"\n## {part}\n", markdown(found[part])]
    if "two_processes" in found:
        parts += ["\n## two processes\n", markdown([found["two_processes"]])]
    return "\n".join(parts) + "\n"


def markdown(rows: list[Row]) -> str:
    """Return rows with the same keys as a table."""
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_shown(row[key]) for key in head) + " |" for row in rows]
    return "\n".join(lines)


def _shown(value: object) -> str:
    return f"{value:.2e}" if isinstance(value, float) and abs(value) < 1e-2 else str(value)


if __name__ == "__main__":
    main()
