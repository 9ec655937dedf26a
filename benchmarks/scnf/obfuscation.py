"""How well the class is removed: attackers on the codes of held-out digits.

``python -m benchmarks.scnf.obfuscation`` fits scikit-learn's digits (two thirds of the rows, with
all labels or ten per class), removes the predicted class from the held-out third and lets attackers
recover it, by 3-fold cross-validation on that third. The same is done for the training rows, and
for both with the noise that training adds, whose density the model has learned. It writes
``results/obfuscation.json``, ``results/obfuscation.md`` and the figures in ``docs/figures``.
"""

from __future__ import annotations

import argparse
import json
import time
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from flowssl import ObjectiveOptions, SemiConditionalFlowClassifier
from flowssl.datasets import hide_labels
from flowssl.inspection import ClassRemovalAudit, audit_class_removal
from flowssl.inspection.obfuscation import CODES

RESULTS = Path(__file__).parent / "results"
FIGURES = Path(__file__).parents[2] / "docs" / "figures"
N_FOLDS = 3
LABELS = {"all": None, "10 per class": 10}
WIDTH = 10


def split(seed: int) -> list[np.ndarray]:
    """Return training rows, held-out rows and their classes."""
    X, y = load_digits(return_X_y=True)
    return train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=seed)


def run(labels: str, seed: int) -> list[dict[str, object]]:
    """Fit one split for the likelihood alone and audit it, on each kind of rows."""
    X, held_out, truth, held_out_truth = split(seed)
    per_class = LABELS[labels]
    y = truth if per_class is None else hide_labels(truth, per_class=per_class, random_state=seed)
    began = time.process_time()
    model = SemiConditionalFlowClassifier(
        class_features=WIDTH,
        objective=ObjectiveOptions(cross_entropy_weight=0.0),
        random_state=seed,
    ).fit(X, y)
    seconds = time.process_time() - began
    if labels == "all" and seed == 0:
        draw(model, held_out, held_out_truth)
    kinds = {
        "held out": (held_out, held_out_truth, 0.0),
        "held out, with noise": (held_out, held_out_truth, model.training_noise_),
        "trained on": (X, truth, 0.0),
        "trained on, with noise": (X, truth, model.training_noise_),
    }
    rows = []
    for kind, (attacked, classes, noise) in kinds.items():
        audit = audit_class_removal(
            model,
            attacked,
            classes,
            codes=CODES if kind == "held out" else ("z_f", "z_h"),
            noise=noise,
            n_folds=N_FOLDS,
            random_state=seed,
        )
        row = described(model, audit, labels, kind)
        rows.append(row | {"seed": seed, "fit_cpu_seconds": round(seconds, 1)})
    return rows


def described(
    model: SemiConditionalFlowClassifier, audit: ClassRemovalAudit, labels: str, rows: str
) -> dict[str, object]:
    """Return the fields of an audit that `table` needs."""
    return {
        "labels": labels,
        "attacked": rows,
        "class_features": model.class_features_,
        "architectures": [model.architecture_, model.class_architecture_],
        "chance": audit.chance,
        "predicted": audit.predicted,
        "accuracy": audit.accuracy,
    }


def table(rows: list[dict]) -> str:
    """Return mean accuracies, in percent, as Markdown."""
    names = list(next(iter(rows[0]["accuracy"].values())))
    lines = [
        f"| labels | width of z_f | rows | code | {' | '.join(names)} | best attacker | chance |"
        " classes predicted |",
        "| --- |" + " --- |" * (len(names) + 6),
    ]
    group = itemgetter("labels", "class_features", "attacked")
    for labels, width, attacked in dict.fromkeys(map(group, rows)):
        mine = [row for row in rows if group(row) == (labels, width, attacked)]
        chance = 100 * np.mean([row["chance"] for row in mine])
        predicted = 100 * np.mean([row["predicted"] for row in mine])
        for code in mine[0]["accuracy"]:
            means = [100 * np.mean([row["accuracy"][code][n] for row in mine]) for n in names]
            best = 100 * np.mean([max(row["accuracy"][code].values()) for row in mine])
            lines.append(
                f"| {labels} | {width} | {attacked} | {code} | "
                + " | ".join(f"{mean:.1f}" for mean in means)
                + f" | {best:.1f} | {chance:.1f} | {predicted:.1f} |"
            )
    return "\n".join(lines)


def draw(model: SemiConditionalFlowClassifier, held_out: np.ndarray, truth: np.ndarray) -> None:
    """Draw digits translated into every class, and the first two latents of z_f and z_h."""
    import matplotlib.pyplot as plt

    chosen = [np.flatnonzero(truth == k)[0] for k in range(10)]
    figure, axes = plt.subplots(10, 11, figsize=(6.6, 6.0))
    for line, row in enumerate(chosen):
        images = [held_out[row], *(model.translate(held_out[[row]], to=k)[0] for k in range(10))]
        for ax, image in zip(axes[line], images, strict=True):
            ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
            ax.set(xticks=[], yticks=[])
    for ax, name in zip(axes[0], ["row", *map(str, range(10))], strict=True):
        ax.set_title(name, fontsize=9)
    figure.savefig(FIGURES / "scnf_translation.png", dpi=110, bbox_inches="tight")

    figure, axes = plt.subplots(1, 2, figsize=(8, 4))
    for ax, remove, name in zip(axes, (False, True), ("z_f", "z_h"), strict=True):
        z = model.transform(held_out, remove_class=remove)[:, :2]
        ax.scatter(*z.T, c=truth, cmap="tab10", s=8)
        ax.set_title(f"first two latents of {name}")
    figure.savefig(FIGURES / "scnf_codes.png", dpi=110, bbox_inches="tight")


def main() -> None:
    """Run what is not in the results yet and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "obfuscation.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    done = {(row["labels"], row["seed"]) for row in rows}
    for seed in range(arguments.seeds):
        for labels in LABELS:
            if (labels, seed) not in done:
                found = run(labels, seed)
                rows += found
                path.write_text(json.dumps(rows, indent=1) + "\n")
                print(json.dumps(found), flush=True)
    text = table(rows)
    path.with_suffix(".md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
