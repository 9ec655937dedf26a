"""Folders and zip files of images, as arrays of pixel values.

PNG, JPEG, WebP, BMP, GIF, TIFF and PPM files are read by Pillow (the extra ``images``). A file that
cannot be read, or has another size than the others, is named and either refused or left out, as the
caller chooses.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flowssl._image_members import ENDINGS, image_members
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from flowssl._image_decoding import Decoded
    from flowssl._image_members import Member
    from flowssl.bijections.images import Shape

_WORKERS = min(4, os.cpu_count() or 1)  # images that are decoded, and so in memory, at a time


@dataclass(frozen=True)
class ImageFiles:
    """Images of one size.

    Attributes
    ----------
    names : list of str
        Their paths inside the folder or the zip file, sorted.
    images : ndarray of shape (n, c, h, w), uint8
        Pixel values; c is 1 (gray) or 3 (red, green, blue).
    left_out : dict of str to str
        Names of the files that were left out, and why.
    """

    names: list[str]
    images: NDArray[np.uint8]
    left_out: dict[str, str]


def holds_images(path: str | Path) -> bool:
    """Return whether a path is a folder or a zip file, and so not a table."""
    return Path(path).is_dir() or str(path).lower().endswith(".zip")


def read_images(
    path: str | Path,
    shape: Shape | None = None,
    *,
    white: float | None = None,
    bad: Literal["refuse", "skip"] = "refuse",
) -> ImageFiles:
    """Read all image files of a folder, subfolders too, or of a zip file.

    Images are upright as their cameras were held, and transparent pixels white. Gray values of 16
    bits are divided by 257 and rounded. Each image is scaled as soon as it is decoded, so that only
    a few are in memory at full size.

    Parameters
    ----------
    path : path
        The folder or zip file. Its hidden files and files of other types are ignored.
    shape : (channels, height, width), optional
        What to convert and scale the images to. By default all must have one size, and they are
        read as gray if all of them are gray.
    white : float, optional
        The value of white in gray images of more than 8 bits. By default it is 65,535 for images of
        16 bits, unless none of them has a value above 4,095: these may hold 12 bits, which the
        files do not say. Images of 32 bits and floating-point numbers have no default.
    bad : {"refuse", "skip"}, default="refuse"
        What to do with a file that cannot be read or has another size than most.

    Raises
    ------
    DataError
        If there is no image, the value of white is not known, or an image is bad and `bad` is
        "refuse".
    ImportError
        If Pillow is not installed.
    """
    _require_pillow()
    with _quiet_pillow(), image_members(Path(path)) as members:
        found, left_out = _decoded(members, shape, white)
    if shape is None:
        left_out |= _remove_other_sizes(found)
    if left_out and bad == "refuse":
        name = min(left_out)
        raise DataError(
            f"{path}: {len(left_out)} of {len(left_out) + len(found)} images cannot be used, "
            f"the first is {name}: {left_out[name]}; repair or remove them, or leave them out with "
            "--bad-images skip."
        )
    if not found:
        reason = f"; the first of {len(left_out)} bad ones is {min(left_out)}" if left_out else ""
        raise DataError(f"{path}: there is no image to read ({', '.join(ENDINGS)}){reason}.")
    _check_white(path, found)
    names = sorted(found)
    return ImageFiles(names, _stacked([found[name].pixels for name in names]), left_out)


def write_images(folder: str | Path, images: NDArray[np.generic], names: list[str]) -> None:
    """Write images (n, c, h, w) with pixel values 0 to 255 as PNG files.

    Parameters
    ----------
    folder : path
        Where to write; created if it does not exist.
    images : ndarray of shape (n, c, h, w)
        Pixel values; c is 1 or 3.
    names : list of str
        File names without their ending, one for each image.
    """
    import numpy as np
    from PIL import Image

    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, image in zip(names, np.asarray(images, dtype=np.uint8), strict=True):
        plane = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
        Image.fromarray(plane).save(Path(folder) / f"{name}.png")


def _require_pillow() -> None:
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "reading images needs Pillow; install it with: pip install 'flowssl[images]'"
        ) from error


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Keep Pillow from writing to the terminal; what matters it raises."""
    logger, handler = logging.getLogger("PIL"), logging.NullHandler()
    logger.addHandler(handler)  # without one, Python writes errors to standard error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on metadata that are not read
            yield
    finally:
        logger.removeHandler(handler)


def _decoded(
    members: list[Member], shape: Shape | None, white: float | None
) -> tuple[dict[str, Decoded], dict[str, str]]:
    """Return the images by name, and why others cannot be read."""
    from flowssl._image_decoding import decode

    def read(member: Member) -> Decoded | str:
        try:
            return decode(member.read(), shape, white)
        except DataError as error:
            return str(error)

    found: dict[str, Decoded] = {}
    left_out: dict[str, str] = {}
    with ThreadPoolExecutor(_WORKERS) as pool:
        for member, result in zip(members, pool.map(read, members), strict=True):
            if isinstance(result, str):
                left_out[member.name] = result
            else:
                found[member.name] = result
    return found, left_out


def _remove_other_sizes(found: dict[str, Decoded]) -> dict[str, str]:
    """Remove images whose size is not the most common one; return why, by name."""
    if not found:
        return {}
    (width, height), count = Counter(image.size for image in found.values()).most_common(1)[0]
    example = next(name for name, image in found.items() if image.size == (width, height))
    others = "most" if count > 1 else example
    others = f"{others} {'have' if count > 1 else 'has'} {width} x {height}"
    left_out = {}
    for name in [name for name, image in found.items() if image.size != (width, height)]:
        mine = found.pop(name).size
        left_out[name] = (
            f"it has {mine[0]} x {mine[1]} pixels, {others}; --image-shape scales all to one size"
        )
    return left_out


def _check_white(path: str | Path, found: dict[str, Decoded]) -> None:
    """Raise `DataError` if the images of 16 bits may hold 12 bits or fewer."""
    from flowssl._image_decoding import WHITE_12

    largest = {name: image.largest for name, image in found.items() if image.largest is not None}
    if largest and max(largest.values()) <= WHITE_12:
        raise DataError(
            f"{path}: the images of 16 bits, {min(largest)} among them, have no value above "
            f"{max(largest.values()):,}, where white is 65,535; give the value of white with "
            "--image-white, such as 4095 for gray of 12 bits, or 65535 if they are dark (color of "
            "12 bits must be saved with 8)."
        )


def _stacked(pixels: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Stack images (c, h, w) of one size; gray ones among color have three equal channels."""
    import numpy as np

    channels = max(len(image) for image in pixels)
    stacked = np.empty((len(pixels), channels, *pixels[0].shape[1:]), dtype=np.uint8)
    for place, image in enumerate(pixels):
        stacked[place] = image  # broadcasts over the channels
    return stacked
