"""Images from folders and zip files: what is read, what is left out, and why."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

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
        ("x.png", lambda path: path.write_bytes(b"text"), "not a PNG, JPEG, WEBP"),
        ("x.jpg", lambda path: gray(5).save(path, format="PCX"), "not a PNG, JPEG, WEBP"),
        (
            "x.heic",
            lambda path: gray(5).save(path, format="PNG"),
            "type heic, which is not read; convert",
        ),
        ("x.gif", lambda path: path.symlink_to("nowhere"), "link to nothing"),
        ("x.png", lambda path: os.mkfifo(path), "not a regular file"),
        ("x.png", lambda path: path.touch(), "not a PNG, JPEG, WEBP"),
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


def test_the_content_of_a_file_decides_and_not_its_ending(folder):
    gray(5).save(folder / "d.jpg", format="GIF")
    assert read_images(folder).images[2, 0, 0, 0] == 5


def test_links_are_followed_and_circles_are_not(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    gray(77).save(elsewhere / "e.png")
    (folder / "link").symlink_to(elsewhere)
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "another").symlink_to(folder / "sub")
    (folder / "x.png").symlink_to(elsewhere / "e.png")
    (folder / "folder.png").mkdir()
    names = read_images(folder).names
    assert names == ["b.png", "c.webp", "link/e.png", "sub/a.png", "x.png"]


@pytest.mark.parametrize(
    "name",
    [
        "Thumbs.db",
        ".DS_Store",
        "._b.png",
        "__MACOSX/._b.png",
        ".cache/b.png",
        "b.png.txt",
        "more.zip",
    ],
)
def test_files_that_are_no_images_are_ignored(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"anything")
    files = read_images(folder)
    assert len(files.names) == 3
    assert not files.left_out


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9.png", "caf\\xe9.png"),
        (b"a\nb.png", "a\\x0ab.png"),
        (b"\x1b[2J.png", "\\x1b[2J.png"),
    ],
)
def test_names_that_cannot_be_written_are_refused(folder, name, shown):
    gray(1).save(folder / "d.png")
    (folder / "d.png").rename(folder / os.fsdecode(name))
    reason = "its name has control characters or is not UTF-8; rename it"
    assert read_images(folder, bad="skip").left_out == {shown: reason}


@pytest.fixture
def archive(folder, tmp_path_factory):
    """A zip file with the three images of the folder, open for more."""
    with zipfile.ZipFile(tmp_path_factory.mktemp("zip") / "p.zip", "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, file.relative_to(folder))
        yield archive


PNG = io.BytesIO()
gray(99).save(PNG, "PNG")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("names", "left_out", "reason"),
    [
        (["../d.png"], "../d.png", "leads out of the archive"),
        (["/d.png"], "/d.png", "leads out of the archive"),
        (["C:\\d.png"], "C:/d.png", "leads out of the archive"),
        (["b.png"], "b.png", "the archive has it 2 times"),
        (["./b.png", "sub//../b.png"], "b.png", "the archive has it 2 times"),
    ],
)
def test_odd_members_of_a_zip_file_are_left_out_one_by_one(archive, names, left_out, reason):
    for name in names:
        archive.writestr(name, PNG.getvalue())
    archive.close()
    with pytest.raises(DataError, match=rf"the first is .*: .*{reason}|leads out"):
        read_images(archive.filename)
    files = read_images(archive.filename, bad="skip")
    assert reason in files.left_out[left_out]
    assert "sub/a.png" in files.names
    assert "c.webp" in files.names


def test_names_in_zip_files_are_those_that_people_gave(archive):
    archive.writestr("./sub\\d.png", PNG.getvalue())
    archive.writestr("caf__.png", PNG.getvalue())
    archive.close()
    # macOS writes UTF-8 without the flag for it; so does this archive after the next line.
    path = Path(archive.filename)
    path.write_bytes(path.read_bytes().replace(b"caf__", "caf\u00e9".encode()))
    names = read_images(path).names
    assert names == ["b.png", "c.webp", "caf\u00e9.png", "sub/a.png", "sub/d.png"]


def damaged(archive, change):
    archive.writestr("d.png", PNG.getvalue(), zipfile.ZIP_DEFLATED)
    archive.close()
    path = Path(archive.filename)
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    return read_images(path, bad="skip")


def flip_data(data):
    data[data.rfind(b"PK\x03\x04") + 50] ^= 0xFF


def encrypt(data):
    data[data.rfind(b"PK\x03\x04") + 6] |= 1
    data[data.rfind(b"PK\x01\x02") + 8] |= 1


def forge_size(data):
    place = data.rfind(b"PK\x01\x02") + 24
    data[place : place + 4] = (2**31).to_bytes(4, "little")


def unknown_compression(data):
    data[data.rfind(b"PK\x01\x02") + 10] = 77


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (flip_data, "it is damaged"),
        (encrypt, "it is encrypted"),
        (forge_size, "it is larger than 64 MiB"),
        (unknown_compression, "it is damaged"),
    ],
)
def test_one_bad_member_does_not_spoil_the_archive(archive, change, reason):
    files = damaged(archive, change)
    assert files.names == ["b.png", "c.webp", "sub/a.png"]
    assert reason in files.left_out["d.png"]


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


PEAK = """
import sys
from pathlib import Path
from flowssl._image_files import read_images

def peak():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024

import numpy, PIL.Image
before = peak()
print(read_images(sys.argv[1], (3, 32, 32)).images.shape, peak() - before)
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs Linux's account of memory"
)
def test_only_a_few_photos_are_in_memory_at_full_size(tmp_path):
    photo = Image.fromarray(np.zeros((2000, 3000, 3), dtype=np.uint8))
    photo.save(tmp_path / "00.jpg")
    for number in range(1, 40):
        (tmp_path / f"{number:02d}.jpg").hardlink_to(tmp_path / "00.jpg")
    command = [sys.executable, "-c", PEAK, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shape, _, mebibytes = answer.strip().rpartition(" ")
    assert shape == "(40, 3, 32, 32)"
    assert float(mebibytes) < 40 * 3000 * 2000 * 4 / 2**20 / 4  # a fourth of all


def test_images_are_scaled_as_pillow_scales_them(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    color = Image.fromarray(noise).resize((8, 6), Image.Resampling.BILINEAR)
    assert (
        read_images(tmp_path, (3, 6, 8)).images[0] == np.moveaxis(np.asarray(color), -1, 0)
    ).all()
    gray = Image.fromarray(noise).convert("L").resize((8, 6), Image.Resampling.BILINEAR)
    assert (read_images(tmp_path, (1, 6, 8)).images[0, 0] == np.asarray(gray)).all()
