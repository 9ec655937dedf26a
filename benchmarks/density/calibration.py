"""Negative log-likelihood and calibration error: raw, tempered, and with validation labels.

The effect of table 4 of Izmailov et al. (2020), where the variance of the class Gaussians is fitted
to validation labels. Four calibrations of the same fits: none; the temperature that ``fit`` finds
from unlabeled rows alone; the temperature, and the variance, fitted to 300 validation labels.

Run ``python -m benchmarks.density.calibration``; ``--sets --images MODEL`` for a fitted model of
images, of which the seeds choose the validation and test rows only.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.density.data import Codes, load
from benchmarks.folders import DATA

import flowssl
from flowssl import FlowGMMClassifier
from flowssl.calibration import expected_calibration_error
from flowssl.estimators import FlowClassifier

SETS = ("pendigits", "magic")
N_VALIDATION, MAX_TEST = 300, 2000
RESULTS = Path(__file__).parent / "results" / "calibration.jsonl"

Rows = npt.NDArray[np.generic]


def figures(model: FlowClassifier, X: Rows, y: Codes) -> dict[str, float]:
    """Return the figures of a model's probabilities of test rows."""
    log_proba = model.predict_log_proba(X)
    codes = np.searchsorted(model.classes_, y)
    return {
        "temperature": round(model.calibration_temperature_, 4),
        "variance": round(model.calibration_variance_, 4),
        "accuracy": round(float((log_proba.argmax(1) == codes).mean()), 4),
        "nll": round(float(-log_proba[np.arange(len(y)), codes].mean()), 4),
        "ece": round(expected_calibration_error(np.exp(log_proba), codes), 4),
    }


def records(model: FlowClassifier, X: Rows, y: Codes, seed: int) -> list[dict[str, object]]:
    """Calibrate a model in each way on 300 of the rows; evaluate it on the others."""
    order = np.random.default_rng(seed).permutation(len(y))
    chosen, test = order[:N_VALIDATION], order[N_VALIDATION : N_VALIDATION + MAX_TEST]
    found = [{"calibration": "unlabeled rows", **figures(model, X[test], y[test])}]
    model.calibration_temperature_ = 1.0
    found.insert(0, {"calibration": "none", **figures(model, X[test], y[test])})
    for method in ("temperature", "variance"):
        model.calibrate(X[chosen], y[chosen], method=method)
        found.append({"calibration": f"{method}, labels", **figures(model, X[test], y[test])})
    return [dict(record) for record in found]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--images", type=Path, help="a fitted model of images")
    parser.add_argument("--image-set", default="mnist", choices=("mnist", "fashion_mnist"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for name in options.sets:
            split = load(name, seed)
            model = FlowGMMClassifier(random_state=seed).fit(split.X_train, split.y_train)
            _write(options.results, name, seed, records(model, split.X_test, split.y_test, seed))
        if options.images is not None:
            arrays = np.load(DATA / "images" / f"{options.image_set}_test.npz", allow_pickle=False)
            images, y = arrays["x"].reshape(-1, 1, 28, 28), arrays["y"].astype(np.int64)
            model = flowssl.load(options.images)
            found = records(model, images, y, seed)
            _write(options.results, options.image_set, seed, found)


def _write(path: Path, name: str, seed: int, found: list[dict[str, object]]) -> None:
    with path.open("a") as file:
        for record in found:
            file.write(json.dumps({"set": name, "seed": seed, **record}) + "\n")


if __name__ == "__main__":
    main()
