"""Outputs never destroy inputs, other outputs or files of another kind."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from flowssl._persistence import read_manifest

Run = Callable[..., tuple[int, str, str]]
FIT = ("fit", "flowers.csv", "--target", "kind", "--drop", "truth,row")
REPORT = ("report", "m.flowssl", "flowers.csv", "--target", "kind")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def links(model: str, folder: Path) -> Path:
    """The table and the model under further names, and files of other kinds."""
    Path("symbolic.csv").symlink_to("flowers.csv")
    os.link("flowers.csv", "hard.csv")
    Path("here").symlink_to(".")
    os.link("m.flowssl", "hard.flowssl")
    Path("labels.csv").write_text("file,label\n")
    Path("notes.txt").write_text("not to be lost")
    Path("program.py").write_text("print()")
    Path("archive.zip").write_bytes(b"PK\x03\x04" + bytes(60))
    Path("page.html").write_text("\n<!DOCTYPE html><html>")
    Path("binary.csv").write_bytes(b"PK\x03\x04" + bytes(60))
    Path("text.parquet").write_text("a,b\n")
    return folder


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ((*FIT, "-o", "flowers.csv"), "-o flowers.csv is DATA"),
        ((*FIT, "-o", "./flowers.csv"), "-o ./flowers.csv is DATA"),
        ((*FIT, "-o", "here/flowers.csv"), "is DATA"),
        ((*FIT, "-o", "symbolic.csv"), "is DATA"),
        ((*FIT, "-o", "hard.csv"), "is DATA"),
        ((*FIT, "-o", "m.flowssl", "--report", "flowers.csv"), "--report flowers.csv is DATA"),
        ((*FIT, "-o", "new", "--checkpoint", "flowers.csv"), "--checkpoint flowers.csv is DATA"),
        ((*FIT, "-o", "labels.csv", "--labels", "labels.csv"), "-o labels.csv is --labels"),
        ((*FIT, "-o", "new", "--report", "new"), "are the same file"),
        ((*FIT, "-o", "new", "--report", "NEW"), "are the same file"),
        ((*FIT, "-o", "new", "--report", "here/new"), "are the same file"),
        ((*FIT, "-o", "new", "--checkpoint", "new"), "are the same file"),
        ((*FIT, "-o", "m.flowssl", "--report", "hard.flowssl"), "are the same file"),
        ((*FIT, "-o", "new", "--report", "new.checkpoint"), "are the same file"),
        ((*FIT, "-o", "notes.txt"), "-o notes.txt exists and is not a model"),
        ((*FIT, "-o", "archive.zip"), "is not a model"),
        ((*FIT, "-o", "page.html"), "is not a model"),
        ((*FIT, "-o", "stopped"), "is not a model"),  # a checkpoint
        ((*FIT, "-o", "new", "--report", "program.py"), "is not an HTML page"),
        ((*FIT, "-o", "new", "--checkpoint", "notes.txt"), "is not a checkpoint"),
        ((*FIT, "-o", "new", "--checkpoint", "m.flowssl"), "is not a checkpoint"),
        ((*FIT, "-o", "new", "--checkpoint", "notes.txt", "--resume"), "is not a checkpoint"),
        ((*FIT, "-o", "taken"), "taken.checkpoint exists and is not a checkpoint"),
        ((*FIT, "-o", "locked"), "locked.lock would be the lock of locked"),
        ((*FIT, "-o", "new", "--checkpoint", "stopped"), "is the checkpoint of a fit"),
        (("predict", "m.flowssl", "flowers.csv", "-o", "flowers.csv"), "is DATA"),
        (("predict", "m.flowssl", "flowers.csv", "-o", "hard.csv"), "is DATA"),
        (("predict", "model.csv", "flowers.csv", "-o", "model.csv"), "-o model.csv is MODEL"),
        (("predict", "m.flowssl", "flowers.csv", "-o", "binary.csv"), "is not a table of text"),
        (("predict", "m.flowssl", "flowers.csv", "-o", "text.parquet"), "is not a Parquet file"),
        (("score", "m.flowssl", "flowers.csv", "-o", "symbolic.csv"), "is DATA"),
        (("sample", "model.csv", "-n", "3", "-o", "model.csv"), "-o model.csv is MODEL"),
        ((*REPORT, "-o", "flowers.csv"), "-o flowers.csv is DATA"),
        ((*REPORT, "-o", "hard.flowssl"), "is MODEL"),
        ((*REPORT, "-o", "labels.csv", "--test", "labels.csv"), "is --test"),
        ((*REPORT, "-o", "labels.csv", "--test-labels", "labels.csv"), "is --test-labels"),
        ((*REPORT, "-o", "notes.txt"), "is not an HTML page"),
        (("demo", "-o", "."), "holds model.flowssl, which would be replaced"),
    ],
)
def test_nothing_is_destroyed(
    links: Path, run: Run, standin: ModuleType, arguments: tuple[str, ...], cause: str
) -> None:
    shutil.copy("m.flowssl", "model.csv")
    shutil.copy("m.flowssl", "model.flowssl")
    standin.write_state("stopped", "hours of training")
    Path("taken.checkpoint").write_text("of another program")
    Path("locked.lock").write_text("of another program")
    before = contents(links)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert cause in err
    assert contents(links) == before


def test_the_same_kind_is_replaced(
    links: Path, run: Run, flowers: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("empty").touch()
    for output in ("m.flowssl", "empty"):  # an empty file is what mktemp makes
        assert run(*FIT, "-o", output, "--smoothing", "1e-3")[0] == 0
        assert read_manifest(output)["columns"] == ["len", "width", "height"]
    Path("old.csv").write_text("a\n1\n")
    flowers.to_parquet("old.parquet")
    for output in ("old.csv", "old.parquet"):
        assert run("predict", "m.flowssl", "flowers.csv", "-o", output)[0] == 0
    assert len(pd.read_csv("old.csv")) == len(pd.read_parquet("old.parquet")) == 90
    damaged = Path("m.flowssl").read_bytes()[:-50]
    Path("damaged.flowssl").write_bytes(damaged)
    assert run(*FIT, "-o", "damaged.flowssl")[0] == 0
    assert read_manifest("damaged.flowssl")
    written = []
    monkeypatch.setattr("flowssl.report.write_report", lambda *a, **k: written.append(a[3]))
    assert run(*REPORT, "-o", "page.html")[0] == 0
    assert written == ["page.html"]


def test_a_stopped_fit_is_continued_or_its_checkpoint_deleted_as_the_message_says(
    folder: Path, run: Run, standin: ModuleType
) -> None:
    standin.write_state("c", "hours of training")
    fit = (*FIT, "-o", "m.flowssl", "--checkpoint", "c")
    code, _, err = run(*fit)
    assert code == 2
    assert "add --resume to continue it, with the same data and options, or delete it" in err
    assert run(*fit, "--resume")[0] == 0
    standin.write_state("c", "hours of training")
    Path("c").unlink()
    assert run(*fit)[0] == 0


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (".", "it is a folder"),
        ("nowhere/m", "there is no directory"),
        ("flowers.csv/m", "Not a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("dangling", "there is no directory"),
        ("x" * 300, "File name too long"),
        ("x" * 250, "File name too long"),  # that of its checkpoint
        ("/dev/full", "No space left on device"),
        ("/proc/m", "cannot be written"),
    ],
)
@pytest.mark.parametrize("option", ["-o", "--report", "--checkpoint"])
def test_places_are_tried_before_anything_is_read(
    folder: Path, run: Run, output: str, cause: str, option: str
) -> None:
    if output.startswith("/") and not Path(output).parent.exists():
        pytest.skip("not on this system")
    if len(output) == 250 and option != "-o":
        pytest.skip("this name is short enough")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nowhere/m")
    others = () if option == "-o" else ("-o", "new.flowssl")
    code, out, err = run("fit", "absent.csv", "--target", "y", option, output, *others)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert cause in err
    assert output in err
    assert {path.name for path in folder.iterdir()} == {"flowers.csv", "loop", "dangling"}


@pytest.mark.parametrize("command", ["predict", "score", "sample", "report"])
def test_places_of_other_commands_are_tried_before_the_data_are_read(
    model: str, run: Run, command: str
) -> None:
    words = {
        "sample": (model, "-n", "1"),
        "report": (model, "absent.csv", "--target", "kind"),
    }.get(command, (model, "absent.csv"))
    code, _, err = run(command, *words, "-o", "flowers.csv/p.csv")
    assert code == 2
    assert "flowers.csv/p.csv: cannot be written: Not a directory" in err


def test_read_only_places(folder: Path, run: Run) -> None:
    """Folders and files that must not be written to; for root, by an attribute of theirs."""
    Path("closed").mkdir()
    Path("closed/r.html").write_text("<html>")
    if os.geteuid() == 0:
        set_, places = ("chattr", "+i"), ("closed", "closed/r.html")
        if subprocess.run([*set_, "closed"], capture_output=True, check=False).returncode:
            pytest.skip("this file system has no attributes")
        unset = ("chattr", "-i")
    else:
        set_, unset, places = ("chmod", "a-w"), ("chmod", "u+w"), ("closed", "closed/r.html")
    subprocess.run([*set_, *places], check=True)
    try:
        code, _, err = run(*FIT, "-o", "closed/m.flowssl")
        assert code == 2
        assert "closed/m.flowssl: cannot be written: " in err
        code, _, err = run(*FIT, "-o", "m.flowssl", "--report", "closed/r.html")
        assert code == 2
        assert "closed/r.html: cannot be written: " in err
    finally:
        subprocess.run([*unset, *places], check=True)
    assert [path.name for path in Path("closed").iterdir()] == ["r.html"]


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("predict m.flowssl flowers.csv", "flowers.csv"),
        ("score m.flowssl flowers.csv", "m.flowssl"),
        ("evaluate m.flowssl flowers.csv --target kind", "flowers.csv"),
        ("info m.flowssl", "m.flowssl"),
        ("fit flowers.csv --target kind -o new.flowssl", "flowers.csv"),
    ],
)
def test_results_are_not_added_to_an_input(
    model: str, folder: Path, command: str, output: str
) -> None:
    """As ``flowssl predict m.flowssl flowers.csv >> flowers.csv`` would."""
    before = contents(folder)
    done = subprocess.run(
        f"{sys.executable} -m flowssl {command} >> {output}",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"flowssl: standard output is {output}, which is an input; send it elsewhere.\n"
    )
    assert contents(folder) == before


def test_devices_get_no_company(folder: Path, run: Run) -> None:
    assert run(*FIT, "-o", "/dev/null", "-q") == (0, "", "")
    assert not Path("/dev/null.checkpoint").exists()


def test_samples_of_images_do_not_mix_with_other_files(tmp_path: Path) -> None:
    from flowssl.cli.outputs import check_folder

    pattern = r"\d{5,}_.*\.png"
    check_folder(str(tmp_path / "new" / "deep"), pattern)
    (tmp_path / "00000_cat.png").touch()
    (tmp_path / ".DS_Store").touch()
    check_folder(str(tmp_path), pattern)
    (tmp_path / "holiday.png").touch()
    with pytest.raises(ValueError, match=r"holds holiday\.png; name a folder that is new"):
        check_folder(str(tmp_path), pattern)
    with pytest.raises(ValueError, match="is a file; name a folder"):
        check_folder(str(tmp_path / "holiday.png"), pattern)
    with pytest.raises(OSError, match="Not a directory"):
        check_folder(str(tmp_path / "holiday.png" / "deep"), pattern)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real model and rows whose results are more than a pipe holds."""
    from flowssl import FlowGMMClassifier

    folder = tmp_path_factory.mktemp("saved")
    X = np.random.default_rng(0).standard_normal((20, 2))
    model = FlowGMMClassifier(architecture="affine", max_epochs=1, random_state=0)
    model.fit(X, np.arange(20) % 2).save(folder / "m.flowssl")
    np.save(folder / "x.npy", np.tile(X, (500, 1)))
    return folder


@pytest.mark.parametrize(
    ("redirection", "code", "error"),
    [
        (">/dev/full", 2, "No space left on device"),
        (">&-", 2, "standard output is closed; name a file with -o."),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        ("| head -c 1", 0, ""),
    ],
)
def test_where_the_shell_sends_results(
    saved: Path, redirection: str, code: int, error: str
) -> None:
    command = f"{sys.executable} -m flowssl score m.flowssl x.npy {redirection}"
    done = subprocess.run(
        command, shell=True, cwd=saved, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert error in done.stderr
    assert done.stderr.count("\n") <= 1


def test_info_with_nowhere_to_write(saved: Path) -> None:
    command = f"{sys.executable} -m flowssl info m.flowssl"
    for redirection, code in ((">/dev/full", 2), (">&-", 0), ("| head -c 1", 0)):
        done = subprocess.run(
            f"{command} {redirection}",
            shell=True,
            cwd=saved,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
        assert "Exception" not in done.stderr
