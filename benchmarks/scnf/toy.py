"""Table 1 of the semi-conditional flow paper: two moons and circles from ten labels.

``python -m benchmarks.scnf.toy`` draws 1,000 rows of each set (noise .1, circles with factor .2),
labels five rows of each class, fits, and evaluates error and negative log-likelihood on 10,000 test
rows, for 10 seeds. It writes ``benchmarks/scnf/results/toy.jsonl``, one line per fit, and ``toy.md``.
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
from scipy.special import logsumexp

from flowssl import ObjectiveOptions, SemiConditionalFlowClassifier
from flowssl.bijections import ContinuousFlow
from flowssl.datasets import hide_labels, make_circles, make_moons

RESULTS = Path(__file__).parent / "results"
N_ROWS, N_FRESH, PER_CLASS, NOISE, FACTOR = 1_000, 10_000, 5, 0.1, 0.2

Sample = tuple[NDArray[np.float64], NDArray[np.int64]]

METHODS: dict[str, dict[str, object]] = {
    "Glow / Glow": {"architecture": "glow", "class_architecture": "glow"},
    "Glow / GMM": {"architecture": "glow", "class_density": "gaussian"},
    # The unconditional flow is one continuous flow; needs the extra flowssl[ode].
    "FFJORD / Glow": {"architecture": "ffjord", "class_architecture": "glow"},
    "FFJORD / GMM": {"architecture": "ffjord", "class_density": "gaussian"},
    "RealNVP / RealNVP": {},
    "RealNVP / GMM": {"class_density": "gaussian"},
    # The paper's recipe: random initialization and the likelihood alone, a third of it from labeled
    # rows, as in the published code.
    "Glow / Glow, paper's recipe": {
        "architecture": "glow",
        "class_architecture": "glow",
        "init": "random",
        "objective": ObjectiveOptions(
            "likelihood", cross_entropy_weight=0.0, labeled_fraction=1 / 3
        ),
    },
    "Glow / Glow, paper's recipe, EM": {
        "architecture": "glow",
        "class_architecture": "glow",
        "init": "random",
        "objective": ObjectiveOptions(
            "em", e_step_interval=20, cross_entropy_weight=0.0, labeled_fraction=1 / 3
        ),
    },
}

# Error in percent and negative log-likelihood in nats, as printed there: mean and deviation.
PAPER = {
    "Glow / Glow": {"moons": ("0.6 ± 0.4", "1.11 ± 0.02"), "circles": ("5.0 ± 1.9", "1.68 ± 0.13")},
    "Glow / GMM": {"moons": ("1.2 ± 1.2", "1.15 ± 0.01"), "circles": ("14.2 ± 9.0", "1.28 ± 0.15")},
    "FFJORD / Glow": {
        "moons": ("0.3 ± 0.2", "1.12 ± 0.03"),
        "circles": ("6.2 ± 2.2", "1.7 ± 0.2"),
    },
    "FFJORD / GMM": {
        "moons": ("5.3 ± 6.3", "1.15 ± 0.06"),
        "circles": ("25 ± 2", "0.97 ± 0.05"),
    },
}


def moons(n: int, seed: int) -> Sample:
    """Draw two moons."""
    return make_moons(n, noise=NOISE, random_state=seed)


def circles(n: int, seed: int) -> Sample:
    """Draw two circles."""
    return make_circles(n, noise=NOISE, factor=FACTOR, random_state=seed)


SETS: dict[str, Callable[[int, int], Sample]] = {"moons": moons, "circles": circles}


def true_log_density(name: str, X: NDArray[np.float64], n: int = 1_000) -> NDArray[np.float64]:
    """Return log p(x) of the set itself: Gaussian noise along curves, by the midpoint rule."""
    if name == "moons":
        angle = np.pi * (np.arange(n) + 0.5) / n
        upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        curve = np.concatenate([upper, [1.0, 0.5] - upper])
    else:
        angle = 2 * np.pi * (np.arange(n) + 0.5) / n
        outer = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        curve = np.concatenate([outer, FACTOR * outer])
    parts = []
    for rows in np.array_split(X, max(1, len(X) // 500)):
        squared = ((rows[:, None] - curve) ** 2).sum(2)
        parts.append(logsumexp(-0.5 * squared / NOISE**2, axis=1))
    return np.concatenate(parts) - np.log(len(curve)) - np.log(2 * np.pi * NOISE**2)


def mean_evaluations(
    model: SemiConditionalFlowClassifier, X: NDArray[np.float64], batch_size: int = 256
) -> float | None:
    """Return how often the velocity is evaluated for a batch; None without a continuous flow."""
    counts: list[float] = []
    rows = torch.from_numpy(model.completion_.typical(model.encoder_.transform(X)))
    for layer in model.models_[0].flow:
        if isinstance(layer, ContinuousFlow):
            batches = torch.split(rows, batch_size)
            counts.append(float(np.mean([layer.n_evaluations(batch) for batch in batches])))
        with torch.no_grad():
            rows = layer(rows)[0]
    return sum(counts) if counts else None


def run(name: str, method: str, seed: int) -> dict[str, object]:
    """Fit one draw and evaluate it on test rows."""
    X, truth = SETS[name](N_ROWS, seed)
    fresh, fresh_truth = SETS[name](N_FRESH, 10_000 + seed)
    y = hide_labels(truth, per_class=PER_CLASS, random_state=seed)
    began, began_cpu = time.perf_counter(), time.process_time()
    model = SemiConditionalFlowClassifier(random_state=seed, **METHODS[method]).fit(X, y)
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return {
        "set": name,
        "method": method,
        "seed": seed,
        "error": 100 * (1 - model.score(fresh, fresh_truth)),
        "nll": -float(model.score_samples(fresh).mean()),
        "true_nll": -float(true_log_density(name, fresh).mean()),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "epochs": len(model.history_),
        "evaluations": mean_evaluations(model, fresh),
    }


def table(rows: list[dict[str, object]]) -> str:
    """Return the results in the paper's layout, as Markdown."""
    head = "| f_w / h_phi |"
    for name in SETS:
        head += f" {name}: error, % | worst | paper | NLL | worst | paper |"
    head += " CPU seconds, maximum | evaluations of the velocity |"
    lines = [head, "| --- |" + " --- |" * (6 * len(SETS) + 2)]
    for method in dict.fromkeys(str(row["method"]) for row in rows):
        seeds = {str(row["seed"]) for row in rows if row["method"] == method}
        line, most = f"| {method} ({len(seeds)} seeds) |", 0.0
        for name in SETS:
            mine = [row for row in rows if (row["method"], row["set"]) == (method, name)]
            published = PAPER.get(method, {}).get(name, ("", ""))
            if not mine:
                line += " | | | | | |"
                continue
            most = max(most, *(float(str(row["cpu_seconds"])) for row in mine))
            for key, digits, said in zip(("error", "nll"), (1, 2), published, strict=True):
                values = np.array([float(str(row[key])) for row in mine])
                line += (
                    f" {values.mean():.{digits + 1}f} ± {values.std():.{digits + 1}f} |"
                    f" {values.max():.{digits + 1}f} | {said} |"
                )
        counts = [row.get("evaluations") for row in rows if row["method"] == method]
        known = [float(str(count)) for count in counts if count is not None]
        lines.append(f"{line} {most:.0f} | {f'{np.mean(known):.0f}' if known else ''} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is not in the results yet and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--method", choices=METHODS, action="append")
    parser.add_argument("--set", choices=SETS, action="append", dest="sets")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / "toy.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(row["set"], row["method"], row["seed"]) for row in rows}
    for seed in range(arguments.seeds):
        for method in arguments.method or METHODS:
            for name in arguments.sets or SETS:
                if (name, method, seed) not in done:
                    rows.append(run(name, method, seed))
                    with path.open("a") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
                    print(json.dumps(rows[-1]), flush=True)
    text = table(rows)
    (arguments.results / "toy.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
