"""Command line: ``python -m benchmarks.gpu``; nothing is downloaded.

Without a card it says so and exits with 0. ``--device cpu --quick`` runs every part without one.
Results are written after each part. Exit status 1: predictions on the card and on the CPU differ,
or a part failed.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from benchmarks.gpu import measures
from benchmarks.gpu.cases import FULL, NAMES, QUICK, cases
from benchmarks.gpu.measures import Row

import flowssl

RESULTS = Path(__file__).parent / "results"
PARTS = ("sameness", "speed", "two_processes")


def main(argv: Sequence[str] | None = None) -> int:
    """Run all parts, print the tables and write them; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu is a trial")
    parser.add_argument("--quick", action="store_true", help="few rows and steps")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for JSON and table")
    arguments = parser.parse_args(argv)
    device, quick = arguments.device, arguments.quick
    if device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here, so there is nothing to measure; --device cpu --quick")
        print("runs the same parts on the CPU.")
        return 0
    found: dict[str, object] = {"machine": machine(device), "quick": quick}
    found["seconds"] = dict.fromkeys((*PARTS, "all"), 0.0)
    found |= {"failures": []} | {part: [] for part in PARTS}
    began = time.perf_counter()
    for part, label, measure in tasks(device, quick=quick):
        started = time.perf_counter()
        try:
            found[part].append(measure())
        except Exception as error:  # noqa: BLE001  # the other parts are still measured
            traceback.print_exc()
            found["failures"].append(f"{part}, {label}: {type(error).__name__}: {error}")
        now = time.perf_counter()
        found["seconds"][part] = round(found["seconds"][part] + now - started, 1)
        found["seconds"]["all"] = round(now - began, 1)
        write(found, arguments.results / device)
    print(tables(found))
    return int(bool(found["failures"]) or not all(row["same"] for row in found["sameness"]))


def tasks(device: str, *, quick: bool) -> Iterator[tuple[str, str, Callable[[], Row]]]:
    """Yield everything that is measured: its part, what is measured, and the call that does it."""
    size = QUICK if quick else FULL
    for name, case in cases(size).items():
        yield (
            "sameness",
            name,
            lambda name=name, case=case: measures.sameness(name, case, device, size.epochs),
        )
    settings = [
        (name, precision, False) for name in NAMES for precision in ("32-true", "bf16-mixed")
    ]
    if not quick:  # compiling takes a minute
        settings += [("digits", "32-true", True), ("digits", "bf16-mixed", True)]
    for name, precision, compiled in settings:
        yield (
            "speed",
            f"{name}, {precision}, compile={compiled}",
            lambda name=name, precision=precision, compiled=compiled: measures.speed(
                name, device, precision, compiled=compiled, size=size
            ),
        )
    if device == "cpu" or torch.cuda.device_count() >= 2:
        yield "two_processes", "digits", lambda: measures.processes(device, quick=quick)


def machine(device: str) -> dict[str, object]:
    """Describe what the figures were measured on."""
    on_card = device != "cpu"
    return {
        "device": torch.cuda.get_device_name() if on_card else "CPU",
        "cards": torch.cuda.device_count() if on_card else 0,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "flowssl": flowssl.__version__,
    }


def write(found: dict[str, object], path: Path) -> None:
    """Write the results so far as JSON and as Markdown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
    path.with_suffix(".md").write_text(tables(found))


def tables(found: dict[str, object]) -> str:
    """Return the results as Markdown."""
    facts = found["machine"]
    title = f"Results on {facts['device']}" if facts["cards"] else "Trial without a card"
    parts = [f"# {title}\n", ", ".join(f"{key} {value}" for key, value in facts.items()) + ".\n"]
    if not facts["cards"]:
        parts += [
            "Run on the CPU to show that every part works. The figures say nothing about a GPU: the "
            "model is compared with a copy of itself on the same device.\n"
        ]
    if found["quick"]:
        parts += ["Quick form: few rows and steps.\n"]
    parts += ["Seconds: " + ", ".join(f"{k} {v}" for k, v in found["seconds"].items()) + ".\n"]
    parts += [f"Failed: {failure}\n" for failure in found["failures"]]
    for part in PARTS:
        if found[part]:
            parts += [f"## {part.replace('_', ' ').capitalize()}\n", markdown(found[part]) + "\n"]
    return "\n".join(parts)


def markdown(rows: list[Row]) -> str:
    """Return rows with the same keys as a table."""
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_shown(row[key]) for key in head) + " |" for row in rows]
    return "\n".join(lines)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.1e}" if isinstance(value, float) and 0 < abs(value) < 1e-2 else str(value)


if __name__ == "__main__":
    sys.exit(main())
