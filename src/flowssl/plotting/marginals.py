"""Figures of pairs of columns, of real and of sampled rows side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator

from flowssl._fitted import subsample
from flowssl._typing import Floats
from flowssl.plotting.style import new_figure, plain, styled
from flowssl.preprocessing.reading import as_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flowssl.plotting.style import Theme, ThemeName
    from flowssl.preprocessing.containers import Column, TableLike

MAX_ROWS = 1500
"""Rows of each kind that are drawn; more would hide one another."""

MAX_PAIRS = 3
MAX_TICKS = 6
"""Categories that are named at an axis."""

JITTER = 0.3
"""Largest distance from its category at which a row is drawn."""

SHOWN = (0.002, 0.998)
"""Quantiles of the real rows between which an axis of numbers lies, with a margin."""


@dataclass(frozen=True)
class _Axis:
    """A column of both tables as positions on an axis.

    Attributes
    ----------
    name : str
        Name of the column.
    values : tuple of ndarray
        Positions of real and of sampled rows, NaN where missing.
    categories : tuple of str
        Names of the positions 0, 1, ...; none for numbers.
    """

    name: str
    values: tuple[Floats, Floats]
    categories: tuple[str, ...]

    @classmethod
    def of(cls, real: Column, sampled: Column) -> _Axis:
        """Place the categories of a column in the order of their frequency."""
        name = f"x{real.name}" if isinstance(real.name, int) else plain(real.name)
        if not isinstance(real.values, list):
            values = np.asarray(real.values, float), np.asarray(sampled.values, float)
            return cls(name, values, ())
        texts = [[_text(v) for v in column.values] for column in (real, sampled)]
        known, counts = np.unique([v for v in texts[0] + texts[1] if v], return_counts=True)
        order = known[np.argsort(-counts, kind="stable")].tolist()
        place = {text: float(i) for i, text in enumerate(order)}
        first, second = (np.array([place.get(v, np.nan) for v in side]) for side in texts)
        return cls(name, (first, second), tuple(order))

    def limits(self) -> tuple[float, float]:
        """Return the ends of the axis."""
        if self.categories:
            return -0.6, len(self.categories) - 0.4
        known = self.values[0][np.isfinite(self.values[0])]
        low, high = np.quantile(known if len(known) else [0.0, 1.0], SHOWN).tolist()
        margin = 0.08 * (high - low) or 0.5
        return low - margin, high + margin


def plot_marginals(
    real: TableLike,
    sampled: TableLike,
    columns: Sequence[str | int],
    *,
    theme: ThemeName = "light",
) -> Figure:
    """Plot pairs of columns of real rows, and of sampled rows below them on the same axes.

    Parameters
    ----------
    real : array-like or data frame of shape (n_real, n_columns)
        Rows; at most 1,500 of each kind are drawn.
    sampled : like ``real``, of shape (n_sampled, n_columns)
        Samples of a model.
    columns : sequence of str or int
        Two or more columns, by name or, of arrays, by place; up to three pairs of the first ones
        are drawn. Those that tell samples from real rows are the ``telling`` ones of
        :func:`~flowssl.inspection.two_sample_test`.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are fewer than two columns, or the tables have no such columns.

    Examples
    --------
    >>> import numpy as np
    >>> from flowssl.plotting import plot_marginals
    >>> rows = np.random.default_rng(0).normal(size=(100, 3))
    >>> figure = plot_marginals(rows[:50], rows[50:], [0, 2])
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['x2', 'x2']
    """
    if len(columns) < 2:
        raise ValueError(f"plot_marginals needs at least two columns, got {list(columns)}")
    axes = _axes(real, sampled, columns)
    pairs = list(combinations(axes, 2))[:MAX_PAIRS]
    with styled(theme) as style:
        figure = new_figure(3.2 * len(pairs), 5.8)
        panels = figure.subplots(2, len(pairs), squeeze=False)
        for column, pair in enumerate(pairs):
            for row, title in enumerate(("real", "sampled")):
                _draw(panels[row, column], pair, row, title, style)
    return figure


def _axes(real: TableLike, sampled: TableLike, columns: Sequence[str | int]) -> list[_Axis]:
    """Read columns of both tables, by name or else by place."""
    first, second = as_table(real, BaseEstimator()), as_table(sampled, BaseEstimator())
    by_name = "array" not in (first.container, second.container)
    places = {column.name: column for column in second.columns}
    found = []
    for name in columns:
        place = next((i for i, column in enumerate(first.columns) if column.name == name), None)
        if place is None or (name not in places if by_name else place >= len(second.columns)):
            raise ValueError(f"there is no column {name!r} in both tables")
        found.append(
            _Axis.of(first.columns[place], places[name] if by_name else second.columns[place])
        )
    return found


def _draw(ax: Axes, pair: tuple[_Axis, _Axis], side: int, title: str, style: Theme) -> None:
    """Draw real (side 0) or sampled (side 1) rows."""
    rows = subsample(np.arange(len(pair[0].values[side])), MAX_ROWS)
    rng = np.random.default_rng(0)
    points = []
    for axis in pair:
        values = axis.values[side][rows]
        if axis.categories:
            values = values + rng.uniform(-JITTER, JITTER, size=len(values))
        points.append(values)
    ax.scatter(points[0], points[1], s=6, alpha=0.5, color=style.color(side), linewidths=0)
    ax.set(xlim=pair[0].limits(), ylim=pair[1].limits(), xlabel=pair[0].name, ylabel=pair[1].name)
    ax.set_title(title)
    ax.locator_params(nbins=5)
    names = [[plain(text, 10) for text in axis.categories[:MAX_TICKS]] for axis in pair]
    if names[0]:
        ax.set_xticks(range(len(names[0])), names[0], rotation=30, ha="right")
    if names[1]:
        ax.set_yticks(range(len(names[1])), names[1])


def _text(value: object) -> str | None:
    """Return a category as text, None where it is missing."""
    return None if value is None or value != value else str(value)
