"""Finished runs: one JSON line each in results/runs.jsonl, and their table in results/table.md.

Lines are appended, so concurrent runs lose nothing. Of several lines for the same run the last one
counts. ``python -m benchmarks.images.results`` rewrites the table.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).with_name("results")
RUNS = "runs.jsonl"

Run = dict[str, Any]

HEADER = (
    *("set", "labels", "method", "mean", "worst", "draws"),
    *("bits at level centers", "bits, E_u log p", "CPU minutes"),
)


def append(run: Run, folder: Path = FOLDER) -> None:
    """Add a finished run."""
    with (folder / RUNS).open("a") as file:
        file.write(json.dumps(run) + "\n")


def read(folder: Path = FOLDER) -> list[Run]:
    """Return the finished runs, each once."""
    lines = (folder / RUNS).read_text().splitlines()
    return list({(*_cell(run), run["seed"]): run for run in map(json.loads, lines)}.values())


def cells(runs: list[Run]) -> list[list[Run]]:
    """Group the draws of the same set, number of labels and method, in that order."""
    groups: dict[tuple[str, int, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[_cell(run)].append(run)
    return [groups[cell] for cell in sorted(groups)]


def name(run: Run) -> str:
    """Return the method, with the settings that are not automatic."""
    parts = [str(run["method"])]
    if run.get("architecture", "auto") != "auto":
        parts.append(str(run["architecture"]))
    if run.get("max_epochs", "auto") != "auto":
        parts.append(f"{run['max_epochs']} epochs")
    if run.get("images"):
        parts.append(f"{run['images']:,} images")
    return ", ".join(parts)


def table(runs: list[Run]) -> str:
    """Return accuracy, likelihood and cost of each cell as Markdown."""
    lines = [HEADER, ("---",) * len(HEADER)]
    for group in cells(runs):
        accuracy = [run["accuracy"] for run in group]
        lines.append(
            (
                group[0]["set"],
                f"{group[0]['labels']:,}",
                name(group[0]),
                f"{np.mean(accuracy):.4f}",
                f"{min(accuracy):.4f}",
                str(len(group)),
                _bits(group, "bits_per_dimension"),
                _bits(group, "expected_bits"),
                f"{np.mean([run['cpu_minutes'] for run in group]):.2f}",
            )
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _bits(group: list[Run], reading: str) -> str:
    """Return the mean of a reading over the runs that have it."""
    bits = [run[reading] for run in group if reading in run]
    return f"{np.mean(bits):.3f}" if bits else "-"


def write_table(folder: Path = FOLDER) -> None:
    """Write the table of all finished runs."""
    (folder / "table.md").write_text(table(read(folder)))


def _cell(run: Run) -> tuple[str, int, str]:
    return run["set"], run["labels"], name(run)


if __name__ == "__main__":
    write_table()
