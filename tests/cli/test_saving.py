"""A training that is done is not lost when its model or report cannot be written.

Real fits; the place of an output turns bad after the checks that come before the training.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import flowssl
from flowssl._persistence import read_model_file
from flowssl.cli import main
from flowssl.exceptions import TrainingDivergedError
from flowssl.training import run
from flowssl.training.checkpoints import keep_checkpoints
from flowssl.training.run import TrainingRun

FIT = ("fit", "t.csv", "--target", "kind", "--architecture", "affine", "--max-epochs", "2")
SEEDED = (*FIT, "--random-state", "0", "--propagation-weight", "1", "-q")
TRAINING = "out/m.flowssl.checkpoint"
EPOCH = TrainingRun._one_epoch


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The tensors of an undisturbed fit, by its number of models."""
    folder = tmp_path_factory.mktemp("models")
    with chdir(folder):
        write_table()
        for members in ("1", "3"):
            assert main([*SEEDED, "--n-estimators", members, "-o", members]) == 0
        return {members: tensors(members) for members in ("1", "3")}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_table()
    Path("out").mkdir()
    return tmp_path


def write_table() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 2
    frame = pd.DataFrame(rng.standard_normal((60, 2)) + 3 * truth[:, None], columns=["a", "b"])
    frame["kind"] = np.where(np.arange(60) < 12, np.where(truth == 1, "dog", "cat"), None)
    frame.to_csv("t.csv", index=False)


