"""Held-out likelihood of categorical columns: a chain, independence, and a latent class model.

Run ``python -m benchmarks.density.categories``; it takes some minutes on one core and adds its records
to ``results/categories.json``. Rows are drawn from models with a known entropy, or they are real: the
pixels of scikit-learn's digits, dark or not, and columns of numbers cut at their octiles.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.folders import DATA
from scipy.special import logsumexp
from sklearn.datasets import load_digits

from flowssl.marginals.category_fit import SMOOTHING, fit_category_chain

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
Sizes = tuple[int, ...]

RESULTS = Path(__file__).parent / "results" / "categories.json"
TEST = 4000
COMPONENTS = (1, 2, 4, 8, 16, 32)
ITERATIONS = 200
BINS = 8

Given = Callable[[int, Codes], Floats]
"""Probabilities (n, K_j) of column j, given rows whose columns before j are filled."""


def tree(rng: np.random.Generator, sizes: Sizes) -> Given:
    """Let each column depend on one earlier column, drawn at random."""
    parents = [0, *(int(rng.integers(j)) for j in range(1, len(sizes)))]
    tables = [
        rng.dirichlet(np.full(k, 0.8), size=1 if j == 0 else sizes[parents[j]])
        for j, k in enumerate(sizes)
    ]
    return lambda j, codes: tables[j][codes[:, parents[j]] if j else np.zeros(len(codes), int)]


def pairs(rng: np.random.Generator, sizes: Sizes) -> Given:
    """Let each column depend on the two before it, with a table of its own for every pair."""
    tables = [
        rng.dirichlet(np.full(k, 0.5), size=sizes[max(0, j - 2) : j]) for j, k in enumerate(sizes)
    ]

    def given(j: int, codes: Codes) -> Floats:
        table = tables[j][tuple(codes[:, i] for i in range(max(0, j - 2), j))]
        return np.broadcast_to(table, (len(codes), sizes[j]))

    return given


def classes(rng: np.random.Generator, sizes: Sizes) -> Given:
    """Draw columns independently given one of six hidden classes: what the mixture assumes."""
    prior = rng.dirichlet(np.full(6, 2.0))
    tables = [rng.dirichlet(np.full(k, 0.5), size=6) for k in sizes]

    def given(j: int, codes: Codes) -> Floats:
        log_class = np.tile(np.log(prior), (len(codes), 1))
        for table, column in zip(tables[:j], codes.T, strict=False):
            log_class += np.log(table[:, column].T)
        posterior = np.exp(log_class - logsumexp(log_class, axis=1, keepdims=True))
        return posterior @ tables[j]

    return given


SYNTHETIC: dict[str, tuple[Callable[[np.random.Generator, Sizes], Given], Sizes]] = {
    "tree": (tree, (12, 12, 5, 3, 2, 7, 20)),
    "tree, 2 x 50 levels": (tree, (50, 50)),
    "pairs": (pairs, (4, 5, 3, 6, 2, 4)),
    "classes": (classes, (12, 6, 4, 3, 2, 8)),
    "classes, 30 columns": (classes, (3,) * 30),
}


def draw(given: Given, sizes: Sizes, n: int, rng: np.random.Generator) -> tuple[Codes, Floats]:
    """Draw rows (n, m) and return them with their log-probabilities (n,)."""
    codes, log_prob = np.zeros((n, len(sizes)), dtype=np.int64), np.zeros(n)
    for j in range(len(sizes)):
        p = given(j, codes)
        codes[:, j] = (p.cumsum(1)[:, :-1] < rng.random(n)[:, None]).sum(1)
        log_prob += np.log(p[np.arange(n), codes[:, j]])
    return codes, log_prob


def real(name: str) -> tuple[Codes, Sizes]:
    """Return a set whose columns are cut into levels."""
    if name == "digits, dark pixels":
        dark = (load_digits().data > 8).astype(np.int64)
        return dark[:, dark.any(0)], (2,) * int(dark.any(0).sum())
    X = np.load(DATA / f"tabular/{name}.npz", allow_pickle=False)["X"]
    edges = np.quantile(X, np.arange(1, BINS) / BINS, axis=0)
    codes = np.stack([np.searchsorted(np.unique(e), x) for e, x in zip(edges.T, X.T, strict=True)])
    return codes.T, tuple((codes.max(1) + 1).tolist())


def mixture_log_prob(
    codes: Codes, sizes: Sizes, held_out: Booleans, seed: int, test: Codes
) -> Floats:
    """Fit products of levels' frequencies by EM; the held-out rows choose the number of classes."""
    starts = np.cumsum((0, *sizes[:-1]))
    one_hot = np.zeros((len(codes), sum(sizes)))
    np.put_along_axis(one_hot, codes + starts, 1.0, axis=1)
    trained, best, kept = one_hot[~held_out], -np.inf, None
    for n_classes in COMPONENTS:
        rng = np.random.default_rng(seed)
        share = rng.dirichlet(np.ones(n_classes), size=len(trained))
        for _ in range(ITERATIONS):
            counts = share.T @ trained + SMOOTHING
            totals = np.add.reduceat(counts, starts, axis=1).repeat(sizes, axis=1)
            log_levels, log_prior = np.log(counts / totals), np.log(share.mean(0) + 1e-12)
            log_joint = trained @ log_levels.T + log_prior
            share = np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))
        score = logsumexp(one_hot[held_out] @ log_levels.T + log_prior, axis=1).mean()
        if score > best:
            best, kept = score, (log_levels, log_prior)
    log_levels, log_prior = kept
    joint = sum(
        log_levels[:, start + column].T for start, column in zip(starts, test.T, strict=True)
    )
    return logsumexp(joint + log_prior, axis=1)


