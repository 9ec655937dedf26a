"""Readers of published image files: MNIST, Fashion-MNIST, CIFAR-10 and SVHN.

The files are read as they are published: nothing is downloaded, nothing is unpickled, and checksums
are compared with the published ones. Pixel values are 0 to 255, as the flows of images expect.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np

from flowssl._typing import Integers, PixelValues
from flowssl.datasets.container import Dataset
from flowssl.exceptions import DataError

_DIGITS = tuple("0123456789")
_FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_CIFAR = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
# MD5 as published by the makers and in torchvision; they detect damage, not forgery.
_MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
_FASHION_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
_CIFAR_MD5 = {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"}
_MOST_BYTES = 2**30  # of an idx file, uncompressed
# What loadmat raises on damaged files.
_DAMAGED_MATLAB = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError),
    *(TypeError, ValueError, struct.error, zlib.error),
)
_SVHN_MD5 = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}


def load_mnist(root: str | Path, *, verify: bool = True) -> Dataset:
    """MNIST: 60,000 and 10,000 handwritten digits, 28 x 28, gray.

    Parameters
    ----------
    root : path
        Folder with the four files ``train-images-idx3-ubyte.gz``,
        ``train-labels-idx1-ubyte.gz``, ``t10k-images-idx3-ubyte.gz`` and
        ``t10k-labels-idx1-ubyte.gz``.
    verify : bool, default=True
        Whether the files must have the published checksums.

    Returns
    -------
    Dataset
        Pixel values (n, 28, 28), uint8, with the published test set.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the error names it.
    flowssl.exceptions.DataError
        If a file is damaged or does not have this layout.

    Examples
    --------
    >>> from flowssl.datasets import load_mnist
    >>> load_mnist("data")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    FileNotFoundError: data/train-images-idx3-ubyte.gz is missing. Download MNIST...
    """
    return _load_idx("mnist", root, "MNIST", _MNIST_MD5, _DIGITS, verify)


def load_fashion_mnist(root: str | Path, *, verify: bool = True) -> Dataset:
    """Fashion-MNIST: 60,000 and 10,000 articles of clothing, 28 x 28, gray.

    Parameters
    ----------
    root : path
        Folder with four files of the same names as those of :func:`load_mnist`.
    verify : bool, default=True
        Whether the files must have the published checksums.

    Returns
    -------
    Dataset
        Pixel values (n, 28, 28), uint8, with the published test set.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the error names it.
    flowssl.exceptions.DataError
        If a file is damaged or does not have this layout.

    Examples
    --------
    >>> from flowssl.datasets import load_fashion_mnist
    >>> load_fashion_mnist("data")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    FileNotFoundError: data/train-images-idx3-ubyte.gz is missing. Download Fashion-MNIST...
    """
    return _load_idx("fashion_mnist", root, "Fashion-MNIST", _FASHION_MD5, _FASHION, verify)


def load_cifar10(root: str | Path, *, verify: bool = True) -> Dataset:
    """CIFAR-10: 50,000 and 10,000 photographs of ten kinds of objects, 32 x 32, color.

    Parameters
    ----------
    root : path
        Folder with ``cifar-10-binary.tar.gz``, the binary version; the Python version is a
        pickle and is not read.
    verify : bool, default=True
        Whether the file must have the published checksum.

    Returns
    -------
    Dataset
        Pixel values (n, 32, 32, 3), uint8, with the published test set.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    flowssl.exceptions.DataError
        If it is damaged or does not have this layout.

    Examples
    --------
    >>> from flowssl.datasets import load_cifar10
    >>> load_cifar10("data")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    FileNotFoundError: data/cifar-10-binary.tar.gz is missing. Download the CIFAR-10 binary version...
    """
    path = _checked(
        root, "cifar-10-binary.tar.gz", "the CIFAR-10 binary version", _CIFAR_MD5, verify
    )
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    try:
        with tarfile.open(path) as archive:
            batches = [_cifar_batch(archive, f"cifar-10-batches-bin/{name}") for name in names]
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} is not a whole tar.gz archive: {error}.") from error
    except KeyError as error:
        raise DataError(f"{path}: {error.args[0]}.") from error
    X = np.concatenate([images for images, _ in batches[:-1]])
    y = np.concatenate([labels for _, labels in batches[:-1]])
    return Dataset("cifar10", X, y, _CIFAR, (), *batches[-1])


def load_svhn(root: str | Path, *, verify: bool = True) -> Dataset:
    """SVHN, cropped: 73,257 and 26,032 house-number digits, 32 x 32, color.

    Parameters
    ----------
    root : path
        Folder with ``train_32x32.mat`` and ``test_32x32.mat``.
    verify : bool, default=True
        Whether the files must have the published checksums.

    Returns
    -------
    Dataset
        Pixel values (n, 32, 32, 3), uint8, with the published test set; class 10 of the files is
        the digit 0.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the error names it.
    flowssl.exceptions.DataError
        If a file is damaged or does not have this layout.

    Examples
    --------
    >>> from flowssl.datasets import load_svhn
    >>> load_svhn("data")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    FileNotFoundError: data/train_32x32.mat is missing. Download the cropped SVHN digits...
    """
    train, test = (
        _svhn_part(_checked(root, name, "the cropped SVHN digits", _SVHN_MD5, verify))
        for name in _SVHN_MD5
    )
    return Dataset("svhn", *train, _DIGITS, (), *test)


def _checked(root: str | Path, name: str, what: str, known: dict[str, str], verify: bool) -> Path:
    """Return the path of an existing file, with the published checksum if `verify` is set."""
    path = Path(root) / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing. Download {what} from its makers' page and put the file {name} "
            f"into {Path(root)}, as it is."
        )
    if verify:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        if found.hexdigest() != known[name]:
            raise DataError(
                f"{path} has the MD5 checksum {found.hexdigest()}, the published file "
                f"{known[name]}: download it again, or pass verify=False if it is meant to differ."
            )
    return path


def _load_idx(
    name: str,
    root: str | Path,
    what: str,
    known: dict[str, str],
    classes: tuple[str, ...],
    verify: bool,
) -> Dataset:
    images, labels, test_images, test_labels = (
        _read_idx(_checked(root, file, what, known, verify)) for file in known
    )
    for part in (images, test_images):
        if part.ndim != 3:
            raise DataError(f"{root}: images of {what} have 2 dimensions, got {part.ndim - 1}.")
    return Dataset(
        name,
        images,
        labels.astype(np.int64),
        classes,
        (),
        test_images,
        test_labels.astype(np.int64),
    )


def _read_idx(path: Path) -> PixelValues:
    """Read an array of bytes: two zeros, type 8, number of dimensions, sizes, then the numbers."""
    try:
        with gzip.open(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}.") from error
    if len(data) > _MOST_BYTES:
        raise DataError(f"{path} has more than {_MOST_BYTES:,} bytes, uncompressed.")
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise DataError(f"{path} is not an idx file of bytes: it begins with {data[:4].hex()}.")
    n_dims = data[3]
    start = 4 + 4 * n_dims
    if len(data) < start:
        raise DataError(f"{path} ends within its header.")
    shape = struct.unpack(f">{n_dims}I", data[4:start])
    found, wanted = len(data) - start, math.prod(shape)
    if found != wanted:
        raise DataError(f"{path} announces {wanted} numbers, of shape {shape}, and holds {found}.")
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def _cifar_batch(archive: tarfile.TarFile, name: str) -> tuple[PixelValues, Integers]:
    """Read records of one label and 3 x 32 x 32 pixel values, channel by channel."""
    member = archive.extractfile(name)
    if member is None:
        raise DataError(f"{archive.name!s}: {name} is not a file.")
    record = 1 + 3 * 32 * 32
    data = np.frombuffer(member.read(), dtype=np.uint8)
    if len(data) % record:
        raise DataError(f"{name} has {len(data)} bytes, not a multiple of {record}.")
    rows = data.reshape(-1, record)
    images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), rows[:, 0].astype(np.int64)


def _svhn_part(path: Path) -> tuple[PixelValues, Integers]:
    from scipy.io import loadmat

    try:
        parts = loadmat(path, variable_names=["X", "y"])
        X, y = parts["X"], parts["y"].ravel()
    except _DAMAGED_MATLAB as error:
        raise DataError(f"{path} is not a MATLAB file with X and y: {error}.") from error
    if X.ndim != 4 or X.shape[:3] != (32, 32, 3) or X.dtype != np.uint8:
        raise DataError(f"{path}: X must be (32, 32, 3, n) of bytes, got {X.shape} of {X.dtype}.")
    if len(y) != X.shape[3] or not np.isin(y, np.arange(1, 11)).all():
        raise DataError(f"{path}: y must be one of 1 to 10 for each image of X.")
    return np.ascontiguousarray(X.transpose(3, 0, 1, 2)), y.astype(np.int64) % 10
