"""Writing files so that nothing is lost: atomically, where it works, one process at a time.

Everything that flowssl writes for a user (models, tables, reports) goes through `atomic_path`: the
old file stays intact until the new one is complete and on the disk. Before long work, `probe` tries
whether that will be possible, and `locked` keeps a second process away.
"""

import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flowssl.exceptions import DataError

_PROBE_BYTES = 2**16
_MAX_SUFFIX = 16  # of a temporary name, which must not be too long where the name itself is not
_LEFT_OVER = re.compile(r"\.flowssl-[0-9a-f]{16}(\.\w+)?")
_LEFT_OVER_AFTER = 24 * 3600.0  # seconds without a change; no file takes that long to write


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, and move it to `path` if the block ends without error.

    The temporary file is in the same folder and has the same suffix, for writers that choose the
    format by it. After an error, Ctrl-C included, it is removed and `path` is unchanged. A killed
    process leaves `path` unchanged and may leave the temporary file, named ``.flowssl-*``; `probe`
    removes it a day later.

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
        The error names `path`.

    Examples
    --------
    >>> with atomic_path("scores.csv") as temporary:  # doctest: +SKIP
    ...     frame.to_csv(temporary)
    """
    status = _status(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        try:
            yield Path(path)
        except OSError as error:
            raise _naming(path, error) from error
        return
    target = _target(path)
    temporary = _temporary(target)
    try:
        temporary.touch(exist_ok=False)
        if status is not None:
            shutil.copymode(target, temporary)
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(target)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            raise _naming(path, error) from error
        raise
    finally:
        with suppress(OSError):  # an error that is under way says more
            temporary.unlink(missing_ok=True)
    if os.name == "posix":  # other systems do not open folders
        with suppress(OSError):  # nor do all file systems flush one, and the file is in its place
            _flush_to_disk(target.parent)


def probe(path: str | os.PathLike[str]) -> None:
    """Raise `OSError` unless `atomic_path` can write a small file there now.

    It is tried: a temporary file is written in the folder, flushed and removed. Temporary files
    that a killed process left there are removed as well, a day after their last change.

    Parameters
    ----------
    path : str or path-like
        The file to create or replace later; it is not touched.

    Raises
    ------
    OSError
        It names `path` and says why, such as a folder that does not exist or is read-only, a full
        disk, a file that must not be written to, or a name that is too long or is a folder.
    """
    status = _status(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        if stat.S_ISCHR(status.st_mode):  # not a pipe: opened twice, it would end for its reader
            _try_to_write(path, os.O_WRONLY, b"", path)
        return
    if status is not None:
        _try_to_write(path, os.O_WRONLY, None, path)
    target = _target(path)
    _remove_left_over(target.parent)
    temporary = _temporary(target)
    try:
        _try_to_write(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, bytes(_PROBE_BYTES), path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes and threads from writing a file while the block runs.

    The lock is advisory, on a file of the same name with ``.lock`` added, which is removed at the
    end. A killed process may leave that file, but not the lock. On file systems without locks, as
    some network ones are, nothing is locked.

    Parameters
    ----------
    path : str or path-like
        The file that will be written. Devices and pipes are not locked.

    Raises
    ------
    DataError
        If it is locked already, or the name of the lock file is taken by another file.
    """
    from filelock import FileLock, Timeout

    status = _status(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        yield
        return
    name = Path(f"{os.path.realpath(path)}.lock")
    if name.is_symlink() or (name.exists() and (not name.is_file() or name.stat().st_size)):
        raise DataError(f"{name} would be the lock of {path}, but is another file; move it away")
    lock = FileLock(name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(
            f"{path} is being written by another fit, which holds {name}; wait until it ends, or "
            "name another file"
        ) from None
    except (OSError, NotImplementedError):  # there are no locks here
        own = None
    else:
        own = name.stat()
    try:
        yield
    finally:
        if own is not None:
            # Before the release: who waits for the lock then finds that its file has no name and
            # makes a new one. Windows removes no open file; there the release does.
            with suppress(OSError):
                if os.path.samestat(own, name.stat()):
                    name.unlink()
            lock.release()


def _status(path: str | os.PathLike[str]) -> os.stat_result | None:
    """Return what is at a path, None if there is nothing; a folder is an error."""
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _naming(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        text = "cannot be written: it is a folder; name a file inside it"
        raise IsADirectoryError(errno.EISDIR, text, os.fspath(path))
    return status


def _target(path: str | os.PathLike[str]) -> Path:
    """Follow links to the file that is to be written; its folder must exist."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        text = f"cannot be written: there is no directory {target.parent}; create it first"
        raise FileNotFoundError(errno.ENOENT, text, os.fspath(path))
    return target


def _temporary(target: Path) -> Path:
    suffix = target.suffix if len(target.suffix) <= _MAX_SUFFIX else ""
    return target.with_name(f".flowssl-{secrets.token_hex(8)}{suffix}")


def _naming(path: str | os.PathLike[str], error: OSError) -> OSError:
    """Return an error of writing that names the file that was asked for."""
    if error.errno is None:  # as some of Arrow's are
        return OSError(f"{os.fspath(path)}: cannot be written: {error}")
    return OSError(error.errno, f"cannot be written: {error.strerror}", os.fspath(path))


def _try_to_write(
    place: str | os.PathLike[str], flags: int, data: bytes | None, path: str | os.PathLike[str]
) -> None:
    """Open a place, write data to it if there are any, and name `path` in errors."""
    try:
        descriptor = os.open(place, flags, 0o600)
        try:
            if data is not None and os.write(descriptor, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if data:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _naming(path, error) from error


def _remove_left_over(folder: Path) -> None:
    """Remove the temporary files of killed processes, which nobody has written to for a day."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _LEFT_OVER.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age > _LEFT_OVER_AFTER:
                    Path(entry.path).unlink()


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
