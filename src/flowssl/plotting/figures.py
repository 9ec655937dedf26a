"""The pictures themselves, each a function from a fitted estimator and its rows to a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from flowssl._fitted import class_codes, judge, latents
from flowssl._typing import Floats, Integers
from flowssl.plotting.artists import (
    check_planar,
    class_means,
    draw_gaussians,
    draw_plane,
    draw_reliability,
    drawn,
    flat,
    in_plane,
    limit,
    planar_rows,
    projection,
    rows_and_codes,
    samples,
    scatter_dots,
    scatter_rows,
)
from flowssl.plotting.style import MAX_DOTS, add_legend, add_note, name_axes, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flowssl._labels import LabelsLike
    from flowssl.estimators.base import FlowClassifier
    from flowssl.plotting.style import ThemeName
    from flowssl.preprocessing.containers import TableLike


def plot_decision_boundary(
    estimator: FlowClassifier, X: TableLike, y: LabelsLike, *, theme: ThemeName = "light"
) -> Figure:
    """Draw two-dimensional data over the classes' regions and the density.

    Shading is the calibrated class probability, full lines are the decision boundary, thin lines
    enclose 50, 90 and 99 % of the rows. Triangles are labeled rows, dots unlabeled ones.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted on two columns of numbers.
    X : table of shape (n, 2)
        Rows; at most `MAX_DOTS` of each kind are drawn.
    y : array-like of shape (n,)
        Their labels, marked as in ``fit`` where unknown.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the model sees other than two columns of numbers, or a label is unknown to it.
    """
    matrix, codes = planar_rows(estimator, X, y, "plot_decision_boundary")
    with styled(theme) as style:
        figure = new_figure(6.4, 5.4)
        ax = figure.add_subplot()
        draw_plane(ax, estimator, matrix, codes, style)
        name_axes(ax, estimator)
        add_legend(figure, estimator, codes, style)
        add_note(figure, codes, style)
    return figure


def plot_samples(
    estimator: FlowClassifier,
    n_samples: int = 1000,
    *,
    temperature: float = 1.0,
    X: TableLike | None = None,
    random_state: int = 0,
    theme: ThemeName = "light",
) -> Figure:
    """Draw rows that a model of two-dimensional data makes up, colored by their class.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted on two columns of numbers.
    n_samples : int, default=1000
        How many.
    temperature : float, default=1.0
        Factor of the latent covariances; see ``estimator.sample``.
    X : table of shape (n, 2), optional
        Real rows, whose range the axes then show.
    random_state : int, default=0
        Seed of the samples.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the model sees other than two columns of numbers.
    """
    check_planar(estimator, "plot_samples")
    rows, codes = samples(estimator, n_samples, temperature, random_state)
    real = rows if X is None else estimator.completion_.filled(estimator.encoder_.transform(X))
    with styled(theme) as style:
        figure = new_figure(6.4, 5.4)
        ax = figure.add_subplot()
        scatter_dots(ax, rows, style.colors(codes))
        limit(ax, real)
        name_axes(ax, estimator)
        add_legend(figure, estimator, codes, style, rows="samples")
    return figure


def plot_latent_space(
    estimator: FlowClassifier, X: TableLike, y: LabelsLike, *, theme: ThemeName = "light"
) -> Figure:
    """Draw where the first flow puts the rows, and its class Gaussians.

    Of more than two latent dimensions, the plane is shown in which the class means differ most
    (their principal components; as the Gaussians are near the identity, the linear discriminants).
    Names stand at the class means, rings are one standard deviation of each Gaussian. Triangles
    are labeled rows in their class's color, dots unlabeled rows in that of the predicted one.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted.
    X : table of shape (n, n_features)
        Rows; at most `MAX_DOTS` of each kind are drawn.
    y : array-like of shape (n,)
        Their labels, marked as in ``fit`` where unknown.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If a label is unknown to the estimator.
    """
    matrix, codes = rows_and_codes(estimator, X, y)
    return latent_figure(estimator, LatentRows.of(estimator, matrix, codes), theme=theme)


@dataclass(frozen=True)
class LatentRows:
    """Latents (n, D) of some rows, their classes (n,) or -1, and the classes predicted (n,).

    ``all_codes`` are the classes of all rows, of which ``max_dots`` of each kind are drawn at most.
    """

    z: Floats
    codes: Integers
    predicted: Integers
    all_codes: Integers
    max_dots: int

    @classmethod
    def of(
        cls, estimator: FlowClassifier, matrix: Floats, codes: Integers, max_dots: int = MAX_DOTS
    ) -> Self:
        """Choose some of the encoded rows (n, D) and ask the model about them."""
        matrix, shown = drawn(matrix, codes, max_dots)
        predicted = judge(estimator, matrix)[1].argmax(1)
        return cls(latents(estimator, matrix), shown, predicted, codes, max_dots)


def latent_figure(estimator: FlowClassifier, rows: LatentRows, *, theme: ThemeName) -> Figure:
    """Draw what :func:`plot_latent_space` does, of latents that are known already."""
    means = class_means(estimator)
    axes = projection(rows.z, means)
    points, centers = flat(rows.z @ axes), in_plane(means @ axes)
    with styled(theme) as style:
        figure = new_figure(6.4, 5.8)
        ax = figure.add_subplot()
        scatter_rows(ax, points, rows.codes, style, rows.predicted)
        draw_gaussians(ax, estimator, axes, style)
        limit(ax, points, centers=centers, equal=True)
        dim = rows.z.shape[1]
        kind = "latent" if dim <= 2 else "discriminant"
        ax.set(xlabel=f"{kind} 1", ylabel=f"{kind} 2" if dim > 1 else "drawn at random")
        add_legend(figure, estimator, rows.all_codes, style)
        add_note(figure, rows.all_codes, style, rows.max_dots)
    return figure


def plot_reliability(
    estimator: FlowClassifier,
    X: TableLike,
    y: LabelsLike,
    *,
    n_bins: int = 15,
    theme: ThemeName = "light",
) -> Figure:
    """Draw how often the model is right at each level of confidence (Guo et al. 2017).

    Bars are 95 % intervals of each bin's accuracy, the area of a mark is its share of the rows.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted.
    X : table of shape (n, n_features)
        Rows that it was not fitted on.
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
    """
    matrix = estimator.encoder_.transform(X)
    codes = class_codes(estimator, y)
    known = codes >= 0
    if not known.any():
        raise ValueError("plot_reliability needs labeled rows, and y has none")
    proba = np.exp(judge(estimator, matrix[known])[1])
    return reliability_figure(proba, codes[known], n_bins=n_bins, theme=theme)


def reliability_figure(
    proba: Floats, codes: Integers, *, n_bins: int = 15, theme: ThemeName
) -> Figure:
    """Draw what :func:`plot_reliability` does, of probabilities (n, C) and classes (n,)."""
    with styled(theme) as style:
        figure = new_figure(6.4, 5.8)
        curve, bars = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        draw_reliability(curve, bars, proba, codes, n_bins, style)
    return figure


def plot_history(estimator: FlowClassifier, *, theme: ThemeName = "light") -> Figure:
    """Draw the held-out likelihood and cross-entropy of each epoch; the best one is marked.

    Where too few rows are unlabeled to hold some out, the figures are of the training rows.

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
        If the estimator has no history, as when training was interrupted in its first epoch.
    """
    history = estimator.history_
    if not history:
        raise ValueError("there is no history to plot: training ended before its first epoch did")
    epochs = [record["epoch"] for record in history]
    best = min(history, key=lambda record: record["loss"])["epoch"]
    with styled(theme) as style:
        figure = new_figure(6.4, 4.6)
        panels = figure.subplots(2, 1, sharex=True)
        names = (
            ("nats_per_dim", "log-density,\nnats a dimension"),
            ("cross_entropy", "cross-entropy to\nthe soft labels, nats"),
        )
        for i, (ax, (key, label)) in enumerate(zip(panels, names, strict=True)):
            values = [record[key] for record in history]
            ax.plot(epochs, values, color=style.color(i), marker="o", markersize=3)
            ax.axvline(best, color=style.muted, linestyle="--", linewidth=1)
            ax.set_ylabel(label)
            ax.margins(y=0.12)
        panels[0].set_title(f"the model has the weights of epoch {best:.0f}")
        panels[1].set_xlabel("epoch")
        panels[1].xaxis.get_major_locator().set_params(integer=True)
    return figure


def plot_flow(
    estimator: FlowClassifier,
    X: TableLike,
    y: LabelsLike,
    *,
    random_state: int = 0,
    theme: ThemeName = "light",
) -> Figure:
    """Draw what a flow does to two-dimensional data (Izmailov et al. 2020, figures 1 and 4).

    Four panels: the data with the decision boundary, the data in latent space, the latent mixture
    of class Gaussians, and samples of the model in data space.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted on two columns of numbers.
    X : table of shape (n, 2)
        Rows; at most `MAX_DOTS` of each kind are drawn.
    y : array-like of shape (n,)
        Their labels, marked as in ``fit`` where unknown.
    random_state : int, default=0
        Seed of the samples.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the model sees other than two columns of numbers, or a label is unknown to it.
    """
    matrix, codes = planar_rows(estimator, X, y, "plot_flow")
    few, shown = drawn(matrix, codes)
    z = latents(estimator, few)
    made, made_codes = samples(estimator, min(len(matrix), MAX_DOTS), 1.0, random_state)
    with styled(theme) as style:
        figure = new_figure(11.6, 3.5)
        data, mapped, mixture, inverse = figure.subplots(1, 4)
        draw_plane(data, estimator, matrix, codes, style)
        scatter_rows(mapped, z, shown, style)
        draw_gaussians(mixture, estimator, np.eye(2), style)
        scatter_dots(mixture, latents(estimator, made), style.colors(made_codes))
        scatter_dots(inverse, made, style.colors(made_codes))
        titles = ("data x", "latents z = f(x)", "latent mixture p(z, y)", "samples f⁻¹(z)")
        both = np.concatenate((z, latents(estimator, made)))
        for ax, title, rows in zip(
            (data, mapped, mixture, inverse), titles, (matrix, both, both, matrix), strict=True
        ):
            ax.set_title(title)
            limit(ax, rows)
            ax.set(xticks=[], yticks=[])
        add_legend(figure, estimator, codes, style)
        add_note(figure, codes, style)
    return figure
