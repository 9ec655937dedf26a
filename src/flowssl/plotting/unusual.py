"""The figure of usual and unusual rows: their log-densities side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowssl.plotting.style import new_figure, plain, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flowssl._typing import Floats
    from flowssl.inspection.comparison import OODTable
    from flowssl.plotting.style import ThemeName

N_BINS = 60
TAIL = 0.01
"""Fraction of a set's rows that may lie beyond either end of the axis."""

MAX_WIDTH = 8.0
"""Width of the axis below the usual rows, in widths of the usual rows; a set of rows that are
farther out would squeeze all others into one bar."""


def plot_ood(table: OODTable, *, theme: ThemeName = "light") -> Figure:
    """Plot histograms of log p(x) of several sets of rows (Izmailov et al. 2020, figure 5).

    Rows beyond an end of the axis are counted in its outermost bar. The legend gives the AUROC of
    each set against the first, by the score that ``ood_score`` takes by default.

    Parameters
    ----------
    table : OODTable
        The sets, from :func:`~flowssl.inspection.ood_table`.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark page.

    Returns
    -------
    Figure

    Examples
    --------
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> from flowssl.inspection import ood_table
    >>> from flowssl.plotting import plot_ood
    >>> X, truth = make_moons(120, random_state=0)
    >>> y = hide_labels(truth[:60], per_class=5, random_state=0)
    >>> model = FlowGMMClassifier(architecture="affine", max_epochs=1, random_state=0)
    >>> table = ood_table(model.fit(X[:60], y), {"test": X[60:], "moved": X[60:] + 1})
    >>> plot_ood(table).axes[0].get_xlabel()
    'log p(x), nats'
    """
    low, high = _limits([figures.log_prob for figures in table.sets])
    with styled(theme) as style:
        figure = new_figure(6.4, 4.2)
        ax = figure.subplots()
        for i, figures in enumerate(table.sets):
            label = f"{plain(figures.name)}: {figures.n_rows:,} rows"
            if i:
                label += f", AUROC {figures.auroc[table.automatic]:.3f}"
            ax.hist(
                figures.log_prob.clip(low, high),
                N_BINS,
                range=(low, high),
                weights=np.full(figures.n_rows, 1 / figures.n_rows),
                histtype="stepfilled",
                facecolor=(style.color(i), 0.35),
                edgecolor=style.color(i),
                label=label,
            )
        ax.set(xlabel="log p(x), nats", ylabel="fraction of the rows", xlim=(low, high))
        figure.legend(loc="outside lower center", ncols=min(len(table.sets), 2))
    return figure


def _limits(sets: list[Floats]) -> tuple[float, float]:
    """Return the ends of the axis: nearly all rows of all sets, unless some are very far out."""
    low = min(float(np.quantile(log_prob, TAIL)) for log_prob in sets)
    high = max(float(np.quantile(log_prob, 1 - TAIL)) for log_prob in sets)
    least, largest = np.quantile(sets[0], (TAIL, 1 - TAIL))
    width = max(float(largest - least), 1e-9)
    return max(low, float(least) - MAX_WIDTH * width), max(high, low + width)
