"""Tell images of other sets from those of a training set, by several scores; write JSON.

    python -m benchmarks.images.outliers
    python -m benchmarks.images.outliers --model mnist1000.flowssl --set mnist

Without a model, the density of statistics of images (`Pixels.unusual`), which needs no flow, is
fitted to each training set, with three seeds. With a model, the scores of its flow are beside it,
and the classes in which it puts images of no class. Results are in results/outliers.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.folders import DATA
from benchmarks.images.results import FOLDER
from sklearn.metrics import roc_auc_score, roc_curve

import flowssl
from flowssl.inspection import OutlierScale, image_bits
from flowssl.preprocessing import Pixels

Rows = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.float64]

SETS = ("mnist", "fashion", "notmnist", "cifar", "svhn")
"""Training sets; each is also one of the others' unusual sets."""

SIDE = 28
SHAPE = (1, SIDE, SIDE)
GRAY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's mode "L"
TEST_IMAGES = 2_000
RESULTS = FOLDER / "outliers.json"


def read(name: str, seed: int) -> tuple[Rows, Rows]:
    """Return training and test images as rows; sets without a test part are split at random."""
    rng = np.random.default_rng(seed)
    folder = DATA / "images"
    if name in ("mnist", "fashion"):
        file = {"mnist": "mnist", "fashion": "fashion_mnist"}[name]
        train, test = (np.load(folder / f"{file}_{part}.npz")["x"] for part in ("train", "test"))
        chosen = rng.permutation(len(test))[:TEST_IMAGES]
        return _rows(train), _rows(test[chosen])
    if name == "cifar":
        train, test = (np.load(folder / f"cifar10_{p}.npz")["x"] for p in ("train_10k", "test_2k"))
        return tuple(_rows(np.rint(x @ GRAY).astype(np.uint8)) for x in (train, test))  # type: ignore[return-value]
    images = np.load(folder / {"notmnist": "notmnist_10k.npz", "svhn": "svhn_grey_4k.npz"}[name])
    x = images["x"][rng.permutation(len(images["x"]))]
    n_test = min(TEST_IMAGES, len(x) // 4)
    return _rows(x[n_test:]), _rows(x[:n_test])


def _rows(images: Rows) -> Rows:
    """Return the middle 28 x 28 pixels of images (n, h, w) as rows (n, 784)."""
    top, left = ((side - SIDE) // 2 for side in images.shape[1:])
    cut = images[:, top : top + SIDE, left : left + SIDE]
    return np.ascontiguousarray(cut).reshape(len(images), -1)


def unusual_sets(name: str, seed: int) -> dict[str, Rows]:
    """Return images that are not of a set: other sets, noise, blank ones, and changes of its own."""
    rng = np.random.default_rng(seed)
    others = {other: read(other, seed)[1] for other in SETS if other != name}
    own = read(name, seed)[1]
    images = own.reshape(-1, SIDE, SIDE)
    halves = np.concatenate((images[:, : SIDE // 2], images[::-1, SIDE // 2 :]), axis=1)
    noisy = (own + rng.normal(0, 25, own.shape)).clip(0, 255)
    changed = {
        "inverted": 255 - own,
        "turned by 90 degrees": np.rot90(images, axes=(1, 2)).reshape(own.shape),
        "upside down": images[:, ::-1].reshape(own.shape),
        "noise of 25 levels": noisy.astype(np.uint8),
        "half as bright": own // 2,
        "halves of two images": halves.reshape(own.shape),
        "pixels in random order": own[:, rng.permutation(own.shape[1])],
    }
    plain = {
        "blank, any level": np.repeat(
            np.arange(256, dtype=np.uint8)[:, None], own.shape[1], axis=1
        ),
        "uniform noise": rng.integers(0, 256, (500, own.shape[1])).astype(np.uint8),
    }
    return others | plain | changed


def figures(usual: Scores, unusual: Scores) -> dict[str, float]:
    """Return the area under the ROC curve, and the false alarms where 95 % are found."""
    truth = np.repeat([0, 1], [len(usual), len(unusual)])
    scores = np.concatenate((usual, unusual))
    false, found, _ = roc_curve(truth, scores)
    return {
        "auroc": round(float(roc_auc_score(truth, scores)), 4),
        "fpr95": round(float(false[np.searchsorted(found, 0.95)]), 4),
    }


def without_flow(name: str, seed: int) -> dict[str, Any]:
    """Measure the density of statistics that half of 10,000 training images give."""
    train, test = read(name, seed)
    train = train[np.random.default_rng(seed).permutation(len(train))]
    pixels = Pixels.fit(train[:-1000] if len(train) > 5000 else train, shape=SHAPE)
    usual = pixels.unusual(test)
    threshold = np.quantile(pixels.unusual(train[-1000:]), 0.95)
    return {
        "training": name,
        "seed": seed,
        "false_alarms_at_.05": round(float((usual > threshold).mean()), 4),
        "against": {
            other: {"states": figures(usual, pixels.unusual(rows))}
            for other, rows in unusual_sets(name, seed).items()
        },
    }


def with_flow(path: str, name: str, n_images: int, seed: int) -> dict[str, Any]:
    """Measure the scores of a model, and the classes it predicts where there is none."""
    model = flowssl.load(path)
    test = read(name, seed)[1][:n_images]
    others = {other: rows[:n_images] for other, rows in unusual_sets(name, seed).items()}
    log_prob = {other: model.score_samples(rows) for other, rows in others.items()}
    usual = model.score_samples(test)
    scale: OutlierScale = model.outlier_scale_

    def scores(rows: Rows, log_p: Scores) -> dict[str, Scores]:
        return {
            "unlikely": scale.unlikely(log_p),
            "atypical": scale.atypical(log_p),
            "states": model.completion_.unusual(rows),
        }

    of_usual = scores(test, usual)
    return {
        "model": path.rpartition("/")[2],
        "training": name,
        "seed": seed,
        "images": n_images,
        "bits_per_dimension": vars(image_bits(model, test)),
        "median_log_prob": {"test images": float(np.median(usual))}
        | {other: float(np.median(log_p)) for other, log_p in log_prob.items()},
        "classes": {
            other: _shares(model, rows)
            for other, rows in others.items()
            if other in (*SETS, "blank, any level")
        },
        "zeros": _shares(model, np.zeros((1, SIDE * SIDE), dtype=np.uint8))
        | {"log_prob": float(model.score_samples(np.zeros((1, SIDE * SIDE), np.uint8))[0])},
        "against": {
            other: {
                method: figures(of_usual[method], values)
                for method, values in scores(rows, log_prob[other]).items()
            }
            for other, rows in others.items()
        },
    }


def _shares(model: flowssl.FlowGMMClassifier, rows: Rows) -> dict[str, float]:
    """Return the fraction of images that each class gets, the largest first."""
    classes, counts = np.unique(model.predict(rows), return_counts=True)
    order = np.argsort(-counts)
    return {str(classes[i]): round(float(counts[i] / len(rows)), 3) for i in order}


def table(runs: list[dict[str, Any]]) -> str:
    """Return the mean AUROC over seeds of each training set (columns) as Markdown."""
    cells: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        against: Mapping[str, Mapping[str, Mapping[str, float]]] = run["against"]
        for other, methods in against.items():
            found = cells.setdefault(other, {}).setdefault(run["training"], [])
            found.append(methods["states"]["auroc"])
    lines = [f"| | {' | '.join(SETS)} |", "| --- " * (len(SETS) + 1) + "|"]
    for other, row in cells.items():
        means = [f"{np.mean(row[name]):.3f}" if name in row else "-" for name in SETS]
        lines.append(f"| {other} | {' | '.join(means)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, write the results and print their table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images.outliers")
    parser.add_argument("--model", help="a model file; without, no flow is measured")
    parser.add_argument("--set", choices=SETS, default="mnist", help="what the model was fitted to")
    parser.add_argument("--images", type=int, default=500, help="of each set that a flow scores")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if arguments.model:
        run = with_flow(arguments.model, arguments.set, arguments.images, 0)
        results.setdefault("models", {})[run["model"]] = run
        print(json.dumps(run, indent=1))
    else:
        runs = [without_flow(name, seed) for name in SETS for seed in range(arguments.seeds)]
        results["without_flow"] = runs
        print(table(runs))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