@pytest.fixture
def after_fit(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Do something when the training is done and nothing is saved."""
    fit = flowssl.FlowGMMClassifier.fit

    def prepare(action: Callable[[], object]) -> None:
        def fit_and_act(self: object, X: object, y: object) -> object:
            fit(self, X, y)
            action()
            return self

        monkeypatch.setattr(flowssl.FlowGMMClassifier, "fit", fit_and_act)

    return prepare


def becomes_full(path: str) -> None:
    """Let a path lead to a device on which nothing has room."""
    Path(path).symlink_to("/dev/full")


def trains_again(run: TrainingRun) -> float:
    """Stand in for an epoch; only the class densities, which take seconds, may be refitted."""
    if run.checkpoint is not None:
        pytest.fail("it trains again")
    return EPOCH(run)


def fill(folder: str) -> None:
    with suppress(OSError), Path(folder, "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def tensors(path: str) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in read_model_file(path).tensors.items()}


@pytest.mark.parametrize(
    ("members", "broken", "spoil", "repair", "cause"),
    [
        (
            "3",
            "out/m.flowssl",
            lambda: becomes_full("out/m.flowssl"),
            lambda: Path("out/m.flowssl").unlink(),
            "No space left on device",
        ),
        (
            "1",
            "out/m.flowssl",
            lambda: Path("out/m.flowssl").mkdir(),
            lambda: Path("out/m.flowssl").rmdir(),
            "it is a folder",
        ),
        (
            "1",
            "out/m.flowssl",
            lambda: Path("out/m.flowssl").symlink_to("m.flowssl"),
            lambda: Path("out/m.flowssl").unlink(),
            "Too many levels of symbolic links",
        ),
        (
            "1",
            "out/r.html",
            lambda: becomes_full("out/r.html"),
            lambda: Path("out/r.html").unlink(),
            "No space left on device",
        ),
        (
            "1",
            "out/r.html",
            lambda: Path("out/r.html").mkdir(),
            lambda: Path("out/r.html").rmdir(),
            "it is a folder",
        ),
    ],
    ids=["model: full", "model: folder", "model: loop", "report: full", "report: folder"],
)
def test_the_advice_after_a_failed_save_gives_the_model_without_training(
    home: Path,
    after_fit: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    models: dict[str, dict[str, bytes]],
    members: str,
    broken: str,
    spoil: Callable[[], None],
    repair: Callable[[], None],
    cause: str,
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no device /dev/full")
    fit = (*SEEDED, "--n-estimators", members)
    outputs = ["-o", "out/m.flowssl", *(["--report", broken] if "html" in broken else [])]
    after_fit(spoil)
    assert main([*fit, *outputs]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{broken}: cannot be written: {cause}" in error
    assert Path(TRAINING).exists()

    monkeypatch.undo()
    monkeypatch.chdir(home)
    monkeypatch.setattr(TrainingRun, "_one_epoch", trains_again)
    repair()
    program, *words = shlex.split(error.partition("run: ")[2])
    assert program == "flowssl"
    assert main(words) == 0
    assert capsys.readouterr().err == ""
    assert tensors("out/m.flowssl") == models[members]
    names = {path.name for path in Path("out").iterdir()}
    assert names == {"m.flowssl", *(["r.html"] if "html" in broken else [])}


def test_a_model_without_a_checkpoint_is_saved_elsewhere(
    home: Path,
    after_fit: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    models: dict[str, dict[str, bytes]],
) -> None:
    after_fit(lambda: shutil.rmtree("out"))  # and with it the checkpoint
    assert main([*SEEDED, "-o", "out/m.flowssl"]) == 2
    error = capsys.readouterr().err
    assert "out/m.flowssl: cannot be written: there is no directory" in error
    rescued = Path(re.search(r"saved as (\S+) instead", error)[1])
    assert tensors(rescued) == models["1"]
    shutil.rmtree(rescued.parent)


def test_a_save_into_a_full_file_system(
    home: Path,
    after_fit: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", "out"],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root mounts file systems")
    try:
        Path("out/m.flowssl").write_bytes(b"")
        fit = [*SEEDED, "-o", "out/m.flowssl", "--checkpoint", "c"]
        after_fit(lambda: fill("out"))
        assert main(fit) == 2
        assert "out/m.flowssl: cannot be written: No space left" in capsys.readouterr().err
        assert Path("out/m.flowssl").read_bytes() == b""
        assert {path.name for path in Path("out").iterdir()} == {"m.flowssl", "filler"}
        monkeypatch.undo()
        monkeypatch.chdir(home)
        assert main([*fit, "--resume"]) == 2  # is found out before anything is read
        assert "No space left" in capsys.readouterr().err
        subprocess.run(["mount", "-o", "remount,ro", "out"], check=True)
        assert main([*fit, "--resume"]) == 2
        assert "out/m.flowssl: cannot be written: Read-only file system" in capsys.readouterr().err
        assert main([*SEEDED, "-o", "elsewhere.flowssl", "--checkpoint", "c", "--resume"]) == 0
    finally:
        subprocess.run(["umount", "out"], check=True)


def test_a_checkpoint_that_cannot_be_written_any_more_keeps_the_last_one(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    models: dict[str, dict[str, bytes]],
) -> None:
    write, written = run.write_checkpoint, []

    def fail_the_second_time(path: Path, *details: object) -> None:
        written.append(path)
        if len(written) == 2:
            raise OSError(28, "cannot be written: No space left on device", str(path))
        write(path, *details)

    monkeypatch.setattr(run, "write_checkpoint", fail_the_second_time)
    assert main([*SEEDED, "-o", "out/m.flowssl"]) == 2
    error = capsys.readouterr().err
    assert main(shlex.split(error.partition("run: ")[2])[1:]) == 0
    assert tensors("out/m.flowssl") == models["1"]


def test_words_that_look_like_options_stay_data(
    home: Path,
    after_fit: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("t.csv").rename("-t.csv")
    words = ("fit", *SEEDED[2:], "-o", "out/a model.flowssl", "--", "-t.csv")
    after_fit(lambda: becomes_full("out/a model.flowssl"))
    assert main(words) == 2
    monkeypatch.undo()
    monkeypatch.chdir(home)
    Path("out/a model.flowssl").unlink()
    assert main(shlex.split(capsys.readouterr().err.partition("run: ")[2])[1:]) == 0


def test_a_fit_that_diverged_leaves_no_checkpoint_in_the_way(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = TrainingRun._one_epoch
    lost = [False, True, True, True]
    monkeypatch.setattr(
        TrainingRun,
        "_one_epoch",
        lambda self: float("nan") if lost and lost.pop(0) else epoch(self),
    )
    assert main([*SEEDED, "-o", "out/m.flowssl"]) == 1
    assert not list(Path("out").iterdir())
    assert main([*SEEDED, "-o", "out/m.flowssl", "--learning-rate", "1e-4"]) == 0


def test_without_matplotlib_a_report_is_refused_before_the_training(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("flowssl.cli.fit.find_spec", lambda name: None)
    assert main([*SEEDED, "-o", "out/m.flowssl", "--report", "out/r.html"]) == 2
    assert "pip install 'flowssl[plot]'" in capsys.readouterr().err
    assert not list(Path("out").iterdir())


class TestInPython:
    """`fit` alone removes its checkpoint; a caller who saves may let it stay until then."""

    X = np.random.default_rng(0).standard_normal((40, 2)) + 3 * (np.arange(40) % 2)[:, None]
    y = np.where(np.arange(40) < 10, np.arange(40) % 2, -1)

    def model(self, path: Path, **parameters: object) -> flowssl.FlowGMMClassifier:
        parameters = {"random_state": 0, "architecture": "affine", **parameters}
        return flowssl.FlowGMMClassifier(max_epochs=1, checkpoint=path, **parameters)

    def fit_without_saving(self, path: Path) -> None:
        with suppress(OSError), keep_checkpoints():
            self.model(path).fit(self.X, self.y)
            raise OSError("full")

    def test_it_stays_until_the_block_ends(self, tmp_path: Path) -> None:
        path = tmp_path / "c"
        with keep_checkpoints():
            first = self.model(path, n_estimators=2).fit(self.X, self.y)
            assert {file.name for file in tmp_path.iterdir()} == {"c", "c.1"}
        assert not list(tmp_path.iterdir())
        self.fit_without_saving(path)
        assert [file.name for file in tmp_path.iterdir()] == ["c"]
        again = self.model(path).fit(self.X, self.y)
        assert not list(tmp_path.iterdir())
        np.testing.assert_array_equal(again.transduction_, first.transduction_)

    def test_a_refit_is_not_taken_for_a_continuation(self, tmp_path: Path) -> None:
        path = tmp_path / "c"
        model = self.model(path, random_state=None).fit(self.X, self.y)
        first = model.predict_proba(self.X)
        assert (model.fit(self.X, self.y).predict_proba(self.X) != first).any()
        model.fit(self.X[::-1], self.y[::-1])  # other data
        assert not list(tmp_path.iterdir())

    def test_files_of_others_are_refused_at_once_and_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TrainingRun, "_one_epoch", lambda self: pytest.fail("it trains"))
        path = tmp_path / "c"
        path.write_text("notes")
        with pytest.raises(ValueError, match=f"cannot read model file '{path}'"):
            self.model(path).fit(self.X, self.y)
        assert path.read_text() == "notes"
        path.rename(tmp_path / "c.1")
        with pytest.raises(ValueError, match=r"c\.1'"):
            self.model(path, n_estimators=2).fit(self.X, self.y)
        (tmp_path / "c.1").unlink()
        monkeypatch.undo()
        self.fit_without_saving(path)
        path.rename(tmp_path / "c.1")
        with pytest.raises(ValueError, match=r"c\.1 is left over from another fit"):
            self.model(path, n_estimators=2).fit(self.X, self.y)
        assert (tmp_path / "c.1").exists()

    def test_two_fits_with_one_checkpoint(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, inner = tmp_path / "c", []
        evaluate = TrainingRun._evaluate

        def fit_another(self_: TrainingRun) -> dict[str, float]:
            if not inner:
                inner.append(None)
                with pytest.raises(ValueError, match="is being written by another fit"):
                    self.model(path).fit(self.X, self.y)
            return evaluate(self_)

        monkeypatch.setattr(TrainingRun, "_evaluate", fit_another)
        self.model(path).fit(self.X, self.y)
        assert inner
        assert not list(tmp_path.iterdir())

    def test_a_divergence_removes_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(TrainingRun, "_one_epoch", lambda self: float("nan"))
        with pytest.raises(TrainingDivergedError):
            self.model(tmp_path / "c").fit(self.X, self.y)
        assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from flowssl import _files
from flowssl.cli import main

replace, number = Path.replace, getattr(signal, sys.argv[1])

def replace_or_die(self, target):
    if str(target).endswith("m.flowssl"):
        os.kill(os.getpid(), number)
    return replace(self, target)

Path.replace = replace_or_die
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):  # which nohup has its children ignore
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("SIGINT", 130, "interrupted."),
        ("SIGTERM", 143, "ended by SIGTERM."),
        ("SIGHUP", 129, "ended by SIGHUP."),
        ("SIGKILL", -signal.SIGKILL, ""),
    ],
)
def test_a_signal_while_the_model_is_saved(
    home: Path, models: dict[str, dict[str, bytes]], name: str, code: int, words: str
) -> None:
    """The signal comes when the new model is complete under its temporary name."""
    Path("out/m.flowssl").write_bytes(b"")  # of mktemp
    fit = [*SEEDED, "-o", "out/m.flowssl"]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, name, *fit], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert words in done.stderr
    assert Path("out/m.flowssl").read_bytes() == b""
    if name != "SIGKILL":
        left = {path.name for path in Path("out").iterdir()}
        of_density = {f"m.flowssl.checkpoint.x{i}" for i in range(2)}
        assert left == {"m.flowssl", "m.flowssl.checkpoint", *of_density}
        return
    assert main([*fit, "--resume"]) == 0
    assert tensors("out/m.flowssl") == models["1"]
    (left_over,) = Path("out").glob(".flowssl-*")
    os.utime(left_over, (0, 0))  # it is now more than a day old, and the next command removes it
    assert main(["info", "out/m.flowssl"]) == 0
    assert main(["sample", "out/m.flowssl", "-n", "1", "-o", "out/s.csv", "-q"]) == 0
    Path("out/s.csv").unlink()
    assert [path.name for path in Path("out").iterdir()] == ["m.flowssl"]


def test_two_fits_on_one_output(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second is refused while the first runs, and has a turn when the first is killed."""
    long = ["--max-epochs", "100000", "--no-early-stopping"]
    fit = [*SEEDED, "-o", "out/m.flowssl"]
    first = subprocess.Popen([sys.executable, "-m", "flowssl", *fit, *long], stderr=subprocess.PIPE)
    try:
        while not Path(TRAINING).exists():
            assert first.poll() is None, first.communicate()
            time.sleep(0.01)
        Path("link").symlink_to("out")
        for output in ("out/m.flowssl", "link/m.flowssl"):
            assert main([*SEEDED, "-o", output, "--checkpoint", "none"]) == 2
            assert f"{output} is being written by another fit" in capsys.readouterr().err
        assert main([*SEEDED, "-o", "out/n.flowssl", "--checkpoint", TRAINING, "--resume"]) == 2
        assert f"{TRAINING} is being written by another fit" in capsys.readouterr().err
        assert Path(TRAINING).exists()
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    Path(TRAINING).unlink()
    assert main(fit) == 0
    assert [path.name for path in Path("out").iterdir()] == ["m.flowssl"]
