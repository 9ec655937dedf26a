"""``p(x)`` of the rows of a table: exact for complete rows of numbers and categories.

``p(row) = p(levels) p(numbers | levels)``. Levels of categories and atoms follow a chain rule, and
add up to 1. The density of the numbers is an average over experts: couplings of splines on the
columns themselves, and couplings that begin at a mixture of Gaussians.

Missing values are integrated out by importance draws, as many as a row needs; so are the cells of
whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import qmc
from torch import Tensor

from flowssl._typing import Booleans, Floats, Integers
from flowssl.bijections import MixtureMap
from flowssl.marginals.categories import CategoryChain
from flowssl.marginals.columns import Columns
from flowssl.marginals.numbers import NumberDensity
from flowssl.marginals.proposals import MixtureProposal
from flowssl.marginals.units import Units

CELL_DRAWS = 16
"""Points of the cells of whole numbers over which a complete row is averaged."""

DRAWS = (128, 512, 2048)
"""Draws of an incomplete row; the next number where the error is above `TOLERANCE`."""

TOLERANCE = 0.01
"""Standard error of log p(x), nats, at which no more draws are made."""

NUMBERS_AT_ONCE = 500_000
"""Numbers (rows x draws x columns) that are evaluated at once."""

LogPosterior = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Expert:
    """One density of the numbers.

    Attributes
    ----------
    density : NumberDensity
        Of standardized numbers or, where it starts at the mixture, of the mixture's latents.
    starts_at_mixture : bool
        Whether columns without atoms go through the mixture's map first.
    """

    density: NumberDensity
    starts_at_mixture: bool


class Marginal:
    """The density of the rows of an encoded table, NaN for missing values.

    Parameters
    ----------
    columns : Columns
        What the columns hold.
    units : Units
        Those of the numbers.
    chain : CategoryChain or None
        Density of the levels; None where the table has none.
    mixture : MixtureMap or None
        Mixture of the columns of numbers without atoms; None where there are none.
    mixture_units : Units
        Those in which it is fitted.
    experts : sequence of Expert
        Densities of the numbers; none where the table has no numbers.
    weights : ndarray of shape (E,)
        Their weights.

    Examples
    --------
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(200, random_state=0)
    >>> y = hide_labels(truth, per_class=5, random_state=0)
    >>> marginal = FlowGMMClassifier(max_epochs=2, random_state=0).fit(X, y).marginal_
    >>> log_prob, error = marginal.log_prob(X)
    >>> log_prob.shape, error.any()
    ((200,), np.False_)
    """

    def __init__(
        self,
        columns: Columns,
        units: Units,
        chain: CategoryChain | None,
        mixture: MixtureMap | None,
        mixture_units: Units,
        experts: Sequence[Expert],
        weights: Floats,
    ) -> None:
        self.columns = columns
        self.units = units
        self.chain = chain
        self.mixture = mixture
        self.mixture_units = mixture_units
        self.experts = list(experts)
        self.weights = weights
        self._proposal = None if mixture is None else MixtureProposal.of(mixture)

    @property
    def modules(self) -> list[torch.nn.Module]:
        """The networks and the mixture."""
        parts = [self.chain, self.mixture, *(expert.density for expert in self.experts)]
        return [part for part in parts if part is not None]

    def to(self, device: torch.device) -> None:
        """Move to a device, in double precision."""
        for module in self.modules:
            module.to(device).double().eval()

    def log_prob(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Return ``log p`` of rows (n, D) and its standard error, both (n,), nats."""
        log_joint, error = self.log_joint(matrix, lambda rows: np.zeros((len(rows), 1)))
        return log_joint[:, 0], error

    def log_joint(self, matrix: Floats, log_posterior: LogPosterior) -> tuple[Floats, Floats]:
        """Return ``log p(x, y=k)``, shape (n, C), and the standard error of log p(x), shape (n,).

        Parameters
        ----------
        matrix : ndarray of shape (n, D)
            Rows.
        log_posterior : callable
            Gives ``log p(y=k | x)``, shape (m, C), of complete rows (m, D).
        """
        missing = np.isnan(matrix).any(1)
        complete, error = matrix[~missing], np.zeros(len(matrix))
        log_prob, error[~missing] = self._complete(complete)
        of_complete = log_prob[:, None] + log_posterior(complete)
        out = np.empty((len(matrix), of_complete.shape[1]))
        out[~missing] = of_complete
        rows = np.flatnonzero(missing)
        for n_draws in DRAWS:
            if not len(rows):
                break
            size = max(1, NUMBERS_AT_ONCE // (n_draws * matrix.shape[1]))
            for part in np.split(rows, range(size, len(rows), size)):
                out[part], error[part] = self._incomplete(matrix[part], log_posterior, n_draws)
            rows = rows[error[rows] > TOLERANCE]
        return out, error

    def _complete(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Return ``log p`` and its standard error of rows without missing values."""
        has_cells = self.columns.whole.any()
        n_draws = CELL_DRAWS if has_cells else 1
        uniform = _points(n_draws, len(self.columns.numbers)) if has_cells else np.full((1, 1), 0.5)
        size = max(1, NUMBERS_AT_ONCE // (n_draws * matrix.shape[1]))
        parts = [np.empty((0, n_draws))]
        for first in range(0, len(matrix), size):
            rows = matrix[first : first + size]
            repeated = np.repeat(rows, n_draws, axis=0)
            numbers, codes = self.columns.split(repeated, np.tile(uniform, (len(rows), 1)))
            log_prob = self._log_numbers(numbers, codes) + self._log_levels(codes)
            parts.append(log_prob.reshape(-1, n_draws))
        return _averaged(np.concatenate(parts))

    def _incomplete(
        self, matrix: Floats, log_posterior: LogPosterior, n_draws: int
    ) -> tuple[Floats, Floats]:
        """Return the log-joint (n, C) and the standard error (n,) by draws of the missing values."""
        columns, n = self.columns, len(matrix)
        d, m = len(columns.numbers), len(columns.sizes)
        points = np.tile(_points(n_draws, 2 * d + m + 1), (n, 1))
        of_cells, of_levels, of_numbers = np.split(points, [d, d + m], axis=1)
        numbers, codes = columns.split(np.repeat(matrix, n_draws, axis=0), of_cells)
        log_weight = np.zeros(len(codes))
        if self.chain is not None:
            with torch.no_grad():
                levels, of_chain = self.chain.complete(*self._tensors(codes, of_levels))
            codes, log_weight = levels.cpu().numpy(), of_chain.cpu().numpy()
        present = columns.present(codes)
        missing = np.isnan(numbers) & present
        alone = (missing == present).all(1)  # no number is known: the model itself draws them
        numbers[alone] = self._sampled(codes[alone], of_numbers[alone, 1:], of_numbers[alone, 0])
        drawn = missing & ~alone[:, None]
        if drawn.any():
            log_weight -= self._draw(numbers, drawn, of_numbers)
        log_weight[~alone] += self._log_numbers(numbers[~alone], codes[~alone])
        completed = columns.join(np.nan_to_num(numbers), codes)
        # What is known stays as it was given: a cell's fraction is not part of a whole number.
        completed = np.where(
            np.isnan(given := np.repeat(matrix, n_draws, axis=0)), completed, given
        )
        log_joint = log_weight[:, None] + log_posterior(completed)
        log_joint = log_joint.reshape(n, n_draws, -1)
        _, error = _averaged(log_weight.reshape(n, n_draws))
        return np.asarray(logsumexp(log_joint, axis=1)) - np.log(n_draws), error

    def _draw(self, numbers: Floats, drawn: Booleans, uniform: Floats) -> Floats:
        """Draw numbers in place; returns the log-density (n,) of what was drawn, in their units."""
        columns, units = self.columns, self.mixture_units
        z, _ = units.standardized(numbers)
        log_q = np.zeros(len(z))
        plain, with_atoms = columns.without_atoms, columns.with_atoms
        if self._proposal is not None:
            part = z[:, plain]
            log_q += self._proposal.draw(
                part, drawn[:, plain], uniform[:, 1:][:, plain], uniform[:, 0]
            )
            z[:, plain] = part
        found, log_density = MixtureProposal.alone(uniform[:, 1:][:, with_atoms])
        chosen = drawn[:, with_atoms]
        z[:, with_atoms] = np.where(chosen, found, z[:, with_atoms])
        log_q += (log_density * chosen).sum(1)
        numbers[drawn] = units.restored(np.nan_to_num(z))[drawn]
        _, log_derivative = units.standardized(numbers)
        return np.asarray(log_q + np.where(drawn, log_derivative, 0.0).sum(1))

    def sample(self, n: int, generator: torch.Generator) -> Floats:
        """Draw rows (n, D)."""
        columns = self.columns
        d, m = len(columns.numbers), len(columns.sizes)
        uniform = torch.rand(n, d + m + 1, dtype=torch.float64, generator=generator).numpy()
        uniform = uniform.clip(1e-12, 1 - 1e-12)
        codes = np.empty((n, 0), np.int64)
        if self.chain is not None:
            points = self._tensors(np.full((n, m), -1), uniform[:, d : d + m])
            with torch.no_grad():
                codes = self.chain.complete(*points)[0].cpu().numpy()
        numbers = self._sampled(codes, uniform[:, :d], uniform[:, -1])
        return columns.join(np.nan_to_num(numbers), codes)

    def _sampled(self, codes: Integers, uniform: Floats, of_expert: Floats) -> Floats:
        """Return numbers (n, d) that are drawn given levels (n, m); NaN where there is none."""
        (points,) = self._tensors(uniform)
        latents = torch.special.ndtri(points)
        numbers = np.zeros(uniform.shape)
        chosen = np.searchsorted(self.weights.cumsum()[:-1], of_expert)
        context = self._context(codes)
        for i, expert in enumerate(self.experts):
            rows = np.flatnonzero(chosen == i)
            with torch.no_grad():
                found = expert.density.restore(latents[rows], context[rows])
                if expert.starts_at_mixture and self.mixture is not None:
                    plain = self.columns.without_atoms
                    found[:, plain] = self.mixture.inverse(found[:, plain])
            units = self.mixture_units if expert.starts_at_mixture else self.units
            numbers[rows] = units.restored(found.cpu().numpy())
        return np.where(self.columns.present(codes), numbers, np.nan)

    # Parts of the density, of standardized numbers and levels.

    def _log_levels(self, codes: Integers) -> Floats:
        if self.chain is None:
            return np.zeros(len(codes))
        with torch.no_grad():
            out: Floats = self.chain.log_prob(*self._tensors(codes)).cpu().numpy()
        return out

    def _log_numbers(self, numbers: Floats, codes: Integers) -> Floats:
        """Return ``log p(numbers | levels)``, shape (n,); NaN where there is no number."""
        if not self.experts:
            return np.zeros(len(numbers))
        return np.asarray(
            logsumexp(self.log_experts(numbers, codes) + np.log(self.weights), axis=1)
        )

    def log_experts(self, numbers: Floats, codes: Integers) -> Floats:
        """Return the log-density (n, E) of numbers under each expert, given levels."""
        context, found = self._context(codes), []
        for expert in self.experts:
            rows, log_derivative = self.inputs(numbers, starts_at_mixture=expert.starts_at_mixture)
            (inputs,) = self._tensors(rows)
            with torch.no_grad():
                log_prob = expert.density(torch.cat((inputs, context), dim=1))[:, 0]
            found.append(log_prob.cpu().numpy() + log_derivative)
        return np.stack(found, axis=1)

    def inputs(self, numbers: Floats, *, starts_at_mixture: bool) -> tuple[Floats, Floats]:
        """Return what an expert sees of numbers (n, d), 0 for NaN, and log-derivatives (n,)."""
        units = self.mixture_units if starts_at_mixture else self.units
        z, steps = units.standardized(numbers)
        z, log_derivative = np.nan_to_num(z), np.nansum(steps, axis=1)
        if starts_at_mixture and self.mixture is not None:
            plain = self.columns.without_atoms
            with torch.no_grad():
                latents, log_det = self.mixture(*self._tensors(z[:, plain]))
            z[:, plain] = latents.cpu().numpy()
            log_derivative = log_derivative + log_det.cpu().numpy()
        return z, log_derivative

    def _context(self, codes: Integers) -> Tensor:
        """Return what follows the numbers in a row: which are there, and the levels (n, K)."""
        return context_of(self.columns, codes, self._device)

    def _tensors(self, *arrays: Floats | Integers) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(np.ascontiguousarray(a)).to(self._device) for a in arrays)

    @property
    def _device(self) -> torch.device:
        tensors = (p for module in self.modules for p in module.parameters())
        return next(tensors, torch.zeros(0, device="cpu")).device


def context_of(columns: Columns, codes: Integers, device: torch.device) -> Tensor:
    """Return which numbers are there, of tables with atoms, and the levels as one-hot (n, K)."""
    parts = [columns.present(codes)] if columns.with_atoms else []
    parts += [codes[:, i, None] == np.arange(size) for i, size in enumerate(columns.sizes)]
    joined = np.concatenate([np.empty((len(codes), 0), bool), *parts], axis=1)
    return torch.from_numpy(joined).to(device, torch.float64)


def _points(n_draws: int, dim: int) -> Floats:
    """Return scrambled Sobol points (n_draws, dim) of a fixed seed: scores are deterministic."""
    points: Floats = qmc.Sobol(dim, seed=0).random(n_draws)
    return points.clip(1e-9, 1 - 1e-9)


def _averaged(log_values: Floats) -> tuple[Floats, Floats]:
    """Return the logarithm of the mean over draws (n, S), and its standard error, both (n,)."""
    n_draws = log_values.shape[1]
    log_mean = np.asarray(logsumexp(log_values, axis=1)) - np.log(n_draws)
    if n_draws == 1:
        return log_mean, np.zeros(len(log_mean))
    ratios = np.exp(log_values - log_mean[:, None])
    return log_mean, np.asarray(ratios.std(axis=1, ddof=1)) / np.sqrt(n_draws)