def chain_log_prob(
    codes: Codes, sizes: Sizes, held_out: Booleans, seed: int, test: Codes
) -> Floats:
    """Fit a chain with the defaults."""
    chain = fit_category_chain(codes, sizes, held_out=held_out, seed=seed)
    return chain.log_prob(torch.from_numpy(test)).double().numpy()


def independent_log_prob(
    codes: Codes, sizes: Sizes, held_out: Booleans, seed: int, test: Codes
) -> Floats:
    """Use the frequencies alone."""
    chain = fit_category_chain(codes, sizes, held_out=held_out, max_epochs=0, seed=seed)
    return chain.log_prob(torch.from_numpy(test)).double().numpy()


METHODS = {
    "independent": independent_log_prob,
    "mixture": mixture_log_prob,
    "chain": chain_log_prob,
}


def cases(
    seed: int, n_rows: Sequence[int]
) -> Iterator[tuple[str, Sizes, Codes, Codes, float | None]]:
    """Yield name, sizes, training rows, test rows and the truth's mean log-probability."""
    for name, (make, sizes) in SYNTHETIC.items():
        for n in n_rows:
            rng = np.random.default_rng(seed)
            given = make(rng, sizes)
            codes, _ = draw(given, sizes, n, rng)
            test, log_prob = draw(given, sizes, TEST, rng)
            yield name, sizes, codes, test, float(log_prob.mean())
    for name in ("digits, dark pixels", "magic", "pendigits"):
        codes, sizes = real(name)
        codes = codes[np.random.default_rng(seed).permutation(len(codes))]
        n_test = min(TEST, len(codes) // 4)
        for n in n_rows:
            if n_test + n <= len(codes) or n == 1500:
                yield name, sizes, codes[n_test:][:n], codes[:n_test], None


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", type=int, default=[200, 1500, 8000])
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = json.loads(options.results.read_text()) if options.results.exists() else []
    for seed in options.seeds:
        for name, sizes, codes, test, truth in cases(seed, options.rows):
            held_out = np.arange(len(codes)) % 10 == 0
            record: dict[str, object] = {"set": name, "rows": len(codes), "seed": seed}
            record["truth"] = truth if truth is None else round(truth, 4)
            for method, log_prob in METHODS.items():
                began = time.process_time()
                record[method] = round(
                    float(log_prob(codes, sizes, held_out, seed, test).mean()), 4
                )
                record[f"{method}_seconds"] = round(time.process_time() - began, 1)
            print(json.dumps(record), flush=True)
            records.append(record)
            options.results.parent.mkdir(parents=True, exist_ok=True)
            lines = ",\n ".join(json.dumps(each) for each in records)
            options.results.write_text(f"[{lines}]\n")


if __name__ == "__main__":
    main()
