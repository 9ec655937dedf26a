"""The speed benchmark: fair candidates, honest clocks, a table from one command."""

import json
import math

import pytest
import torch
from benchmarks.speed import products, sameness
from benchmarks.speed.__main__ import main
from benchmarks.speed.models import FLOWS, Size
from benchmarks.speed.timing import Timing, interleaved, ratio

SIZE = Size(7, 16, 20)


def test_libraries_hold_the_same_weights_and_give_the_same_likelihood():
    for library in ("zuko", "nflows", "normflows"):
        pytest.importorskip(library, reason="the libraries are in the extra 'bench'")
    assert sameness.largest_difference(FLOWS, SIZE) < sameness.TOLERANCE
    assert max(sameness.log_det_error(flow, SIZE) for flow in FLOWS) < sameness.TOLERANCE


def test_products_are_float32_and_counted_right():
    for name, product in products.available().items():
        assert products.relative_error(product) < 2e-6, name
    before = torch.backends.mkldnn.matmul.fp32_precision
    assert math.isfinite(products.relative_error_of_bf16_flag())
    assert torch.backends.mkldnn.matmul.fp32_precision == before
    seen = []

    def count(a, b):
        seen.append(2 * a.shape[0] * a.shape[1] * b.shape[0])
        return a @ b.T

    for backward, each in ((True, 3), (False, 1)):
        seen.clear()
        products.floor(SIZE, count, backward=backward)()
        assert len(seen) == 7 * 2 * each
        assert sum(seen) == pytest.approx(1e9 * products.gflop(SIZE, backward=backward))


def test_windows_are_interleaved_and_ratios_are_taken_round_by_round(monkeypatch):
    monkeypatch.setattr("benchmarks.speed.timing.WINDOW_SECONDS", 0.0)
    calls = []
    timings = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert "".join(calls[-12:]) == "aabbaabbaabb"
    assert timings["a"].least <= timings["a"].median <= timings["a"].most
    slow, quick = Timing(0, 0, 0, [2.0, 40.0, 6.0]), Timing(0, 0, 0, [1.0, 10.0, 2.0])
    assert ratio(slow, quick) == 3.0


def test_one_command_writes_figures_and_table(monkeypatch, tmp_path, capsys):
    for library in ("zuko", "nflows", "normflows"):
        pytest.importorskip(library, reason="the libraries are in the extra 'bench'")
    monkeypatch.setattr("benchmarks.speed.timing.WINDOW_SECONDS", 0.001)
    monkeypatch.setattr("benchmarks.speed.machine.PEAK_SECONDS", 0.01)
    main(
        [
            "--sizes",
            str(SIZE),
            "--threads",
            "1",
            "--repeats",
            "2",
            "--no-compile",
            "-o",
            str(tmp_path),
        ]
    )
    record = json.loads((tmp_path / "speed.json").read_text())
    (size,) = record["sizes"]
    assert {"flowssl", "zuko", "nflows", "normflows"} <= set(size["training"])
    assert all(timing["least"] > 0 for timing in size["training"].values())
    assert record["machine"]["threads"] == 1
    assert "| normflows |" in (tmp_path / "table.md").read_text()
    assert "| zuko |" in capsys.readouterr().out
