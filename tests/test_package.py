"""The package itself: its version, what importing it costs, its lazy names."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import flowssl


def test_version_is_that_of_the_project_file():
    project_file = Path(__file__).resolve().parents[1] / "pyproject.toml"
    project = tomllib.loads(project_file.read_text())["project"]
    assert flowssl.__version__ == project["version"]


def test_import_brings_in_no_heavy_module():
    code = "import sys, flowssl; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "numpy", "sklearn", "scipy", "pandas", "lightning_fabric", "rich"}
    assert not heavy & set(done.stdout.split())


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        flowssl.no_such_name  # noqa: B018


def test_every_public_name_is_listed_and_loads():
    for name in flowssl.__all__:
        assert name in dir(flowssl)
        assert getattr(flowssl, name) is not None
