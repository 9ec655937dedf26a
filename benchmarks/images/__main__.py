"""Train one method on one draw of labels, append its result to results/runs.jsonl, tabulate.

python -m benchmarks.images --set mnist --labels 1000 --method cons --seed 0
"""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext

import numpy as np
import torch
from benchmarks.images import methods
from benchmarks.images.data import FILES, Codes, Images, draw, load
from benchmarks.images.recorder import Recorder, Weights
from benchmarks.images.results import append, write_table

from flowssl.image_architectures import IMAGE_ARCHITECTURES

FLOWS = ("cons", "soft", "flow", "supervised", "paper")
CHEAP = {"logistic": methods.logistic, "spreading": methods.spreading}
CURVE_IMAGES = 2_000


def main() -> None:
    """Run one method."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images", description=__doc__)
    parser.add_argument("--set", choices=FILES, default="mnist")
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--method", choices=(*FLOWS, "cnn", *CHEAP), default="cons")
    parser.add_argument("--epochs", type=int, help="of a flow (default: automatic)")
    parser.add_argument("--seed", type=int, default=0, help="of the label draw and the training")
    parser.add_argument("--architecture", choices=IMAGE_ARCHITECTURES, help="of a flow")
    parser.add_argument("--batch", type=int, help="images per step (default: automatic)")
    parser.add_argument("--images", type=int, help="train on so many images only")
    parser.add_argument("--save", help="where to write the model of a flow")
    parser.add_argument(
        "--curve",
        action="store_true",
        help=f"test the averaged weights of each epoch too, on {CURVE_IMAGES:,} test images",
    )
    arguments = parser.parse_args()
    run = measure(arguments)
    append(run)
    write_table()
    print(json.dumps(run))


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Train and test; times are wall-clock and CPU minutes of training."""
    images = load(arguments.set)
    if arguments.images:
        images = images.some(arguments.images, arguments.seed)
    y = draw(images.y, arguments.labels, arguments.seed)
    run: dict[str, object] = {
        "set": arguments.set,
        "labels": arguments.labels,
        "method": arguments.method,
        "seed": arguments.seed,
        "threads": torch.get_num_threads(),
    }
    recorder = Recorder()
    if arguments.method in FLOWS:
        return run | _flow(arguments, images, y, recorder)
    if arguments.method == "cnn":
        predict = methods.network(images, y, arguments.seed)
    else:
        predict = CHEAP[arguments.method](images, y)
    return run | recorder.minutes() | {"accuracy": _accuracy(predict, images)}


def _flow(
    arguments: argparse.Namespace, images: Images, y: Codes, recorder: Recorder
) -> dict[str, object]:
    settings = {
        "max_epochs": arguments.epochs or "auto",
        "architecture": arguments.architecture or "auto",
        "batch_size": arguments.batch or "auto",
    }
    with recorder.checkpoints() if arguments.curve else nullcontext() as path:
        model = methods.flow(
            arguments.method, images, y, arguments.seed, checkpoint=path, **settings
        )
    run: dict[str, object] = {**settings, "images": arguments.images, **recorder.minutes()}
    if arguments.save:
        model.save(arguments.save)
    run |= methods.test_bits(model, images)
    run["epochs"] = len(model.history_)
    run["held_out_loss"] = [round(epoch["loss"], 3) for epoch in model.history_]
    run["seconds_of_epochs"] = [round(epoch["seconds"], 1) for epoch in model.history_]
    run["accuracy"] = _accuracy(model.predict, images)

    def accuracy(weights: Weights) -> float:
        model.models_[0].load_state_dict(weights)
        return _accuracy(model.predict, images, CURVE_IMAGES)

    if arguments.curve:
        run["curve"] = recorder.curve(accuracy)
    return run


def _accuracy(predict: methods.Predict, images: Images, n_images: int | None = None) -> float:
    # A random subset: the first test images of MNIST are harder than the others.
    chosen = np.random.default_rng(0).permutation(len(images.X_test))[:n_images]
    X, y = images.X_test[chosen], images.y_test[chosen]
    return round(float((predict(X) == y).mean()), 4)


if __name__ == "__main__":
    main()
