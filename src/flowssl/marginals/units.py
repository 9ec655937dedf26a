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
        """Standardize some columns of numbers (n, d), NaN where there is none, by mean and variance."""
        shift, scale = np.zeros(len(straight)), np.ones(len(straight))
        for j in np.flatnonzero(straight):
            known = rows[~np.isnan(rows[:, j]), j]
            if len(known) > 1 and known.max() > known.min():
                shift[j], scale[j] = known.mean(), known.std()
        return Units(self.completion, self.numbers, straight, shift, scale)

    def standardized(self, numbers: Floats) -> tuple[Floats, Floats]:
        """Return numbers in these units and the log-derivatives, both (n, d); NaN stays NaN."""
        matrix = np.zeros((len(numbers), self.completion.dim))
        matrix[:, self.numbers] = numbers
        z, log_derivative = self.completion.standardized(matrix)
        z = np.where(self.straight, (numbers - self.shift) / self.scale, z[:, self.numbers])
        steps = np.where(self.straight, -np.log(self.scale), log_derivative[:, self.numbers])
        return z, np.where(np.isnan(numbers), np.nan, steps)

    def restored(self, z: Floats) -> Floats:
        """Return the numbers (n, d) of those in these units."""
        matrix = np.zeros((len(z), self.completion.dim))
        matrix[:, self.numbers] = z
        restored = self.completion.restore(matrix)[:, self.numbers]
        return np.where(self.straight, z * self.scale + self.shift, restored)
