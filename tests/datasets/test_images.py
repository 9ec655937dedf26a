"""The canonical image files, on small ones of the same layout."""

import gzip
import io
import struct
import tarfile

import numpy as np
import pytest
from scipy.io import savemat

from flowssl.datasets import load_cifar10, load_fashion_mnist, load_mnist, load_svhn
from flowssl.exceptions import DataError

LOADERS = {
    load_mnist: "train-images-idx3-ubyte.gz",
    load_fashion_mnist: "train-images-idx3-ubyte.gz",
    load_cifar10: "cifar-10-binary.tar.gz",
    load_svhn: "train_32x32.mat",
}


def write_idx(path, array):
    header = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)


@pytest.fixture
def mnist(tmp_path, images):
    for name, part in (("train", images[:8]), ("t10k", images[8:])):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte.gz", part)
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte.gz", np.arange(len(part)))
    return tmp_path


@pytest.mark.parametrize("load", LOADERS)
def test_a_missing_file_is_named_with_what_to_do(load, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"{LOADERS[load]} is missing. Download .* put"):
        load(tmp_path)


@pytest.mark.parametrize("load", [load_mnist, load_fashion_mnist])
def test_idx_files_are_read(load, mnist, images):
    data = load(mnist, verify=False)
    assert (images[:8] == data.X).all()
    assert (data.X_test == images[8:]).all()
    assert data.y.tolist() == list(range(8))
    assert data.n_classes == 10


def test_another_file_than_the_published_one_is_refused(mnist):
    with pytest.raises(DataError, match=r"MD5 checksum [0-9a-f]{32}.*f68b3c2d.*verify=False"):
        load_mnist(mnist)


# Names of their own: gzip writes the time, and every test process must find the same tests.
@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"no gzip", "not a whole gzip file", id="no gzip"),
        pytest.param(
            gzip.compress(b"\x00\x00\x08\x03" + bytes(12))[:-9], "not a whole gzip file", id="cut"
        ),
        pytest.param(gzip.compress(b"\x80\x04pickle"), "begins with 80047069", id="a pickle"),
        pytest.param(gzip.compress(b"\x00\x00\x08\x03\x00"), "ends within its header", id="header"),
        pytest.param(
            gzip.compress(b"\x00\x00\x08\x01" + struct.pack(">I", 5) + b"abc"),
            "announces 5.*holds 3",
            id="too short",
        ),
        pytest.param(
            gzip.compress(b"\x00\x00\x08\x01" + struct.pack(">I", 3) + b"abc"),
            "2 dimensions",
            id="other rank",
        ),
    ],
)
def test_damaged_idx_files_are_named(mnist, data, message):
    path = mnist / "train-images-idx3-ubyte.gz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        load_mnist(mnist, verify=False)


def write_cifar(path, images, labels):
    """Write records as the makers do: the label, then red, green and blue row by row."""
    with tarfile.open(path, "w:gz") as archive:
        for i in range(6):
            name = f"data_batch_{i + 1}.bin" if i < 5 else "test_batch.bin"
            data = bytes([labels[i]])
            for color in range(3):
                data += images[i, :, :, color].tobytes()
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_cifar_is_read_from_its_archive(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    write_cifar(tmp_path / "cifar-10-binary.tar.gz", images, [3, 1, 4, 1, 5, 9])
    data = load_cifar10(tmp_path, verify=False)
    assert (images[:5] == data.X).all()
    assert (data.X_test == images[5:]).all()
    assert data.y.tolist() == [3, 1, 4, 1, 5]
    assert data.class_names[3] == "cat"


def test_damaged_cifar_archives_are_named(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"not a whole tar\.gz"):
        load_cifar10(tmp_path, verify=False)
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("other"), io.BytesIO())
    with pytest.raises(DataError, match=r"data_batch_1\.bin"):
        load_cifar10(tmp_path, verify=False)


def test_svhn_is_read_with_ten_as_zero(tmp_path):
    images = np.random.default_rng(2).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    for name in ("train", "test"):
        content = {"X": images.transpose(1, 2, 3, 0), "y": np.array([[10], [1], [2], [9]])}
        savemat(tmp_path / f"{name}_32x32.mat", content)
    data = load_svhn(tmp_path, verify=False)
    assert (images == data.X).all()
    assert data.y.tolist() == data.y_test.tolist() == [0, 1, 2, 9]


def test_damaged_svhn_files_are_named(tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}_32x32.mat").write_bytes(b"no MATLAB file, for sure" * 20)
    with pytest.raises(DataError, match=r"train_32x32\.mat is not a MATLAB file"):
        load_svhn(tmp_path, verify=False)
    savemat(tmp_path / "train_32x32.mat", {"X": np.zeros((2, 2)), "y": np.zeros(2)})
    with pytest.raises(DataError, match=r"\(32, 32, 3, n\) of bytes, got \(2, 2\)"):
        load_svhn(tmp_path, verify=False)


@pytest.mark.parametrize("labels", [[1, 57], [0, 1], [1, 2, 3], [1.5, 2], ["a", "b"]])
def test_svhn_labels_are_one_of_ten_for_each_image(tmp_path, labels):
    images = np.zeros((32, 32, 3, 2), dtype=np.uint8)
    for name in ("train", "test"):
        savemat(tmp_path / f"{name}_32x32.mat", {"X": images, "y": np.array(labels)})
    with pytest.raises(DataError, match="y must be one of 1 to 10 for each image"):
        load_svhn(tmp_path, verify=False)


def test_svhn_files_with_spoiled_compression_are_named(tmp_path):
    rng = np.random.default_rng(3)
    content = {"X": rng.integers(0, 256, (32, 32, 3, 2), dtype=np.uint8), "y": np.array([1, 2])}
    for name in ("train", "test"):
        savemat(tmp_path / f"{name}_32x32.mat", content, do_compression=True)
    path = tmp_path / "train_32x32.mat"
    data = bytearray(path.read_bytes())
    data[1000] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match="is not a MATLAB file with X and y"):
        load_svhn(tmp_path, verify=False)


def test_sizes_whose_product_overflows_are_compared_exactly(mnist):
    sizes = struct.pack(">4I", 2**31, 2**31, 4, 3)  # 3 * 2**64
    (mnist / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\x00\x00\x08\x04" + sizes))
    with pytest.raises(DataError, match="announces 55340232221128654848 numbers"):
        load_mnist(mnist, verify=False)


def test_labels_that_are_no_class_are_damage(mnist):
    write_idx(mnist / "train-labels-idx1-ubyte.gz", np.arange(8) + 5)
    with pytest.raises(DataError, match=r"labels must be codes 0\.\.9; got 5\.\.12"):
        load_mnist(mnist, verify=False)
