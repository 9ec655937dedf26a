"""The image files of a folder or of a zip file: their names, how to read them, and which are bad."""

from __future__ import annotations

import os
import re
import struct
import threading
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flowssl._terminal import one_line
from flowssl.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENDINGS = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp"),
    *(".bmp", ".gif", ".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm"),
)
_UNREAD = (
    *(".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".dcm", ".svg", ".psd", ".tga"),
    *(".exr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"),
)
MAX_BYTES = 64 * 2**20
"""Largest file of one image: a zip file may promise to grow without bound."""
_TOO_LARGE = f"it is larger than {MAX_BYTES // 2**20} MiB"
# What a damaged zip file raises, besides its own error.
_UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,  # NotImplementedError among them: an unknown compression
    ValueError,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ENCRYPTED = 0x1
_UTF8_NAME = 0x800


@dataclass(frozen=True)
class Member:
    """One image file.

    Attributes
    ----------
    name : str
        Its path inside the folder or the zip file, with slashes.
    read : callable
        Returns its bytes, at most `MAX_BYTES`; raises `DataError` with what is wrong with it. May
        be called from several threads.
    """

    name: str
    read: Callable[[], bytes]


@contextmanager
def image_members(path: Path) -> Iterator[list[Member]]:
    """Give the image files of a folder, subfolders and links too, or of a zip file, by name.

    Hidden files, folders ``__MACOSX`` and files with other endings are ignored.

    Raises
    ------
    DataError
        If there is no such file, it is no zip file, or a folder cannot be listed.
    """
    if path.is_dir():
        yield sorted(_folder_members(path), key=lambda member: member.name)
        return
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except _UNREADABLE as error:
        raise DataError(f"{path}: cannot be read as a zip file: {one_line(error)}.") from error
    with archive:
        yield sorted(_zip_members(archive), key=lambda member: member.name)


def _folder_members(folder: Path) -> Iterator[Member]:
    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed: {error.strerror}.") from error

    seen = set()  # a link may lead to a folder above it
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        identity = os.path.realpath(parent)
        if identity in seen:
            folders.clear()
            continue
        seen.add(identity)
        # What is reached in two ways has its own name, not that of a link.
        folders.sort(key=lambda name: (Path(parent, name).is_symlink(), name))
        for file in files:
            path = Path(parent, file)
            raw = path.relative_to(folder).as_posix()
            if _is_image(raw.split("/")):
                yield _member(raw, partial(_read_file, path))


def _read_file(path: Path) -> bytes:
    if not path.is_file():
        what = "it is a link to nothing" if path.is_symlink() else "it is not a regular file"
        raise DataError(what)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"it cannot be read ({error.strerror})") from error
    if len(data) > MAX_BYTES:
        raise DataError(_TOO_LARGE)
    return data


def _zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    lock = threading.Lock()  # the archive counts its open members without one
    named: dict[str, list[zipfile.ZipInfo]] = {}
    for entry in archive.infolist():
        name = _member_name(entry)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.endswith("/") or not _is_image(parts):
            continue
        if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name):
            yield _member(name, partial(_refuse, "its path leads out of the archive"))
        else:
            named.setdefault("/".join(parts), []).append(entry)
    for name, entries in named.items():
        if len(entries) > 1:
            yield _member(name, partial(_refuse, f"the archive has it {len(entries)} times"))
        else:
            yield _member(name, partial(_read_entry, archive, entries[0], lock))


def _member_name(entry: zipfile.ZipInfo) -> str:
    """Return the name of a member with slashes; macOS and others write UTF-8 and do not say so."""
    name = entry.filename.replace("\\", "/")
    if entry.flag_bits & _UTF8_NAME:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, lock: threading.Lock) -> bytes:
    if entry.flag_bits & _ENCRYPTED:
        raise DataError("it is encrypted")
    if entry.file_size > MAX_BYTES:
        raise DataError(_TOO_LARGE)
    try:
        with lock:
            return archive.read(entry)
    except _UNREADABLE as error:
        raise DataError(f"it is damaged ({one_line(error)})") from error


def _member(raw: str, read: Callable[[], bytes]) -> Member:
    """Return a file, to be read only if its name can be written and its type is one of `ENDINGS`."""
    name = raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    name = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", name)
    if name != raw:
        read = partial(_refuse, "its name has control characters or is not UTF-8; rename it")
    elif not name.lower().endswith(ENDINGS):
        ending = name.rpartition(".")[2]
        read = partial(_refuse, f"it is of the type {ending}, which is not read; convert it to PNG")
    return Member(name, read)


def _refuse(reason: str) -> bytes:
    raise DataError(reason)


def _is_image(parts: list[str]) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts)
    return bool(parts) and parts[-1].lower().endswith((*ENDINGS, *_UNREAD)) and not hidden
