"""Embeddings on disk, by the content of the text and the checksum of the embedder.

One SQLite file in the user's cache folder. It is only ever a saving of time: a cache that is
missing, locked, damaged, full or not writable changes no result.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowssl.text.embedders import Vectors

MAX_BYTES = 512 * 2**20
"""Size of the file from which on the oldest quarter of the entries is removed."""

FOLDER_VARIABLE = "FLOWSSL_CACHE_DIR"
"""Environment variable that names the folder."""

_FILE = "embeddings-1.sqlite"  # the number is that of the record's layout
_WAIT_SECONDS = 5.0
_AT_ONCE = 500  # keys in a query
_TABLE = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, record BLOB NOT NULL)"


@dataclass(frozen=True)
class Known:
    """A vector (d,) of the cache, and whether the end of its text was left out."""

    vector: Vectors
    cut: bool


def default_folder() -> Path | None:
    """Return the user's folder for caches of flowssl; None if the user has none."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    try:
        if sys.platform == "win32":
            root = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
        elif sys.platform == "darwin":
            root = Path.home() / "Library" / "Caches"
        else:
            root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # there is no home
        return None
    return root / "flowssl"


class EmbeddingCache:
    """Vectors of texts that were embedded before.

    Parameters
    ----------
    folder : path
        Created when it is first written to.
    checksum : str
        Of the embedder.
    max_bytes : int, default=MAX_BYTES
        Size of the file, approximately.
    """

    def __init__(self, folder: Path, checksum: str, max_bytes: int = MAX_BYTES) -> None:
        self.path = folder / _FILE
        self._checksum = bytes.fromhex(checksum)
        self._max_bytes = max_bytes

    def read(self, texts: Sequence[str]) -> dict[str, Known]:
        """Return what is known of texts."""
        found: dict[str, Known] = {}
        if not self.path.is_file():
            return found
        keys = {self._key(text): text for text in texts}

        def look_up(connection: sqlite3.Connection) -> None:
            pending = list(keys)
            for first in range(0, len(pending), _AT_ONCE):
                part = pending[first : first + _AT_ONCE]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, record FROM vectors WHERE key IN ({marks})"
                for key, record in connection.execute(query, part):
                    known = _unpacked(record)
                    if known is not None:
                        found[keys[key]] = known

        self._try(look_up)
        return found

    def write(self, known: Mapping[str, Known]) -> None:
        """Keep vectors of texts; if there are too many, the oldest go."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            return
        rows = [(self._key(text), _packed(entry)) for text, entry in known.items()]

        def keep(connection: sqlite3.Connection) -> None:
            connection.execute(_TABLE)
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
            if _used_bytes(connection) > self._max_bytes:
                (count,) = connection.execute("SELECT count(*) FROM vectors").fetchone()
                connection.execute(
                    "DELETE FROM vectors WHERE rowid IN "
                    "(SELECT rowid FROM vectors ORDER BY rowid LIMIT ?)",
                    (count // 4 + 1,),
                )
            connection.commit()

        self._try(keep)

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(self._checksum + text.encode()).digest()

    def _try(self, action: Callable[[sqlite3.Connection], None]) -> None:
        """Open the file for an action, which ends early where the file fails."""
        try:
            with contextlib.closing(
                sqlite3.connect(self.path, timeout=_WAIT_SECONDS)
            ) as connection:
                action(connection)
        except (sqlite3.OperationalError, OSError):  # locked, not writable, full, no table yet
            return
        except sqlite3.DatabaseError:  # damaged, or another kind of file: begin a new one
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)


def _packed(known: Known) -> bytes:
    content = bytes([known.cut]) + known.vector.astype("<f4").tobytes()
    return zlib.crc32(content).to_bytes(4, "little") + content


def _unpacked(record: object) -> Known | None:
    """Return a record's vector; None if the record is damaged."""
    if not isinstance(record, bytes) or len(record) < 9 or len(record) % 4 != 1:
        return None
    content = record[4:]
    if zlib.crc32(content) != int.from_bytes(record[:4], "little"):
        return None
    return Known(np.frombuffer(content, dtype="<f4", offset=1).astype(np.float32), content[0] == 1)


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
