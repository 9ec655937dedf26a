"""Handwritten digits from ten labels a class: fit, predict, score, sample, save and load.

python examples/quickstart.py
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

import flowssl
from flowssl import FlowGMMClassifier
from flowssl.datasets import hide_labels, load_dataset
from flowssl.report import write_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output")
    parser.add_argument(
        "--fast", action="store_true", help="few rows, one epoch: to see that it runs"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    # 1,198 images to learn from; all but ten labels of each class are hidden (-1).
    digits = load_dataset("digits")
    X, X_test, truth, y_test = train_test_split(
        digits.X,
        digits.y,
        train_size=200 if arguments.fast else 2 / 3,
        test_size=1 / 3,
        stratify=digits.y,
        random_state=0,
    )
    y = hide_labels(truth, per_class=10, random_state=0)
    print(f"{np.sum(y != -1)} labeled rows, {np.sum(y == -1)} unlabeled ones")

    model = FlowGMMClassifier(random_state=0, max_epochs=1 if arguments.fast else "auto")
    model.fit(X, y)
    print(f"accuracy on {len(X_test)} test rows: {model.score(X_test, y_test):.3f}")

    # Calibrated class probabilities, and the exact density log p(x) in nats.
    proba, log_density = model.predict_proba(X_test), model.score_samples(X_test)
    unsure, strange = proba.max(axis=1).argmin(), log_density.argmin()
    print(f"least sure of test row {unsure}: it may be {np.argsort(-proba[unsure])[:2].tolist()}")
    print(f"strangest is test row {strange}, a {y_test[strange]}: {log_density[strange]:.1f} nats")

    # New rows of one class; below temperature 1 they are more typical.
    threes, _ = model.sample(5, y=3, temperature=0.5, random_state=0)
    print(f"5 sampled threes, predicted as {model.predict(threes).tolist()}")

    path = arguments.output / "digits.flowssl"
    model.save(path)
    again = flowssl.load(path)
    print(
        f"the loaded model predicts the same: {np.array_equal(again.predict_proba(X_test), proba)}"
    )

    page = arguments.output / "digits.html"
    write_report(model, X, y, page, X_test=X_test, y_test=y_test, title="Handwritten digits")
    print(f"written: {path}, {page}")


if __name__ == "__main__":
    main()
