"""Two-sample AUC of samples: the default flow and Gaussian mixtures against held-out rows.

0.5 is perfect: boosted trees cannot tell samples from rows that no method has seen. Beside them, the
AUC of as many training rows is the one that samples of the true density would get.

Run ``python -m benchmarks.density.samples``; options as in ``python -m benchmarks.density``.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from benchmarks.density.data import Floats, Split, load
from benchmarks.density.peers import COMPONENTS, affine
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from flowssl import FlowGMMClassifier
from flowssl.inspection import two_sample_test

SETS = ("magic", "dry_bean", "pendigits", "htru2")
METHODS = ("training rows", "flow", "mixture")
RESULTS = Path(__file__).parent / "results" / "samples.jsonl"


def sampled(method: str, split: Split, seed: int) -> Floats:
    """Fit a method and return as many samples as there are test rows."""
    n = len(split.X_test)
    if method == "training rows":
        return np.random.default_rng(seed).permutation(split.X_train)[:n]
    if method == "mixture":
        return _of_mixture(split.X_train, n, seed)
    model = FlowGMMClassifier(random_state=seed).fit(split.X_train, split.y_train)
    return model.sample(n, random_state=seed)[0]


def _of_mixture(X: Floats, n: int, seed: int) -> Floats:
    """Sample the mixture of full Gaussians, and the columns, that a tenth of the rows choose."""
    held_out = np.zeros(len(X), bool)
    held_out[np.random.default_rng(seed).permutation(len(X))[: len(X) // 10]] = True
    best, rows = -np.inf, np.empty((0, X.shape[1]))
    for space in ("standardized", "whitened"):
        mean, matrix = affine(X, space)
        z, log_det = (X - mean) @ matrix.T, np.linalg.slogdet(matrix)[1]
        for k in COMPONENTS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model = GaussianMixture(k, random_state=seed, max_iter=100).fit(z[~held_out])
            score = model.score(z[held_out]) + log_det
            if score > best:
                best, rows = score, mean + np.linalg.solve(matrix, model.sample(n)[0].T).T
    return rows


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for name in options.sets:
            split = load(name, seed)
            for method in options.methods:
                began = time.process_time()
                rows = sampled(method, split, seed)
                seconds = time.process_time() - began
                found = two_sample_test(split.X_test, rows, random_state=seed)
                record = {
                    "set": name,
                    "method": method,
                    "seed": seed,
                    "auc": round(found.auc, 4),
                    "interval": [round(bound, 4) for bound in found.interval],
                    "telling": {str(c): round(found.importance[c], 3) for c in found.telling(3)},
                    "seconds": round(seconds, 1),
                }
                with options.results.open("a") as file:
                    file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
