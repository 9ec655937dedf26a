"""A training that was stopped, by an error or a signal, resumes to the same bits."""

import importlib.util
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from flowssl._persistence import write_model_file
from flowssl.exceptions import ModelFileError
from flowssl.training import TrainingRows

RUNS = Path(__file__).with_name("runs.py")


@pytest.fixture(scope="module")
def runs() -> ModuleType:
    specification = importlib.util.spec_from_file_location("training_runs", RUNS)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def uninterrupted(runs):
    return runs.run(None)


def assert_same_run(actual, expected) -> None:
    (model, result), (expected_model, expected_result) = actual, expected
    for name, value in expected_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    without_time = [
        [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in each.history]
        for each in (result, expected_result)
    ]
    assert without_time[0] == without_time[1]
    assert result.best_epoch == expected_result.best_epoch


def fail() -> None:
    raise OSError("the power went out")


def test_writing_checkpoints_changes_nothing(runs, uninterrupted, tmp_path):
    assert_same_run(runs.run(tmp_path / "checkpoint"), uninterrupted)


@pytest.mark.parametrize("step", [0, 4, 9, 19])
def test_run_stopped_by_an_error_goes_on_with_the_same_bits(runs, uninterrupted, tmp_path, step):
    path = tmp_path / "checkpoint"
    with pytest.raises(OSError, match="power"):
        runs.run(path, step=step, action=fail)
    assert path.exists() is (step >= runs.CONFIG.steps_per_epoch)
    assert_same_run(runs.run(path), uninterrupted)


def test_run_killed_with_sigkill_goes_on_with_the_same_bits(runs, uninterrupted, tmp_path):
    path = tmp_path / "checkpoint"
    done = subprocess.run([sys.executable, RUNS, path, "14"], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert path.exists()
    assert_same_run(runs.run(path), uninterrupted)


def test_finished_run_is_not_trained_again(runs, uninterrupted, tmp_path):
    path = tmp_path / "checkpoint"
    runs.run(path)
    assert_same_run(runs.run(path, step=0, action=fail), uninterrupted)


def test_interrupted_run_goes_on_with_the_same_bits(runs, uninterrupted, tmp_path):
    def interrupt() -> None:
        raise KeyboardInterrupt

    path = tmp_path / "checkpoint"
    _, result = runs.run(path, step=13, action=interrupt)
    assert result.interrupted
    assert len(result.history) == 3
    assert_same_run(runs.run(path), uninterrupted)


def relabeled(rows: TrainingRows) -> TrainingRows:
    return replace(rows, labeled=~rows.labeled)


@pytest.mark.parametrize(
    "change",
    [
        lambda runs: {"config": replace(runs.CONFIG, learning_rate=1e-4)},
        lambda runs: {"config": replace(runs.CONFIG, seed=4)},
        lambda runs: {"rows": runs.make_rows(seed=9)},
        lambda runs: {"rows": relabeled(runs.make_rows())},
        lambda runs: {"held_out": runs.make_rows(seed=9)},
        lambda runs: {"hidden": 9},
        lambda runs: {"weight": 3.0},
    ],
    ids=["rate", "seed", "rows", "labels", "held-out rows", "architecture", "objective"],
)
def test_checkpoint_of_another_run_is_refused(runs, tmp_path, change):
    path = tmp_path / "checkpoint"
    with pytest.raises(OSError, match="power"):
        runs.run(path, step=5, action=fail)
    with pytest.raises(ModelFileError, match="other data or with other settings"):
        runs.run(path, **change(runs))


def test_damaged_checkpoint_is_refused(runs, tmp_path):
    path = tmp_path / "checkpoint"
    with pytest.raises(OSError, match="power"):
        runs.run(path, step=5, action=fail)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelFileError):
        runs.run(path)


def test_model_file_is_no_checkpoint(runs, tmp_path):
    path = tmp_path / "model.flowssl"
    write_model_file(path, {"kind": "estimator"}, {})
    with pytest.raises(ModelFileError, match="not a training checkpoint"):
        runs.run(path)
