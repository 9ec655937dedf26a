"""Measure held-out log-densities and append them to the results."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from benchmarks.density import peers
from benchmarks.density.data import N_DRAWS, Boxes, Floats, Split, load
from scipy.special import logsumexp

from flowssl import FlowGMMClassifier
from flowssl.exceptions import UnlabeledDataWarning

SETS = ("magic", "htru2", "dry_bean", "pendigits", "satimage", "spambase", "mnist64")
PEERS = tuple(f"{m}-{s}" for m in ("mixture", "nsf", "maf") for s in ("standardized", "whitened"))
RESULTS = Path(__file__).parent / "results"


def of_peer(method: str, split: Split, seed: int, *, has_atoms: bool) -> Floats:
    """Fit a peer and return its log-densities of the test rows."""
    name, space = method.split("-")
    if not has_atoms:
        return peers.fit(name, space, split.X_train, seed)(split.X_test)
    boxes, rng = Boxes.fit(split.X_train), np.random.default_rng(seed)
    log_prob = peers.fit(name, space, boxes.draw(split.X_train, rng)[0], seed)
    draws = [boxes.draw(split.X_test, rng) for _ in range(N_DRAWS)]
    return logsumexp([log_prob(x) + volume for x, volume in draws], axis=0) - np.log(N_DRAWS)


def of_flowssl(method: str, split: Split, seed: int) -> Floats:
    """Fit the default classifier and return its log-densities of the test rows."""
    model = FlowGMMClassifier(random_state=seed)
    if method == "flowssl-joint":  # p(x) as the sum over the classes
        model.set_params(objective__marginal="joint")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnlabeledDataWarning)
        return model.fit(split.X_train, split.y_train).score_samples(split.X_test)


def table(results: Path) -> str:
    """Return the means over seeds as a table, with the best peer of each set."""
    figures: dict[tuple[str, str], list[float]] = {}
    for path in sorted(results.glob("*.jsonl")):
        for record in map(json.loads, path.read_text().splitlines()):
            if {"set", "method", "log_prob"} <= record.keys():
                figures.setdefault((record["set"], record["method"]), []).append(record["log_prob"])
    methods = ("flowssl", "flowssl-joint", *PEERS)
    known = [method for method in methods if any(key[1] == method for key in figures)]
    lines = ["| set | " + " | ".join(known) + " | flowssl - best peer |"]
    lines.append("| --- " * (len(known) + 2) + "|")
    for name in SETS:
        means = {m: float(np.mean(figures[name, m])) for m in known if (name, m) in figures}
        best = max(means[m] for m in PEERS if m in means)
        cells = [f"{means[m]:.2f}" if m in means else "" for m in known]
        ahead = f"{means['flowssl'] - best:+.2f}" if "flowssl" in means else ""
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {ahead} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--methods", nargs="+", default=("flowssl", *PEERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="only print the results as a table")
    options = parser.parse_args()
    if options.table:
        print(table(options.results), end="")
        return
    torch.set_num_threads(1)
    options.results.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for name in options.sets:
            split = load(name, seed)
            for method in options.methods:
                began = time.process_time()
                if method.startswith("flowssl"):
                    log_prob = of_flowssl(method, split, seed)
                else:
                    log_prob = of_peer(method, split, seed, has_atoms=name == "spambase")
                record = {
                    "set": name,
                    "method": method,
                    "seed": seed,
                    "log_prob": round(float(log_prob.mean()), 4),
                    "seconds": round(time.process_time() - began, 1),
                }
                with (options.results / f"{method}.jsonl").open("a") as file:
                    file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
