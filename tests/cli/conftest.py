"""The command line on a small estimator in the place of the real one, and tables to use it on."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import flowssl
from flowssl.cli import main, signatures


@pytest.fixture(scope="session")
def standin() -> ModuleType:
    path = Path(__file__).with_name("standin.py")
    spec = importlib.util.spec_from_file_location("standin", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["standin"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def use_standin(standin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(standin.__file__).read_text()
    # Not setattr, which would first import what it replaces.
    monkeypatch.setitem(vars(flowssl), "FlowGMMClassifier", standin.FlowGMMClassifier)
    monkeypatch.setitem(vars(flowssl), "load", standin.load)
    read = signatures.source_text

    def source_text(module: str) -> str:
        return source if module == "flowssl.estimators.flowgmm" else read(module)

    monkeypatch.setattr(signatures, "source_text", source_text)


@pytest.fixture
def run(
    use_standin: None, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def flowers() -> pd.DataFrame:
    """Three classes of 30 rows in three columns; two thirds of the labels are empty."""
    rng = np.random.default_rng(0)
    kinds = np.repeat(["iris", "lily", "rose"], 30)
    centers = np.repeat([[0.0, 0, 0], [3, 0, 1], [0, 3, 2]], 30, axis=0)
    frame = pd.DataFrame(centers + rng.standard_normal((90, 3)), columns=["len", "width", "height"])
    frame["kind"] = np.where(np.arange(90) % 3 == 0, kinds, None)
    frame["truth"] = kinds
    frame["row"] = np.arange(90) + 1000
    return frame


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flowers: pd.DataFrame) -> Path:
    """A working directory with the table as `flowers.csv`."""
    monkeypatch.chdir(tmp_path)
    flowers.to_csv("flowers.csv", index=False)
    return tmp_path


FIT = ("fit", "flowers.csv", "--target", "kind", "--drop", "truth,row", "-o", "m.flowssl")


@pytest.fixture
def model(folder: Path, run: Callable[..., tuple[int, str, str]]) -> str:
    """The name of a model fitted on the table."""
    code, _, err = run(*FIT, "-q")
    assert (code, err) == (0, "")
    return "m.flowssl"
