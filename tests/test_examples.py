"""Every example runs as its users run it, without a warning."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RUNS = {
    "quickstart.py": ([], {"digits.flowssl", "digits.html"}),
    "mixed_table.py": ([], {"orders.html"}),
    "paper_figures.py": (
        ["--data", "moons"],
        {"moons_flow.png", "moons_boundary.png", "moons_labels_only.png"},
    ),
}


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_example_runs(name, tmp_path):
    options, files = RUNS[name]
    command = [sys.executable, "-W", "error", EXAMPLES / name, "--fast", "--output", tmp_path]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert {path.name for path in tmp_path.iterdir()} == files
