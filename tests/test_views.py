"""Random views of images: what they keep, what they change, and how often."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import shift

from flowssl._views import Dequantized, Flipped, Translated, Views


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_translations_are_those_of_scipy_each_about_equally_often():
    image = torch.arange(1.0, 61.0).reshape(1, 3, 4, 5)
    moved = Translated(2)(image.repeat(2_500, 1, 1, 1))
    expected = {
        (dy, dx): shift(image[0].numpy(), (0, dy, dx), order=0, cval=0.0)
        for dy in range(-2, 3)
        for dx in range(-2, 3)
    }
    counts = dict.fromkeys(expected, 0)
    for one in moved.numpy():
        counts[next(key for key, whole in expected.items() if (whole == one).all())] += 1
    assert sum(counts.values()) == 2_500
    assert min(counts.values()) > 60  # of 100 each


def test_flip_mirrors_about_half_of_the_images():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    flipped = Flipped()(image.repeat(1000, 1, 1, 1)).numpy()
    mirrored = (flipped == image.numpy()[..., ::-1]).all(axis=(1, 2, 3))
    kept = (flipped == image.numpy()).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert 400 < mirrored.sum() < 600


def test_noise_fills_each_pixel_value_uniformly():
    values = torch.tensor([0.0, 3.0, 255.0]).repeat(4000, 1)
    noisy = Dequantized()(values)
    assert torch.equal(noisy.floor(), values)
    noise = np.sort((noisy - values).numpy(), axis=0)
    assert abs(noise - np.linspace(0, 1, 4000)[:, None]).max() < 0.03


def test_views_take_and_give_rows_and_apply_the_users_function_to_whole_pixel_values():
    seen = []

    def brighter(images):
        seen.append(images)
        return (images + 1).clamp(max=255)

    rows = torch.tensor([[0.5, 7.5, 255.5, 20.5]])
    out = Views((1, 2, 2), (brighter,))(rows)
    assert seen[0].tolist() == [[[[0.0, 7.0], [255.0, 20.0]]]]
    assert out.floor().tolist() == [[1.0, 8.0, 255.0, 21.0]]


def test_no_image_is_no_problem():
    views = Views((1, 2, 2), (Translated(1), Flipped()))
    assert views(torch.zeros(0, 4)).shape == (0, 4)


def test_text_of_views_is_alike_in_every_process():
    """A checkpoint is refused by this text: an address in it would refuse every other process."""

    def mine(x: torch.Tensor) -> torch.Tensor:
        return x

    class Mine:
        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return x

    text = repr(Views((1, 8, 8), (Translated(1), mine, partial(mine, 3), Mine())))
    assert "0x" not in text
    assert text.count("mine") == 2
    assert "Mine" in text
    assert text != repr(Views((1, 8, 8), (Translated(2), mine)))
