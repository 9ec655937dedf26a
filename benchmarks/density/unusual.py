"""Unusual rows: AUROC of every score, and false alarms of its threshold on fresh rows.

``python -m benchmarks.density.unusual`` fits the default model to some classes of each set, with
few labels, and scores held-out rows of these classes and rows of what it has not seen: the
out-of-scope texts of CLINC150, or a quarter of the classes, which each seed draws anew. Tables of
two classes have no unusual rows here; their false alarms alone are measured. Finished runs are kept
in ``results/unusual.jsonl`` and not repeated; ``--show`` prints the means. ``--clusters`` leaves
the flow out and measures the score by clusters alone, which depends on no label and no training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.folders import DATA

from flowssl import FlowGMMClassifier
from flowssl.datasets import make_moons
from flowssl.inspection import OODThreshold, RowClusters, ood_table
from flowssl.inspection.comparison import auroc, fpr95

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

TEXTS = ("clinc150", "banking77", "ag_news")
TABLES = ("pendigits", "satimage", "dry_bean", "shuttle")
WITHOUT_UNUSUAL = ("magic", "htru2", "spambase", "moons")
MAX_TRAIN, MAX_USUAL, MAX_UNUSUAL = 8000, 4000, 2000
RESULTS = Path(__file__).parent / "results" / "unusual.jsonl"
ALPHA = 0.05


@dataclass(frozen=True)
class Rows:
    """Rows of one seed.

    Attributes
    ----------
    X, y : ndarray of shape (n, D) and (n,)
        Training rows and their classes, of which ``per_class`` keep their label.
    usual : ndarray of shape (m, D)
        Fresh rows of the same classes.
    unusual : ndarray of shape (k, D)
        Rows of what the model has not seen; k may be 0.
    per_class : int
        Labels of each class.
    """

    X: Floats
    y: Codes
    usual: Floats
    unusual: Floats
    per_class: int

    def labels(self, seed: int) -> Codes:
        """Return the labels, -1 for unlabeled rows."""
        rng, out = np.random.default_rng(seed), np.full(len(self.y), -1)
        for k in np.unique(self.y):
            rows = np.flatnonzero(self.y == k)
            out[rng.permutation(rows)[: self.per_class]] = k
        return out


def load(name: str, seed: int) -> Rows:
    """Read a set and split it."""
    rng = np.random.default_rng(seed)
    if name in TEXTS:
        return _texts(name, rng)
    if name == "moons":
        X, y = make_moons(MAX_TRAIN + MAX_USUAL, random_state=seed)
    else:
        arrays = np.load(DATA / "tabular" / f"{name}.npz", allow_pickle=False)
        X, y = arrays["X"].astype(np.float64), arrays["y"].astype(np.int64)
    order = rng.permutation(len(X))
    X, y = X[order], y[order]
    unseen = np.isin(y, _unseen(y, rng))
    usual, classes = X[~unseen], y[~unseen]
    n = min(MAX_TRAIN, int(0.7 * len(usual)))
    return Rows(usual[:n], classes[:n], usual[n:][:MAX_USUAL], X[unseen][:MAX_UNUSUAL], 10)


def _unseen(y: Codes, rng: np.random.Generator) -> Codes:
    """Draw a quarter of the classes; none of two."""
    classes = np.unique(y)
    n_unseen = 0 if len(classes) == 2 else max(1, len(classes) // 4)
    return rng.choice(classes, n_unseen, replace=False)


def _texts(name: str, rng: np.random.Generator) -> Rows:
    """Read embedded texts with their published test set."""
    file = {
        "clinc150": "clinc150_oos_minilm",
        "banking77": "banking77_textoir_minilm",
        "ag_news": "ag_news_minilm",
    }[name]
    arrays = np.load(DATA / "text" / f"{file}.npz", allow_pickle=False)
    X, X_test = (arrays[key].astype(np.float64) for key in ("X_train", "X_test"))
    y, y_test = (arrays[key].astype(np.int64) for key in ("y_train", "y_test"))
    unseen = np.array([-1]) if name == "clinc150" else _unseen(y, rng)
    kept = np.flatnonzero(~np.isin(y, unseen))
    if name == "ag_news":
        kept = rng.permutation(kept)[:MAX_TRAIN]
    is_unusual = np.isin(y_test, unseen)
    per_class = 20 if name == "ag_news" else 5
    return Rows(X[kept], y[kept], X_test[~is_unusual], X_test[is_unusual], per_class)


def relative_mahalanobis(rows: Rows, labels: Codes) -> float:
    """Return the AUROC of Ren et al. (2021): Gaussians of labeled rows against one of all rows.

    Its class Gaussians share a covariance, shrunk by a tenth, which few labels need.
    """
    known = labels >= 0
    X, codes = rows.X[known], np.unique(labels[known], return_inverse=True)[1]
    means = np.stack([X[codes == k].mean(0) for k in range(codes.max() + 1)])
    roots = [_root(X - means[codes]), _root(rows.X - rows.X.mean(0))]

    def score(T: Floats) -> Floats:
        white, centers = T @ roots[0], means @ roots[0]
        squared = np.square(white).sum(1)[:, None] - 2 * white @ centers.T
        squared += np.square(centers).sum(1)
        background = np.square((T - rows.X.mean(0)) @ roots[1]).sum(1)
        return squared.min(1) - background

    return auroc(score(rows.usual), score(rows.unusual))


def _root(deviations: Floats) -> Floats:
    """Return a root of the inverse of a shrunk covariance."""
    covariance = deviations.T @ deviations / len(deviations)
    spread = np.trace(covariance) / len(covariance)
    values, vectors = np.linalg.eigh(0.9 * covariance + 0.1 * spread * np.eye(len(covariance)))
    return np.asarray(vectors / np.sqrt(values))


def nearest_row(rows: Rows) -> float:
    """Return the AUROC of the cosine distance to the nearest training row (Sun et al. 2022)."""

    def unit(T: Floats) -> Floats:
        return T / np.linalg.norm(T, axis=1, keepdims=True)

    train = unit(rows.X).T
    usual, unusual = (
        np.concatenate([-(unit(part) @ train).max(1) for part in np.array_split(T, 10)])
        for T in (rows.usual, rows.unusual)
    )
    return auroc(usual, unusual)


def measure(name: str, seed: int) -> dict[str, object]:
    """Fit a model and return its figures."""
    rows = load(name, seed)
    labels = rows.labels(seed)
    began = time.process_time()
    model = FlowGMMClassifier(random_state=seed).fit(rows.X, labels)
    seconds = time.process_time() - began
    sets = {"usual": rows.usual}
    if len(rows.unusual):
        sets["unusual"] = rows.unusual
    table = ood_table(model, sets)
    thresholds = {m: model.calibrate_ood(ALPHA, method=m) for m in table.sets[0].scores}
    alarms = {
        m: round(float(t.exceeded(table.sets[0].scores[m]).mean()), 4)
        for m, t in thresholds.items()
    }
    record: dict[str, object] = {
        "set": name,
        "seed": seed,
        "rows": [len(rows.X), len(rows.usual), len(rows.unusual)],
        "columns": rows.X.shape[1],
        "seconds": round(seconds, 1),
        "automatic": table.automatic,
        "alarms": alarms,
        "spread": {m: round(t.spread, 4) for m, t in thresholds.items()},
    }
    if len(rows.unusual):
        record["auroc"] = {m: round(v, 4) for m, v in table.sets[1].auroc.items()}
        record["fpr95"] = {m: round(v, 4) for m, v in table.sets[1].fpr95.items()}
    if name in TEXTS:
        record["others"] = others(rows, labels)
    return record


def measure_clusters(name: str, seed: int) -> dict[str, object]:
    """Return the figures of the clusters that the default model of texts keeps."""
    rows = load(name, seed)
    weight, labels = np.ones(len(rows.X)), rows.labels(seed)
    began = time.process_time()
    clusters = RowClusters.fit(rows.X, weight, in_units=True, seed=seed)
    left_out = RowClusters.out_of_fold(rows.X, weight, in_units=True, seed=seed)
    seconds = time.process_time() - began
    usual, unusual = -clusters.log_prob(rows.usual), -clusters.log_prob(rows.unusual)
    threshold = OODThreshold.fit(-left_out[labels < 0], ALPHA, "clusters")
    return {
        "set": f"{name}, clusters alone",
        "seed": seed,
        "rows": [len(rows.X), len(usual), len(unusual)],
        "columns": rows.X.shape[1],
        "seconds": round(seconds, 1),
        "automatic": "clusters",
        "alarms": {"clusters": round(float(threshold.exceeded(usual).mean()), 4)},
        "spread": {"clusters": round(threshold.spread, 4)},
        "auroc": {"clusters": round(auroc(usual, unusual), 4)},
        "fpr95": {"clusters": round(fpr95(usual, unusual), 4)},
        "others": others(rows, labels),
    }


def others(rows: Rows, labels: Codes) -> dict[str, float]:
    """Return the AUROC of scores that need no flow."""
    found = {
        "relative Mahalanobis, few labels": relative_mahalanobis(rows, labels),
        "relative Mahalanobis, all labels": relative_mahalanobis(rows, rows.y),
        "nearest training row": nearest_row(rows),
    }
    return {key: round(value, 4) for key, value in found.items()}


def finished(path: Path) -> Iterator[dict[str, object]]:
    """Yield the records of finished runs."""
    if path.exists():
        yield from map(json.loads, path.read_text().splitlines())


def show(path: Path) -> None:
    """Print the means over seeds as Markdown."""
    records = list(finished(path))
    for name in dict.fromkeys(str(record["set"]) for record in records):
        own = [record for record in records if record["set"] == name]
        print(
            f"\n{name}, {len(own)} seeds, {own[0]['columns']} columns; default {own[0]['automatic']}"
        )
        for kind in ("auroc", "fpr95", "others", "alarms"):
            parts = [record[kind] for record in own if kind in record]
            for method in parts[0] if parts else ():
                values = np.array([part[method] for part in parts])
                low, high = values.min(), values.max()
                print(f"| {kind} | {method} | {values.mean():.4f} | {low:.4f} to {high:.4f} |")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=[*TEXTS, *TABLES, *WITHOUT_UNUSUAL])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true", help="print the means of finished runs")
    parser.add_argument("--clusters", action="store_true", help="texts without a flow")
    options = parser.parse_args()
    if options.show:
        show(options.results)
        return
    torch.set_num_threads(1)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    done = {(record["set"], record["seed"]) for record in finished(options.results)}
    for seed in options.seeds:
        for name in options.sets:
            key = f"{name}, clusters alone" if options.clusters else name
            if (key, seed) not in done:
                record = measure_clusters(name, seed) if options.clusters else measure(name, seed)
                with options.results.open("a") as file:
                    file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
