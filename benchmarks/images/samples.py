"""Draw samples of a saved model as grids, one class per row, and classify them.

    python -m benchmarks.images.samples mnist1000.flowssl --set mnist

Each grid is written as a PNG file: class means f^-1(mu_k) in the first column, then samples at
temperature (a factor of the latent variances) 1 or .25^2. A nearest-neighbor classifier fitted on
real images gives the fraction of samples that are recognized as their class.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from benchmarks.images.data import FILES, load
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from flowssl import load as load_model
from flowssl.plotting import plot_class_samples

FOLDER = Path(__file__).parent / "results"
TEMPERATURES = (1.0, 0.0625)
PER_CLASS = 10


def main() -> None:
    """Write the grids and the fraction of samples that are recognized."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.images.samples", description=__doc__
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--set", choices=FILES, default="mnist")
    arguments = parser.parse_args()
    model, images = load_model(arguments.model), load(arguments.set)
    classifier = make_pipeline(PCA(40, random_state=0), KNeighborsClassifier(5))
    classifier.fit(images.X.reshape(len(images.X), -1), images.y)
    classes = np.repeat(model.classes_, PER_CLASS)
    found: dict[str, object] = {"model": arguments.model.name}
    for temperature in TEMPERATURES:
        X, _ = model.sample(y=classes, temperature=temperature, random_state=0)
        figure = plot_class_samples(model, PER_CLASS, temperature=temperature, random_state=0)
        figure.savefig(FOLDER / f"{arguments.model.stem}-T{temperature:g}.png")
        predicted = classifier.predict(np.asarray(X).reshape(len(X), -1))
        found[f"recognized at T={temperature:g}"] = round(float((predicted == classes).mean()), 3)
    truth = classifier.predict(images.X_test[:1000].reshape(1000, -1))
    found["recognized of real images"] = round(float((truth == images.y_test[:1000]).mean()), 3)
    path = FOLDER / "samples.json"
    done = json.loads(path.read_text()) if path.exists() else []
    others = [run for run in done if run["model"] != found["model"]]
    path.write_text(json.dumps([*others, found], indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
