"""Kinds of images: deep, rotated, transparent, indexed, animated; each is read rightly or refused."""

import errno
import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from flowssl._image_decoding import decode
from flowssl._image_files import read_images
from flowssl.exceptions import DataError

RAMP = (np.arange(64).reshape(8, 8) * 1000).astype(np.uint16)
BYTES = (np.arange(64).reshape(8, 8) * 4).astype(np.uint8)


def saved(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels(data, white=None, shape=None):
    return decode(data, shape, white).pixels


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})]
)
def test_16_bit_gray_is_divided_by_257(kind, options):
    expected = np.rint(RAMP / 257).astype(np.uint8)
    data = saved(Image.fromarray(RAMP), kind, **options)
    assert (pixels(data)[0] == expected).all()
    assert expected.max() == 245
    # Not by the other pixels of the image: half of it has the same values.
    assert (pixels(saved(Image.fromarray(RAMP[:4]), kind, **options))[0] == expected[:4]).all()


def test_white_and_black_of_16_bits_are_255_and_0():
    data = saved(Image.fromarray(np.array([[0, 128, 129, 32896, 65535]], dtype=np.uint16)))
    assert pixels(data).ravel().tolist() == [0, 0, 1, 128, 255]


def test_a_16_bit_image_that_is_scaled_is_scaled_after_its_values():
    data = saved(Image.fromarray(np.full((4, 6), 25700, dtype=np.uint16)))
    assert (pixels(data, shape=(3, 2, 2)) == 100).all()


def twelve_bits(folder, top=4032):
    values = (np.arange(64).reshape(8, 8) * (top // 63)).astype(np.uint16)
    for name in ("a.png", "b.png"):
        Image.fromarray(values).save(folder / name)
    return values


def test_12_bits_in_files_of_16_need_the_value_of_white(tmp_path):
    values = twelve_bits(tmp_path)
    with pytest.raises(DataError, match=r"images of 16 bits, a.png .*4,032.*--image-white.*4095"):
        read_images(tmp_path)
    images = read_images(tmp_path, white=4095).images
    assert (images[0, 0] == np.rint(values * (255 / 4095))).all()
    assert images.max() == 251
    dark = read_images(tmp_path, white=65535).images
    assert (dark[0, 0] == np.rint(values / 257)).all()


def test_one_bright_image_tells_that_the_dark_ones_have_16_bits(tmp_path):
    values = twelve_bits(tmp_path)
    Image.fromarray(RAMP).save(tmp_path / "c.png")
    assert (read_images(tmp_path).images[0, 0] == np.rint(values / 257)).all()


def test_12_bits_in_color_of_16_bits_are_found_too(tmp_path):
    (tmp_path / "a.png").write_bytes(png_of_16_bit_color(3000))
    with pytest.raises(DataError, match="no value above 3,071"):
        read_images(tmp_path)
    assert (read_images(tmp_path, white=65535).images == 3000 // 256).all()
    with pytest.raises(DataError, match="--image-white is for gray"):
        read_images(tmp_path, white=4095)


def png_of_16_bit_color(value):
    """A PNG file of 2 x 2 pixels; Pillow writes none of this kind."""

    def chunk(name, content):
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    row = b"\0" + struct.pack(">6H", *[value] * 6)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(row * 2)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_color_of_16_bits_keeps_its_upper_byte():
    assert pixels(png_of_16_bit_color(50_000)).tolist() == [[[195, 195], [195, 195]]]


def test_a_tiff_of_12_bits_says_what_white_is():
    # Width, length, bits, compression (none), black is 0, where the values are, rows, bytes.
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 110, 278: 1, 279: 3}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(4)
    assert len(data) == tags[273]
    data += bytes([0xFF, 0xF8, 0x00])  # 4095 and 2048
    assert pixels(data).ravel().tolist() == [255, 128]


@pytest.mark.parametrize("closed", ["stream", "descriptor"])
def test_a_tiff_is_read_without_standard_error(monkeypatch, closed):
    if closed == "stream":
        monkeypatch.setattr("sys.stderr", None)
    else:
        monkeypatch.setattr("os.dup", _closed)
    data = saved(Image.fromarray(np.array([[0, 7]], dtype=np.uint8)), "TIFF")
    assert pixels(data).ravel().tolist() == [0, 7]


def _closed(descriptor):
    raise OSError(errno.EBADF, os.strerror(errno.EBADF))


@pytest.mark.parametrize(
    ("values", "white", "message"),
    [
        (RAMP.astype(np.int32), None, "32-bit integers, whose white is not known.*--image-white"),
        (RAMP.astype(np.float32), None, "floating-point numbers, whose white is not known"),
        (RAMP.astype(np.int32), 4095, "from 0 to 63000, and black to white from 0 to 4095"),
        (RAMP.astype(np.int32) - 5, 65535, "from -5 to 62995"),
        (np.full((2, 2), np.nan, dtype=np.float32), 1, "from nan to nan"),
        (np.array([[0, np.inf]], dtype=np.float32), 1, "from 0 to inf"),
    ],
)
def test_values_without_a_known_white_are_refused(values, white, message):
    with pytest.raises(DataError, match=message):
        pixels(saved(Image.fromarray(values), "TIFF"), white)


@pytest.mark.parametrize(
    ("values", "white", "expected"),
    [
        (np.array([[0, 0.5, 1]], dtype=np.float32), 1, [0, 128, 255]),
        (np.array([[0, 50_000, 100_000]], dtype=np.int32), 100_000, [0, 128, 255]),
    ],
)
def test_values_with_a_given_white_are_scaled(values, white, expected):
    found = pixels(saved(Image.fromarray(values), "TIFF"), white).ravel().tolist()
    assert found == expected


def test_a_tiff_of_16_bits_whose_white_is_0_is_inverted():
    image = Image.fromarray(RAMP)
    data = saved(image, "TIFF", tiffinfo={262: 0})
    with Image.open(io.BytesIO(data)) as written:
        assert written.tag_v2[262] == 0
        assert (np.asarray(written) == RAMP).all()  # Pillow gives the values as they are
    assert (pixels(data)[0] == 255 - np.rint(RAMP / 257)).all()


def test_gray_of_1_bit_is_black_and_white():
    data = saved(Image.fromarray(BYTES > 100))
    assert (pixels(data)[0] == np.where(BYTES > 100, 255, 0)).all()


def test_pgm_of_16_bits_is_scaled_by_its_own_white():
    data = b"P5\n3 1\n1000\n" + struct.pack(">3H", 0, 500, 1000)
    assert pixels(data).ravel().tolist() == [0, 128, 255]


def indexed(**options):
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), mode="P")
    image.putpalette([10, 20, 30, 200, 100, 0, 7, 7, 7])
    return saved(image, **options)


