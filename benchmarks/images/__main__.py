"""Train one method on one draw of labels and append what it reached to results/runs.json.

python -m benchmarks.images --set mnist --labels 1000 --method cons --seed 0
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from benchmarks.images import methods
from benchmarks.images.data import FILES, draw, load

from flowssl.preprocessing import bits_per_dimension

RESULTS = Path(__file__).parent / "results" / "runs.json"
FLOWS = ("cons", "flow", "supervised", "paper")
OTHERS = {"logistic": methods.logistic, "spreading": methods.spreading}


def main() -> None:
    """Run one method."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images", description=__doc__)
    parser.add_argument("--set", choices=FILES, default="mnist")
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--method", choices=(*FLOWS, *OTHERS), default="cons")
    parser.add_argument("--epochs", type=int, help="of an automatic number by default")
    parser.add_argument("--seed", type=int, default=0, help="of the label draw and the training")
    parser.add_argument("--save", help="where to write the model of a flow")
    arguments = parser.parse_args()
    run = measure(arguments)
    runs = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    RESULTS.write_text(json.dumps([*runs, run], indent=1) + "\n")
    print(json.dumps(run, indent=1))


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Train and test; times are wall-clock minutes and the minutes of the processor."""
    images = load(arguments.set)
    y = draw(images.y, arguments.labels, arguments.seed)
    run: dict[str, object] = {
        "set": arguments.set,
        "labels": arguments.labels,
        "method": arguments.method,
        "seed": arguments.seed,
        "threads": torch.get_num_threads(),
    }
    wall, cpu = time.perf_counter(), time.process_time()
    if arguments.method in OTHERS:
        predict = OTHERS[arguments.method](images, y)
    else:
        epochs = arguments.epochs or "auto"
        model = methods.flow(arguments.method, images, y, epochs, arguments.seed)
        predict = model.predict
    run["minutes"] = round((time.perf_counter() - wall) / 60, 2)
    run["cpu_minutes"] = round((time.process_time() - cpu) / 60, 2)
    if arguments.method in FLOWS:
        log_prob = model.score_samples(images.X_test[:1000])
        run["bits_per_dimension"] = round(
            float(bits_per_dimension(log_prob, int(np.prod(images.shape))).mean()), 3
        )
        run["epochs"] = len(model.history_)
        run["seconds_of_epochs"] = [round(epoch["seconds"], 1) for epoch in model.history_]
        if arguments.save:
            model.save(arguments.save)
    run["accuracy"] = round(float((predict(images.X_test) == images.y_test).mean()), 4)
    return run


if __name__ == "__main__":
    main()
