"""Finished cells on disk: one JSON line each, one file for each method; summaries and the table.

A line is written as soon as its cell is finished, so a run that was stopped continues where it was.
Of several lines for the same cell the last one counts.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.accuracy.draws import Budget
from benchmarks.accuracy.suites import TARGETS

FOLDER = Path(__file__).with_name("results")
REFERENCE = "logreg"  # labels only: the reference of the comparison
AVERAGED = (
    "accuracy",
    "balanced_accuracy",
    "nll",
    "ece",
    "unlabeled_accuracy",
    "unlabeled_balanced_accuracy",
    "fit_seconds",
    "fit_cpu_seconds",
)

Record = dict[str, Any]
Key = tuple[str, str, str, int, int | None]


def key(record: Record) -> Key:
    """Return what identifies a cell."""
    return tuple(record[name] for name in ("method", "dataset", "budget", "draw", "max_rows"))  # type: ignore[return-value]


def read(folder: Path) -> dict[Key, Record]:
    """All finished cells below `folder`. A line truncated by a crash is skipped."""
    found: dict[Key, Record] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            found[key(record)] = record
    return found


def append(folder: Path, record: Record) -> None:
    """Add one finished cell to its method's file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record['method']}.jsonl"
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a") as file:
        file.write("\n" * torn + json.dumps(record) + "\n")


def compact(folder: Path, methods: Iterable[str]) -> None:
    """Rewrite the files of `methods` in order, without lines that later ones replace.

    Those of other methods are not touched: another run may be writing them.
    """
    by_method: dict[str, list[Record]] = defaultdict(list)
    for record in read(folder).values():
        by_method[record["method"]].append(record)
    for method in set(methods) & set(by_method):
        records = by_method[method]
        records.sort(key=lambda r: (r["dataset"], r["budget"], r["max_rows"] or 0, r["draw"]))
        path = folder / f"{method}.jsonl"
        scratch = path.with_suffix(".tmp")
        scratch.write_text("".join(json.dumps(record) + "\n" for record in records))
        scratch.replace(path)


@dataclass
class Summary:
    """Means over the draws of one method on one data set and budget."""

    method: str
    dataset: str
    budget: str
    max_rows: int | None
    n_draws: int
    failed: float
    peak_mib: int
    mean: dict[str, float] = field(default_factory=dict)
    sd: dict[str, float] = field(default_factory=dict)
    worst: float = float("nan")

    @property
    def cell(self) -> tuple[str, str, int | None]:
        """Data set, budget and row limit."""
        return (self.dataset, self.budget, self.max_rows)


def summarize(records: Iterable[Record]) -> list[Summary]:
    """Group finished cells by method, data set and budget."""
    groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[(*key(record)[:3], record["max_rows"])].append(record)
    return [_summary(*name, group) for name, group in sorted(groups.items(), key=str)]


def _summary(
    method: str, dataset: str, budget: str, max_rows: int | None, group: list[Record]
) -> Summary:
    failed = float(np.mean([record["status"] != "ok" for record in group]))
    peak = max(record["peak_mib"] for record in group)
    summary = Summary(method, dataset, budget, max_rows, len(group), failed, peak)
    scored = [record for record in group if "accuracy" in record]
    if scored:
        for name in AVERAGED:
            values = [record[name] for record in scored]
            summary.mean[name] = float(np.mean(values))
            summary.sd[name] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        # A run without an answer counts as accuracy 0.
        summary.worst = (
            min(record["accuracy"] for record in scored) if len(scored) == len(group) else 0.0
        )
    return summary


def write_summary(folder: Path) -> None:
    """Write ``summary.json`` and ``table.md`` from the finished cells."""
    summaries = summarize(read(folder).values())
    lines = [
        {
            "method": s.method,
            "dataset": s.dataset,
            "budget": s.budget,
            "max_rows": s.max_rows,
            "n_draws": s.n_draws,
            "failed": s.failed,
            "peak_mib": s.peak_mib,
            "worst_accuracy": s.worst,
            "mean": {name: round(value, 5) for name, value in s.mean.items()},
            "sd": {name: round(value, 5) for name, value in s.sd.items()},
        }
        for s in summaries
    ]
    (folder / "summary.json").write_text(json.dumps(lines, indent=1) + "\n")
    (folder / "table.md").write_text(table(summaries))


def table(summaries: list[Summary]) -> str:
    """Return the Markdown page: overview, comparison with labels-only, every cell in full."""
    cells: dict[tuple[str, str, int | None], dict[str, Summary]] = defaultdict(dict)
    for summary in summaries:
        cells[summary.cell][summary.method] = summary
    methods = sorted({summary.method for summary in summaries}, key=_method_order)
    parts = [
        "# Accuracy with few labels",
        "Written by `python -m benchmarks.accuracy`; README.md explains the columns.",
        "## Overview: mean accuracy on held-out rows (worst draw)",
        _overview(cells, methods),
        "## Compared with labels-only logistic regression",
        _compared_with_reference(cells, methods),
        "## Every cell",
        *(_cell(name, found) for name, found in sorted(cells.items(), key=str)),
    ]
    return "\n\n".join(parts) + "\n"


