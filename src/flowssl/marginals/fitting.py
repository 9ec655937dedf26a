"""Fit the marginal of a table: levels, mixture, experts and their weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from flowssl._random import randn_like
from flowssl._typing import Booleans, Floats, Integers
from flowssl.bijections import MixtureMap
from flowssl.marginals.categories import CategoryChain
from flowssl.marginals.category_fit import fit_category_chain
from flowssl.marginals.columns import Columns
from flowssl.marginals.marginal import Expert, Marginal, context_of
from flowssl.marginals.mixtures import fit_mixture
from flowssl.marginals.numbers import NumberDensity
from flowssl.marginals.units import Units
from flowssl.objectives import Likelihood, Objective
from flowssl.preprocessing import Completion
from flowssl.preprocessing.indicators import CategoryGroup
from flowssl.training import TrainingConfig, TrainingRows, train

ROWS_PER_COLUMN = 15
"""Rows per column that couplings need, as those of the classes do."""

LEAST_ROWS = 50
"""Rows below which a table has no marginal of its own."""

HELD_OUT = 10
"""One row in so many is held out where the fit itself holds none out."""

EPOCHS, MIXTURE_EPOCHS = 40, 20
"""Epochs of an expert at most; one that starts at the mixture soon begins to overfit."""

STEPS = 1250
"""Steps of a training of few epochs: large tables are passed over at least `MIN_EPOCHS` times."""

MIN_EPOCHS, MIN_STEPS_PER_EPOCH = 10, 5
LEARNING_RATE = 2e-3
NOISE = 0.02
"""Standard deviation of the noise in training, in standardized units."""

MIXTURE_NOISE = 0.05
"""The same for experts that start at the mixture, in its latents, which are of size 1 in every
direction."""

MAX_EXPERTS = 2

COPIES = 4
"""Random completions of each training row that has missing values or cells."""

REPEATED, MAX_COPIES = 1.5, 20_000
"""Mean weight of rows of levels from which on they are taken for repeated, and their copies at most."""

DONORS = 10
MAX_DONOR_ROWS = 10_000

WEIGHT_STEPS = 100


@dataclass(frozen=True)
class MarginalSettings:
    """How a marginal is trained.

    Attributes
    ----------
    device : str
        As in `TrainingConfig`.
    seed : int
        All random numbers follow from it.
    checkpoints : tuple of Path
        Files for the state of each expert's training; empty for none.
    max_epochs : int or None
        Epochs of a training at most.
    show_progress : bool
        Whether to show progress bars.
    is_short : bool
        Whether only what takes seconds is fitted.
    """

    device: str
    seed: int
    checkpoints: tuple[Path, ...] = ()
    max_epochs: int | None = None
    show_progress: bool = False
    is_short: bool = False


@dataclass(frozen=True)
class _NumberNoise:
    """Noise on the numbers of a row only, and on those that are there."""

    std: float
    n_numbers: int

    def __call__(self, x: Tensor) -> Tensor:
        numbers, rest = x[:, : self.n_numbers], x[:, self.n_numbers :]
        return torch.cat((numbers + self.std * randn_like(numbers), rest), dim=1)


def fit_marginal(
    matrix: Floats,
    weight: Floats,
    held_out: Booleans,
    completion: Completion,
    groups: tuple[CategoryGroup, ...],
    settings: MarginalSettings,
    previous: Marginal | None = None,
) -> tuple[Marginal | None, bool]:
    """Fit the density of the rows of a table.

    Parameters
    ----------
    matrix : ndarray of shape (n, D)
        Encoded rows, NaN for missing values.
    weight : ndarray of shape (n,)
        Their weights.
    held_out : ndarray of shape (n,), bool
        Rows by which the size of the mixture, the epochs and the experts' weights are chosen.
    completion : Completion
        The step to standardized units.
    groups : tuple of CategoryGroup
        The indicator columns of each categorical column.
    settings : MarginalSettings
        How it is trained.
    previous : Marginal, optional
        A marginal of the same columns, whose experts are trained further; all else stays.

    Returns
    -------
    marginal : Marginal or None
        None where there are fewer than 50 rows, or fewer rows than columns.
    interrupted : bool
        Whether Ctrl-C ended a training; the marginal is then what was found so far.
    """
    n, dim = matrix.shape
    columns = Columns.fit(matrix, weight, groups) if previous is None else previous.columns
    # Rows of few levels repeat, and each is there once, with a weight.
    enough = weight.sum() >= LEAST_ROWS if columns.are_levels else n >= max(LEAST_ROWS, dim)
    if not enough:
        return None, False
    rng = np.random.default_rng(settings.seed)
    if not held_out.any():
        held_out = rng.permutation(n) < n // HELD_OUT
    copies = list(_completed(columns, matrix, completion, rng))
    chain = None
    if columns.sizes:
        _, codes = columns.split(matrix, 0.5)
        chain = _fit_chain(columns, codes, weight, held_out, settings.seed)
    units = Units.of_completion(completion, columns.numbers)
    fit = _Fit(columns, weight, held_out, settings)
    if previous is None:
        mixture, mixture_units = fit.mixture(copies[0][0], units)
        experts = fit.new_experts(mixture)
    else:
        mixture, mixture_units = copy.deepcopy(previous.mixture), previous.mixture_units
        experts = [replace(e, density=copy.deepcopy(e.density)) for e in previous.experts]
    marginal = Marginal(columns, units, chain, mixture, mixture_units, experts, np.empty(0))
    marginal.to(torch.device("cpu"))
    interrupted = fit.train(marginal, copies) if experts else False
    return marginal, interrupted


def _fit_chain(
    columns: Columns, codes: Integers, weight: Floats, held_out: Booleans, seed: int
) -> CategoryChain:
    """Fit the density of the levels (n, m).

    Where rows are no more than levels, each is there once: rows that are held out would then be combinations
    that are never trained on. Copies of the rows, as many as their weights say, are held out instead.
    """
    if columns.are_levels and weight.mean() >= REPEATED:
        shrink = max(1.0, weight.sum() / MAX_COPIES)
        counts = np.maximum(1, np.round(weight / shrink)).astype(np.int64)
        codes, weight = np.repeat(codes, counts, axis=0), np.repeat(weight / counts, counts)
        order = np.random.default_rng(seed).permutation(len(codes))
        held_out = order < len(codes) // HELD_OUT
    return fit_category_chain(codes, columns.sizes, weight=weight, held_out=held_out, seed=seed)


class _Fit:
    """Fits the parts of a marginal to the same rows."""

    def __init__(
        self,
        columns: Columns,
        weight: Floats,
        held_out: Booleans,
        settings: MarginalSettings,
    ) -> None:
        self.columns = columns
        self.weight = weight
        self.held_out = held_out
        self.settings = settings

    def mixture(self, numbers: Floats, units: Units) -> tuple[MixtureMap | None, Units]:
        """Fit the mixture to numbers (n, d) without atoms, in the units that suit it better.

        Columns with atoms keep straight: their other numbers may be far from a column's middle.
        """
        plain = self.columns.without_atoms
        with_atoms = np.isin(np.arange(numbers.shape[1]), self.columns.with_atoms)
        if not plain:
            return None, units.with_straight(with_atoms, numbers)
        candidates = [units.with_straight(np.ones_like(with_atoms), numbers)]
        if units.completion.has_quantiles:
            candidates.append(units.with_straight(with_atoms, numbers))
        found = []
        for candidate in candidates:
            z, steps = (part[:, plain] for part in candidate.standardized(numbers))
            mixture = fit_mixture(z, self.weight, self.held_out, self.settings.seed)
            of_units = np.average(steps[self.held_out].sum(1), weights=self.weight[self.held_out])
            score = mixture.score(z[self.held_out], self.weight[self.held_out]) + of_units
            found.append((score, mixture, candidate))
        _, best, best_units = max(found, key=lambda item: item[0])
        return best.to_map(), best_units

    def new_experts(self, mixture: MixtureMap | None) -> list[Expert]:
        """Build the experts, of which the first is the safer one; without numbers there is none."""
        columns, n_trained = self.columns, int((~self.held_out).sum())
        n_numbers = len(columns.numbers)
        is_flow = n_trained >= ROWS_PER_COLUMN * columns.dim and not self.settings.is_short
        starts = [False] if mixture is None else [True, False] if is_flow else [True]
        return [
            Expert(
                NumberDensity(
                    n_numbers,
                    sum(columns.sizes),
                    has_absent=bool(columns.with_atoms),
                    is_flow=is_flow,
                    generator=torch.Generator().manual_seed(self.settings.seed + i),
                ),
                starts_at_mixture,
            )
            for i, starts_at_mixture in enumerate(starts)
            if n_numbers
        ]

    def train(self, marginal: Marginal, copies: list[tuple[Floats, Integers]]) -> bool:
        """Train the experts, and weight them by the held-out rows; returns whether Ctrl-C came.

        Those that are not reached keep the weights they have: of new ones, the identity's.
        """
        context = [context_of(self.columns, codes, torch.device("cpu")) for _, codes in copies]
        interrupted = self.settings.is_short
        for i, expert in enumerate(marginal.experts):
            if expert.density.has_couplings and not interrupted:
                interrupted = self._train(marginal, i, copies, context)
        marginal.weights = self._weights(marginal, *copies[0])
        return interrupted and not self.settings.is_short

    def _train(
        self,
        marginal: Marginal,
        i: int,
        copies: list[tuple[Floats, Integers]],
        context: list[Tensor],
    ) -> bool:
        expert = marginal.experts[i]
        rows = []
        for (numbers, _), follows in zip(copies, context, strict=True):
            seen, _ = marginal.inputs(numbers, starts_at_mixture=expert.starts_at_mixture)
            rows.append(torch.cat((torch.from_numpy(seen), follows), dim=1).float())
        trained = np.flatnonzero(~self.held_out)
        noise = MIXTURE_NOISE if expert.starts_at_mixture else NOISE
        checkpoints = self.settings.checkpoints
        result = train(
            expert.density.float(),
            Objective([Likelihood()], noise=_NumberNoise(noise, len(self.columns.numbers))),
            self._training_rows(rows, trained),
            self._training_rows(rows[:1], np.flatnonzero(self.held_out)),
            self._config(len(trained), i, MIXTURE_EPOCHS if expert.starts_at_mixture else EPOCHS),
            checkpoint=checkpoints[i] if checkpoints else None,
            show_progress=self.settings.show_progress,
        )
        expert.density.cpu().double()  # as the other parts are
        return result.interrupted

    def _training_rows(self, copies: list[Tensor], index: Integers) -> TrainingRows:
        weight = torch.from_numpy(self.weight[index] / self.weight.mean()).float()
        n = len(index) * len(copies)
        return TrainingRows(
            torch.cat([rows[index] for rows in copies]),
            torch.ones(n, 1),
            torch.zeros(n, dtype=torch.bool),
            weight.repeat(len(copies)),
        )

    def _config(self, n_trained: int, i: int, most: int) -> TrainingConfig:
        batch_size = 256 if n_trained < 20_000 else 512
        steps = max(MIN_STEPS_PER_EPOCH, n_trained // batch_size)
        epochs = int(np.clip(STEPS // steps, MIN_EPOCHS, most))
        return TrainingConfig(
            max_epochs=min(epochs, self.settings.max_epochs or epochs),
            steps_per_epoch=steps,
            batch_size=min(batch_size, n_trained),
            learning_rate=LEARNING_RATE,
            seed=self.settings.seed + i,
            device=self.settings.device,
        )

    def _weights(self, marginal: Marginal, numbers: Floats, codes: Integers) -> Floats:
        """Return the weights of the experts with which the held-out rows are likeliest."""
        index, n_experts = np.flatnonzero(self.held_out), len(marginal.experts)
        marginal.to(torch.device("cpu"))
        if n_experts == 1:
            return np.ones(1)
        log_prob, mass = marginal.log_experts(numbers[index], codes[index]), self.weight[index]
        weights = np.full(n_experts, 1 / n_experts)
        for _ in range(WEIGHT_STEPS):
            shares = softmax(log_prob + np.log(weights), axis=1)
            # Half a row for each expert: weights of 0 could never be taken back.
            totals = (shares * mass[:, None] / mass.mean()).sum(0) + 0.5
            weights = totals / totals.sum()
        return weights


def _completed(
    columns: Columns,
    matrix: Floats,
    completion: Completion,
    rng: np.random.Generator,
) -> Iterator[tuple[Floats, Integers]]:
    """Yield copies of the rows without missing values: numbers (n, d), levels (n, m).

    Absent numbers are NaN. A missing value is that of a donor, one of the nearest rows that have it,
    so that numbers, atoms and categories stay together as they are in rows.
    """
    has_missing = bool(np.isnan(matrix).any())
    donors = _Donors(matrix, completion, rng) if has_missing else None
    for _ in range(COPIES if has_missing or columns.whole.any() else 1):
        filled = matrix if donors is None else donors.filled(rng)
        yield columns.split(filled, rng.random((len(matrix), len(columns.numbers))))


class _Donors:
    """The nearest rows of each row with missing values, by its typical completion."""

    def __init__(self, matrix: Floats, completion: Completion, rng: np.random.Generator) -> None:
        self.matrix = matrix
        self.rows = np.flatnonzero(np.isnan(matrix).any(1))
        typical = completion.typical(matrix)
        self.pool = rng.permutation(len(matrix))[:MAX_DONOR_ROWS]
        n_near = min(len(self.pool), 4 * DONORS)
        search = NearestNeighbors(n_neighbors=n_near).fit(typical[self.pool])
        self.near = self.pool[search.kneighbors(typical[self.rows], return_distance=False)]

    def filled(self, rng: np.random.Generator) -> Floats:
        """Return the rows (n, D), each missing value taken from a random near row that has it."""
        filled = self.matrix.copy()
        for row, near in zip(self.rows, self.near, strict=True):
            order = np.concatenate((rng.permutation(near[:DONORS]), near[DONORS:]))
            for column in np.flatnonzero(np.isnan(filled[row])):
                values = self.matrix[order, column]
                if np.isnan(values).all():
                    values = self.matrix[self.pool, column]
                filled[row, column] = values[~np.isnan(values)][0]
        return filled
