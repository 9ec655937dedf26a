"""What the columns of an encoded table hold: categories, atoms, whole numbers, other numbers.

A density means something else for each. A category or an atom, a value that many rows share, has a
probability. A whole number has one, too: that of its cell [x, x + 1), over which the density is
integrated as over the levels of a pixel (Theis et al. 2016, section 3.1). Any other number has a
density per unit of its column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowssl._typing import Booleans, Floats, Integers
from flowssl.preprocessing.indicators import CategoryGroup

FEW_LEVELS = 20
"""A column of so many values at most is discrete: each of them is an atom."""

ROWS_PER_LEVEL = 10
"""Rows that each value of such a column must have on average."""

ATOM = 0.05
"""Fraction of the rows from which a value may be an atom."""

STANDS_OUT = 3.0
"""An atom is as frequent as so many times its four neighboring values together."""


@dataclass(frozen=True)
class Columns:
    """The kinds of the columns of an encoded table.

    Attributes
    ----------
    dim : int
        Columns D of the matrix.
    groups : tuple of CategoryGroup
        The indicator columns of each categorical column of the table.
    numbers : ndarray of shape (d,)
        Positions of the columns of numbers.
    atoms : tuple of ndarray
        Sorted atoms of each of these.
    whole : ndarray of shape (d,), bool
        Whether their other numbers are whole.
    discrete : ndarray of shape (d,), bool
        Whether the rows that were looked at have no other numbers.
    """

    dim: int
    groups: tuple[CategoryGroup, ...]
    numbers: Integers
    atoms: tuple[Floats, ...]
    whole: Booleans
    discrete: Booleans

    @classmethod
    def fit(cls, matrix: Floats, weight: Floats, groups: tuple[CategoryGroup, ...]) -> Columns:
        """Look at the training rows (n, D), NaN for missing values, of weights (n,)."""
        is_number = np.ones(matrix.shape[1], dtype=bool)
        for group in groups:
            is_number[group.columns] = False
        numbers = np.flatnonzero(is_number)
        kinds = [_kind(matrix[:, j], weight) for j in numbers]
        atoms = tuple(values for values, _, _ in kinds)
        whole, discrete = np.array([flags for _, *flags in kinds], dtype=bool).reshape(-1, 2).T
        return cls(matrix.shape[1], groups, numbers, atoms, whole, discrete)

    @property
    def are_levels(self) -> bool:
        """Whether all columns are discrete."""
        return bool(self.discrete.all())

    @property
    def with_atoms(self) -> list[int]:
        """Which of the columns of numbers have atoms."""
        return [i for i, atoms in enumerate(self.atoms) if len(atoms)]

    @property
    def without_atoms(self) -> list[int]:
        """Which of the columns of numbers have none."""
        return [i for i, atoms in enumerate(self.atoms) if not len(atoms)]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Levels of each discrete part: categories, then atoms and one level for other numbers."""
        of_groups = [group.n_levels for group in self.groups]
        return (*of_groups, *(len(self.atoms[i]) + 1 for i in self.with_atoms))

    def split(self, matrix: Floats, uniform: Floats | float) -> tuple[Floats, Integers]:
        """Return the numbers (n, d) and the levels (n, m) of rows (n, D).

        Numbers are NaN where they are missing or at an atom, levels -1 where they are missing.
        Whole numbers are at the fraction ``uniform``, of shape (n, d) or one for all, of their cells.
        """
        numbers = matrix[:, self.numbers]
        codes = np.empty((len(matrix), len(self.sizes)), np.int64)
        for i, group in enumerate(self.groups):
            codes[:, i] = group.codes(matrix)
        for i, j in enumerate(self.with_atoms, len(self.groups)):
            atoms, column = self.atoms[j], numbers[:, j]
            place = np.searchsorted(atoms, column).clip(max=len(atoms) - 1)
            codes[:, i] = np.where(atoms[place] == column, place, len(atoms))
            codes[np.isnan(column), i] = -1
        if self.whole.any():
            numbers = np.where(self.whole, np.floor(numbers) + uniform, numbers)
        numbers[~self.present(codes)] = np.nan
        return numbers, codes

    def present(self, codes: Integers) -> Booleans:
        """Return which numbers (n, d) there are beside levels (n, m): those not at an atom."""
        present = np.ones((len(codes), len(self.numbers)), dtype=bool)
        for i, j in enumerate(self.with_atoms, len(self.groups)):
            present[:, j] = codes[:, i] == len(self.atoms[j])
        return present

    def join(self, numbers: Floats, codes: Integers) -> Floats:
        """Return the rows (n, D) of numbers (n, d) and levels (n, m)."""
        matrix = np.zeros((len(numbers), self.dim))
        matrix[:, self.numbers] = np.where(self.whole, np.floor(numbers), numbers)
        for i, group in enumerate(self.groups):
            matrix[:, group.columns] = group.indicators(codes[:, i])
        for i, j in enumerate(self.with_atoms, len(self.groups)):
            atoms, place = self.atoms[j], self.numbers[j]
            at = codes[:, i]
            if self.discrete[j]:  # of no other number is anything known
                nearest = np.abs(matrix[:, place, None] - atoms).argmin(1)
                at = np.where(at < len(atoms), at, nearest)
            value = atoms[at.clip(max=len(atoms) - 1)]
            matrix[:, place] = np.where(at < len(atoms), value, matrix[:, place])
        return matrix


def _kind(column: Floats, weight: Floats) -> tuple[Floats, bool, bool]:
    """Return a column's atoms, whether its other numbers are whole, and whether it has none."""
    observed = ~np.isnan(column)
    values, inverse = np.unique(column[observed], return_inverse=True)
    mass = np.bincount(inverse.ravel(), weights=weight[observed])
    if len(values) <= min(FEW_LEVELS, mass.sum() / ROWS_PER_LEVEL):
        return values, False, True
    padded = np.pad(mass, 2)
    neighbors = padded[:-4] + padded[1:-3] + padded[3:-1] + padded[4:]
    is_atom = (mass >= ATOM * mass.sum()) & (mass >= STANDS_OUT * neighbors)
    return values[is_atom], bool((values == np.round(values)).all()), False
