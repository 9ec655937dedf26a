"""Figures of calibration and training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowssl._class_codes import class_codes
from flowssl._typing import Floats, Integers
from flowssl.plotting.artists import draw_reliability
from flowssl.plotting.style import new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flowssl._labels import LabelsLike
    from flowssl.estimators.base import FlowClassifier
    from flowssl.plotting.style import ThemeName
    from flowssl.preprocessing.containers import TableLike


def plot_reliability(
    estimator: FlowClassifier,
    X: TableLike,
    y: LabelsLike,
    *,
    n_bins: int = 15,
    theme: ThemeName = "light",
) -> Figure:
    """Plot accuracy against confidence: a reliability diagram (Guo et al. 2017).

    Bars are 95 % confidence intervals of the accuracy in each bin, the area of a marker is the
    fraction of the rows in the bin.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted.
    X : table of shape (n, n_features)
        Rows that were not used in training.
    y : array-like of shape (n,)
        Their labels; unlabeled rows are left out.
    n_bins : int, default=15
        Bins of equal width in confidence.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If no row is labeled, or a label is unknown to the estimator.

    Examples
    --------
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(120, random_state=0)
    >>> y = hide_labels(truth[:60], per_class=5, random_state=0)
    >>> model = FlowGMMClassifier(architecture="affine", max_epochs=1, random_state=0)
    >>> figure = plot_reliability(model.fit(X[:60], y), X[60:], truth[60:])
    >>> figure.axes[0].get_ylabel()
    'accuracy'
    """
    matrix = estimator.encoder_.transform(X)
    codes = class_codes(estimator, y)
    known = codes >= 0
    if not known.any():
        raise ValueError("plot_reliability needs labeled rows, and y has none")
    proba = np.exp(estimator.density_.evaluate(matrix[known])[1])
    return reliability_figure(proba, codes[known], n_bins=n_bins, theme=theme)


def reliability_figure(
    proba: Floats, codes: Integers, *, n_bins: int = 15, theme: ThemeName
) -> Figure:
    """Draw the figure of :func:`plot_reliability` from probabilities (n, C) and classes (n,)."""
    with styled(theme) as style:
        figure = new_figure(6.4, 5.8)
        curve, bars = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        draw_reliability(curve, bars, proba, codes, n_bins, style)
    return figure


def plot_history(estimator: FlowClassifier, *, theme: ThemeName = "light") -> Figure:
    """Plot the held-out log-density and cross-entropy of each epoch, and mark the best epoch.

    Where too few rows are unlabeled to hold some out, the values are those of the training rows.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the estimator has no history because training was interrupted in its first epoch.

    Examples
    --------
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(60, random_state=0)
    >>> y = hide_labels(truth, per_class=5, random_state=0)
    >>> model = FlowGMMClassifier(architecture="affine", max_epochs=2, random_state=0).fit(X, y)
    >>> figure = plot_history(model)
    >>> len(figure.axes[0].lines[0].get_xdata())
    2
    """
    history = estimator.history_
    if not history:
        raise ValueError("no history to plot: training was interrupted in its first epoch")
    epochs = [record["epoch"] for record in history]
    best = min(history, key=lambda record: record["loss"])["epoch"]
    with styled(theme) as style:
        figure = new_figure(6.4, 4.6)
        panels = figure.subplots(2, 1, sharex=True)
        names = (
            ("nats_per_dim", "log-density,\nnats per dimension"),
            ("cross_entropy", "cross-entropy with\nsoft labels, nats"),
        )
        for i, (ax, (key, label)) in enumerate(zip(panels, names, strict=True)):
            values = [record[key] for record in history]
            ax.plot(epochs, values, color=style.color(i), marker="o", markersize=3)
            ax.axvline(best, color=style.muted, linestyle="--", linewidth=1)
            ax.set_ylabel(label)
            ax.margins(y=0.12)
        panels[0].set_title(f"weights kept: epoch {best:.0f}")
        panels[1].set_xlabel("epoch")
        panels[1].xaxis.get_major_locator().set_params(integer=True)
    return figure
