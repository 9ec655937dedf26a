"""Writes the golden model files: ``python -m tests.golden`` from the root of the project.

Each file under ``tests/data/golden`` was written once and is read by every later version; see
``tests/test_golden.py``. Only a kind that has no file yet gets one: those that are there stay.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from flowssl import (
    DIGLMClassifier,
    FlowGMMClassifier,
    ObjectiveOptions,
    SemiConditionalFlowClassifier,
)
from flowssl.baselines import M2VAEClassifier
from flowssl.bijections import Halves
from flowssl.image_architectures import IMAGE_ARCHITECTURES, ImageArchitecture
from flowssl.layers import channel_map, image_couplings, squeeze

FOLDER = Path(__file__).parent / "data" / "golden"
N_ROWS, N_KEPT = 60, 12


def table() -> tuple[np.ndarray, np.ndarray]:
    """Two clusters in three columns; ten labels of either class."""
    rng = np.random.default_rng(0)
    truth = np.arange(N_ROWS) % 2
    X = np.round(rng.normal(size=(N_ROWS, 3)) + 3.0 * truth[:, None], 3)
    return X, np.where(np.arange(N_ROWS) < 20, truth, -1)


def frame() -> tuple[pd.DataFrame, np.ndarray]:
    """The same with a category, missing values and labels of text."""
    X, y = table()
    rows = pd.DataFrame(X, columns=["a", "b", "c"])
    rows["kind"] = np.where(X[:, 0] > 1.5, "x", "y")
    rows.loc[::7, "b"] = np.nan
    rows.loc[3::11, "kind"] = None
    return rows, np.where(y < 0, None, np.where(y == 1, "yes", "no"))


def images() -> tuple[np.ndarray, np.ndarray]:
    """Gray images of 4 x 4 pixels, bright at the top or at the bottom."""
    rng = np.random.default_rng(0)
    truth = np.arange(N_ROWS) % 2
    X = rng.integers(0, 100, size=(N_ROWS, 4, 4))
    X[truth == 0, :2] += 120
    X[truth == 1, 2:] += 120
    return X.astype(np.uint8), np.where(np.arange(N_ROWS) < 20, truth, -1)


# The package's own presets of images take megabytes.
IMAGE_ARCHITECTURES["golden"] = ImageArchitecture(
    ((squeeze, channel_map, *image_couplings(2, Halves, width=4, n_blocks=1)),), normalize=True
)

QUICK = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
SMALL = {"architecture": "affine", **QUICK}
KINDS = {
    "flowgmm": (table, lambda: FlowGMMClassifier(architecture="small", **QUICK)),
    "flowgmm-frame": (frame, lambda: FlowGMMClassifier(class_prior="learned", **SMALL)),
    "flowgmm-full": (
        table,
        lambda: FlowGMMClassifier(
            covariance_type="full",
            n_components=2,
            n_estimators=2,
            objective=ObjectiveOptions("em", e_step_interval=2),
            **SMALL,
        ),
    ),
    "scnf": (
        table,
        lambda: SemiConditionalFlowClassifier(
            class_architecture="small", class_features=2, **SMALL
        ),
    ),
    "scnf-gmm": (
        table,
        lambda: SemiConditionalFlowClassifier(
            class_density="gaussian", covariance_type="low_rank", covariance_rank=1, **SMALL
        ),
    ),
    "diglm": (table, lambda: DIGLMClassifier(class_features="all", **SMALL)),
    "m2-vae": (
        frame,
        lambda: M2VAEClassifier(n_latents=2, hidden_layer_sizes=(8,), n_steps=20, random_state=0),
    ),
    "flowgmm-images": (
        images,
        lambda: FlowGMMClassifier(architecture="golden", images=(1, 4, 4), batch_size=30, **QUICK),
    ),
}
"""For each kind, its rows and an estimator."""


def answers(model: object, X: np.ndarray | pd.DataFrame) -> dict[str, list]:
    """Return what a model says of some rows."""
    rows = X[:N_KEPT]
    found = {"log_proba": model.predict_log_proba(rows).tolist()}
    if hasattr(model, "score_samples"):
        found["log_density"] = model.score_samples(rows).tolist()
        found["latents"] = model.transform(rows).tolist()
        found["ood_score"] = model.ood_score(rows).tolist()
    return found


def main() -> None:
    """Write the files of kinds that have none."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (rows, make) in KINDS.items():
        path = FOLDER / f"{name}.flowssl"
        if not path.exists():
            X, y = rows()
            model = make().fit(X, y)
            model.save(path)
            (FOLDER / f"{name}.json").write_text(json.dumps(answers(model, X)) + "\n")


if __name__ == "__main__":
    main()
