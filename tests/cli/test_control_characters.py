"""Names in files and arguments cannot control the terminal, a page or a spreadsheet."""

import base64
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flowssl import FlowGMMClassifier
from flowssl._persistence import read_model_file, write_model_file
from flowssl._terminal import printable
from flowssl.exceptions import DataError, FlowSSLWarning
from flowssl.report import write_report
from flowssl.report.markup import escape, figure, heading, paragraph, table
from flowssl.tables import write_csv, write_table

Run = Callable[..., tuple[int, str, str]]

EVIL = {
    "clears the screen": ("\x1b[2J", r"\x1b[2J"),
    "sets the title": ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
    "8-bit escape": ("\x9b2J", r"\x9b2J"),
    "back space": ("\x08", r"\x08"),
    "delete": ("\x7f", r"\x7f"),
    "return": ("a\rb", r"a\rb"),
    "line feed": ("a\nb", r"a\nb"),
    "null": ("\0", r"\x00"),
    "next line": ("\x85", r"\x85"),
    "line separator": ("\u2028", r"\u2028"),
    "paragraph separator": ("\u2029", r"\u2029"),
    "right-to-left override": ("\u202egnp.exe", r"\u202egnp.exe"),
    "isolate": ("\u2066", r"\u2066"),
    "zero-width space": ("\u200b", r"\u200b"),
    "joiner": ("a\u200db", r"a\u200db"),
    "byte order mark": ("\ufeff", r"\ufeff"),
    "soft hyphen": ("\xad", r"\xad"),
    "tag": ("\U000e0041", r"\U000e0041"),
    "filler": ("\u3164", r"\u3164"),
    "variation selector": ("\U000e0100", r"\U000e0100"),
    "lone surrogate": ("\udc9b", r"\udc9b"),
}
HIDDEN = re.compile(
    "[\0-\x09\x0b-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ud800-\udfff"
    "\U000e0000-\U000e01ef]"
)


@pytest.mark.parametrize(("text", "shown"), EVIL.values(), ids=EVIL)
def test_what_controls_or_hides_is_escaped(text: str, shown: str) -> None:
    assert printable(f"<{text}>") == f"<{shown}>"


@pytest.mark.parametrize(
    "text",
    ["", "a b", "naïve", "Straße", "中文", "עברית", "हिन्दी", "🐈", "❤️", "e\u0301", "\xa0", "\\x1b"],
)
def test_what_people_write_stays(text: str) -> None:
    assert printable(text) == text


@pytest.fixture
def evil_model(folder: Path, standin: ModuleType) -> str:
    """A model whose every text controls the terminal."""
    # NumPy ends a text at a null, and Arrow takes no lone surrogate.
    evil = "".join(text for text, _ in EVIL.values() if text != "\0" and text != "\udc9b")
    X = pa.table({f"a{evil}": [0.0, 1, 2, 3], f"b{evil}": [1.0, 0, 3, 1]})
    estimator = standin.FlowGMMClassifier().fit(X, np.array([f"x{evil}", f"y{evil}"] * 2))
    estimator.save("m.flowssl")
    file = read_model_file("m.flowssl")
    manifest = {k: v for k, v in file.manifest.items() if k not in _OWN}
    manifest[f"note{evil}"] = evil
    manifest["parameters"] |= {"architecture": evil, f"new{evil}": evil}
    manifest["initialization"] = {f"k{evil}": evil, "candidates": [{"name": evil, "weight": 0.9}]}
    write_model_file("m.flowssl", manifest, file.tensors)
    X.append_column("kind", pa.array([f"x{evil}", f"y{evil}"] * 2)).to_pandas().to_parquet("d.pq")
    return "m.flowssl"


_OWN = ("schema_version", "created", "versions", "tensors_sha256")


@pytest.mark.parametrize(
    "arguments",
    [
        ("info", "m.flowssl"),
        ("info", "m.flowssl", "--json"),
        ("evaluate", "m.flowssl", "d.pq", "--target", "kind"),
        ("evaluate", "m.flowssl", "d.pq", "--target", "kind", "--json"),
        ("evaluate", "m.flowssl", "d.pq", "--target", "\x1b[2Jkind"),
        ("predict", "m.flowssl", "flowers.csv"),
        ("predict", "m.flowssl", "d.pq", "--id", "\x1b[2J"),
        ("predict", "m.flowssl", "\x1b[2J.csv"),
        ("predict", "m.flowssl", "d.pq", "-o", "\x1b[2J.csv"),
        ("predict", "\x1b[2J", "d.pq"),
        ("info", "\x9b2J"),
        ("sample", "m.flowssl", "-n", "2", "--label", "\x1b[2J"),
        ("sample", "m.flowssl", "-n", "\x1b[2J"),
        ("fit", "d.pq", "--target", "kind", "-o", "\x1b[2J.flowssl"),
        ("fit", "d.pq", "--target", "none", "-o", "new.flowssl"),
        ("fit", "d.pq", "--target", "kind", "-o", "new.flowssl", "--\x1b[2J"),
        ("\x1b[2J",),
    ],
)
def test_nothing_of_a_file_or_argument_reaches_the_terminal(
    evil_model: str, run: Run, arguments: tuple[str, ...]
) -> None:
    _, out, err = run(*arguments)
    assert out + err
    assert not HIDDEN.search(out + err)
    if arguments == ("info", "m.flowssl", "--json"):
        assert (
            json.loads(out)["parameters"]["architecture"]
            == (read_model_file("m.flowssl").manifest["parameters"]["architecture"])
        )


