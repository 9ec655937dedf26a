"""The ZIP container of a model file: two uncompressed entries and nothing else.

Every byte outside the entries follows from their sizes and checksums, and the reader accepts
exactly those bytes. This excludes a second entry of the same name, a hidden gap, a path that leads
elsewhere, compression, and anything else that two ZIP readers could interpret differently.
Layout: PKWARE's APPNOTE.TXT 6.3, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.16 (end).
"""

import os
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from flowssl.exceptions import ModelFileError

MAX_FILE_BYTES = 2**32 - 1
"""Largest archive without the ZIP64 extension, which this container does not use."""

_LOCAL = struct.Struct("<4s5H3I2H")
_RECORD = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_ZIP_2_0 = 20
_UNIX = 3 << 8
_REGULAR_FILE = 0o100644 << 16
_MIDNIGHT, _FIRST_DAY = 0, 0x21  # 1980-01-01: equal content gives equal bytes
_NAMES = (b"manifest.json", b"tensors.safetensors")
_DIRECTORY_BYTES = 2 * _RECORD.size + sum(map(len, _NAMES)) + _END.size


@dataclass(frozen=True)
class Entry:
    """One stored entry: its local header at `offset`, then its `size` bytes of content."""

    name: bytes
    offset: int
    size: int
    crc: int

    @property
    def start(self) -> int:
        """Where the content begins."""
        return self.offset + _LOCAL.size + len(self.name)

    @property
    def end(self) -> int:
        """Where the content ends."""
        return self.start + self.size

    @property
    def local_header(self) -> bytes:
        """The bytes before the content."""
        return _LOCAL.pack(b"PK\x03\x04", *self._shared_fields) + self.name

    @property
    def directory_record(self) -> bytes:
        """The bytes about this entry in the directory at the end of the file."""
        comment, disk, internal = 0, 0, 0
        rest = (comment, disk, internal, _REGULAR_FILE, self.offset)
        return (
            _RECORD.pack(b"PK\x01\x02", _UNIX | _ZIP_2_0, *self._shared_fields, *rest) + self.name
        )

    @property
    def _shared_fields(self) -> tuple[int, ...]:
        flags, stored, extra = 0, 0, 0
        sizes = (self.crc, self.size, self.size, len(self.name), extra)
        return (_ZIP_2_0, flags, stored, _MIDNIGHT, _FIRST_DAY, *sizes)


@dataclass(frozen=True)
class Container:
    """Layout of a model file, from the sizes and CRC-32 sums of its two contents."""

    manifest_size: int
    manifest_crc: int
    tensors_size: int
    tensors_crc: int

    @classmethod
    def of(cls, manifest: bytes, tensors: bytes) -> "Container":
        """Lay out these contents."""
        return cls(len(manifest), zlib.crc32(manifest), len(tensors), zlib.crc32(tensors))

    @property
    def manifest(self) -> Entry:
        """The entry ``manifest.json``."""
        return Entry(_NAMES[0], 0, self.manifest_size, self.manifest_crc)

    @property
    def tensors(self) -> Entry:
        """The entry ``tensors.safetensors``."""
        return Entry(_NAMES[1], self.manifest.end, self.tensors_size, self.tensors_crc)

    @property
    def directory(self) -> bytes:
        """The bytes after the second content, up to the end of the file."""
        records = self.manifest.directory_record + self.tensors.directory_record
        return records + _END.pack(b"PK\x05\x06", 0, 0, 2, 2, len(records), self.tensors.end, 0)

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.tensors.end + _DIRECTORY_BYTES


def read_container(file: BinaryIO) -> Container:
    """Find the two entries of a model file without reading their contents.

    Raises
    ------
    ModelFileError
        If the file is not byte for byte the container described above; the message says why, and is
        to follow "cannot read this file:".
    """
    size = os.fstat(file.fileno()).st_size
    if size < _DIRECTORY_BYTES:
        raise ModelFileError(f"its {size} bytes are too few; it is truncated or no model file")
    directory = read_at(file, size - _DIRECTORY_BYTES, _DIRECTORY_BYTES)
    first = _RECORD.unpack_from(directory)
    second = _RECORD.unpack_from(directory, _RECORD.size + len(_NAMES[0]))
    crc, stored_size = 7, 8  # positions among the fields of a directory record
    container = Container(first[stored_size], first[crc], second[stored_size], second[crc])
    if container.size != size or container.directory != directory:
        raise ModelFileError(_diagnose(file, size))
    for entry in (container.manifest, container.tensors):
        if read_at(file, entry.offset, len(entry.local_header)) != entry.local_header:
            raise ModelFileError(f"the header of its entry {entry.name.decode()} is damaged")
    return container


def read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Read exactly `count` bytes.

    Raises
    ------
    ModelFileError
        If the file ends before.
    """
    file.seek(offset)
    data = file.read(count)
    if len(data) != count:
        raise ModelFileError("it is truncated")
    return data


def _diagnose(file: BinaryIO, size: int) -> str:
    """Say in words how a ZIP directory differs from the only one that is accepted."""
    end = _END.unpack(read_at(file, size - _END.size, _END.size))
    magic, directory_size, directory_offset = end[0], end[5], end[6]
    if magic != b"PK\x05\x06":
        return "it is truncated, has bytes added, or is no model file"
    if directory_offset + directory_size + _END.size != size:
        return "its ZIP directory does not fit its size; bytes are missing or added"
    directory = read_at(file, directory_offset, min(directory_size, 2**12))
    names = []
    position = 0
    while position + _RECORD.size <= len(directory):
        record = _RECORD.unpack_from(directory, position)
        flags, method, stored_size, full_size, name_size = record[3], record[4], *record[8:11]
        position += _RECORD.size
        name = ascii(directory[position : position + name_size].decode("utf-8", "replace"))
        if flags & 1:
            return f"its entry {name} is encrypted"
        if method != 0:
            return f"its entry {name} is compressed, and model files are not"
        if max(stored_size, full_size) > size:
            return f"its entry {name} claims {full_size:,} bytes; the whole file has {size:,}"
        names.append(name)
        position += sum(record[10:13])  # name, extra field and comment
    expected = [ascii(name.decode()) for name in _NAMES]
    if names != expected:
        return f"it holds {', '.join(names) or 'nothing'}; a model file holds {', '.join(expected)}"
    return "its ZIP directory is damaged"
