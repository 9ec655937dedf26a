"""Atomic writing of files.

Everything that flowssl writes for a user (models, tables, reports) goes through `atomic_path`: the
old file stays intact until the new one is complete and on the disk.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and move it to `path` if the block ends without error.

    The temporary file is in the same folder and has the same suffix, for writers that choose the
    format by it. After an error, Ctrl-C included, it is removed and `path` is unchanged. A killed
    process leaves `path` unchanged and may leave the temporary file, named ``.flowssl-*``.

    Parameters
    ----------
    path : str or path-like
        The file to create or replace. A link is followed. An existing file keeps its permissions.
        A device or pipe such as ``/dev/stdout`` cannot be replaced and is written to directly.

    Yields
    ------
    pathlib.Path
        Where to write. The file exists already and is empty.

    Raises
    ------
    OSError
        The folder does not exist or cannot be written to, `path` is a folder, or the disk is full.

    Examples
    --------
    >>> with atomic_path("scores.csv") as temporary:  # doctest: +SKIP
    ...     frame.to_csv(temporary)
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"cannot write '{path}': it is a folder; name a file inside it")
    if target.exists() and not target.is_file():
        yield target
        return
    target = target.resolve()
    temporary = target.with_name(f".flowssl-{secrets.token_hex(8)}{target.suffix}")
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise OSError(error.errno, f"cannot write: {error.strerror}", str(path)) from error
    try:
        if target.exists():
            shutil.copymode(target, temporary)
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(target)
        _flush_to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    if path.is_dir() and os.name != "posix":
        return  # Only POSIX systems open a folder, which is how its new entry is made durable.
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