def test_warnings_and_errors_are_escaped(
    folder: Path, run: Run, standin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(self: object) -> None:
        warnings.warn("column '\x1b[2J'", FlowSSLWarning, stacklevel=1)
        raise RuntimeError("\x9b2J")

    monkeypatch.setattr(standin.FlowGMMClassifier, "_end", warn)
    _, _, err = run("fit", "flowers.csv", "--target", "kind", "--drop", "truth,row", "-o", "n")
    assert r"warning: column '\x1b[2J'" in err
    assert r"RuntimeError: \x9b2J" in err
    assert not HIDDEN.search(err)


def test_predictions_on_a_terminal_are_escaped_and_elsewhere_exact(
    evil_model: str, run: Run
) -> None:
    out = run("predict", evil_model, "d.pq")[1]
    assert "\x1b[2J" in out  # standard output is not a terminal here
    assert run("predict", evil_model, "d.pq", "-o", "p.parquet")[0] == 0
    expected = pd.read_parquet("d.pq")["kind"].tolist()
    assert set(pd.read_parquet("p.parquet")["prediction"]) <= set(expected)
    code = (
        "import pyarrow as pa; from flowssl.cli.console import Console\n"
        "from flowssl.cli.outputs import write_results\n"
        "write_results(pa.table({'c': ['\\x1b[2J\\u202e', 'año']}), None, Console())\n"
        "Console().facts([('\\x1b[2J', '[red]\\x9b')], title='t')\n"
    )
    shown = _on_a_terminal([sys.executable, "-c", code])
    assert "\\x1b[2J\\u202e" in shown
    assert "año" in shown
    assert "[red]\\x9b" in shown
    # The colors of the tables are the program's own.
    assert not HIDDEN.search(re.sub(r"\x1b\[[\d;]*m|\r", "", shown))


def _on_a_terminal(command: list[str]) -> str:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(command, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    while True:
        try:
            chunk = os.read(controller, 4096)
        except OSError:  # the process has closed its side
            break
        if not chunk:
            break
        shown += chunk
    process.wait()
    os.close(controller)
    return shown.decode()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_names_that_an_encoding_lacks_are_escaped(folder: Path, encoding: str) -> None:
    X = pa.table({"größe 中": [0.0, 1, 2, 3]})
    model = FlowGMMClassifier(architecture="affine", max_epochs=1, random_state=0)
    model.fit(X, np.array(["猫", "犬"] * 2)).save("m.flowssl")
    done = subprocess.run(
        [sys.executable, "-m", "flowssl", "info", "m.flowssl"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode(encoding)
    assert r"\u732b" in shown
    assert ("größe" in shown) == (encoding != "ascii")


def test_file_names_that_are_not_text(folder: Path) -> None:
    shutil.copy("flowers.csv", b"caf\xe9.csv")
    done = subprocess.run(
        [sys.executable, "-m", "flowssl", "info", b"caf\xe9.csv"], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert rb"caf\udce9.csv" in done.stderr


# The HTML page.


@pytest.mark.parametrize(("text", "shown"), EVIL.values(), ids=EVIL)
def test_pages_are_escaped(text: str, shown: str) -> None:
    if text in ("a\nb", "a\u200db"):
        shown = text  # a blank, and a joiner that emoji and Persian are written with
    drawn = figure(lambda theme: _figure(), text, text)
    for part in (heading(text), paragraph(text), table(text, [text], [[text]]), drawn):
        assert shown in part.text
        part.text.encode()
    assert escape(f"<{text}>") == f"&lt;{shown}&gt;"


def test_a_whole_report_has_no_control_characters(tmp_path: Path) -> None:
    evil = "".join(text for text, _ in EVIL.values() if text not in ("\0", "\udc9b", "a\u200db"))
    codes = np.arange(40) % 2
    X = pd.DataFrame({f"a{evil}": np.arange(40.0), f"b{evil}": [f"l{evil}{k}" for k in codes]})
    y = np.array([f"c{evil}{k}" for k in codes])
    model = FlowGMMClassifier(architecture="affine", max_epochs=1, random_state=0).fit(X, y)
    names = [f"n{evil}{row}" for row in range(40)]
    write_report(model, X, y, tmp_path / "r.html", X_test=X, y_test=y, names=names, title=evil)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    figures = map(base64.b64decode, re.findall(r"base64,([\w+/=]+)", page))
    drawn = [figure.decode() for figure in figures if b"<svg" in figure[:500]]
    assert r"\u202egnp.exe" in page
    assert len(drawn) > 2
    assert not any(HIDDEN.search(part) for part in (page, *drawn))


def _figure() -> object:
    from matplotlib.figure import Figure

    return Figure(figsize=(1, 1))


# CSV.

CELLS = {
    "=cmd|' /C calc'!A0": True,
    "+1+1": True,
    "-1+1": True,
    "@SUM(A1)": True,
    "\t=1": True,
    "\r=1": True,
    "\n=1": True,
    " =1": True,
    "＝1": True,
    "-inf": True,
    "-": True,
    "-5": False,
    "+5": False,
    "-.5e-3": False,
    "+1.": False,
    "a=1": False,
    "": False,
    "'=1": False,
    "año": False,
}


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_safe_csv_has_no_formulas(tmp_path: Path, kind: pa.DataType, ending: str) -> None:
    cells = list(CELLS)
    frame = pa.table({"=a;=b": pa.array(cells, kind), "-x": [-1.5] * len(cells)})
    frame = frame.append_column("d", pa.array(cells).dictionary_encode())
    delimiter = "\t" if ending == ".tsv" else ","
    read = {"sep": delimiter, "keep_default_na": False, "dtype": str, "lineterminator": "\n"}
    path = tmp_path / f"t{ending}"
    write_table(frame, path)
    plain = pd.read_csv(path, **read)
    assert plain["=a;=b"].tolist() == cells
    write_table(frame, path, safe_csv=True)
    safe = pd.read_csv(path, **read)
    assert list(safe) == ["'=a;=b", "'-x", "d"]
    expected = [f"'{cell}" if formula else cell for cell, formula in CELLS.items()]
    assert safe["'=a;=b"].tolist() == safe["d"].tolist() == expected
    assert set(safe["'-x"]) == {"-1.5"}  # a number is no text
    assert path.read_text().startswith(
        '"\'=a;=b"'
    )  # in quotes, or it would be cut at the semicolon


def test_missing_cells_stay_missing_in_safe_csv() -> None:
    stream = io.BytesIO()
    write_csv(pa.table({"a": [None, "=1"], "b": [1, None]}), stream, safe=True)
    assert stream.getvalue() == b'"a","b"\n,1\n"\'=1",\n'


def test_a_column_that_csv_cannot_hold_is_named() -> None:
    stream = io.BytesIO()
    with pytest.raises(DataError, match="column 'tags' holds values of type list"):
        write_csv(pa.table({"a": [1], "tags": [["x"]]}), stream)
    assert stream.getvalue() == b""


def test_safe_csv_on_the_command_line(folder: Path, run: Run, standin: ModuleType) -> None:
    X = pa.table({"a": [0.0, 1, 2, 3]})
    standin.FlowGMMClassifier().fit(X, np.array(["=1+1", "b"] * 2)).save("m.flowssl")
    pd.DataFrame({"a": [-2.0, 1, 2], "=id": ["-7", "@x", "y"]}).to_csv("d.csv", index=False)
    predict = ("predict", "m.flowssl", "d.csv", "--id", "=id")
    plain, safe = run(*predict)[1], run(*predict, "--safe-csv")[1]
    assert plain.splitlines()[0] == "=id,prediction"
    assert safe.splitlines()[0] == '"\'=id","prediction"'
    assert '"@x"' in plain
    assert '"\'@x"' in safe
    assert '"-7"' in safe
    assert run(*predict, "--safe-csv", "-o", "p.csv")[0] == 0
    assert Path("p.csv").read_text() == safe
    assert "--safe-csv is for CSV" in run(*predict, "--safe-csv", "-o", "p.parquet")[2]
    score = run("score", "m.flowssl", "d.csv", "--safe-csv")[1]
    assert score.startswith('"log_density"\n-')  # numbers stay
    drawn = run("sample", "m.flowssl", "-n", "9", "--label", "=1+1", "--safe-csv")[1]
    assert drawn.count('"\'=1+1"') == 9
    assert "-5" not in drawn or "'-5" not in drawn
