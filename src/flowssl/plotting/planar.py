"""Figures of models of two-dimensional data: decision boundary, samples, and the flow itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowssl._typing import Floats, Integers
from flowssl.plotting.artists import (
    check_planar,
    draw_class_densities,
    draw_plane,
    limit,
    planar_rows,
    samples,
    scatter_points,
    scatter_rows,
    thinned,
)
from flowssl.plotting.style import MAX_POINTS, add_legend, add_note, name_axes, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flowssl._labels import LabelsLike
    from flowssl.estimators.base import FlowClassifier
    from flowssl.plotting.style import ThemeName
    from flowssl.preprocessing.containers import TableLike


def plot_decision_boundary(
    estimator: FlowClassifier, X: TableLike, y: LabelsLike, *, theme: ThemeName = "light"
) -> Figure:
    """Plot two-dimensional data over the class regions and the density.

    Shading is the calibrated class probability, thick lines are the decision boundary, thin lines
    enclose 50, 90 and 99 % of the rows. Triangles are labeled rows, dots unlabeled ones.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted on two numeric columns.
    X : table of shape (n, 2)
        Rows; at most 3,000 labeled and 3,000 unlabeled ones are drawn.
    y : array-like of shape (n,)
        Their labels, with unlabeled rows marked as in ``fit``.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the encoded rows are not two numbers, or a label is unknown to the estimator.

    Examples
    --------
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(60, random_state=0)
    >>> y = hide_labels(truth, per_class=5, random_state=0)
    >>> model = FlowGMMClassifier(architecture="affine", max_epochs=1, random_state=0).fit(X, y)
    >>> figure = plot_decision_boundary(model, X, y)
    >>> figure.axes[0].get_xlabel()
    'x0'
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
    """Plot samples of a model of two-dimensional data, colored by class.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted on two numeric columns.
    n_samples : int, default=1000
        Number of samples.
    temperature : float, default=1.0
        Factor of the latent covariances; see ``sample`` of the estimator.
    X : table of shape (n, 2), optional
        Rows whose range the axes show; by default that of the samples.
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
        If the encoded rows are not two numbers.

    Examples
    --------
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(60, random_state=0)
    >>> y = hide_labels(truth, per_class=5, random_state=0)
    >>> model = FlowGMMClassifier(architecture="affine", max_epochs=1, random_state=0).fit(X, y)
    >>> figure = plot_samples(model, n_samples=100, X=X)
    >>> figure.axes[0].get_ylabel()
    'x1'
    """
    check_planar(estimator, "plot_samples")
    rows, codes = samples(estimator, n_samples, temperature, random_state)
    real = rows if X is None else estimator.completion_.features(estimator.encoder_.transform(X))
    with styled(theme) as style:
        figure = new_figure(6.4, 5.4)
        ax = figure.add_subplot()
        scatter_points(ax, rows, style.colors(codes))
        limit(ax, real)
        name_axes(ax, estimator)
        add_legend(figure, estimator, codes, style, rows="samples")
    return figure


def plot_flow(
    estimator: FlowClassifier,
    X: TableLike,
    y: LabelsLike,
    *,
    random_state: int = 0,
    theme: ThemeName = "light",
) -> Figure:
    """Plot how a flow transforms two-dimensional data (Izmailov et al. 2020, figures 1 and 4).

    Four panels: the data with the decision boundary, their latents, the latent mixture of class
    densities, and samples of the model in data space.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted on two numeric columns.
    X : table of shape (n, 2)
        Rows; at most 3,000 labeled and 3,000 unlabeled ones are drawn.
    y : array-like of shape (n,)
        Their labels, with unlabeled rows marked as in ``fit``.
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
        If the encoded rows are not two numbers, or a label is unknown to the estimator.

    Examples
    --------
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(60, random_state=0)
    >>> y = hide_labels(truth, per_class=5, random_state=0)
    >>> model = FlowGMMClassifier(architecture="affine", max_epochs=1, random_state=0).fit(X, y)
    >>> figure = plot_flow(model, X, y)
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['data x', 'latents z = f(x)', 'mixture p(z, y)', 'samples f⁻¹(z)']
    """
    matrix, codes = planar_rows(estimator, X, y, "plot_flow")
    return _flow_figure(estimator, matrix, codes, random_state, theme)


def _flow_figure(
    estimator: FlowClassifier,
    matrix: Floats,
    codes: Integers,
    random_state: int,
    theme: ThemeName,
) -> Figure:
    density = estimator.density_
    few, shown = thinned(matrix, codes)
    z = density.latents(few)
    sampled, sampled_codes = samples(estimator, min(len(matrix), MAX_POINTS), 1.0, random_state)
    z_sampled = density.latents(sampled)
    with styled(theme) as style:
        figure = new_figure(11.6, 3.5)
        data, mapped, mixture, inverse = figure.subplots(1, 4)
        draw_plane(data, estimator, matrix, codes, style)
        scatter_rows(mapped, z, shown, style)
        draw_class_densities(mixture, estimator, np.eye(2), style)
        scatter_points(mixture, z_sampled, style.colors(sampled_codes))
        scatter_points(inverse, sampled, style.colors(sampled_codes))
        titles = ("data x", "latents z = f(x)", "mixture p(z, y)", "samples f⁻¹(z)")
        both = np.concatenate((z, z_sampled))
        for ax, title, rows in zip(
            (data, mapped, mixture, inverse), titles, (matrix, both, both, matrix), strict=True
        ):
            ax.set_title(title)
            limit(ax, rows)
            ax.set(xticks=[], yticks=[])
        add_legend(figure, estimator, codes, style)
        add_note(figure, codes, style)
    return figure