def test_indexed_color_is_looked_up():
    assert pixels(indexed())[:, 0].T.tolist() == [[10, 20, 30], [200, 100, 0], [7, 7, 7]]
    assert pixels(indexed(kind="GIF"))[:, 0].T.tolist() == [[10, 20, 30], [200, 100, 0], [7, 7, 7]]


def test_indexed_color_with_transparency_has_white_where_it_is_transparent():
    found = pixels(indexed(transparency=bytes([0, 255, 255])))[:, 0].T.tolist()
    assert found == [[255, 255, 255], [200, 100, 0], [7, 7, 7]]
    assert pixels(indexed(transparency=1))[:, 0, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_partial_transparency_is_mixed_with_white(kind):
    rgba = np.array([[[200, 0, 100, 255], [200, 0, 100, 0], [0, 0, 0, 127]]], dtype=np.uint8)
    options = {"lossless": True} if kind == "WEBP" else {}
    found = pixels(saved(Image.fromarray(rgba), kind, **options))[:, 0].T.tolist()
    assert found == [[200, 0, 100], [255, 255, 255], [128, 128, 128]]


def test_gray_with_transparency_stays_gray():
    la = Image.fromarray(np.array([[[40, 255], [40, 0]]], dtype=np.uint8), mode="LA")
    assert pixels(saved(la)).tolist() == [[[40, 255]]]
    gray = Image.fromarray(np.array([[5, 6]], dtype=np.uint8))
    assert pixels(saved(gray, transparency=5)).tolist() == [[[255, 6]]]
    deep = Image.fromarray(np.array([[5000, 25700]], dtype=np.uint16))
    assert pixels(saved(deep, transparency=5000)).tolist() == [[[255, 100]]]


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_becomes_red_green_and_blue(kind):
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # magenta and yellow: red
    found = pixels(saved(cmyk, kind)).astype(int)
    assert abs(found.mean((1, 2)) - [255, 0, 0]).max() <= 2


def test_lab_is_refused_by_name():
    gray = Image.fromarray(BYTES)
    with pytest.raises(DataError, match="its colors are LAB"):
        pixels(saved(Image.merge("LAB", [gray] * 3), "TIFF"))


def test_interlaced_images_are_read():
    gif = saved(Image.fromarray(BYTES), "GIF", interlace=1)
    assert (pixels(gif)[0] == BYTES).all()
    jpeg = saved(Image.fromarray(BYTES), "JPEG", progressive=True, quality=100)
    assert abs(pixels(jpeg)[0].astype(int) - BYTES).max() <= 2


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_and_pages_are_refused(kind):
    image = Image.fromarray(BYTES).convert("RGB")
    data = saved(image, kind, save_all=True, append_images=[image.rotate(90)])
    with pytest.raises(DataError, match="animated or has several pages"):
        pixels(data)


def test_a_photo_with_a_preview_is_the_photo():
    image = Image.fromarray(np.kron(BYTES, np.ones((8, 8), dtype=np.uint8)))
    data = saved(image, "MPO", save_all=True, append_images=[image.resize((8, 8))], quality=95)
    assert pixels(data).shape == (1, 64, 64)


# Where the pixels of the stored row [1, 2] belong for each orientation, by the EXIF standard:
# the 0th row and column of what is stored are top and left, top and right, bottom and right, ...
STORED = np.array([[10, 20, 30], [40, 50, 60]], dtype=np.uint8)
SEEN = {
    1: [[10, 20, 30], [40, 50, 60]],
    2: [[30, 20, 10], [60, 50, 40]],
    3: [[60, 50, 40], [30, 20, 10]],
    4: [[40, 50, 60], [10, 20, 30]],
    5: [[10, 40], [20, 50], [30, 60]],
    6: [[40, 10], [50, 20], [60, 30]],
    7: [[60, 30], [50, 20], [40, 10]],
    8: [[30, 60], [20, 50], [10, 40]],
}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", list(SEEN))
def test_photos_are_turned_as_the_camera_was_held(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(Image.fromarray(STORED).convert("RGB"), kind, exif=exif, **options)
    assert pixels(data)[0].tolist() == SEEN[orientation]


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_is_none_is_ignored(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert pixels(saved(Image.fromarray(STORED), exif=exif))[0].tolist() == STORED.tolist()


def test_deep_photos_are_turned_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.fromarray(STORED.astype(np.uint16) * 257), exif=exif)
    assert pixels(data)[0].tolist() == SEEN[6]


def test_the_image_that_is_named_for_its_size_is_the_one_that_looks_different(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "b.jpg"):  # stored 3 x 2, seen 2 x 3
        Image.fromarray(STORED).save(tmp_path / name, exif=exif)
    Image.fromarray(STORED.T.copy()).save(tmp_path / "c.jpg")  # upright
    assert read_images(tmp_path).images.shape == (3, 1, 3, 2)
    Image.fromarray(STORED).save(tmp_path / "d.jpg")
    with pytest.raises(DataError, match=r"first is d.jpg: it has 3 x 2 pixels, most have 2 x 3;"):
        read_images(tmp_path)


def test_large_photos_need_a_size():
    data = saved(Image.new("L", (2000, 1000)))
    with pytest.raises(DataError, match=r"2000 x 1000 pixels; scale .* with --image-shape"):
        pixels(data)
    assert pixels(data, shape=(1, 4, 4)).shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("side", "reason"), [(60_000, "too many pixels"), (9_000, "scale it down")]
)
def test_a_bomb_is_refused_by_its_header(side, reason):
    data = bytearray(saved(Image.new("L", (8, 8))))
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with pytest.raises(DataError, match=reason):
        pixels(bytes(data), shape=(1, 4, 4))


def test_damaged_images_write_nothing_to_the_terminal(tmp_path, capfd):
    whole = saved(Image.fromarray(RAMP), "TIFF", compression="tiff_lzw")
    (tmp_path / "a.tif").write_bytes(whole)
    for place in range(8, len(whole), 3):
        data = bytearray(whole)
        data[place] ^= 0xFF
        (tmp_path / f"{place:04d}.tif").write_bytes(data)
    files = read_images(tmp_path, (1, 8, 8), white=65535, bad="skip")
    assert len(files.left_out) > 10
    assert "a.tif" in files.names
    assert capfd.readouterr() == ("", "")


def test_messages_of_pillow_do_not_reach_the_terminal(tmp_path):
    data = bytearray(saved(Image.fromarray(BYTES).convert("RGB"), "TIFF"))
    entry = data.index(struct.pack("<HH", 277, 3))  # samples per pixel
    data[entry + 8 : entry + 10] = struct.pack("<H", 60_000)
    (tmp_path / "a.tif").write_bytes(data)
    program = (
        "import sys; from flowssl._image_files import read_images\n"
        "try: read_images(sys.argv[1])\n"
        "except ValueError as error: print(error)"
    )
    # In a process of its own: pytest takes what is logged.
    command = [sys.executable, "-c", program, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "the first is a.tif" in answer.stdout
    assert answer.stderr == ""
