"""Damaged files on the command line: one plain line that names the file, and exit code 2."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from PIL import Image

from flowssl.cli import main

TABLE = pa.table({"a": np.arange(40.0), "y": ["x", "z"] * 20})


def written(write, *arguments, **options):
    stream = io.BytesIO()
    write(*arguments, stream, **options)
    return stream.getvalue()


def archive():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in ("a.png", "b.png"):
            file.writestr(name, written(Image.new("L", (8, 8)).save, format="PNG"))
    return stream.getvalue()


WHOLE = {
    "csv.gz": gzip.compress(b"a,y\n" + b"1,x\n2,z\n" * 20),
    "parquet": written(pa.parquet.write_table, TABLE),
    "feather": written(pa.feather.write_feather, TABLE),
    "npz": written(lambda stream: np.savez(stream, X=np.zeros((9, 2)), y=np.arange(9) % 2)),
    "npy": written(lambda stream: np.save(stream, np.zeros((9, 2)))),
    "zip": archive(),
}
WHOLE["arrow"] = WHOLE["ipc"] = WHOLE["feather"]
DAMAGE = {
    "empty": lambda whole: b"",
    "one byte": lambda whole: whole[:1],
    "cut": lambda whole: whole[: len(whole) // 2],
    "last bytes lost": lambda whole: whole[:-7],
    "first bytes lost": lambda whole: whole[7:],
    "zeros": lambda whole: bytes(len(whole)),
    "text": lambda whole: b"this is no such file\n" * 20,
    "another format": lambda whole: WHOLE["npy"] if whole != WHOLE["npy"] else WHOLE["parquet"],
}


@pytest.mark.parametrize("ending", WHOLE)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_line(tmp_path, monkeypatch, capfd, ending, damage):
    monkeypatch.chdir(tmp_path)
    Path(f"t.{ending}").write_bytes(DAMAGE[damage](WHOLE[ending]))
    Path("l.csv").write_text("file,label\na.png,1\nb.png,2\n")
    labels = ["--labels", "l.csv"] if ending == "zip" else ["--target", "y"]
    assert main(["fit", f"t.{ending}", *labels, "-o", "m.flowssl"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"flowssl: t.{ending}")
    assert not Path("m.flowssl").exists()
