"""The semi-conditional flow on MNIST: the width of z_f, ten labels per class, and class removal.

    python -m benchmarks.scnf.mnist --widths 48 98 196 392 784
    python -m benchmarks.scnf.mnist --method m1m2 --labels 100 --seeds 0 1 2
    python -m benchmarks.scnf.mnist --audit models/mnist-scnf-glow-1000-auto-1-0.flowssl

The first has the shape of table 3 of Atanov et al. 2019, the second of their table 2. Each run is
appended to ``results/mnist.jsonl``, and ``results/mnist.md`` holds the tables of all of them; finished
runs are not repeated. ``--audit`` attacks a model that ``--save`` wrote.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.images import methods
from benchmarks.images.data import FILES, Codes, Images, draw, load
from benchmarks.images.recorder import Recorder
from benchmarks.scnf import obfuscation

from flowssl import FlowGMMClassifier, ImageOptions, SemiConditionalFlowClassifier
from flowssl import load as load_model
from flowssl.baselines import M2VAEClassifier
from flowssl.inspection import audit_class_removal

RESULTS = Path(__file__).parent / "results"
CLASS_DENSITIES = {"scnf-glow": "flow", "scnf-gmm": "gaussian"}
METHODS = (*CLASS_DENSITIES, "flowgmm-cons", "m1m2")
# Test error in percent from 100 labels, as printed in tables 2 and 3.
PAPER = {"scnf-glow": "1.9 ± 0.3", "scnf-gmm": "14.2 ± 2.4", "m1m2": "3.3 ± 0.1"}
PAPER_WIDTHS = {48: 2.6, 98: 2.0, 196: 1.9, 392: 61.4, 784: 91.1}
KEY = ("set", "method", "labels", "width", "epochs", "seed")
EPOCHS = {"m1m2": 25}
"""Default of --epochs: for each stage of M1+M2; 1 for a flow."""
# Kingma et al. (2014) give both auto-encoders 50 latents and M2 one hidden layer of 500 units.
M1M2 = {"n_latents": 50, "hidden_layer_sizes": (500,), "batch_size": 256}
LEAST_DEVIATION = 0.1
"""Of a pixel that M1+M2 sees; the variance of a border pixel's Gaussian would collapse to 0."""

Model = FlowGMMClassifier | SemiConditionalFlowClassifier | M2VAEClassifier
Row = dict[str, Any]


def fit(images: Images, y: Codes, method: str, width: int | str, epochs: int, seed: int) -> Model:
    """Fit one of the methods."""
    if method == "m1m2":
        steps = math.ceil(epochs * len(images.X) / M1M2["batch_size"])
        return M2VAEClassifier(n_steps=steps, random_state=seed, **M1M2).fit(images.X, y)
    if method == "flowgmm-cons":
        return methods.flow("cons", images, y, seed, max_epochs=epochs)
    return SemiConditionalFlowClassifier(
        class_density=CLASS_DENSITIES[method],
        class_features=width,
        images=ImageOptions(images.shape, views=methods.views(images)),
        max_epochs=epochs,
        random_state=seed,
    ).fit(images.X, y)


def run(wanted: Row) -> tuple[Row, Model]:
    """Train and test; CPU and wall-clock minutes are recorded."""
    name, method, labels, width, epochs, seed = (wanted[key] for key in KEY)
    images = load(name)
    y = draw(images.y, labels, seed)
    if method == "m1m2":
        images = varying_pixels(images)
    recorder = Recorder()
    model = fit(images, y, method, width, epochs, seed)
    row = wanted | {
        **recorder.minutes(),
        "threads": torch.get_num_threads(),
        "test_error": _error(model, images.X_test, images.y_test),
        "label_error": _error(model, images.X[y >= 0], y[y >= 0]),
    }
    if isinstance(model, SemiConditionalFlowClassifier):
        row |= {
            "class_features": model.class_features_,
            "architectures": [model.architecture_, model.class_architecture_],
        }
    if not isinstance(model, M2VAEClassifier):
        row |= {
            **methods.test_bits(model, images),
            "unlabeled_images": int((y < 0).sum()),
            "epochs_run": len(model.history_),
        }
    return row, model


def varying_pixels(images: Images) -> Images:
    """Return the pixels that vary as rows of numbers between 0 and 1."""
    X, X_test = methods.flat(images.X), methods.flat(images.X_test)
    varies = X.std(axis=0) >= LEAST_DEVIATION
    return replace(images, X=X[:, varies], X_test=X_test[:, varies])


def _error(model: Model, X: np.ndarray, y: Codes) -> float:
    """Return the percentage of wrong classes."""
    return round(100 * float((model.predict(X) != y).mean()), 3)


