"""Labels, ids and rows of text files on the command line, and the advice of its messages."""

import csv
import io
import json
import re
import shlex
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flowssl import FlowGMMClassifier
from flowssl._persistence import read_manifest
from flowssl.cli import main

Run = Callable[..., tuple[int, str, str]]
FIT = ("fit", "t.csv", "--target", "y", "-o", "m.flowssl")


def _write(labels: list[str], path: str = "t.csv", /, **columns: list[str]) -> None:
    """Write 60 rows: a column of numbers, labels by turns, and further columns."""
    rng = np.random.default_rng(0)
    table = {"x": [f"{value:.3f}" for value in rng.standard_normal(60)], "y": labels * 60}
    table |= {name: cells * 60 for name, cells in columns.items()}
    with Path(path).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(table)
        writer.writerows([cells[row] for cells in table.values()] for row in range(60))


@pytest.mark.parametrize(
    ("labels", "options", "classes", "labeled"),
    [
        (["01", "02", ""], (), ["01", "02"], 40),
        (["00000", "1E1", "1.10"], (), ["00000", "1.10", "1E1"], 60),
        (["1", "2", "-1"], (), [1, 2], 40),
        (["1", "2", "NA"], (), [1, 2], 40),
        (["1", "2", "-1"], ("--unlabeled-value", ""), [-1, 1, 2], 60),
        (["1.0", "2.0", ""], (), ["1.0", "2.0"], 40),
        (["9223372036854775808", "9223372036854775809"], (), None, 60),
        (["-0", "0", "1"], (), ["-0", "0", "1"], 60),
        (["a", "b", " ", "-1", "<NA>", "?"], (), ["a", "b"], 20),
        (["a", "b", "NA", "nan", "null", "None"], (), ["a", "b"], 20),
        (["a", "b", "\\N", "#N/D", "#REF!", "#NAME?"], (), ["a", "b"], 20),
        (["a", "b\u200b", "\ufeffa", " b"], (), ["a", "b"], 60),
        (["DE", "FR", "NA"], (), ["DE", "FR", "NA"], 60),
        (["None", "mild", "severe"], ("--unlabeled-value", "None"), ["mild", "severe"], 40),
        (["none", "mild", "severe"], ("--unlabeled-value", "none"), ["mild", "severe"], 40),
        (["a", "b", "NA", "?"], ("--unlabeled-value", "?"), ["NA", "a", "b"], 45),
        (["a", "b", "NA", ""], ("--unlabeled-value", ""), ["NA", "a", "b"], 45),
        (["1", "2", "NA"], ("--unlabeled-value", "NA"), [1, 2], 40),
        (["1", "2", "NA"], ("--unlabeled-value", "2"), ["1", "NA"], 40),
        (["TRUE", "false"], (), ["TRUE", "false"], 60),
    ],
)
def test_classes_are_as_they_are_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    labels: list[str],
    options: tuple[str, ...],
    classes: list[object] | None,
    labeled: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(labels)
    code, out, err = run(*FIT, *options)
    assert code == 0, err
    assert read_manifest("m.flowssl")["classes"] == (classes or labels)
    assert f"60: {labeled} labeled" in out
    code, out, err = run("evaluate", "m.flowssl", "t.csv", "--target", "y", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["labeled"] == labeled
    predicted = run("predict", "m.flowssl", "t.csv")[1].splitlines()[1:]
    assert {line.strip('"') for line in predicted} <= {str(label) for label in classes or labels}


def test_marks_of_unlabeled_rows_are_counted_and_the_advice_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(["a", "b", "NA", "-1", ""])
    err = run(*FIT)[2]
    assert "rows without a label in column 'y': '-1' (12), 'NA' (12)" in err
    advised = re.search(r"add (--unlabeled-value \S+),", err)
    assert run(*FIT, *shlex.split(advised[1]))[::2] == (0, "")
    assert read_manifest("m.flowssl")["classes"] == ["-1", "NA", "a", "b"]


@pytest.mark.parametrize(
    ("labels", "pair"),
    [
        (["cat", "Cat", "dog"], "'Cat' and 'cat'"),
        (["\u00e9", "e\u0301", "b"], "'\u00e9' and '\u00e9'"),
        (["New York", "NewYork", "b"], "'New York' and 'NewYork'"),
        (["a b", "a\u00a0b", "b"], "'a b' and 'a"),
    ],
)
def test_classes_that_look_like_one_are_pointed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, labels: list[str], pair: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(labels)
    err = run(*FIT)[2]
    assert "differ only in case, blanks or the form of characters" in err
    assert unicodedata.normalize("NFC", pair) in unicodedata.normalize("NFC", err)
    assert len(read_manifest("m.flowssl")["classes"]) == 3
    _write([*labels[:1] * 2, labels[2]])  # what the note says to do
    assert run(*FIT)[2] == ""


def test_names_and_labels_that_begin_with_a_dash_can_be_typed_as_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(["a", "b"], **{"-name": [f"person {place}" for place in range(60)]})
    advised = re.search(r"leave it out with (--drop\S+)", run(*FIT, "--features=-name,x")[2])
    assert run(*FIT, *shlex.split(advised[1]))[::2] == (0, "")
    assert read_manifest("m.flowssl")["columns"] == ["x"]


@pytest.mark.parametrize("word", ["none", "None ", "unknown", "-", "missing"])
def test_the_advice_about_a_doubtful_class_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(["a", "b", word])
    err = run(*FIT)[2]
    advised = re.search(r"add (--unlabeled-value \S+)", err)
    options = shlex.split(advised[1]) if word != "None " else ["--unlabeled-value", "None"]
    assert run(*FIT, *options)[::2] == (0, "")
    assert read_manifest("m.flowssl")["classes"] == ["a", "b"]
    code, out, _ = run("evaluate", "m.flowssl", "t.csv", "--target", "y", "--json")
    assert (code, json.loads(out)["labeled"]) == (0, 40)


def test_a_value_of_the_option_that_no_label_has_is_pointed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(["a", "b", "uknown"])
    assert "no label in column 'y' is 'unknown'" in run(*FIT, "--unlabeled-value", "unknown")[2]


def test_quantities_are_no_classes_and_versions_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    _write([f"{value}.5" for value in range(60)])
    code, _, err = run(*FIT)
    assert (code, "holds fractions such as" in err) == (2, True)
    _write(["low", "medium", "high"])  # what the message says to do
    assert run(*FIT)[0] == 0
    _write(["1.1", "1.10", "2.0"])
    assert run(*FIT)[0] == 0
    assert read_manifest("m.flowssl")["classes"] == ["1.1", "1.10", "2.0"]


@pytest.mark.parametrize(
    ("fitted", "later"),
    [
        (["1.0", "2.0", ""], ["1", "2"]),
        (["1", "2"], ["1.0", "2.0"]),
        (["True", "False"], ["TRUE", "false"]),
    ],
)
def test_labels_written_in_another_way_are_the_same_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, fitted: list[str], later: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(fitted)
    assert run(*FIT)[0] == 0
    _write(later, "later.csv")
    code, out, _ = run("evaluate", "m.flowssl", "later.csv", "--target", "y", "--json")
    assert (code, json.loads(out)["labeled"]) == (0, 60)
    _write(["01", "02"], "codes.csv")
    assert "'01' is not a class" in run("evaluate", "m.flowssl", "codes.csv", "--target", "y")[2]


def test_a_class_that_looks_like_a_mark_stays_one_in_files_without_other_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(["DE", "FR", "NA"])
    assert run(*FIT)[0] == 0
    _write(["NA", ""], "later.csv")
    code, out, _ = run("evaluate", "m.flowssl", "later.csv", "--target", "y", "--json")
    assert (code, json.loads(out)["labeled"]) == (0, 30)


@pytest.mark.parametrize("ids", [["01", "1E1"], ["1.10", "0"], ["9223372036854775808", "007"]])
@pytest.mark.parametrize("learned", [False, True])
def test_ids_are_as_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, ids: list[str], learned: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(["a", "b"], id=ids if not learned else ["1.10", "2.50"])
    assert run(*FIT, *([] if learned else ["--drop", "id"]))[0] == 0
    code, out, err = run("predict", "m.flowssl", "t.csv", "--id", "id")
    assert (code, err) == (0, "")
    written = [row[0] for row in csv.reader(io.StringIO(out))][1:]
    assert written == [row["id"] for row in csv.DictReader(Path("t.csv").read_text().splitlines())]


@pytest.mark.parametrize(
    ("option", "value", "columns"),
    [
        ("--drop", '"a,b",c', ["x"]),
        ("--drop", "a,b", ["x", "c"]),
        ("--drop", "a,b,c", ["x"]),
        ("--drop", " c , x ", ["a,b"]),
        ("--features", '"a,b",x', ["a,b", "x"]),
        ("--features", "x,a,b", ["x", "a,b"]),
        ("--features", "x,a,b,x", ["x", "a,b"]),
    ],
)
def test_names_of_columns_with_commas(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    option: str,
    value: str,
    columns: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(["k", "l"], **{"a,b": ["1", "2", "4"], "c": ["3", "1", "0"]})
    assert run(*FIT, option, value)[::2] == (0, "")
    assert read_manifest("m.flowssl")["columns"] == columns
    for name in ("a,b", '"a,b"'):
        assert run("predict", "m.flowssl", "t.csv", "--id", name)[1].startswith('"a,b",prediction')
    assert run("predict", "m.flowssl", "t.csv", "--id", "c,x")[2].startswith("flowssl: --id: one")


def test_the_advice_about_an_infinite_cell_and_about_names_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(["k", "l"], **{"a,b": ["1", "inf", "4"], "when": ["10:00:00", "11:00:00"]})
    code, _, err = run(*FIT)
    assert code == 2
    assert "line 3: 'inf' is no finite number, in column 'a,b'" in err
    advised = re.search(r"(--drop .+)\.", err)
    code, _, err = run(*FIT, *shlex.split(advised[1]))
    assert "'when' holds time" in err
    more = re.search(r"--drop (.+)\.", err)
    assert run(*FIT, "--drop", f"a,b,{more[1]}")[::2] == (0, "")
    _write(["k", "l"], **{"name": [f"person {place}" for place in range(60)]})
    _, _, err = run(*FIT, "--features", "x,name")
    assert "leave it out with --drop name" in err


def test_notes_concern_the_columns_that_are_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(["k", "l"], zip=["01234", "00001"], rate=["1,5", "2,5", "3,25"])
    err = run(*FIT, "--drop", "zip")[2]
    assert err == "note: column 'rate': '1,5' is read as 1.5\n"
    assert run(*FIT, "--drop", "zip", "-q")[2] == ""


# With the real estimator: the answer for a row does not depend on the rest of its file.


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    days = ["2020-01-01", "unknown", "2020-01-02"]
    _write(["01", "02"], flag=["true", "maybe", "false", "false"], day=days, n=["1", "2,5", "0,5"])
    options = ("--max-epochs", "1", "--random-state", "0", "-q")
    assert main([*FIT, *options]) == 0


def test_a_row_has_one_answer(real: None, capsys: pytest.CaptureFixture[str]) -> None:
    def answers(name: str) -> list[list[str]]:
        assert main(["predict", "m.flowssl", name, "--proba", "--log-density"]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return list(csv.reader(io.StringIO(captured.out)))[1:]

    whole = answers("t.csv")
    header, *rows = Path("t.csv").read_text().splitlines()
    for place in (0, 1, 2, 5):
        Path("one.csv").write_text(f"{header}\n{rows[place]}\n")
        (alone,) = answers("one.csv")
        np.testing.assert_allclose(
            np.array(alone[1:], float), np.array(whole[place][1:], float), rtol=1e-5
        )
    Path("bad.csv").write_text(f"{header}\n{rows[0]}\n0.5,01,true,2020-01-01,many\n")
    assert main(["score", "m.flowssl", "bad.csv"]) == 2
    assert "bad.csv: line 3: 'many' in column 'n' is not a number like" in capsys.readouterr().err


def test_samples_can_be_read_by_their_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(["01", "02"], n=["1", "2,5", "0,5"], p=["10%", "7.5%", "3%", "1%"], c=["$5", "$3.5"])
    assert main([*FIT, "--max-epochs", "1", "--random-state", "0", "-q"]) == 0
    assert main(["sample", "m.flowssl", "-n", "20", "--random-state", "0", "-o", "s.csv"]) == 0
    assert main(["sample", "m.flowssl", "-n", "20", "--random-state", "0", "-o", "s.parquet"]) == 0
    first = next(csv.DictReader(Path("s.csv").read_text().splitlines()))
    assert "." not in first["n"]
    assert first["p"].endswith("%")
    assert first["c"].endswith("$")
    capsys.readouterr()
    densities = []
    for name in ("s.csv", "s.parquet"):
        assert main(["score", "m.flowssl", name]) == 0
        densities.append(np.array(capsys.readouterr().out.split()[1:], float))
    np.testing.assert_allclose(*densities, rtol=1e-5)


def test_labels_of_images_are_as_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from argparse import Namespace

    from flowssl.cli.console import Console
    from flowssl.cli.image_source import ImageSource

    monkeypatch.chdir(tmp_path)
    Path("i").mkdir()
    for name in ("007", "1E1", "b", "c"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(f"i/{name}.png")
    Path("l.csv").write_text("file,label\n007.png,01\n1E1.png,1.10\nb.png,<NA>\n")
    arguments = Namespace(
        data="i", labels="l.csv", target=None, bad_images="refuse", image_white=None
    )
    rows = ImageSource(arguments, Console(quiet=True)).read_training()
    assert dict(zip(rows.names, rows.y.tolist(), strict=True)) == {
        "007.png": "01",
        "1E1.png": "1.10",
        "b.png": None,
        "c.png": None,
    }


def test_a_model_fitted_in_python_reads_text_files_by_its_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, standin: object
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"n": rng.standard_normal(20), "k": rng.standard_normal(20)})
    standin.FlowGMMClassifier().fit(frame.to_numpy(), [0, 1] * 10).save("p.flowssl")
    frame.assign(y=[0, 1] * 10).to_csv("f.csv", index=False)
    code, _, err = run("evaluate", "p.flowssl", "f.csv", "--target", "y")
    assert (code, err) == (0, "")
    Path("bad.csv").write_text("n,k\n1,2\n1,many\n")
    assert (
        "line 3: 'many' in column 'k' is not a number" in run("predict", "p.flowssl", "bad.csv")[2]
    )


@pytest.mark.parametrize("markers", [["?", "zz"], ["?", "zz", None], "?"])
def test_a_model_with_several_marks_of_unlabeled_rows_is_evaluated(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    markers: object,
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(["a", "b", "?", "a", "b", "zz" if isinstance(markers, list) else "?"])
    table = pd.read_csv("t.csv")
    options = {"architecture": "affine", "max_epochs": 1, "propagation_weight": 1.0}
    model = FlowGMMClassifier(**options, unlabeled_value=markers, random_state=0)
    model.fit(table[["x"]], table["y"].to_numpy()).save("m.flowssl")
    _write(["a", "b", "?", "", "b", "zz" if isinstance(markers, list) else "?"])
    assert main(["evaluate", "m.flowssl", "t.csv", "--target", "y", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labeled"] == 30
