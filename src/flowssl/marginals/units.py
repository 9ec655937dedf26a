"""The units in which numbers are modeled: standardized by the completion, or by an affine map alone.

A completion maps columns with heavy tails by their quantiles. That bends straight relations between
columns, which a mixture of Gaussians describes best, so that mixtures may keep columns straight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from flowssl._typing import Booleans, Floats, Integers
from flowssl.preprocessing import Completion

LARGEST = 1e150
"""Largest standard deviation, and inverse of the smallest, whose square is a float."""

FARTHEST = 1e100
"""Standard deviations at which farther numbers of straight columns are taken to be."""


@dataclass(frozen=True)
class Units:
    """Units of the numbers of a table.

    Attributes
    ----------
    completion : Completion
        The step from all columns D of the table to standardized units.
    numbers : ndarray of shape (d,)
        Positions of the columns of numbers.
    straight : ndarray of shape (d,), bool
        Which of them are only shifted and scaled.
    shift, scale : ndarray of shape (d,)
        By how much.
    """

    completion: Completion
    numbers: Integers
    straight: Booleans
    shift: Floats
    scale: Floats

    @classmethod
    def of_completion(cls, completion: Completion, numbers: Integers) -> Self:
        """Take the completion's units."""
        d = len(numbers)
        return cls(completion, numbers, np.zeros(d, dtype=bool), np.zeros(d), np.ones(d))

    def with_straight(self, straight: Booleans, rows: Floats) -> Units:
        """Standardize some columns of numbers (n, d), NaN where there is none, by mean and variance.

        Columns whose variance has no float of usual size stay in the completion's units.
        """
        straight = straight.copy()
        shift, scale = np.zeros(len(straight)), np.ones(len(straight))
        for j in np.flatnonzero(straight):
            known = rows[~np.isnan(rows[:, j]), j]
            if not len(known):
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                mean, std = known.mean(), known.std()
            straight[j] = 1 / LARGEST < std < LARGEST
            if straight[j]:
                shift[j], scale[j] = mean, std
        return Units(self.completion, self.numbers, straight, shift, scale)

    def standardized(self, numbers: Floats) -> tuple[Floats, Floats]:
        """Return numbers in these units and the log-derivatives, both (n, d); NaN stays NaN."""
        matrix = np.zeros((len(numbers), self.completion.dim))
        matrix[:, self.numbers] = numbers
        z, log_derivative = self.completion.standardized(matrix)
        with np.errstate(over="ignore"):
            along = ((numbers - self.shift) / self.scale).clip(-FARTHEST, FARTHEST)
        z = np.where(self.straight, along, z[:, self.numbers])
        steps = np.where(self.straight, -np.log(self.scale), log_derivative[:, self.numbers])
        return z, np.where(np.isnan(numbers), np.nan, steps)

    def restored(self, z: Floats) -> Floats:
        """Return the numbers (n, d) of those in these units."""
        matrix = np.zeros((len(z), self.completion.dim))
        matrix[:, self.numbers] = z
        restored = self.completion.restore(matrix)[:, self.numbers]
        return np.where(self.straight, z * self.scale + self.shift, restored)
