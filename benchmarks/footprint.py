"""Memory and time of fits and predictions of tables that are long or wide.

Each case runs in a process of its own, after a small fit that does all imports. Its memory is the
growth of the largest resident memory over that before the call, the table itself not counted.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks.memory import peak_mib

# Rows, columns, classes, epochs.
CASES = {
    "long": (300_000, 20, 2, 1),
    "longer": (700_000, 15, 2, 1),
    "long-10-classes": (300_000, 20, 10, 1),
    "long-3-epochs": (300_000, 20, 2, 3),
    "wide": (50, 2_000, 2, 8),
    "wider": (30, 10_000, 2, 8),
    "wide-200": (200, 5_000, 2, 8),
    "wide-1000": (1_000, 1_500, 2, 8),
    "wide-missing": (50, 2_000, 2, 8),
}
PREDICTED = 1_000_000
SEED = 0


def make_table(n: int, dim: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw normal rows whose first three columns depend on the class; 50 labels per class at most."""
    rng = np.random.default_rng(SEED)
    t = rng.integers(n_classes, size=n)
    X = np.empty((n, dim))
    for first in range(0, n, 10_000):
        X[first : first + 10_000] = rng.normal(size=X[first : first + 10_000].shape)
    X[:, :3] += 2.0 * (t[:, None] % 3)
    return X, np.where(np.arange(n) < min(50 * n_classes, n // 2), t, -1)


def measure(call: Callable[[], object]) -> dict[str, float]:
    """Return the growth of the largest resident memory, MiB, and the CPU seconds of a call."""
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = peak_mib(), time.process_time()
    call()
    return {
        "growth_mib": round(peak_mib() - before),
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def run_case(name: str) -> dict[str, object]:
    """Fit the table of a case; of the first, predict for a million rows as well."""
    import torch

    from flowssl import FlowGMMClassifier

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    n, dim, n_classes, max_epochs = CASES[name]
    X, y = make_table(300, min(dim, 20), n_classes)
    FlowGMMClassifier(max_epochs=1, random_state=SEED).fit(X, y).predict(X)
    X, y = make_table(n, dim, n_classes)
    if name == "wide-missing":
        X[np.random.default_rng(SEED).random(X.shape) < 0.05] = np.nan
    model = FlowGMMClassifier(max_epochs=max_epochs, random_state=SEED)
    mib = X.nbytes / 2**20
    found: dict[str, object] = {"rows": n, "columns": dim, "classes": n_classes}
    found |= {"epochs": max_epochs, "data_mib": round(mib), "fit": measure(lambda: model.fit(X, y))}
    if name == "long":
        X = make_table(PREDICTED, dim, n_classes)[0]
    for method in ("predict_proba", "score_samples", "ood_score", "transform"):
        found[method] = measure(lambda method=method: getattr(model, method)(X))
    return found


def main() -> None:
    """Run cases in processes of their own and write what they measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), help="names of cases")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/footprint.json"))
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(run_case(arguments.cases[0])))
        return
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.cases:
        command = [sys.executable, "-m", "benchmarks.footprint", name, "--worker"]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        results[name] = json.loads(out.splitlines()[-1])
        print(name, results[name], flush=True)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
