"""One process for one method, data set and budget: fits the draws in turn, one JSON line each.

A separate process makes the peak memory that of the method, and a crash does not end the run.
``python -m benchmarks.accuracy.worker JOB`` with the job as JSON; it is started by `runner`.
"""

import json
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from benchmarks.accuracy.data import Table, load
from benchmarks.accuracy.draws import Budget, draw
from benchmarks.accuracy.methods import METHODS, Situation
from benchmarks.accuracy.metrics import accuracy, balanced_accuracy, scores
from benchmarks.memory import peak_mib

UNLABELED_SCORED = 10_000  # prediction by graph methods takes as long as fitting
TEXTS = ("ag_news",)
COMMON_UNITS = (*TEXTS, "mnist64")


@dataclass(frozen=True)
class Job:
    """The task of one worker; `budget` as in `Budget.parse`."""

    method: str
    dataset: str
    budget: str
    draws: tuple[int, ...]
    max_rows: int | None = None
    root: str | None = None

    def record(self, number: int) -> dict[str, object]:
        """Return the fields of a result line that identify the cell."""
        return {
            "method": self.method,
            "dataset": self.dataset,
            "budget": self.budget,
            "draw": number,
            "max_rows": self.max_rows,
        }

    def to_json(self) -> str:
        """Return the job as the argument of the worker."""
        return json.dumps(asdict(self))


def run(job: Job, table: Table, number: int) -> dict[str, object]:
    """Fit and score one draw; an error is recorded in the line."""
    try:
        result = _measure(job, table, number)
    except Exception as error:  # noqa: BLE001 - whatever a method raises, the run goes on
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        result = {"status": "failed", "error": message[:300]}
    return {**job.record(number), **result, "peak_mib": round(peak_mib())}


def _situation(job: Job, number: int) -> Situation:
    return Situation(number, job.dataset in TEXTS, job.dataset in COMMON_UNITS)


def _measure(job: Job, table: Table, number: int) -> dict[str, object]:
    rows = draw(table, Budget.parse(job.budget), number)
    X, X_test = table.X[rows.train], table.X_test
    y_test = table.y_test
    if X_test is None or y_test is None:
        X_test, y_test = table.X[rows.test], table.y[rows.test]
    if table.n_components is not None:
        X, X_test = _project(X, X_test, table.n_components)
    y = np.full(len(X), -1, dtype=np.int64)
    where = np.searchsorted(rows.train, rows.labeled)
    y[where] = table.y[rows.labeled]

    model = METHODS[job.method](_situation(job, number))
    started, cpu_started = time.perf_counter(), time.process_time()
    model.fit(X, y)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started

    unlabeled = np.random.default_rng(number).permutation(np.flatnonzero(y < 0))[:UNLABELED_SCORED]
    proba, bad_rows = _finite(model.predict_proba(X_test), table.n_classes)
    proba_u, bad_rows_u = _finite(model.predict_proba(X[unlabeled]), table.n_classes)
    truth_u = table.y[rows.train[unlabeled]]
    return {
        "status": "failed" if bad_rows + bad_rows_u else "ok",
        "error": f"{bad_rows + bad_rows_u} rows without finite probabilities"
        if bad_rows + bad_rows_u
        else "",
        **{name: round(value, 5) for name, value in scores(proba, y_test).items()},
        "unlabeled_accuracy": round(accuracy(proba_u, truth_u), 5),
        "unlabeled_balanced_accuracy": round(balanced_accuracy(proba_u, truth_u), 5),
        "fit_seconds": round(seconds, 3),
        "fit_cpu_seconds": round(cpu_seconds, 3),
        "n_labeled": len(where),
        "n_train": len(X),
        "n_test": len(y_test),
    }


def _project(X: np.ndarray, X_test: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import PCA

    pca = PCA(n, svd_solver="covariance_eigh").fit(X)
    return pca.transform(X), pca.transform(X_test)


def _finite(proba: np.ndarray, n_classes: int) -> tuple[np.ndarray, int]:
    """Replace rows without finite probabilities by the uniform distribution; count them."""
    proba = np.array(proba, dtype=np.float64)
    if proba.ndim != 2 or proba.shape[1] != n_classes:
        raise ValueError(f"probabilities of shape {proba.shape} for {n_classes} classes")
    bad = ~np.isfinite(proba).all(axis=1)
    proba[bad] = 1 / n_classes
    return proba, int(bad.sum())


def main(argument: str) -> None:
    """Run the job and print one JSON line for each draw."""
    fields = json.loads(argument)
    job = Job(**{**fields, "draws": tuple(fields["draws"])})
    warnings.simplefilter("ignore")  # of hundreds of fits; the scores show what matters
    table = load(job.dataset, Path(job.root) if job.root else None, job.max_rows)
    for number in job.draws:
        print(json.dumps(run(job, table, number)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
