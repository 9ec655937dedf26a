"""The authors' two-dimensional sets: accuracy on 10,000 test points, five seeds, default settings.

``python -m benchmarks.synthetic`` draws 1,000 rows of each set, with as many labels as the authors
use (moons 10, circles 11, eight Gaussians 19, pinwheel 13) and, as there, at least one in
every cluster. It writes ``benchmarks/results/synthetic.json`` and prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from flowssl import FlowGMMClassifier
from flowssl.datasets import make_circles, make_eight_gaussians, make_moons, make_pinwheel

RESULTS = Path(__file__).parent / "results" / "synthetic.json"
N_ROWS, N_FRESH = 1_000, 10_000

Sample = tuple[NDArray[np.float64], NDArray[np.int64]]


def angular_cluster(X: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which of the eight Gaussians each point is nearest to."""
    return (np.round(np.arctan2(X[:, 1], X[:, 0]) / (np.pi / 4)) % 8).astype(np.int64)


def class_cluster(X: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the class, for sets in which each class is one cluster."""
    return truth


# name: generator, clusters, labels, target accuracy, accuracy of the authors' code on test points
SETS: dict[str, tuple[Callable[..., Sample], Callable[..., NDArray[np.int64]], int, float, float]]
SETS = {
    "two moons": (make_moons, class_cluster, 10, 0.999, 1.000),
    "two circles": (make_circles, class_cluster, 11, 0.985, 0.983),
    "eight Gaussians": (make_eight_gaussians, angular_cluster, 19, 0.995, 0.996),
    "pinwheel": (make_pinwheel, class_cluster, 13, 0.992, 0.991),
}


def draw_labels(clusters: NDArray[np.int64], n_labeled: int, seed: int) -> NDArray[np.bool_]:
    """Label random rows, one in every cluster first."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(clusters))
    first = [order[clusters[order] == cluster][0] for cluster in np.unique(clusters)]
    rest = [row for row in order if row not in first][: n_labeled - len(first)]
    labeled = np.zeros(len(clusters), dtype=bool)
    labeled[first + rest] = True
    return labeled


def run(name: str, seed: int, n_threads: int) -> dict[str, float | str]:
    """Fit one draw and evaluate it on test points."""
    make, cluster, n_labeled, _, _ = SETS[name]
    torch.set_num_threads(n_threads)
    X, truth = make(N_ROWS, random_state=seed)
    labeled = draw_labels(cluster(X, truth), n_labeled, seed)
    fresh, fresh_truth = make(N_FRESH, random_state=10_000 + seed)
    began = time.perf_counter()
    model = FlowGMMClassifier(random_state=seed).fit(X, np.where(labeled, truth, -1))
    seconds = time.perf_counter() - began
    return {
        "set": name,
        "seed": seed,
        "fresh": model.score(fresh, fresh_truth),
        "unlabeled": model.score(X[~labeled], truth[~labeled]),
        "nats": float(model.score_samples(fresh).mean()),
        "seconds": seconds,
    }


def table(rows: list[dict[str, float | str]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| set | labels | test accuracy, mean (worst) | target | authors' code | unlabeled rows | log p, nats |"
        " seconds, median (maximum) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, (_, _, n_labeled, asked, authors) in SETS.items():
        mine = [row for row in rows if row["set"] == name]
        if not mine:
            continue
        column = {
            key: np.array([float(row[key]) for row in mine]) for key in mine[0] if key != "set"
        }
        lines.append(
            f"| {name} | {n_labeled} | {column['fresh'].mean():.4f} ({column['fresh'].min():.4f}) | "
            f"{asked:.3f} | {authors:.3f} | {column['unlabeled'].mean():.4f} | "
            f"{column['nats'].mean():.3f} | "
            f"{np.median(column['seconds']):.1f} ({column['seconds'].max():.1f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all sets and seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", choices=SETS, action="append", dest="sets")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.sets or SETS:
        for seed in range(arguments.seeds):
            rows.append(run(name, seed, arguments.threads))
            print(json.dumps(rows[-1]), flush=True)
    print(table(rows))
    if not arguments.sets:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
        RESULTS.with_suffix(".md").write_text(table(rows) + "\n")


if __name__ == "__main__":
    main()
