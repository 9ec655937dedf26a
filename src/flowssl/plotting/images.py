"""Pictures of models of images: images beside one another, class means and samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowssl.plotting.style import MAX_NAMES, Theme, new_figure, plain, styled
from flowssl.preprocessing import ImageEncoder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flowssl.estimators.base import FlowClassifier
    from flowssl.plotting.style import ThemeName


Levels = NDArray[np.uint8]

PITCH = 0.64
"""Inches from one image to the next; the space between them is a part of it."""

GAP = 0.08
"""That space, relative to the width of an image."""

CAPTION = 0.115
"""Inches that a line under an image takes."""

CAPTION_SIZE = 6.5
MAX_CAPTION = 12
"""Characters of a line, of that size in points."""


def plot_images(
    estimator: FlowClassifier,
    X: ArrayLike,
    captions: Sequence[str] | None = None,
    *,
    columns: int = 10,
    theme: ThemeName = "light",
) -> Figure:
    """Draw images in rows, each with a few words under it.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted on images.
    X : array-like of shape (n, ...)
        Images, in any form that ``fit`` takes; at least one.
    captions : sequence of str, optional
        Text under each; lines are shortened to 12 characters.
    columns : int, default=10
        Images in a row. A last row that is not full leaves room.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark page.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the model is of tables, there is no image, or captions and images differ in number.
    """
    images = _colored(_encoder(estimator, "plot_images"), X)
    if not len(images) or columns < 1:
        raise ValueError(
            f"plot_images needs at least one image and one column, got {len(images)} and {columns}"
        )
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"there are {len(images)} images but {len(captions)} captions")
    lines = [_lines(caption) for caption in captions or [""] * len(images)]
    n_lines = max(map(len, lines)) if captions is not None else 0
    n_rows = math.ceil(len(images) / columns)
    with styled(theme) as style:
        height, width = images.shape[1:3]
        gap = max(1, round(GAP * width))
        inches = PITCH / (width + gap)  # of a pixel
        below = math.ceil(CAPTION * n_lines / inches)
        figure = new_figure(columns * PITCH, n_rows * (height + gap + below) * inches)
        ax = _canvas(figure, _mosaic(images, columns, gap, gap + below), (0.0, 0.0))
        for place, text in enumerate(lines):
            row, column = divmod(place, columns)
            ax.text(
                column * (width + gap) + width / 2 - 0.5,
                row * (height + gap + below) + height,
                "\n".join(text),
                ha="center",
                va="top",
                size=CAPTION_SIZE,
                color=style.ink,
                linespacing=1.15,
            )
    return figure


def plot_class_samples(
    estimator: FlowClassifier,
    n_samples: int = 10,
    *,
    temperature: float = 1.0,
    random_state: int = 0,
    theme: ThemeName = "light",
) -> Figure:
    """Draw images that the model makes up, a class a row, beside the image of its mean.

    The first column is the class mean carried back to an image, f^-1(mu_k) (of a class of several
    Gaussians, the mean of one of them); the others are ``estimator.sample`` of that class with
    the same seed.

    Parameters
    ----------
    estimator : FlowClassifier
        Fitted on images.
    n_samples : int, default=10
        Samples of each class.
    temperature : float, default=1.0
        Factor of the latent covariances; 0.0625 is the .25^2 of the papers' pictures.
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
        If the model is of tables, or the temperature is negative.
    """
    encoder = _encoder(estimator, "plot_class_samples")
    classes = estimator.classes_
    wanted = np.repeat(classes, n_samples)
    drawn, _ = estimator.sample(y=wanted, temperature=temperature, random_state=random_state)
    centers, _ = estimator.sample(y=classes, temperature=0.0, random_state=random_state)
    shown = min(len(classes), MAX_NAMES)
    samples = _colored(encoder, drawn)[: shown * n_samples]
    means = _colored(encoder, centers)[:shown]
    with styled(theme) as style:
        height, width = means.shape[1:3]
        gap = max(1, round(GAP * width))
        left = _mosaic(means, 1, gap, gap)
        apart = np.zeros((len(left), 3 * gap, 4), dtype=np.uint8)
        canvas = np.concatenate((left, apart, _mosaic(samples, n_samples, gap, gap)), axis=1)
        inches = PITCH / (width + gap)
        names = [plain(label, 16) for label in classes[:shown].tolist()]
        margins = 0.15 + 0.09 * max(map(len, names)), 0.3
        figure = new_figure(
            canvas.shape[1] * inches + margins[0], len(canvas) * inches + margins[1]
        )
        ax = _canvas(figure, canvas, margins)
        _name_rows(ax, names, height + gap, height, style)
        first = width + 4 * gap - 0.5
        ax.text(width / 2 - 0.5, -gap, "mean", ha="center", va="bottom", size=9)
        more = f", {shown} of {len(classes):,} classes" if shown < len(classes) else ""
        text = f"samples at T = {temperature:.4g}{more}"
        ax.text(first, -gap, text, ha="left", va="bottom", size=9)
    return figure


def _encoder(estimator: FlowClassifier, name: str) -> ImageEncoder:
    encoder = estimator.encoder_
    if not isinstance(encoder, ImageEncoder):
        raise ValueError(f"{name} draws models of images, and this one is of a table")
    return encoder


def _colored(encoder: ImageEncoder, X: object) -> Levels:
    """Return images as levels of red, green and blue, shape (n, h, w, 3)."""
    levels = np.asarray(encoder.transform(X), dtype=np.uint8)
    images = np.moveaxis(levels.reshape(len(levels), *encoder.shape), 1, -1)
    return np.broadcast_to(images, (*images.shape[:3], 3))


def _lines(caption: str) -> list[str]:
    return [plain(line, MAX_CAPTION) for line in caption.split("\n")]


def _mosaic(images: Levels, columns: int, right: int, below: int) -> Levels:
    """Put images on a transparent ground with space right of and below each, as RGBA (H, W, 4)."""
    n, height, width, _ = images.shape
    n_rows = math.ceil(n / columns)
    tiles = np.zeros((n_rows * columns, height + below, width + right, 4), dtype=np.uint8)
    tiles[:n, :height, :width, :3] = images
    tiles[:n, :height, :width, 3] = 255
    grid = tiles.reshape(n_rows, columns, *tiles.shape[1:]).swapaxes(1, 2)
    return grid.reshape(n_rows * (height + below), columns * (width + right), 4)


def _canvas(figure: Figure, canvas: Levels, margins: tuple[float, float]) -> Axes:
    """Show pixels as they are, with nothing around them but margins (left and top, inches)."""
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
