"""One image, from the bytes of its file to pixel values of 8 bits.

Pillow decodes; the rules by which other kinds of pixels become gray or red, green and blue values
of 8 bits are here. None of them depends on the other pixels of an image.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flowssl._terminal import one_line
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile

    from flowssl.bijections.images import Shape

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_UNSCALED = 2**20
"""Most pixels of an image that is not scaled; a flow of more cannot be trained."""
WHITE_12 = 4095
"""The value of white in gray of 12 bits."""
_MAX_PIXELS = 2**26  # with transparency, 12 bytes each while they are decoded
_LARGE = 2**25  # pixels from which on images are decoded one at a time
_ONE_AT_A_TIME = threading.Lock()
_STANDARD_ERROR = 2
_WHITE_16 = 65535
# What damaged files raise in Pillow, besides its own errors, which are OSErrors.
_DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_ORIENTATION = 0x0112  # tag of EXIF: how the camera was held
_PHOTOMETRIC = 0x0106  # tag of TIFF: 0 means that white is 0
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


@dataclass(frozen=True)
class Decoded:
    """One image.

    Attributes
    ----------
    pixels : ndarray of shape (c, h, w), uint8
        c is 1 (gray) or 3 (red, green, blue).
    largest : int or None
        The largest value that the file has, if it holds 16 bits by which white is 65,535; None if
        it holds 8 bits or says otherwise what white is.
    """

    pixels: NDArray[np.uint8]
    largest: int | None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, as the image is seen."""
        return self.pixels.shape[2], self.pixels.shape[1]


def decode(data: bytes, shape: Shape | None, white: float | None) -> Decoded:
    """Decode an image, turn it as its camera was held, and scale it.

    Transparent pixels become white, with partial transparency in proportion.

    Parameters
    ----------
    data : bytes
        The content of the file.
    shape : (channels, height, width) or None
        What to convert and scale to; None keeps the size, and an image all of whose pixels are gray
        has one channel.
    white : float or None
        The value of white in gray images of more than 8 bits, whose black is 0; None means what the
        file says or, for 16 bits, 65,535.

    Raises
    ------
    DataError
        With what is wrong with it, for a message that names the file.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        file = Image.open(BytesIO(data), formats=FORMATS)
        _check(file, scaled=shape is not None)
        with _alone_if_needed(file):
            image, largest = _as_8_bits(file, white)
            return Decoded(_pixels(image, shape), largest)
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"it is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"it has too many pixels ({error})") from error
    except _DAMAGED as error:
        raise DataError(f"it is damaged ({one_line(error)})") from error


def _check(image: ImageFile, *, scaled: bool) -> None:
    """Refuse, from its header, an image that is too large or several images in one file."""
    width, height = image.size
    if width * height > _MAX_PIXELS:
        raise DataError(
            f"it has {width} x {height} pixels; scale it down first, as more than {_MAX_PIXELS:,} are not read"
        )
    if width * height > MAX_UNSCALED and not scaled:
        raise DataError(
            f"it has {width} x {height} pixels; scale images of more than {MAX_UNSCALED:,} with "
            "--image-shape, such as --image-shape 3,32,32"
        )
    # Phones append previews to a JPEG, which Pillow then calls MPO; the first is the image.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise DataError("it is animated or has several pages; save one of them as an image")


@contextmanager
def _alone_if_needed(file: ImageFile) -> Iterator[None]:
    """Keep large images from being in memory together, and libtiff from writing to the terminal."""
    width, height = file.size
    if file.format != "TIFF" and width * height <= _LARGE:
        yield
        return
    with _ONE_AT_A_TIME:
        if file.format != "TIFF":
            yield
            return
        with _closed_standard_error():
            yield


@contextmanager
def _closed_standard_error() -> Iterator[None]:
    """Drop what C code writes to standard error: libtiff describes each error that Pillow raises.

    The descriptor is that of the process. What other threads write to it meanwhile is lost, too.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        standard_error = os.dup(_STANDARD_ERROR)
    except OSError:  # it is closed already
        standard_error = None
    if standard_error is None:
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), _STANDARD_ERROR)
    try:
        yield
    finally:
        os.dup2(standard_error, _STANDARD_ERROR)
        os.close(standard_error)


