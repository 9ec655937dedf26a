import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flowssl.exceptions import FlowSSLWarning, TrainingDivergedError

Run = Callable[..., tuple[int, str, str]]
OUT = ("-o", "new.flowssl")


def _one_line(result: tuple[int, str, str], *causes: str, code: int = 2) -> None:
    assert result[0] == code
    assert result[1] == ""
    lines = [line for line in result[2].splitlines() if not line.startswith("note: column")]
    assert len(lines) == 1
    assert lines[0].startswith("flowssl")
    assert result[2].endswith("\n")
    for cause in causes:
        assert cause in lines[0]


@pytest.mark.parametrize(
    ("arguments", "causes"),
    [
        (
            ("fit", "flowers.csv", "--target", "kinds"),
            ("no column 'kinds'", "did you mean 'kind'?"),
        ),
        (("fit", "flowers.csv", "--target", "KIND"), ("did you mean 'kind'?",)),
        (("fit", "flowers.csv", "--target", "qqq"), ("the file has 'len', 'width'",)),
        (
            ("fit", "flowers.csv", "--target", "kind", "--features", "len,widht"),
            ("--features", "'widht'", "'width'"),
        ),
        (("fit", "flowers.csv", "--target", "kind", "--drop", "truht"), ("--drop", "'truth'")),
        (("fit", "flowers.csv", "--target", "kind", "--features", "kind"), ("is the target",)),
        (
            ("fit", "flowers.csv", "--target", "kind", "--drop", "len,width,height,truth,row"),
            ("no column is left",),
        ),
        (("fit", "flowers.csv", "--target", "width"), ("holds fractions",)),
        (
            ("fit", "flowers.csv", "--target", "row", "--unlabeled-value", "x"),
            ("--unlabeled-value: 'x'",),
        ),
        (("fit", "nowhere.csv", "--target", "kind"), ("nowhere.csv: no such file",)),
        (("fit", "flowers.xlsx", "--target", "kind"), ("'.xlsx'", ".parquet")),
        (
            ("fit", "flowers.csv", "--target", "kind", "--features", "len", "--kind", "wrong"),
            ("two lines",),
        ),
        (("fit", "unlabeled.csv", "--target", "kind"), ("has no labeled row",)),
        (
            ("fit", "flowers.csv", "--target", "kind", "--labels", "nowhere.csv"),
            ("--labels is for images", "--target COLUMN"),
        ),
        (
            ("fit", "flowers.csv", "--target", "kind", "--views", "none"),
            ("--views is for images", "flowers.csv is a table"),
        ),
        (("fit", "ragged.csv", "--target", "a"), ("line 3 has 3 cells",)),
        (("fit", "header.csv", "--target", "a"), ("no rows",)),
        (("fit", "empty.csv", "--target", "a"), ("is empty",)),
        (("fit", "binary.parquet", "--target", "a"), ("not a whole Parquet file",)),
        (("fit", "times.csv", "--target", "kind"), ("'when'", "--drop when")),
    ],
)
def test_bad_input_to_fit(
    folder: Path,
    run: Run,
    flowers: pd.DataFrame,
    arguments: tuple[str, ...],
    causes: tuple[str, ...],
) -> None:
    flowers.assign(kind=None).to_csv("unlabeled.csv", index=False)
    flowers.assign(when="23:59:01").to_csv("times.csv", index=False)
    Path("ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    Path("header.csv").write_text("a,b\n")
    Path("empty.csv").write_text("")
    Path("binary.parquet").write_bytes(b"PAR1" + bytes(100))
    _one_line(run(*arguments, *OUT), *causes)
    assert not Path("new.flowssl").exists()


def test_a_label_seen_once_is_fine(folder: Path, run: Run, flowers: pd.DataFrame) -> None:
    kind = flowers["kind"].where(flowers.index < 3)
    flowers.assign(kind=kind)[["len", "kind"]].to_csv("t.csv", index=False)
    assert run("fit", "t.csv", "--target", "kind", *OUT)[0] == 0


@pytest.mark.parametrize("output", ["nowhere/m.flowssl", "."])
def test_places_that_cannot_be_written(folder: Path, run: Run, output: str) -> None:
    _one_line(run("fit", "flowers.csv", "--target", "kind", "-o", output), output)


@pytest.mark.parametrize(
    ("arguments", "causes"),
    [
        (("predict", "m.flowssl", "short.csv"), ("lacks 1 of the model's 3 columns", "'width'")),
        (("score", "m.flowssl", "short.csv"), ("lacks 1 of the model's 3 columns", "'Width2'")),
        (("predict", "m.flowssl", "flowers.csv", "--id", "rwo"), ("--id", "'row'")),
        (("predict", "m.flowssl", "clash.csv", "--id", "prediction"), ("'prediction'",)),
        (("predict", "m.flowssl", "flowers.csv", "-o", "p.xlsx"), ("known are .csv",)),
        (("predict", "m.flowssl", "flowers.csv", "-o", "no/p.csv"), ("no directory",)),
        (("predict", "m.flowssl", "nowhere.csv"), ("no such file",)),
        (("predict", "m.flowssl", "."), (". is not a table", "m.flowssl needs")),
        (("evaluate", "m.flowssl", "i.zip", "--target", "kind"), ("i.zip is not a table",)),
        (("predict", "nowhere.flowssl", "flowers.csv"), ("nowhere.flowssl",)),
        (("predict", "flowers.csv", "flowers.csv"), ("cannot read model file 'flowers.csv'",)),
        (("predict", "damaged.flowssl", "flowers.csv"), ("damaged.flowssl",)),
        (("info", "damaged.flowssl"), ("damaged.flowssl",)),
        (("info", "nowhere.flowssl"), ("nowhere.flowssl",)),
        (("sample", "m.flowssl", "-n", "3", "--label", "daisy"), ("iris, lily, rose",)),
        (("evaluate", "m.flowssl", "flowers.csv", "--target", "row"), ("is not a class",)),
        (("evaluate", "m.flowssl", "flowers.csv", "--target", "knd"), ("'kind'",)),
        (("evaluate", "m.flowssl", "unlabeled.csv", "--target", "kind"), ("no labeled row",)),
        (
            ("report", "m.flowssl", "flowers.csv", "--target", "kind", "-o", "no/r.html"),
            ("no directory",),
        ),
    ],
)
def test_bad_input_to_a_model(
    model: str, run: Run, flowers: pd.DataFrame, arguments: tuple[str, ...], causes: tuple[str, ...]
) -> None:
    flowers.rename(columns={"width": "Width2"}).to_csv("short.csv", index=False)
    flowers.assign(kind=None).to_csv("unlabeled.csv", index=False)
    flowers.assign(prediction=1).to_csv("clash.csv", index=False)
    whole = Path(model).read_bytes()
    Path("damaged.flowssl").write_bytes(whole[: len(whole) - 40])
    _one_line(run(*arguments), *causes)


def test_a_model_without_names_and_another_number_of_columns(
    folder: Path, run: Run, standin: object
) -> None:
    X = np.random.default_rng(0).standard_normal((6, 2))
    standin.FlowGMMClassifier().fit(X, [0, 0, 0, 1, 1, 1]).save("p.flowssl")
    _one_line(run("predict", "p.flowssl", "flowers.csv"), "2 columns without names", "has 6")
    _one_line(run("predict", "p.flowssl", "flowers.csv", "--features", "len"), "1 columns", "2")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("learn",),
        ("fit",),
        ("fit", "flowers.csv", "--target", "kind"),
        ("fit", "flowers.csv", "--target", "kind", *OUT, "--smoothing", "much"),
        ("fit", "flowers.csv", "--target", "kind", *OUT, "--kind", "good-ish"),
        ("fit", "flowers.csv", "--target", "kind", *OUT, "--nonsense"),
        ("sample", "m.flowssl"),
        ("sample", "m.flowssl", "-n", "0"),
        ("sample", "m.flowssl", "-n", "many"),
    ],
)
def test_a_wrong_command_line_is_reported_in_one_line(
    folder: Path, run: Run, arguments: tuple[str, ...]
) -> None:
    _one_line(run(*arguments), "--help")


