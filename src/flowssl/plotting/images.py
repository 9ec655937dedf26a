"""Figures of images: grids of images, class means and samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from flowssl._typing import PixelValues
from flowssl.plotting.style import MAX_NAMES, Theme, new_figure, plain, styled
from flowssl.preprocessing.containers import TableLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flowssl.estimators.base import FlowClassifier
    from flowssl.plotting.style import ThemeName
    from flowssl.preprocessing import ImageEncoder


PITCH = 0.64
"""Inches from the left edge of an image to that of the next."""

GAP = 0.08
"""Space between images, relative to the width of an image."""

CAPTION = 0.115
"""Height in inches of a line of a caption."""

CAPTION_SIZE = 6.5
"""Font size of captions, points."""

MAX_CAPTION = 12
"""Maximum number of characters of a line of a caption."""


def plot_images(
    estimator: FlowClassifier,
    X: ArrayLike,
    captions: Sequence[str] | None = None,
    *,
    columns: int = 10,
    theme: ThemeName = "light",
) -> Figure:
    """Plot images in a grid, with captions.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted on images.
    X : array-like of shape (n, ...)
        Images, in any layout that ``fit`` accepts; at least one.
    captions : sequence of str, optional
        Text below each image; lines are shortened to 12 characters.
    columns : int, default=10
        Number of images in a row.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the estimator was not fitted on images, there is no image, or captions and images differ
        in number.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels
    >>> digits = load_digits(n_class=2)
    >>> X = digits.images[:20] / 16
    >>> y = hide_labels(digits.target[:20], per_class=3, random_state=0)
    >>> model = FlowGMMClassifier(images=(1, 8, 8), init="random", max_epochs=1, random_state=0)
    >>> figure = plot_images(model.fit(X, y), X[:4], ["zero", "one", "zero", "one"], columns=4)
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['zero', 'one', 'zero', 'one']
    """
    images = _colored(_encoder(estimator, "plot_images"), X)
    if not len(images) or columns < 1:
        raise ValueError(
            f"plot_images needs at least one image and one column, got {len(images)} and {columns}"
        )
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"there are {len(images)} images but {len(captions)} captions")
    lines = None if captions is None else [_lines(caption) for caption in captions]
    with styled(theme) as style:
        return _grid_figure(images, lines, columns, style)


def plot_class_samples(
    estimator: FlowClassifier,
    n_samples: int = 10,
    *,
    temperature: float = 1.0,
    random_state: int = 0,
    theme: ThemeName = "light",
) -> Figure:
    """Plot samples of each class, one class per row, next to the image of the class mean.

    The first column is the class mean mapped back to an image, f^-1(mu_k) (of a class of several
    components, the mean of one of them); the others are samples of the class.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted on images.
    n_samples : int, default=10
        Number of samples per class.
    temperature : float, default=1.0
        Factor of the latent covariances; 0.0625 is the 0.25^2 of the papers' figures.
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
        If the estimator was not fitted on images, or the temperature is negative.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from flowssl import FlowGMMClassifier
    >>> from flowssl.datasets import hide_labels
    >>> digits = load_digits(n_class=2)
    >>> X = digits.images[:20] / 16
    >>> y = hide_labels(digits.target[:20], per_class=3, random_state=0)
    >>> model = FlowGMMClassifier(images=(1, 8, 8), init="random", max_epochs=1, random_state=0)
    >>> figure = plot_class_samples(model.fit(X, y), n_samples=3, temperature=0.25)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['0', '1']
    """
    encoder = _encoder(estimator, "plot_class_samples")
    classes = estimator.classes_
    wanted = np.repeat(classes, n_samples)
    drawn, _ = estimator.sample(y=wanted, temperature=temperature, random_state=random_state)
    centers, _ = estimator.sample(y=classes, temperature=0.0, random_state=random_state)
    shown = min(len(classes), MAX_NAMES)
    more = f", {shown} of {len(classes):,} classes" if shown < len(classes) else ""
    means = _colored(encoder, centers)[:shown]
    samples = _colored(encoder, drawn)[: shown * n_samples]
    names = [plain(label, 16) for label in classes[:shown].tolist()]
    with styled(theme) as style:
        return _samples_figure(means, samples, names, f"T = {temperature:.4g}{more}", style)


def _grid_figure(
    images: PixelValues, captions: list[list[str]] | None, columns: int, style: Theme
) -> Figure:
    """Draw images (n, h, w, 3) in a grid, with lines of text below each."""
    n, height, width, _ = images.shape
    n_lines = max(map(len, captions)) if captions is not None else 0
    n_rows = math.ceil(n / columns)
    gap = max(1, round(GAP * width))
    inches = PITCH / (width + gap)  # per pixel
    below = math.ceil(CAPTION * n_lines / inches)
    figure = new_figure(columns * PITCH, n_rows * (height + gap + below) * inches)
    ax = _canvas(figure, _mosaic(images, columns, gap, gap + below), (0.0, 0.0))
    for position, lines in enumerate(captions or ()):
        row, column = divmod(position, columns)
        ax.text(
            column * (width + gap) + width / 2 - 0.5,
            row * (height + gap + below) + height,
            "\n".join(lines),
            ha="center",
            va="top",
            size=CAPTION_SIZE,
            color=style.ink,
            linespacing=1.15,
        )
    return figure


def _samples_figure(
    means: PixelValues, samples: PixelValues, names: list[str], title: str, style: Theme
) -> Figure:
    """Draw the mean of each class next to as many samples of each, one class per row."""
    height, width = means.shape[1:3]
    gap = max(1, round(GAP * width))
    left = _mosaic(means, 1, gap, gap)
    apart = np.zeros((len(left), 3 * gap, 4), dtype=np.uint8)
    right = _mosaic(samples, len(samples) // len(means), gap, gap)
    canvas = np.concatenate((left, apart, right), axis=1)
    inches = PITCH / (width + gap)
    margins = 0.15 + 0.09 * max(map(len, names)), 0.3
    figure = new_figure(canvas.shape[1] * inches + margins[0], len(canvas) * inches + margins[1])
    ax = _canvas(figure, canvas, margins)
    _name_rows(ax, names, height + gap, height, style)
    first = width + 4 * gap - 0.5
    ax.text(width / 2 - 0.5, -gap, "mean", ha="center", va="bottom", size=9)
    ax.text(first, -gap, f"samples at {title}", ha="left", va="bottom", size=9)
    return figure


def _encoder(estimator: FlowClassifier, name: str) -> ImageEncoder:
    encoder = estimator.encoder_
    if encoder.row_kind != "image":
        raise ValueError(
            f"{name} needs an estimator fitted on images; this one was fitted on rows of kind "
            f"{encoder.row_kind!r}"
        )
    return encoder


def _colored(encoder: ImageEncoder, X: TableLike) -> PixelValues:
    """Return images in red, green and blue, shape (n, h, w, 3)."""
    values = np.asarray(encoder.transform(X), dtype=np.uint8)
    images = np.moveaxis(values.reshape(len(values), *encoder.shape), 1, -1)
    return np.broadcast_to(images, (*images.shape[:3], 3))


def _lines(caption: str) -> list[str]:
    return [plain(line, MAX_CAPTION) for line in caption.split("\n")]


def _mosaic(images: PixelValues, columns: int, right: int, below: int) -> PixelValues:
    """Return a grid of images on a transparent background, as RGBA (H, W, 4).

    Each image has `right` and `below` pixels of space to its right and below it.
    """
    n, height, width, _ = images.shape
    n_rows = math.ceil(n / columns)
    tiles = np.zeros((n_rows * columns, height + below, width + right, 4), dtype=np.uint8)
    tiles[:n, :height, :width, :3] = images
    tiles[:n, :height, :width, 3] = 255
    grid = tiles.reshape(n_rows, columns, *tiles.shape[1:]).swapaxes(1, 2)
    return grid.reshape(n_rows * (height + below), columns * (width + right), 4)


def _canvas(figure: Figure, canvas: PixelValues, margins: tuple[float, float]) -> Axes:
    """Show pixels without interpolation, within margins (left and top, inches)."""
    figure.set_layout_engine("none")
    left, top = margins[0] / figure.get_figwidth(), margins[1] / figure.get_figheight()
    ax = figure.add_axes((left, 0.0, 1 - left, 1 - top))
    ax.imshow(canvas, interpolation="none")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def _name_rows(ax: Axes, names: list[str], pitch: int, height: int, style: Theme) -> None:
    places = [row * pitch + (height - 1) / 2 for row in range(len(names))]
    ax.set_yticks(places, names)
    ax.tick_params(axis="y", length=0, labelsize=9, labelcolor=style.ink)
