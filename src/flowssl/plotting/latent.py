"""Figures of the latent space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from flowssl._typing import Floats, Integers
from flowssl.plotting.artists import (
    draw_class_densities,
    flat,
    in_plane,
    limit,
    projection,
    rows_and_codes,
    scatter_rows,
    thinned,
)
from flowssl.plotting.style import MAX_POINTS, add_legend, add_note, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flowssl._labels import LabelsLike
    from flowssl.estimators.base import FlowClassifier
    from flowssl.plotting.style import ThemeName
    from flowssl.preprocessing.containers import TableLike


def plot_latent_space(
    estimator: FlowClassifier, X: TableLike, y: LabelsLike, *, theme: ThemeName = "light"
) -> Figure:
    """Plot the rows in the latent space of the first flow, and the class densities.

    Of more than two latent dimensions, the plane is shown in which the class centers differ most:
    their principal components, which are the linear discriminants where covariances are close to
    the identity. Ellipses are one standard deviation of the components of the class
    densities; a name marks the component nearest to the class center. Triangles are labeled rows
    in the color of their class, dots unlabeled rows in that of the predicted class.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted.
    X : table of shape (n, n_features)
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
        If a label is unknown to the estimator.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels
    >>> X, truth = load_wine(return_X_y=True)
    >>> y = hide_labels(truth, per_class=5, random_state=0)
    >>> model = FlowGMMClassifier(architecture="affine", max_epochs=1, random_state=0).fit(X, y)
    >>> figure = plot_latent_space(model, X, y, theme="dark")
    >>> figure.axes[0].get_xlabel()
    'discriminant 1'
    """
    matrix, codes = rows_and_codes(estimator, X, y)
    return latent_figure(estimator, LatentRows.of(estimator, matrix, codes), theme=theme)


@dataclass(frozen=True)
class LatentRows:
    """The rows in a plot of the latent space.

    Attributes
    ----------
    z : ndarray of shape (n, D)
        Latents of the rows drawn.
    codes : ndarray of shape (n,)
        Their classes, -1 for unlabeled.
    predicted : ndarray of shape (n,)
        Their predicted classes.
    all_codes : ndarray of shape (m,)
        Classes of all rows, drawn or not.
    max_points : int
        Maximum number of labeled, and of unlabeled, rows drawn.
    """

    z: Floats
    codes: Integers
    predicted: Integers
    all_codes: Integers
    max_points: int

    @classmethod
    def of(
        cls,
        estimator: FlowClassifier,
        matrix: Floats,
        codes: Integers,
        max_points: int = MAX_POINTS,
    ) -> Self:
        """Choose encoded rows (n, D) at random and evaluate the model on them."""
        matrix, shown = thinned(matrix, codes, max_points)
        density = estimator.density_
        predicted = density.evaluate(matrix)[1].argmax(1)
        return cls(density.latents(matrix), shown, predicted, codes, max_points)


def latent_figure(estimator: FlowClassifier, rows: LatentRows, *, theme: ThemeName) -> Figure:
    """Draw the figure of :func:`plot_latent_space` from computed latents."""
    means = estimator.density_.class_centers()
    axes = projection(rows.z, means)
    points, centers = flat(rows.z @ axes), in_plane(means @ axes)
    with styled(theme) as style:
        figure = new_figure(6.4, 5.8)
        ax = figure.add_subplot()
        scatter_rows(ax, points, rows.codes, style, rows.predicted)
        draw_class_densities(ax, estimator, axes, style)
        limit(ax, points, centers=centers, equal=True)
        dim = rows.z.shape[1]
        kind = "latent" if dim <= 2 else "discriminant"
        ax.set(xlabel=f"{kind} 1", ylabel=f"{kind} 2" if dim > 1 else "random offset")
        add_legend(figure, estimator, rows.all_codes, style)
        add_note(figure, rows.all_codes, style, rows.max_points)
    return figure