def test_a_failed_write_keeps_the_old_predictions(
    model: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("p.csv").write_text("old")

    def fail(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("flowssl.tables.write_csv", fail)
    _one_line(run("predict", model, "flowers.csv", "-o", "p.csv"), "p.csv", "No space left")
    assert Path("p.csv").read_text() == "old"


def test_a_bug_gives_a_line_and_with_debug_a_traceback(folder: Path, run: Run) -> None:
    fit = ("fit", "flowers.csv", "--target", "kind", "--features", "len", *OUT)
    _one_line(run(*fit, "--kind", "broken"), "RuntimeError: some bug", "--debug", code=1)
    with pytest.raises(RuntimeError, match="some\nbug"):
        run(*fit, "--kind", "broken", "--debug", "--resume")
    with pytest.raises(ValueError, match="two"):
        run("--debug", *fit, "--kind", "wrong", "--resume")


def test_divergence_has_its_own_exit_code(
    folder: Path, run: Run, standin: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(self: object) -> None:
        raise TrainingDivergedError("the loss was NaN three times; lower learning_rate")

    monkeypatch.setattr(standin.FlowGMMClassifier, "_end", diverge)
    fit = ("fit", "flowers.csv", "--target", "kind", "--features", "len", *OUT)
    _one_line(run(*fit), "lower learning_rate", code=1)


def test_warnings_are_one_line_and_quiet_hides_them(
    folder: Path, run: Run, standin: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(self: object) -> None:
        warnings.warn("of two\nlines", FlowSSLWarning, stacklevel=1)
        warnings.warn("from elsewhere", RuntimeWarning, stacklevel=1)

    monkeypatch.setattr(standin.FlowGMMClassifier, "_end", warn)
    fit = ("fit", "flowers.csv", "--target", "kind", "--features", "len", *OUT)
    assert run(*fit)[2] == "flowssl: warning: of two lines\n"
    assert run(*fit, "-q")[2] == ""


def test_python_m_flowssl_and_a_closed_pipe(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "flowssl"]
    wrong = subprocess.run(
        [*program, "fit", str(tmp_path / "t.csv"), "--target", "y", "-o", str(tmp_path / "m")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 2
    assert wrong.stderr == f"flowssl: {tmp_path / 't.csv'}: no such file.\n"
    assert wrong.stdout == ""
