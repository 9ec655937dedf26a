"""The benchmark for GPUs, every part of it run on the CPU."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import measures
from benchmarks.gpu.cases import NAMES, QUICK, images, untrained
from torch.autograd import DeviceType


def test_without_a_card_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main([]) == 0
    assert "no CUDA device" in capsys.readouterr().out


def test_every_part_runs_on_the_cpu(tmp_path, capsys):
    assert command.main(["--device", "cpu", "--quick", "--results", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "cpu.json").read_text())
    assert found["failures"] == []
    assert [row["case"] for row in found["sameness"]] == list(NAMES)
    assert {row["dtype"] for row in found["sameness"]} == {"float64"}
    settings = {(row["case"], row["precision"]) for row in found["speed"]}
    assert settings == {(name, kind) for name in NAMES for kind in ("32-true", "bf16-mixed")}
    assert all(math.isfinite(row["loss"]) for row in found["speed"])
    # The mean of the parts' losses is that of the batch: two processes take the same steps.
    assert found["two_processes"][0]["largest_difference"] < 1e-4
    assert set(found["seconds"]) == {*command.PARTS, "all"}
    page = (tmp_path / "cpu.md").read_text()
    assert page.startswith("# Trial without a card")
    assert page in capsys.readouterr().out


@pytest.mark.parametrize(
    ("measure", "status"),
    [(lambda: {"same": True}, 0), (lambda: {"same": False}, 1), (lambda: 1 / 0, 1)],
)
def test_differences_and_failures_are_written_and_decide_the_exit_status(
    tmp_path, monkeypatch, measure, status
):
    tasks = [("sameness", "a", measure), ("sameness", "b", lambda: {"same": True})]
    monkeypatch.setattr(command, "tasks", lambda device, *, quick: tasks)
    assert command.main(["--device", "cpu", "--results", str(tmp_path)]) == status
    found = json.loads((tmp_path / "cpu.json").read_text())
    assert found["sameness"][-1] == {"same": True}
    assert len(found["sameness"]) + len(found["failures"]) == 2


def test_differences_are_the_largest_and_nan_is_one():
    one = np.asarray([1.0, 2.0]), np.asarray([[0.5, 0.5]])
    other = np.asarray([1.5, 2.0]), np.asarray([[0.25, 0.75]])
    assert measures.differences(one, other) == (0.5, 0.25)
    assert measures.is_same(9e-3, 9e-4)
    assert not measures.is_same(2e-2, 0.0)
    assert not measures.is_same(0.0, 2e-3)
    assert not measures.is_same(math.nan, 0.0)


def test_kernels_are_counted_once():
    def event(kind, microseconds, *, region=False):
        return SimpleNamespace(
            device_type=kind, self_device_time_total=microseconds, is_user_annotation=region
        )

    launch, kernel = event(DeviceType.CPU, 2e6), event(DeviceType.CUDA, 2e6)
    region = event(DeviceType.CUDA, 2e6, region=True)
    assert measures.kernel_seconds([launch, kernel, region]) == pytest.approx(2.0)


def test_a_card_without_bfloat16_is_no_failure(monkeypatch):
    monkeypatch.setattr(measures, "has_bfloat16", lambda device: False)
    row = measures.speed("digits", "cpu", "bf16-mixed", compiled=False, size=QUICK)
    assert row["note"] == "no bfloat16 here"
    assert row["steps_per_second"] is None


@pytest.mark.parametrize("name", NAMES)
def test_untrained_models_fit_their_rows(name):
    model, rows = untrained(name, QUICK)
    with torch.no_grad():
        assert model(rows.x[:5]).isfinite().all()
    assert int(rows.labeled.sum()) == 100


def test_images_are_shifted_digits():
    pixels, truth = images(40, 16)
    assert pixels.shape == (40, 1, 16, 16)
    assert pixels.max() > 200
    assert (pixels[:, 0].any(axis=2).sum(axis=1) <= 12).all()
    assert set(truth) <= set(range(10))
