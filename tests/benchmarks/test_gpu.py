"""The benchmark for GPUs, run in full on the processor."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def run(*words):
    command = [sys.executable, "-m", "benchmarks.gpu", *words]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card, so the benchmark would run")
def test_without_a_card_it_says_so():
    assert "no CUDA device" in run()


def test_every_part_runs_on_the_processor(tmp_path):
    out = run("--device", "cpu", "--quick", "--results", str(tmp_path))
    found = json.loads((tmp_path / "cpu.json").read_text())
    assert [row["case"] for row in found["sameness"]] == ["digits", "embeddings", "images", "scnf"]
    assert all(row["same"] for row in found["sameness"])
    assert {row["precision"] for row in found["speed"]} == {"32-true", "bf16-mixed"}
    # The mean of the parts' losses is that of the batch: two processes take the same steps.
    assert found["two_processes"]["largest_difference"] < 1e-4
    assert "## speed" in out