def _method_order(method: str) -> tuple[bool, str]:
    return (not method.startswith("flowssl"), method)


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell_name(cell: tuple[str, str, int | None]) -> str:
    dataset, budget, max_rows = cell
    rows = f", {max_rows} rows" if max_rows is not None else ""
    return f"{dataset}, {Budget.parse(budget).describe()}{rows}"


def _overview(
    cells: dict[tuple[str, str, int | None], dict[str, Summary]], methods: list[str]
) -> str:
    rows = []
    ranks: dict[str, list[float]] = defaultdict(list)
    for cell, found in sorted(cells.items(), key=str):
        means = {m: s.mean["accuracy"] for m, s in found.items() if s.mean}
        if not means:
            continue
        best = max(means.values())
        for method, mean in means.items():
            above = sum(other > mean for other in means.values())
            equal = sum(other == mean for other in means.values())
            ranks[method].append(above + (equal + 1) / 2)
        target = TARGETS.get(cell[:2])
        row = [_cell_name(cell), "" if target is None else f"{target:.3f}"]
        for method in methods:
            if method not in means:
                row.append("")
                continue
            text = f"{means[method]:.3f}"
            text = f"**{text}**" if means[method] == best else text
            row.append(f"{text} ({found[method].worst:.3f})")
        rows.append(row)
    mean_ranks = [
        f"{np.mean(ranks[m]):.1f} of {len(ranks[m])}" if ranks[m] else "" for m in methods
    ]
    rows.append(["mean rank of cells", "", *mean_ranks])
    return _markdown(["data, labels", "target", *methods], rows)


def _compared_with_reference(
    cells: dict[tuple[str, str, int | None], dict[str, Summary]], methods: list[str]
) -> str:
    rows = []
    for method in methods:
        pairs = [
            (found[method], found[REFERENCE])
            for found in cells.values()
            if method in found and REFERENCE in found
        ]
        pairs = [(s, r) for s, r in pairs if s.mean and r.mean]
        if not pairs or method == REFERENCE:
            continue
        gaps = [s.mean["accuracy"] - r.mean["accuracy"] for s, r in pairs]
        worst_gaps = [s.worst - r.worst for s, r in pairs]
        nll = np.mean([s.mean["nll"] <= r.mean["nll"] for s, r in pairs])
        rows.append(
            [
                method,
                str(len(pairs)),
                f"{100 * np.mean(gaps):+.1f}",
                f"{100 * min(gaps):+.1f}",
                str(sum(gap < -0.01 for gap in gaps)),
                f"{100 * min(worst_gaps):+.1f}",
                str(sum(gap < -0.03 for gap in worst_gaps)),
                f"{nll:.0%}",
                f"{np.median([s.mean['ece'] for s, _ in pairs]):.3f}",
                f"{np.mean([s.failed for s, _ in pairs]):.1%}",
            ]
        )
    header = [
        "method",
        "cells",
        "mean gain (points)",
        "smallest gain",
        "cells below -1",
        "smallest gain of worst draw",
        "cells below -3",
        "NLL no higher",
        "median ECE",
        "failed",
    ]
    return _markdown(header, rows)


def _cell(cell: tuple[str, str, int | None], found: dict[str, Summary]) -> str:
    ordered = sorted(found.values(), key=lambda s: -s.mean.get("accuracy", 0.0))
    rows = []
    for s in ordered:
        row = [s.method, str(s.n_draws)]
        if s.mean:
            row += [
                f"{s.mean['accuracy']:.4f} ± {s.sd['accuracy']:.4f}",
                f"{s.worst:.4f}",
                f"{s.mean['balanced_accuracy']:.4f}",
                f"{s.mean['nll']:.3f}",
                f"{s.mean['ece']:.3f}",
                f"{s.mean['unlabeled_accuracy']:.4f}",
                f"{s.mean['unlabeled_balanced_accuracy']:.4f}",
                f"{s.failed:.0%}",
                f"{s.mean['fit_cpu_seconds']:.1f}",
            ]
        else:
            row += ["", "", "", "", "", "", "", f"{s.failed:.0%}", ""]
        rows.append([*row, str(s.peak_mib)])
    header = [
        "method",
        "draws",
        "accuracy ± sd",
        "worst",
        "balanced",
        "NLL",
        "ECE",
        "accuracy, unlabeled rows",
        "balanced, unlabeled rows",
        "failed",
        "fit CPU s",
        "peak MiB",
    ]
    return f"### {_cell_name(cell)}\n\n{_markdown(header, rows)}"