def audit(path: Path, name: str, n_rows: int) -> Row:
    """Attack the codes of test images, which no model was fitted on."""
    model, images = load_model(path), load(name)
    if not isinstance(model, SemiConditionalFlowClassifier):
        raise SystemExit(f"{path} holds a {type(model).__name__}; an audit needs scnf-glow")
    chosen = np.random.default_rng(0).permutation(len(images.X_test))[:n_rows]
    recorder = Recorder()
    found = audit_class_removal(
        model,
        images.X_test[chosen],
        images.y_test[chosen],
        codes=("z_f", "z_h"),
        n_folds=obfuscation.N_FOLDS,
        random_state=0,
    )
    return {
        "model": path.name,
        "rows": len(chosen),
        **obfuscation.described(model, found, f"{name}, {model.n_labeled_:,}", "held out"),
        **recorder.minutes(),
    }


def tables(rows: Sequence[Row]) -> str:
    """Return the tables of all runs as Markdown."""
    fits = [row for row in rows if "accuracy" not in row]
    audits = [row for row in rows if "accuracy" in row]
    parts = [table(fits)] if fits else []
    if audits:
        parts.append(obfuscation.table(audits))
    return "\n\n".join(parts)


def table(rows: Sequence[Row]) -> str:
    """Return errors and costs, one row per setting, over all seeds."""
    settings = KEY[:-1]
    lines = [
        "| set | method | labels | width of z_f | epochs | seeds | test error, % | worst | paper |"
        " error on the labels, % | bits at level centers | CPU minutes, maximum |",
        "| --- |" + " --- |" * 11,
    ]
    for setting in sorted({tuple(row[key] for key in settings) for row in rows}, key=_order):
        mine = [row for row in rows if tuple(row[key] for key in settings) == setting]
        name, method, labels, _, epochs = setting
        bits = [row["bits_per_dimension"] for row in mine if "bits_per_dimension" in row]
        errors = np.array([row["test_error"] for row in mine])
        of_labels = np.mean([row["label_error"] for row in mine])
        most = max(row["cpu_minutes"] for row in mine)
        lines.append(
            f"| {name} | {method} | {labels} | {mine[0].get('class_features', '')} |"
            f" {epochs} | {len(mine)} |"
            f" {errors.mean():.2f} ± {errors.std():.2f} | {errors.max():.2f} |"
            f" {_published(setting)} | {of_labels:.2f} | {f'{np.mean(bits):.3f}' if bits else ''} |"
            f" {most:.1f} |"
        )
    return "\n".join(lines)


def _order(setting: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sort by set, labels, method, width and epochs."""
    name, method, labels, width, epochs = setting
    return name, labels, METHODS.index(method), 0 if width == "auto" else width, epochs


def _published(setting: tuple[Any, ...]) -> str:
    """Return the paper's test error of the same set, method, number of labels and width, if any."""
    name, method, labels, width, _ = setting
    if (name, labels) != ("mnist", 100):
        return ""
    if method == "scnf-glow" and width != "auto":
        return str(PAPER_WIDTHS.get(width, ""))
    return PAPER.get(method, "")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the settings that are not in the results yet, and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scnf.mnist", description=__doc__)
    parser.add_argument("--set", choices=[n for n in FILES if n != "cifar"], default="mnist")
    parser.add_argument("--method", choices=METHODS, nargs="+", default=["scnf-glow"])
    parser.add_argument(
        "--labels", type=int, default=1_000, help="in total, evenly over the classes"
    )
    parser.add_argument(
        "--widths", type=int, nargs="+", default=["auto"], help="of z_f (default: automatic)"
    )
    parser.add_argument("--epochs", type=int, help="passes over the images")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--save", type=Path, help="folder for the fitted models")
    parser.add_argument("--audit", type=Path, help="a saved scnf-glow model to attack instead")
    parser.add_argument("--audit-rows", type=int, default=4_000, help="test images to attack")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / "mnist.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def keep(row: Row) -> None:
        rows.append(row)
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    if arguments.audit is not None:
        keep(audit(arguments.audit, arguments.set, arguments.audit_rows))
    else:
        done = {tuple(row[key] for key in KEY) for row in rows if "accuracy" not in row}
        for setting in settings(arguments):
            if setting not in done:
                row, model = run(dict(zip(KEY, setting, strict=True)))
                keep(row)
                if arguments.save is not None:
                    arguments.save.mkdir(parents=True, exist_ok=True)
                    model.save(arguments.save / f"{'-'.join(map(str, setting))}.flowssl")
    text = tables(rows)
    (arguments.results / "mnist.md").write_text(text + "\n")
    print(text)


def settings(arguments: argparse.Namespace) -> list[tuple[Any, ...]]:
    """Return the settings to run, as values of ``KEY``; only semi-conditional flows have widths."""
    given = arguments.epochs
    return [
        (arguments.set, method, arguments.labels, width, given or EPOCHS.get(method, 1), seed)
        for seed in arguments.seeds
        for method in arguments.method
        for width in (arguments.widths if method in CLASS_DENSITIES else ["auto"])
    ]


if __name__ == "__main__":
    main()
