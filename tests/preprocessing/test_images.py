"""Images to pixel values and back: layouts, dtypes, errors, and where densities are taken."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from flowssl.preprocessing import ImageEncoder, Pixels, bits_per_dimension


def pixel_values(n, *shape):
    return np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("layout", ["rows", "channels first", "channels last", "planes"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_come_back_as_they_came(channels, layout, dtype):
    first = pixel_values(5, channels, 4, 6)
    if layout == "planes" and channels == 3:
        pytest.skip("color images have no single plane")
    X = {
        "rows": first.reshape(5, -1),
        "channels first": first,
        "channels last": first.transpose(0, 2, 3, 1),
        "planes": first[:, 0],
    }[layout]
    X = X / dtype(255) if np.dtype(dtype).kind == "f" else X.astype(dtype)
    encoder = ImageEncoder((channels, 4, 6)).fit(X)
    rows = encoder.transform(X)
    assert rows.dtype == np.uint8
    assert (rows == first.reshape(5, -1)).all()
    for same in (encoder, ImageEncoder.from_json(encoder.to_json())):
        back = same.inverse_transform(rows)
        assert back.dtype == X.dtype
        assert back.shape == X.shape
        np.testing.assert_allclose(back, X, atol=1e-6)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 5, 5)), r"shape \(2, 5, 5\).*images of shape \(1, 4, 4\).*\(n, 16\)"),
        (np.full((2, 4, 4), 300), r"0\.\.255, got 300\.\.300"),
        (np.full((2, 4, 4), -1), r"0\.\.255, got -1\.\.-1"),
        (np.full((2, 4, 4), 7.0), r"must hold 0\.\.1, got 7\.\.7; divide pixel values by 255"),
        (np.full((2, 4, 4), 60_000, np.uint16), r"values of 16 bits divided by 65535"),
        (np.full((2, 4, 4), np.nan), "NaN or infinity"),
        (np.ma.masked_equal(np.eye(4)[None], 1.0), "masked pixels"),
        (np.full((2, 4, 4), "a"), "dtype <U1"),
    ],
)
def test_what_is_no_image_is_refused_with_its_numbers(X, message):
    with pytest.raises(ValueError, match=message):
        ImageEncoder((1, 4, 4)).transform(X)


def test_cheap_classifiers_see_the_principal_components():
    matrix = pixel_values(40, 12)
    pixels = Pixels.fit(matrix)
    expected = PCA(12).fit_transform(matrix.astype(float))
    found = pixels.features(matrix)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-3, atol=1e-2)


def test_densities_are_taken_at_the_center_or_at_fixed_draws_within_the_intervals():
    matrix = pixel_values(3, 8)
    assert (Pixels.fit(matrix).completed(matrix).z == matrix[:, None] + 0.5).all()
    drawn = [Pixels.fit(matrix, draws=4).completed(matrix) for _ in range(2)]
    assert (drawn[0].z == drawn[1].z).all()
    noise = drawn[0].z - matrix[:, None]
    assert noise.shape == (3, 4, 8)
    # Latin hypercube: one draw in each quarter of every interval.
    assert (np.sort(np.floor(4 * noise), axis=1) == np.arange(4)[:, None]).all()
    assert (drawn[0].log_weight == 0).all()


def test_pixel_values_are_restored_even_from_beyond():
    pixels = Pixels.fit(pixel_values(3, 4))
    x = np.array([[0.0, 0.999, 255.9, 7.5], [-3.0, 300.0, np.nan, 256.0]])
    assert pixels.restore(x).tolist() == [[0, 0, 255, 7], [0, 255, 0, 255]]


def test_bits_of_uniform_pixel_values_are_eight():
    assert bits_per_dimension(-784 * np.log(256), 784) == pytest.approx(8.0)
