"""Draw samples of a saved model as grids, a class a row, and ask a classifier of real images.

    python -m benchmarks.images.pictures mnist1000.flowssl --set mnist

Each grid is written as a PNG file: class means f^-1(mu_k) in the first column, then samples at the
given temperatures (factors of the latent variances: 1 and .25^2).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmarks.images.data import FILES, load
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from flowssl import load as load_model

FOLDER = Path(__file__).parent / "results"
TEMPERATURES = (1.0, 0.0625)
PER_CLASS = 10


def grid(images: npt.NDArray[np.uint8], columns: int) -> Image.Image:
    """Put images (n, h, w) or (n, h, w, 3) side by side, row by row, twice as large."""
    rows = [
        np.concatenate(list(images[i : i + columns]), axis=1)
        for i in range(0, len(images), columns)
    ]
    whole = np.concatenate(rows, axis=0)
    return Image.fromarray(np.repeat(np.repeat(whole, 2, axis=0), 2, axis=1))


def main() -> None:
    """Write the grids and how many samples are recognized."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.images.pictures", description=__doc__
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--set", choices=FILES, default="mnist")
    arguments = parser.parse_args()
    model, images = load_model(arguments.model), load(arguments.set)
    judge = make_pipeline(PCA(40, random_state=0), KNeighborsClassifier(5))
    judge.fit(images.X.reshape(len(images.X), -1), images.y)
    classes = np.asarray(model.classes_)
    means = np.concatenate([model.sample(1, y=k, temperature=0.0)[0] for k in classes])
    found: dict[str, object] = {"model": arguments.model.name}
    for temperature in TEMPERATURES:
        wanted = np.repeat(classes, PER_CLASS)
        X, _ = model.sample(y=wanted, temperature=temperature, random_state=0)
        shown = [np.concatenate((means[[i]], X[wanted == k])) for i, k in enumerate(classes)]
        name = f"{arguments.model.stem}-T{temperature:g}.png"
        grid(np.concatenate(shown), PER_CLASS + 1).save(FOLDER / name)
        seen = judge.predict(np.asarray(X).reshape(len(X), -1))
        found[f"recognized at T={temperature:g}"] = round(float((seen == wanted).mean()), 3)
    truth = judge.predict(images.X_test[:1000].reshape(1000, -1))
    found["recognized of real images"] = round(float((truth == images.y_test[:1000]).mean()), 3)
    path = FOLDER / "samples.json"
    done = json.loads(path.read_text()) if path.exists() else []
    path.write_text(json.dumps([*done, found], indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
