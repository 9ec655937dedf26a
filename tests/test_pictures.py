"""Pictures from folders and zip files: what is read, what is left out, and why."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from flowssl.exceptions import DataError
from flowssl.pictures import holds_pictures, read_pictures, write_pictures


def gray(value, size=(4, 6)):
    return Image.fromarray(np.full(size, value, dtype=np.uint8))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    gray(10).save(tmp_path / "b.png")
    gray(20).save(tmp_path / "sub" / "a.png")
    gray(200).save(tmp_path / "c.webp", lossless=True)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


def test_pictures_of_a_folder_come_in_order_with_their_levels(folder):
    pictures = read_pictures(folder)
    assert pictures.names == ["b.png", "c.webp", "sub/a.png"]
    assert pictures.images.shape == (3, 1, 4, 6)
    assert pictures.images[:2, 0, 0, 0].tolist() == [10, 200]
    assert pictures.left_out == {}


def test_a_zip_file_is_read_as_its_folder(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, file.relative_to(folder))
    assert holds_pictures(path)
    assert holds_pictures(folder)
    assert not holds_pictures("table.csv")
    zipped, plain = read_pictures(path), read_pictures(folder)
    assert zipped.names == plain.names
    assert (zipped.images == plain.images).all()


def test_one_color_picture_makes_all_of_them_color_and_transparency_is_white(folder):
    color = np.zeros((4, 6, 4), dtype=np.uint8)
    color[:, :3] = (255, 0, 0, 255)
    Image.fromarray(color).save(folder / "d.png")
    images = read_pictures(folder).images
    assert images.shape == (4, 3, 4, 6)
    assert images[2, :, 0, 0].tolist() == [255, 0, 0]
    assert images[2, :, 0, 5].tolist() == [255, 255, 255]
    assert (read_pictures(folder, (1, 4, 6)).images[2, 0, 0] == [76] * 3 + [255] * 3).all()


@pytest.mark.parametrize(
    ("name", "spoil", "reason"),
    [
        ("x.png", lambda path: path.write_bytes(b"text"), "not a PNG, JPEG or WebP"),
        ("x.jpg", lambda path: gray(5).save(path, format="GIF"), "not a PNG, JPEG or WebP"),
        ("x.png", lambda path: gray(1, (9, 5)).save(path), "5 x 9 pixels, most have 6 x 4"),
    ],
)
def test_bad_pictures_are_named_and_refused_or_skipped(folder, name, spoil, reason):
    spoil(folder / name)
    with pytest.raises(DataError, match=rf"1 of 4 pictures .*{name} first: it .*{reason}"):
        read_pictures(folder)
    pictures = read_pictures(folder, bad="skip")
    assert name not in pictures.names
    assert reason in pictures.left_out[name]


def test_a_picture_cut_short_is_damaged(folder):
    path = folder / "b.png"
    noise = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-25])
    assert "damaged" in read_pictures(folder, bad="skip").left_out["b.png"]


def test_sizes_are_changed_on_request(folder):
    assert read_pictures(folder, (3, 8, 8)).images.shape == (3, 3, 8, 8)


def test_no_picture_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no picture to read"):
        read_pictures(tmp_path)
    (tmp_path / "p.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match="not a zip file"):
        read_pictures(tmp_path / "p.zip")


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_written_is_read_again(tmp_path, channels):
    images = np.random.default_rng(0).integers(0, 256, (2, channels, 5, 4), dtype=np.uint8)
    write_pictures(tmp_path / "new", images, ["a", "b"])
    assert (read_pictures(tmp_path / "new").images == images).all()
