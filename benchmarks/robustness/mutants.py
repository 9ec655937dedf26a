"""Damaged files of every format that the readers take, each determined by a few numbers.

A mutant is a small valid file with one to three changes: bits flipped, bytes overwritten, lengths
forged, parts cut out, doubled, or taken from another file. Half of the changes to files with
checksums or compression are made below them: the changed content is compressed again and gets a
right checksum, so that the change reaches the code that reads the content.
"""

import gzip
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
from PIL import Image

N_ROWS = 30
SIDE = 16
# What a damaged file raises where its content is to be changed.
_UNREACHABLE = (
    *(OSError, EOFError, IndexError, RuntimeError, ValueError),
    *(struct.error, zipfile.BadZipFile, zlib.error),
)
_EXTREMES = (0, 1, -1, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)
_TEXTS = (
    *(
        b'"',
        b'""',
        b",",
        b";",
        b"\t",
        b"|",
        b"\n",
        b"\r",
        b"\r\n",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
    ),
    *(
        b"1e999",
        b"-1e-999",
        b"NaN",
        b"inf",
        b"9" * 400,
        b"1_000",
        b"0x1F",
        b"1,5",
        b"1.234,5",
        b"\xe9",
    ),
    *(
        b"2020-13-45",
        b"99999-01-01",
        b"=1+1",
        b"'",
        b"\\",
        b"x" * 5000,
        b"\x1b[2J",
        b" ",
        b"\xc2\xa0",
    ),
)


def _frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((N_ROWS, 3)), columns=["a", "b", "c"])
    frame["count"] = rng.integers(0, 1000, N_ROWS)
    frame["text"] = [f"row {i}, caf\u00e9" for i in range(N_ROWS)]
    frame["kind"] = np.where(np.arange(N_ROWS) % 3 == 0, "x", "y")
    frame["day"] = pd.date_range("2020-01-01", periods=N_ROWS)
    frame["flag"] = np.arange(N_ROWS) % 2 == 0
    frame["y"] = [None if i % 2 else "pos" for i in range(N_ROWS)]
    return frame


def _text(separator: str) -> bytes:
    return _frame().to_csv(index=False, sep=separator).encode()


def _parquet() -> list[bytes]:
    table = pa.Table.from_pandas(_frame())
    dictionaries = table.set_column(5, "kind", table["kind"].dictionary_encode())
    files = []
    for content, compression, more in (
        (table, "snappy", {}),
        (dictionaries, "none", {"row_group_size": 10}),
        (table, "zstd", {"data_page_version": "2.0", "use_dictionary": False}),
        (table, "gzip", {"write_page_checksum": True}),
    ):
        stream = io.BytesIO()
        pa.parquet.write_table(content, stream, compression=compression, **more)
        files.append(stream.getvalue())
    return files


def _arrow() -> list[bytes]:
    table = pa.Table.from_pandas(_frame())
    kind = table["kind"].dictionary_encode()
    table = table.set_column(5, "kind", kind).append_column("none", pa.nulls(N_ROWS))
    files = []
    for compression in (None, "lz4", "zstd"):
        options = pa.ipc.IpcWriteOptions(compression=compression)
        for new in (pa.ipc.new_file, pa.ipc.new_stream):
            stream = io.BytesIO()
            with new(stream, table.schema, options=options) as writer:
                writer.write_table(table, max_chunksize=16)
            files.append(stream.getvalue())
    return files


def _feather() -> list[bytes]:
    files = []
    for compression in ("uncompressed", "lz4", "zstd"):
        stream = io.BytesIO()
        pa.feather.write_feather(_frame(), stream, compression=compression)
        files.append(stream.getvalue())
    return files


def _arrays() -> dict[str, np.ndarray]:
    frame = _frame()
    return {
        "X": frame[["a", "b", "c"]].to_numpy(),
        "y": frame["kind"].to_numpy(dtype=str),
        "feature_names": np.array(["a", "b", "c"]),
    }


def _npz() -> list[bytes]:
    files = []
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, **_arrays())
        files.append(stream.getvalue())
    return files


def _npy() -> list[bytes]:
    files = []
    for array in (_arrays()["X"], _arrays()["X"].astype(">f4"), np.asfortranarray(_arrays()["X"])):
        stream = io.BytesIO()
        np.save(stream, array)
        files.append(stream.getvalue())
    return files


def _image(mode: str) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 4), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    if mode == "F":
        return Image.fromarray(pixels[:, :, 0].astype(np.float32))
    return Image.fromarray(pixels).convert(mode)


def _images(kind: str, modes: tuple[str, ...], *choices: dict[str, object]) -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    files = []
    for mode in modes:
        for options in choices or ({},):
            stream = io.BytesIO()
            more = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}
            _image(mode).save(stream, kind, **more, **options)
            files.append(stream.getvalue())
    return files


def _zip() -> list[bytes]:
    files = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", compression) as archive:
            for place, image in enumerate(_images("PNG", ("L", "RGB", "P"))):
                archive.writestr(f"sub/{place}.png", image)
            archive.writestr("a.jpg", _images("JPEG", ("L",))[0])
        files.append(stream.getvalue())
    return files


def _ppm() -> list[bytes]:
    return _images("PPM", ("L", "RGB", "1"))


