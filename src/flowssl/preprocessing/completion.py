"""Integrate missing values and categories out of a flow's density.

A flow gives densities of complete rows of real numbers. A missing value is integrated over a
Gaussian proposal given the rest of its row, and a category over the box of real numbers that stands
for it; both by the same average over a few fixed draws. The density of complete rows of numbers is
exact.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm, qmc

from flowssl._records import TensorKind, check_arrays
from flowssl._typing import Floats, Integers
from flowssl.bijections import MonotonicSpline, SoftTails
from flowssl.exceptions import ModelFileError
from flowssl.preprocessing.proposals import (
    Proposal,
    fit_proposal,
    proposal_tensors,
    read_proposal,
)

N_DRAWS = 16
PROPOSAL_VARIANCE = 1.5
FARTHEST = 1e150
"""Standard deviations from the middle of a column at which farther numbers are taken to be.

Squares and ``sinh`` would overflow beyond, for rows as for samples of a barely trained flow.
"""

USUAL_EXPONENT = 160
"""Columns whose largest number is beyond 2^160 or below 2^-160 are modeled in other units."""

COLUMN_NUMBERS = 100_000
"""Numbers that are standardized at once."""

_SPLINE = ("x_knots", "z_knots", "slopes")


@dataclass(frozen=True)
class CompletedRows:
    """Draws of complete rows in standardized units.

    Attributes
    ----------
    z : ndarray of shape (n, S, D)
        S completions of each row.
    log_weight : ndarray of shape (n, S)
        Added to the log-density of each completion, nats: the log-derivative of the step from the
        user's units, minus the log-density of the proposal for the missing values.
    """

    z: Floats
    log_weight: Floats


class Completion:
    """The step from an encoded table to complete rows in standardized units.

    With ``x_o`` the observed and ``x_m`` the missing numbers of a row,
    ``p(x_o, y) = E_q[p(x_o, x_m, y) / q(x_m | x_o)]``; the expectation is taken over 16 quasi-random
    draws of a Gaussian ``q`` whose variance is widened by half, so that the ratio stays bounded for
    nearly Gaussian data. For a category, ``P(c, y)`` is the integral of the density over the box
    that stands for ``c`` (Theis et al. 2016), taken over 16 quasi-random points in it. Averages of
    densities are unbiased; their logarithm is, on average, a lower bound that tightens with the
    number of draws.

    Parameters
    ----------
    spline : MonotonicSpline
        Map of each column to standardized units.
    widths : ndarray of shape (D,)
        Width of each column's boxes; 0 for plain numbers.
    gaussian : Proposal
        Gaussian of the standardized columns, for the proposal.
    extent : ndarray of shape (2, D)
        Minimum and maximum of each column.
    exponents : ndarray of shape (D,), int, optional
        Powers of two that are the units of each column; 0, the table's own units, where numbers
        are of usual size. A change of units by a power of two rounds nothing, and densities remain
        those per unit of the table.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.column_stack([np.arange(50.0), 2 * np.arange(50.0)])
    >>> completion = Completion.fit(rows, widths=np.zeros(2))
    >>> completion.filled(np.array([[25.0, np.nan]])).round()
    array([[25., 50.]])
    >>> completion.n_draws(np.array([[25.0, np.nan]]))
    16
    """

    def __init__(
        self,
        spline: MonotonicSpline,
        widths: Floats,
        gaussian: Proposal,
        extent: Floats,
        exponents: Integers | None = None,
    ) -> None:
        self.spline = spline
        self.widths = widths
        self.gaussian = gaussian
        self.extent = extent
        self.exponents = np.zeros(len(widths), np.int64) if exponents is None else exponents
        # Scrambled Sobol points with a fixed seed: scores are deterministic.
        points = qmc.Sobol(len(widths), seed=0).random(N_DRAWS) if len(widths) <= 21201 else None
        if points is None:
            points = np.random.default_rng(0).random((N_DRAWS, len(widths)))
        self._uniform = points.clip(1e-6, 1 - 1e-6)

    @classmethod
    def fit(cls, matrix: Floats, widths: Floats) -> Completion:
        """Fit the columns' maps and the proposal.

        Parameters
        ----------
        matrix : ndarray of shape (n, D)
            Encoded training rows; NaN for missing numbers, no constant column.
        widths : ndarray of shape (D,)
            Width of each column's boxes.
        """
        extent = np.stack((np.nanmin(matrix, axis=0), np.nanmax(matrix, axis=0) + widths))
        exponents = _exponents(extent)
        middle = matrix + widths / 2
        spline = MonotonicSpline.fit(torch.from_numpy(_in_units(middle, exponents)))
        z, _ = _columns(spline, exponents, middle)
        return cls(spline, widths, fit_proposal(z), extent, exponents)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the fitted arrays by name."""
        spline = {key: getattr(self.spline, key).numpy() for key in _SPLINE}
        fitted = {"widths": self.widths, "extent": self.extent}
        units = {"exponents": self.exponents} if self.exponents.any() else {}
        return {**fitted, **self.gaussian.to_arrays(), **spline, **units}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Completion:
        """Rebuild the step from :meth:`to_arrays`, which may have been forged.

        Raises
        ------
        ModelFileError, ValueError
            If the arrays do not fit each other or are not those of a fitted step.
        """
        dim, n_knots = (len(arrays[k].T) if k in arrays else 0 for k in ("widths", "x_knots"))
        # Files of earlier versions have no exponents.
        arrays = {"exponents": np.zeros(dim, np.int64), **arrays}
        shapes = {"widths": (dim,), "extent": (2, dim), **dict.fromkeys(_SPLINE, (dim, n_knots))}
        expected: dict[str, TensorKind] = {key: ("f", shape) for key, shape in shapes.items()}
        expected |= {"exponents": ("i", (dim,)), **proposal_tensors(arrays, dim)}
        check_arrays(arrays, expected, "completion")
        widths, extent, *knots = (arrays[key].astype(np.float64) for key in shapes)
        exponents = arrays["exponents"].astype(np.int64)
        if dim == 0 or not np.isin(widths, (0.0, 1.0)).all() or (extent[0] > extent[1]).any():
            raise ModelFileError("its widths must be 0 or 1, and its extents increase")
        if (np.abs(exponents.astype(np.float64)) > sys.float_info.max_exp).any():
            raise ModelFileError(f"its exponents must be within {sys.float_info.max_exp}")
        spline = MonotonicSpline(*map(torch.from_numpy, knots))
        spline.check_buffers()
        return cls(spline, widths, read_proposal(arrays), extent, exponents)

    @property
    def dim(self) -> int:
        """Number D of columns."""
        return len(self.widths)

    @property
    def has_quantiles(self) -> bool:
        """Whether a column is mapped by its quantiles, not only shifted and scaled."""
        return self.spline.x_knots.shape[1] > 2

    @property
    def row_numbers(self) -> int:
        """Approximate number of activations of a row in a flow."""
        return max(1, self.dim)

    def has_missing(self, matrix: Floats) -> bool:
        """Return whether rows have missing values or categories, and so need several draws."""
        return bool(self.widths.any() or np.isnan(matrix).any())

    def n_draws(self, matrix: Floats) -> int:
        """Return the number of completions of each row over which prediction averages."""
        return N_DRAWS if self.has_missing(matrix) else 1

    def typical(self, matrix: Floats) -> Floats:
        """Return rows (n, D) in standardized units, missing values at their conditional means.

        Categories are at the centers of their boxes.
        """
        z, _ = self.standardized(matrix + self.widths / 2)
        for rows, missing in _patterns(z):
            mean, _ = self.gaussian.conditional(z[rows], missing)
            z[np.ix_(rows, missing)] = mean
        return z

    def filled(self, matrix: Floats) -> Floats:
        """Return rows (n, D) in the table's units, missing values at their conditional means."""
        missing = np.isnan(matrix)
        if not missing.any():
            return matrix
        return np.where(missing, self.restore(self.typical(matrix)) - self.widths / 2, matrix)

    def features(self, matrix: Floats) -> Floats:
        """Return what classifiers other than the flow see: rows (n, D) without missing values.

        As :meth:`filled`, in units in which sums of squares neither overflow nor vanish.
        """
        rows = _in_units(self.filled(matrix), self.exponents)
        most = math.ldexp(1.0, 2 * USUAL_EXPONENT)
        if rows.size and (rows.min() < -most or rows.max() > most):  # farther than any row of fit
            rows = rows.clip(-most, most)
        return rows

    def restore(self, z: Floats) -> Floats:
        """Map standardized rows (n, D) back to the table's units; outlying rows stay finite."""
        with torch.no_grad():
            soft = SoftTails(self.dim).inverse(torch.from_numpy(np.ascontiguousarray(z)))
            x: Floats = self.spline.inverse(soft.clamp(-FARTHEST, FARTHEST)).numpy()
        if not self.exponents.any():
            return x
        most = sys.float_info.max
        return np.ldexp(x, self.exponents).clip(-most, most)

    def far(self, matrix: Floats) -> NDArray[np.bool_]:
        """Return which rows have a value beyond its column's range by more than half the range.

        NaN, the result of an overflow, counts as beyond.
        """
        least, largest = self.extent
        slack = largest / 2 - least / 2  # the difference itself may overflow
        inside = (matrix >= least - slack) & (matrix <= largest + slack)
        far: NDArray[np.bool_] = ~inside.all(1)
        return far

    def sampled(self, matrix: Floats, rng: np.random.Generator) -> Floats:
        """Return rows (n, D) in standardized units, missing values drawn from the proposal.

        Categories are at uniformly random points of their boxes.
        """
        uniform = rng.random(matrix.shape)
        z, _ = self.standardized(matrix + self.widths * uniform)
        for rows, missing in _patterns(z):
            mean, root = self.gaussian.conditional(z[rows], missing)
            z[np.ix_(rows, missing)] = mean + root.times(rng.standard_normal(mean.shape))
        return z

    def completed(self, matrix: Floats) -> CompletedRows:
        """Return the fixed draws over which densities of incomplete rows are integrated."""
        if not self.has_missing(matrix):
            z, log_derivative = self.standardized(matrix)
            return CompletedRows(z[:, None], log_derivative.sum(1, keepdims=True))
        n, dim = matrix.shape
        points = matrix[:, None] + self.widths * self._uniform
        flat, log_derivative = self.standardized(points.reshape(-1, dim))
        z = flat.reshape(n, N_DRAWS, dim)
        log_weight = np.nansum(log_derivative, axis=1).reshape(n, N_DRAWS)
        noise = norm.ppf(self._uniform)
        for rows, missing in _patterns(z[:, 0]):
            mean, root = self.gaussian.conditional(z[rows, 0], missing)
            root = root.scaled(math.sqrt(PROPOSAL_VARIANCE))
            draws = noise[:, missing]
            z[np.ix_(rows, np.arange(N_DRAWS), missing)] = mean[:, None] + root.times(draws)
            log_q = norm.logpdf(draws).sum(1) - root.log_det()
            log_weight[rows] -= log_q
        return CompletedRows(z, log_weight)

    def standardized(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Standardize each number, NaN to NaN; returns values and log-derivatives, both (n, D)."""
        return _columns(self.spline, self.exponents, matrix)


def _exponents(extent: Floats) -> Integers:
    """Choose the units (D,) of columns from their minima and maxima (2, D)."""
    _, exponents = np.frexp(np.abs(extent).max(0))
    usual = exponents.clip(-USUAL_EXPONENT, USUAL_EXPONENT)
    units: Integers = (exponents - usual).astype(np.int64)
    return units


def _in_units(matrix: Floats, exponents: Integers) -> Floats:
    """Return rows (n, D) in other units; the rows themselves where all exponents are 0."""
    return np.ldexp(matrix, -exponents) if exponents.any() else matrix


def _columns(spline: MonotonicSpline, exponents: Integers, matrix: Floats) -> tuple[Floats, Floats]:
    """Standardize each number, NaN to NaN; returns values and log-derivatives, both (n, D).

    Rows are mapped in parts: the knots around each number take many times the memory of the rows.
    """
    n, dim = matrix.shape
    # Column by column in memory, as the spline works: sums over columns keep their order.
    z, log_derivative = np.empty((n, dim), order="F"), np.empty((n, dim), order="F")
    soft, size = SoftTails(dim), max(1, COLUMN_NUMBERS // max(1, dim))
    with torch.no_grad():
        for first in range(0, n, size):
            part = slice(first, first + size)
            scaled = np.ascontiguousarray(_in_units(matrix[part], exponents))
            mapped, of_spline = spline.columns(torch.from_numpy(scaled))
            mapped, of_tails = soft.columns(mapped.clamp_(-FARTHEST, FARTHEST))
            z[part], log_derivative[part] = mapped.numpy(), (of_spline + of_tails).numpy()
    if exponents.any():
        log_derivative -= exponents * math.log(2)
    return z, log_derivative


def _patterns(z: Floats) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Group rows by the columns they miss: (rows, missing columns) of each group."""
    missing = np.isnan(z)
    rows = np.flatnonzero(missing.any(1))
    if not len(rows):
        return []
    patterns, group = np.unique(missing[rows], axis=0, return_inverse=True)
    group = group.ravel()
    return [(rows[group == i], np.flatnonzero(pattern)) for i, pattern in enumerate(patterns)]