def _as_8_bits(file: ImageFile, white: float | None) -> tuple[PillowImage, int | None]:
    """Return an image as gray ("L") or color ("RGB"), upright, and its largest value if 16-bit."""
    from PIL import Image

    layout = str(file.tile)  # how pixels are stored; gone after loading
    orientation = file.getexif().get(_ORIENTATION, 1)
    file.load()  # TIFF files are turned here
    image = file if file.format == "TIFF" else _upright(file, orientation)
    if image.mode in _DEEP_MODES:
        return _scaled_values(file, image, WHITE_12 if "I;12" in layout and not white else white)
    largest = None
    if file.format in ("PNG", "TIFF") and ";16" in layout:
        if white not in (None, _WHITE_16):
            raise DataError(
                "it has color of 16 bits, and --image-white is for gray; save it with 8"
            )
        if "transparency" in image.info:
            raise DataError("it has a transparent color of 16 bits; save it with 8 bits")
        if white is None:  # Pillow keeps the upper byte of each value
            bands = [image.getchannel(band) for band in image.getbands() if band != "A"]
            largest = max(256 * int(np.asarray(band).max()) + 255 for band in bands)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode in ("LAB", "HSV"):
        raise DataError(f"its colors are {image.mode}; save it with red, green and blue")
    return _converted(image, "L" if image.mode in ("1", "L") else "RGB"), largest


def _upright(image: PillowImage, orientation: object) -> PillowImage:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _scaled_values(
    file: ImageFile, image: PillowImage, white: float | None
) -> tuple[PillowImage, int | None]:
    """Scale gray values from 0 to white linearly to 0 to 255, rounded to the nearest."""
    from PIL import Image

    values = np.asarray(image)
    low, high = values.min(), values.max()
    largest = None
    if white is None:
        if values.dtype != np.uint16 and file.format != "PPM":
            kind = "floating-point numbers" if image.mode == "F" else "32-bit integers"
            raise DataError(
                f"it holds {kind}, whose white is not known; give it with --image-white, or save "
                "the image with 8 or 16 bits"
            )
        white = _WHITE_16
        # PPM files say what white is, and Pillow scales their values to 16 bits.
        largest = None if file.format == "PPM" else int(high)
    if not (low >= 0 and high <= white):  # nor NaN
        raise DataError(
            f"its values go from {low:g} to {high:g}, and black to white from 0 to {white:g}; "
            "give the value of white with --image-white"
        )
    scaled = values.astype(np.float64)
    scaled *= 255 / white
    gray = np.rint(scaled, out=scaled).astype(np.uint8)
    if file.format == "TIFF" and dict(getattr(file, "tag_v2", {})).get(_PHOTOMETRIC) == 0:
        gray = 255 - gray
    transparent = file.info.get("transparency")
    if isinstance(transparent, int):
        gray[values == transparent] = 255
    return Image.fromarray(gray), largest


def _converted(image: PillowImage, mode: str) -> PillowImage:
    return image if image.mode == mode else image.convert(mode)  # which copies in any case


def _pixels(image: PillowImage, shape: Shape | None) -> NDArray[np.uint8]:
    """Return the pixel values (c, h, w) of an image, converted and scaled to a shape."""
    from PIL.Image import Resampling

    if shape is None:
        pixels = np.asarray(image)
        is_gray = pixels.ndim == 2 or bool((pixels == pixels[:, :, :1]).all())
        # Red is gray where all three are equal; WebP has no gray mode.
        if is_gray:
            return np.array(pixels if pixels.ndim == 2 else pixels[:, :, 0])[None]
        return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    channels, height, width = shape
    image = _converted(image, "L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Resampling.BILINEAR)
    pixels = np.array(image, dtype=np.uint8)
    return pixels[None] if channels == 1 else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
