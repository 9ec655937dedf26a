"""Figures of images have the exact pixels, in their positions, with their captions."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from flowssl.plotting import plot_class_samples, plot_images
from flowssl.preprocessing import ImageEncoder, TableEncoder


def canvas(figure):
    """The pixels of a figure's only image (H, W, 4)."""
    return np.asarray(figure.axes[0].images[0].get_array())


def tiles(figure, height, width):
    """The opaque rectangles of that size, row by row: (n, height, width, 3)."""
    pixels = canvas(figure)
    opaque = pixels[..., 3] == 255
    rows = np.flatnonzero(np.diff(opaque.any(1).astype(int), prepend=0) == 1)
    columns = np.flatnonzero(np.diff(opaque[rows[0]].astype(int), prepend=0) == 1)
    found = [pixels[r : r + height, c : c + width] for r in rows for c in columns]
    return np.stack([tile[..., :3] for tile in found if (tile[..., 3] == 255).all()])


def test_every_image_is_drawn_as_it_is(image_model):
    model, X, _, _ = image_model
    for given in (X[:7], X[:7] / 255, X[:7].reshape(7, -1)):
        drawn = tiles(plot_images(model, given, columns=3), 8, 8)
        np.testing.assert_array_equal(drawn, np.repeat(X[:7, :, :, None], 3, axis=3))


def test_colors_stay_in_their_channels():
    X = np.random.default_rng(0).integers(256, size=(5, 4, 6, 3), dtype=np.uint8)
    model = SimpleNamespace(encoder_=ImageEncoder((3, 4, 6)).fit(X))
    drawn = tiles(plot_images(model, X, columns=2), 4, 6)
    np.testing.assert_array_equal(drawn, X)


def test_captions_stand_under_their_images(image_model):
    model, X, _, _ = image_model
    captions = ["a", "$b$\n50 %", "c" * 40, "d"]
    ax = plot_images(model, X[:4], captions, columns=2).axes[0]
    assert [text.get_text() for text in ax.texts] == ["a", "$b$\n50 %", "c" * 11 + "…", "d"]
    opaque = canvas(ax.figure)[..., 3] == 255
    for text in ax.texts:
        x, y = text.get_position()
        assert opaque[round(y) - 1, round(x)]  # the image ends above
        assert not opaque[round(y), round(x)]


def test_samples_are_those_of_the_estimator_and_means_those_of_the_flow(image_model):
    model = image_model[0]
    figure = plot_class_samples(model, 2, temperature=0.5, random_state=3)
    drawn = tiles(figure, 8, 8)[..., 0].reshape(3, 3, 8, 8)
    samples, _ = model.sample(y=np.repeat(model.classes_, 2), temperature=0.5, random_state=3)
    np.testing.assert_array_equal(drawn[:, 1:].reshape(-1, 8, 8), samples)
    flow, classes = model.models_[0].flow, model.models_[0].class_density
    with torch.no_grad():
        means = flow.inverse(classes.class_means().double()).floor().clamp(0, 255)
    np.testing.assert_array_equal(drawn[:, 0].reshape(3, -1), means.numpy())
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["0", "1", "2"]
    assert "T = 0.5" in figure.axes[0].texts[-1].get_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pixels_are_crisp_and_backgrounds_match_the_page(image_model, theme):
    model, X, _, _ = image_model
    file = io.BytesIO()
    plot_images(model, X[:2], columns=2, theme=theme).savefig(file, format="png")
    file.seek(0)
    values = np.unique((imread(file)[..., 0] * 255).round().astype(int))
    background = {"light": 0xFF, "dark": 0x16}[theme]
    # Nearest-pixel drawing makes no new gray: what is not in the images is the page's background.
    assert set(values) <= set(X[:2].ravel().tolist()) | {background}


def test_what_cannot_be_drawn_is_refused(image_model):
    model, X, _, _ = image_model
    with pytest.raises(ValueError, match="2 images but 1 captions"):
        plot_images(model, X[:2], ["a"])
    with pytest.raises(ValueError, match="got 0 and 10"):
        plot_images(model, X[:0])
    table = SimpleNamespace(encoder_=TableEncoder())
    for draw in (lambda: plot_images(table, X), lambda: plot_class_samples(table)):
        with pytest.raises(ValueError, match="fitted on rows of kind 'table'"):
            draw()
