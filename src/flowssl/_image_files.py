"""Folders and zip files of images, as arrays of pixel values.

PNG, JPEG and WebP files are read by Pillow (the extra ``images``). A file that is not an image, or
has another size than the others, is named and either refused or left out, as the caller chooses.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
FORMATS = ("PNG", "JPEG", "WEBP")
MAX_BYTES = 64 * 2**20
"""Largest file of one image: a zip file may promise to grow without bound."""


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
    shape: tuple[int, int, int] | None = None,
    *,
    bad: Literal["refuse", "skip"] = "refuse",
) -> ImageFiles:
    """Read all PNG, JPEG and WebP files of a folder, subfolders too, or of a zip file.

    Parameters
    ----------
    path : path
        The folder or zip file. Its hidden files and files of other types are ignored.
    shape : (channels, height, width), optional
        What to convert and scale the images to. By default all must have one size, and they are
        read as gray if all of them are gray.
    bad : {"refuse", "skip"}, default="refuse"
        What to do with a file that cannot be read or has another size than most.

    Raises
    ------
    DataError
        If there is no image, or one is bad and `bad` is "refuse".
    ImportError
        If Pillow is not installed.
    """
    import numpy as np

    found, left_out = _decoded_files(Path(path))
    if shape is None:
        left_out |= _remove_other_sizes(found)
    if left_out and bad == "refuse":
        name = min(left_out)
        raise DataError(
            f"{path}: {len(left_out)} of {len(left_out) + len(found)} images cannot be used, "
            f"the first is {name}: {left_out[name]}; repair or remove them, or skip bad images."
        )
    if not found:
        raise DataError(f"{path}: there is no image to read ({', '.join(ENDINGS)}).")
    if shape is None:
        width, height = next(iter(found.values())).size
        gray = all(_is_gray(image) for image in found.values())
        shape = (1 if gray else 3, height, width)
    names = sorted(found)
    return ImageFiles(names, np.stack([_pixels(found[name], shape) for name in names]), left_out)


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


def _decoded_files(path: Path) -> tuple[dict[str, Image], dict[str, str]]:
    """Return the images by name, and why others cannot be read."""
    found: dict[str, Image] = {}
    left_out: dict[str, str] = {}
    for name, data in _files(path):
        try:
            found[name] = _decoded(data)
        except DataError as error:
            left_out[name] = str(error)
    return found, left_out


def _remove_other_sizes(found: dict[str, Image]) -> dict[str, str]:
    """Remove images whose size is not the most common one; return why, by name."""
    if not found:
        return {}
    size = Counter(image.size for image in found.values()).most_common(1)[0][0]
    left_out = {}
    for name in [name for name, image in found.items() if image.size != size]:
        width, height = found.pop(name).size
        left_out[name] = f"it has {width} x {height} pixels, most have {size[0]} x {size[1]}"
    return left_out


def _files(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield the names and contents of all images; None for one that is too large."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            name = file.relative_to(path).as_posix()
            if _is_image(name) and file.is_file():
                yield name, file.read_bytes() if file.stat().st_size <= MAX_BYTES else None
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if _is_image(entry.filename):
                    small = entry.file_size <= MAX_BYTES
                    yield entry.filename, archive.read(entry) if small else None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be read as a zip file: {error}.") from error


def _is_image(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return name.lower().endswith(ENDINGS) and not hidden


def _decoded(data: bytes | None) -> Image:
    """Decode an image as gray ("L") or color ("RGB"); transparent pixels become white."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError(
            "reading images needs Pillow; install it with: pip install 'flowssl[images]'"
        ) from error

    if data is None:
        raise DataError(f"it is larger than {MAX_BYTES // 2**20} MiB")
    try:
        image: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
        image.load()
    except UnidentifiedImageError:
        raise DataError("it is not a PNG, JPEG or WebP file") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"it is damaged ({error})") from error
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L", "I;16", "I") else "RGB")


def _is_gray(image: Image) -> bool:
    """Return whether red, green and blue are equal; WebP has no gray mode."""
    import numpy as np

    pixels = np.asarray(image)
    return pixels.ndim == 2 or bool((pixels == pixels[:, :, :1]).all())


def _pixels(image: Image, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the pixel values (c, h, w) of an image, converted and scaled to a shape."""
    import numpy as np
    from PIL import Image

    channels, height, width = shape
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if channels == 1 else np.moveaxis(pixels, -1, 0)