_LZW, _DEFLATE, _PACKED, _JPEG = (
    {"compression": name} for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
)
FORMATS: dict[str, Callable[[], list[bytes]]] = {
    "csv": lambda: [_text(","), _text(";"), _text("|")],
    "csv.gz": lambda: [gzip.compress(_text(","), mtime=0)],
    "tsv": lambda: [_text("\t")],
    "parquet": _parquet,
    "feather": _feather,
    "arrow": _arrow,
    "npz": _npz,
    "npy": _npy,
    "png": lambda: _images("PNG", ("L", "RGB", "P", "LA", "RGBA", "1", "I;16")),
    "jpg": lambda: _images("JPEG", ("L", "RGB", "CMYK"), {}, {"progressive": True}),
    "webp": lambda: _images("WEBP", ("RGB", "RGBA"), {}, {"lossless": True}),
    "tiff": lambda: [
        *_images("TIFF", ("L", "RGB", "I;16", "F", "1"), {}, _LZW, _DEFLATE, _PACKED),
        *_images("TIFF", ("L", "RGB"), _JPEG),
    ],
    "bmp": lambda: _images("BMP", ("L", "RGB", "P", "1")),
    "gif": lambda: _images("GIF", ("L", "P")),
    "ppm": _ppm,
    "zip": _zip,
}
"""Valid files of each format, by their endings."""
IMAGES = ("png", "jpg", "webp", "tiff", "bmp", "gif", "ppm")
_TEXT_FORMATS = ("csv", "tsv", "csv.gz")


class Mutants:
    """Mutants by format and number.

    Parameters
    ----------
    seed : int
        Of the random numbers; the same seed gives the same mutants.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._files = {ending: make() for ending, make in FORMATS.items()}

    def make(self, ending: str, number: int) -> bytes:
        """Return the content of a mutant."""
        rng = np.random.default_rng([self._seed, list(FORMATS).index(ending), number])
        files = self._files[ending]
        if rng.random() < 0.01:
            others = [other for other in FORMATS if other != ending]
            return self._files[others[rng.integers(len(others))]][0]  # the ending is wrong
        content = files[rng.integers(len(files))]
        donor = files[rng.integers(len(files))]
        change = _changed_text if ending in _TEXT_FORMATS else _changed
        below = _BELOW.get(ending)
        for _ in range(rng.integers(1, 4)):
            try:
                if below is not None and rng.random() < 0.5:
                    content = below(content, donor, rng)
                elif ending == "csv.gz":
                    content = _changed(content, donor, rng)
                else:
                    content = change(content, donor, rng)
            except _UNREACHABLE:
                break  # what is below can no longer be reached
        return content


def _changed(content: bytes, donor: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with one change of a random kind."""
    data = bytearray(content)
    if not data:
        return content
    place, other = (int(rng.integers(len(data))) for _ in range(2))
    size = int(rng.integers(1, 1 + min(64, len(data))))
    kind = rng.integers(9)
    if kind == 0:
        return content[:place]
    if kind == 1:
        for where in rng.integers(len(data), size=rng.integers(1, 9)):
            data[where] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        data[place : place + 1] = bytes([int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))])
    elif kind == 3:
        forged = int(_EXTREMES[rng.integers(len(_EXTREMES))]) % 2**64
        width = int(rng.choice([2, 4, 8]))
        order = "little" if rng.random() < 0.5 else "big"
        data[place : place + width] = (forged % 2 ** (8 * width)).to_bytes(width, order)
    elif kind == 4:
        del data[place : place + size]
    elif kind == 5:
        data[place:place] = data[other : other + size]
    elif kind == 6:
        data[place : place + size] = rng.bytes(size)
    elif kind == 7:
        start = int(rng.integers(max(1, len(donor))))
        data[place : place + size] = donor[start : start + size]
    else:
        data[place:] = donor[place:]
    return bytes(data)


def _changed_text(content: bytes, donor: bytes, rng: np.random.Generator) -> bytes:
    """Return text with one change, often of what means something in text."""
    if rng.random() < 0.5:
        return _changed(content, donor, rng)
    place = int(rng.integers(len(content) + 1))
    cut = int(rng.choice([0, 0, 1, 5]))
    return content[:place] + _TEXTS[rng.integers(len(_TEXTS))] + content[place + cut :]


def _below_gzip(content: bytes, donor: bytes, rng: np.random.Generator) -> bytes:
    text = _changed_text(gzip.decompress(content), gzip.decompress(donor), rng)
    return gzip.compress(text, mtime=0)


def _below_zip(content: bytes, donor: bytes, rng: np.random.Generator) -> bytes:
    """Change one member, or its name, and write the archive again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
        compression = archive.infolist()[0].compress_type
    place = int(rng.integers(len(members)))
    name, data = members[place]
    if rng.random() < 0.15:
        names = (
            "../a.png",
            "/a.png",
            "",
            "a.png/",
            "x\0.png",
            "caf\u00e9.png",
            members[0][0],
            "X.npy",
        )
        members[place] = (names[rng.integers(len(names))], data)
    else:
        repair = _below_png if name.endswith(".png") and rng.random() < 0.5 else _changed
        members[place] = (name, repair(data, members[int(rng.integers(len(members)))][1], rng))
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as archive:
        warnings.simplefilter("ignore")  # two members may get one name
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return stream.getvalue()


def _below_png(content: bytes, donor: bytes, rng: np.random.Generator) -> bytes:
    """Change the content of one chunk; compressed pixels are changed below their compression."""
    chunks = list(_chunks(content))
    place = int(rng.integers(len(chunks)))
    name, data = chunks[place]
    if name == b"IDAT" and rng.random() < 0.7:
        data = zlib.compress(_changed(zlib.decompress(data), donor, rng))
    else:
        data = _changed(data, donor, rng) if data else rng.bytes(4)
    chunks[place] = (name, data)
    written = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    return content[:8] + b"".join(written)


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place + 12 <= len(content):
        (size,) = struct.unpack(">I", content[place : place + 4])
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    if not chunks:
        raise ValueError("there is no chunk")
    return chunks


_BELOW = {"csv.gz": _below_gzip, "npz": _below_zip, "zip": _below_zip, "png": _below_png}
