"""Folders and zip files of pictures, as arrays of images.

PNG, JPEG and WebP files are read by Pillow (the extra ``images``). A file that is no picture, or
of another size than the others, is named and either refused or left out, as the caller chooses.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Pictures", "holds_pictures", "read_pictures", "write_pictures"]

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
FORMATS = ("PNG", "JPEG", "WEBP")
MAX_BYTES = 64 * 2**20
"""Largest file of one picture: a zip file may promise to grow without bound."""


@dataclass(frozen=True)
class Pictures:
    """Pictures of one size.

    Attributes
    ----------
    names : list of str
        Their paths inside the folder or the zip file, sorted.
    images : ndarray of shape (n, c, h, w), uint8
        Their levels; c is 1 (gray) or 3 (red, green, blue).
    left_out : dict of str to str
        Names of the files that were left out, and why.
    """

    names: list[str]
    images: NDArray[np.uint8]
    left_out: dict[str, str]


def holds_pictures(path: str | Path) -> bool:
    """Return whether a path is a folder or a zip file, and so not a table."""
    return Path(path).is_dir() or str(path).lower().endswith(".zip")


def read_pictures(
    path: str | Path,
    shape: tuple[int, int, int] | None = None,
    *,
    bad: Literal["refuse", "skip"] = "refuse",
) -> Pictures:
    """Read all PNG, JPEG and WebP files of a folder, subfolders too, or of a zip file.

    Parameters
    ----------
    path : path
        The folder or zip file. Other files in it are passed over, hidden ones too.
    shape : (channels, height, width), optional
        What to convert and scale the pictures to. By default they must have one size, and are gray
        if all of them are.
    bad : {"refuse", "skip"}, default="refuse"
        What to do with a file that cannot be read or has another size than most.

    Raises
    ------
    DataError
        If there is no picture, or a bad one and they are to be refused.
    ImportError
        If Pillow is not installed.
    """
    found: dict[str, Image] = {}
    left_out: dict[str, str] = {}
    for name, data in _files(Path(path)):
        try:
            found[name] = _decoded(data)
        except DataError as error:
            left_out[name] = str(error)
    if shape is None and found:
        size = Counter(picture.size for picture in found.values()).most_common(1)[0][0]
        for name in [name for name, picture in found.items() if picture.size != size]:
            width, height = found.pop(name).size
            left_out[name] = f"it has {width} x {height} pixels, most have {size[0]} x {size[1]}"
    if left_out and bad == "refuse":
        name = min(left_out)
        raise DataError(
            f"{path}: {len(left_out)} of {len(left_out) + len(found)} pictures cannot be used, "
            f"{name} first: {left_out[name]}; mend or remove them, or have bad ones skipped."
        )
    if not found:
        raise DataError(f"{path}: there is no picture to read ({', '.join(ENDINGS)}).")
    if shape is None:
        width, height = next(iter(found.values())).size
        gray = all(_is_gray(picture) for picture in found.values())
        shape = (1 if gray else 3, height, width)
    names = sorted(found)
    return Pictures(names, np.stack([_levels(found[name], shape) for name in names]), left_out)


def write_pictures(folder: str | Path, images: NDArray[np.generic], names: list[str]) -> None:
    """Write images (n, c, h, w) of levels as PNG files into a folder, which is made if need be."""
    from PIL import Image

    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, image in zip(names, np.asarray(images, dtype=np.uint8), strict=True):
        plane = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
        Image.fromarray(plane).save(Path(folder) / f"{name}.png")


def _files(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield the names and contents of all pictures; None for one that is too large."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            name = file.relative_to(path).as_posix()
            if _is_picture(name) and file.is_file():
                yield name, file.read_bytes() if file.stat().st_size <= MAX_BYTES else None
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if _is_picture(entry.filename):
                    small = entry.file_size <= MAX_BYTES
                    yield entry.filename, archive.read(entry) if small else None
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is not a zip file that can be read: {error}.") from error


def _is_picture(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return name.lower().endswith(ENDINGS) and not hidden


def _decoded(data: bytes | None) -> Image:
    """Decode a picture as gray ("L") or color ("RGB"); transparent pixels become white."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError("pictures need Pillow: pip install 'flowssl[images]'") from error

    if data is None:
        raise DataError(f"it is larger than {MAX_BYTES // 2**20} MiB")
    try:
        picture: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
        picture.load()
    except UnidentifiedImageError:
        raise DataError("it is not a PNG, JPEG or WebP file") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"it is damaged ({error})") from error
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("L" if picture.mode in ("1", "L", "I;16", "I") else "RGB")


def _is_gray(picture: Image) -> bool:
    """Return whether red, green and blue are equal; WebP has no gray of its own."""
    levels = np.asarray(picture)
    return levels.ndim == 2 or bool((levels == levels[:, :, :1]).all())


def _levels(picture: Image, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    from PIL import Image

    channels, height, width = shape
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    levels = np.asarray(picture, dtype=np.uint8)
    return levels[None] if channels == 1 else np.moveaxis(levels, -1, 0)
