"""Indicator columns of categories: from codes to indicators and back.

A column of K levels takes K - 1 indicators. Its first level has zeros everywhere, and each other
level a one in a place of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flowssl._typing import Floats, Integers
from flowssl.preprocessing.levels import MISSING


class CategoryGroup(NamedTuple):
    """The columns of a matrix that hold the indicators of one categorical column.

    Attributes
    ----------
    start : int
        The first of these columns.
    n_levels : int
        Number of levels K; the columns are K - 1.

    Examples
    --------
    >>> import numpy as np
    >>> group = CategoryGroup(start=1, n_levels=3)
    >>> group.codes(np.array([[0.5, 0.0, 1.0], [7.0, 0.0, 0.0], [7.0, np.nan, np.nan]])).tolist()
    [2, 0, -1]
    >>> group.indicators(np.array([2, 0])).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """

    start: int
    n_levels: int

    @property
    def columns(self) -> slice:
        """The columns of the matrix."""
        return slice(self.start, self.start + self.n_levels - 1)

    def codes(self, matrix: Floats) -> Integers:
        """Return the levels (n,) of rows of a matrix (n, D): see `codes_of`."""
        return codes_of(matrix[:, self.columns].T)

    def indicators(self, codes: Integers) -> Floats:
        """Return the group's columns of the matrix, (n, K - 1), for levels (n,)."""
        return indicators_of(codes, self.n_levels).T


def codes_of(indicators: Floats) -> Integers:
    """Return the level of each column of indicators (K - 1, n), or of numbers near them.

    Level k > 0 fills the box [1, 2) along its own indicator and [0, 1) along the others, level 0
    the box [0, 1) along all. The nearest box is that of the largest number, or of level 0 if that is
    below 1. The level is missing, -1, if a number is.
    """
    codes = np.where(indicators.max(axis=0) >= 1, indicators.argmax(axis=0) + 1, 0)
    codes[np.isnan(indicators).any(axis=0)] = MISSING
    return codes


def indicators_of(codes: Integers, n_levels: int) -> Floats:
    """Return the indicators (K - 1, n) of levels (n,); NaN where one is below 0: it is missing."""
    indicators = np.zeros((n_levels - 1, len(codes)))
    rows = np.flatnonzero(codes > 0)
    indicators[codes[rows] - 1, rows] = 1.0
    indicators[:, codes < 0] = np.nan
    return indicators
