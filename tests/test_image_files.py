"""Images from folders and zip files: what is read, what is left out, and why."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from flowssl._image_files import holds_images, read_images, write_images
from flowssl.exceptions import DataError


def gray(value, size=(4, 6)):
    return Image.fromarray(np.full(size, value, dtype=np.uint8))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    gray(10).save(tmp_path / "b.png")
    gray(20).save(tmp_path / "sub" / "a.png")
    gray(200).save(tmp_path / "c.webp", lossless=True)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


def test_images_of_a_folder_come_in_order_with_their_pixel_values(folder):
    files = read_images(folder)
    assert files.names == ["b.png", "c.webp", "sub/a.png"]
    assert files.images.shape == (3, 1, 4, 6)
    assert files.images[:2, 0, 0, 0].tolist() == [10, 200]
    assert files.left_out == {}


def test_a_zip_file_is_read_as_its_folder(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, file.relative_to(folder))
    assert holds_images(path)
    assert holds_images(folder)
    assert not holds_images("table.csv")
    zipped, plain = read_images(path), read_images(folder)
    assert zipped.names == plain.names
    assert (zipped.images == plain.images).all()


def test_one_color_image_makes_all_of_them_color_and_transparency_is_white(folder):
    color = np.zeros((4, 6, 4), dtype=np.uint8)
    color[:, :3] = (255, 0, 0, 255)
    Image.fromarray(color).save(folder / "d.png")
    images = read_images(folder).images
    assert images.shape == (4, 3, 4, 6)
    assert images[2, :, 0, 0].tolist() == [255, 0, 0]
    assert images[2, :, 0, 5].tolist() == [255, 255, 255]
    assert (read_images(folder, (1, 4, 6)).images[2, 0, 0] == [76] * 3 + [255] * 3).all()


@pytest.mark.parametrize(
    ("name", "spoil", "reason"),
    [
        ("x.png", lambda path: path.write_bytes(b"text"), "not a PNG, JPEG or WebP"),
        ("x.jpg", lambda path: gray(5).save(path, format="GIF"), "not a PNG, JPEG or WebP"),
        ("x.png", lambda path: gray(1, (9, 5)).save(path), "5 x 9 pixels, most have 6 x 4"),
    ],
)
def test_bad_images_are_named_and_refused_or_skipped(folder, name, spoil, reason):
    spoil(folder / name)
    with pytest.raises(DataError, match=rf"1 of 4 images .*first is {name}: it .*{reason}"):
        read_images(folder)
    files = read_images(folder, bad="skip")
    assert name not in files.names
    assert reason in files.left_out[name]


def test_a_image_cut_short_is_damaged(folder):
    path = folder / "b.png"
    noise = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-25])
    assert "damaged" in read_images(folder, bad="skip").left_out["b.png"]


def test_sizes_are_changed_on_request(folder):
    assert read_images(folder, (3, 8, 8)).images.shape == (3, 3, 8, 8)


def test_no_image_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no image to read"):
        read_images(tmp_path)
    (tmp_path / "p.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match="not a zip file"):
        read_images(tmp_path / "p.zip")


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_written_is_read_again(tmp_path, channels):
    images = np.random.default_rng(0).integers(0, 256, (2, channels, 5, 4), dtype=np.uint8)
    write_images(tmp_path / "new", images, ["a", "b"])
    assert (read_images(tmp_path / "new").images == images).all()
