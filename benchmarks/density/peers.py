"""Density estimators that users have ready: mixtures of scikit-learn, flows of zuko.

Each sees standardized or whitened columns, and stops by a tenth of the training rows.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
import zuko
from benchmarks.density.data import Floats
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

COMPONENTS = (1, 2, 5, 10, 20, 40)
HIDDEN, TRANSFORMS, EPOCHS, BATCH, RATE = (128, 128), 3, 60, 256, 2e-3

LogProb = Callable[[Floats], Floats]


def affine(X: Floats, space: str) -> tuple[Floats, Floats]:
    """Return the mean and the matrix that standardize or whiten rows."""
    mean = X.mean(0)
    if space == "standardized":
        return mean, np.diag(1 / X.std(0))
    values, vectors = np.linalg.eigh(np.cov(X.T))
    return mean, (vectors / np.sqrt(np.maximum(values, values.max() * 1e-14))).T


def fit(method: str, space: str, X: Floats, seed: int) -> LogProb:
    """Fit a method and return its log-density of rows, in the rows' units."""
    mean, matrix = affine(X, space)
    log_det = np.linalg.slogdet(matrix)[1]
    z = (X - mean) @ matrix.T
    held_out = np.zeros(len(z), bool)
    held_out[np.random.default_rng(seed).permutation(len(z))[: len(z) // 10]] = True
    if method == "mixture":
        log_prob = _mixture(z[~held_out], z[held_out], seed)
    else:
        log_prob = _flow(method, z[~held_out], z[held_out], seed)
    return lambda rows: log_prob((rows - mean) @ matrix.T) + log_det


def _mixture(trained: Floats, held_out: Floats, seed: int) -> LogProb:
    """Choose the number of full Gaussians by the held-out rows."""
    models = [GaussianMixture(k, random_state=seed, max_iter=100) for k in COMPONENTS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = max((model.fit(trained) for model in models), key=lambda m: m.score(held_out))
    return best.score_samples


def _batches(n: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    order = torch.randperm(n, generator=generator)
    yield from order[: n - n % BATCH].split(BATCH)


def _flow(method: str, trained: Floats, held_out: Floats, seed: int) -> LogProb:
    """Train by likelihood; the weights are those of the epoch that is best on the held-out rows."""
    torch.manual_seed(seed)
    kind = {"nsf": zuko.flows.NSF, "maf": zuko.flows.MAF}[method]
    flow = kind(trained.shape[1], transforms=TRANSFORMS, hidden_features=HIDDEN)
    rows, others = (torch.tensor(a, dtype=torch.float32) for a in (trained, held_out))
    steps = EPOCHS * (len(rows) // BATCH)
    optimizer = torch.optim.Adam(flow.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    generator, best = torch.Generator().manual_seed(seed), -np.inf
    kept = flow.state_dict()
    for _ in range(EPOCHS):
        for batch in _batches(len(rows), generator):
            loss = -flow().log_prob(rows[batch]).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            score = flow().log_prob(others).mean().item()
        if score > best:
            best, kept = score, copy.deepcopy(flow.state_dict())
    flow.load_state_dict(kept)

    def log_prob(z: Floats) -> Floats:
        with torch.no_grad():
            out: Floats = flow().log_prob(torch.tensor(z, dtype=torch.float32)).double().numpy()
        return out

    return log_prob
