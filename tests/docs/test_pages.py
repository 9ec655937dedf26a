"""What the pages show runs, and calls what exists with parameters that exist."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flowssl

ROOT = Path(__file__).resolve().parents[2]
_FILE = re.compile(r"# File (\S+)\n")

RUNNABLE = {
    "README.md": {"Example"},
    "docs/get-started.md": {"A table", "Text embeddings", "Images"},
    "docs/extending.md": {"A bijection", "A preset", "A class density", "A source of rows"},
}


def sections(page: str) -> dict[str, list[str]]:
    """The Python blocks of a page by the heading of level 1 or 2 that they stand under."""
    found: dict[str, list[str]] = {}
    heading = ""
    text = (ROOT / page).read_text(encoding="utf-8")
    for title, block in re.findall(r"^##? ([^\n]+)$|^```python\n(.*?)^```$", text, re.M | re.S):
        heading = title or heading
        if block:
            found.setdefault(heading, []).append(block)
    return found


def run_blocks(blocks: list[str], folder: Path) -> str:
    """Write the blocks that are files, run the others as one program and return its output."""
    program = []
    for block in blocks:
        file = _FILE.match(block)
        if file:
            (folder / file[1]).write_text(block, encoding="utf-8")
        else:
            program.append(block)
    (folder / "program.py").write_text("\n".join(program), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", RUNNABLE)
def test_every_block_of_a_runnable_page_is_run(page):
    assert set(sections(page)) == RUNNABLE[page]


@pytest.mark.parametrize(
    ("page", "heading"),
    [(page, heading) for page in RUNNABLE for heading in sorted(RUNNABLE[page])],
)
def test_blocks_run(page, heading, tmp_path):
    run_blocks(sections(page)[heading], tmp_path)


def calls(source):
    """The calls in a piece of Python, as (name, keywords)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, {word.arg for word in node.keywords if word.arg}


def parameters(name):
    return set(inspect.signature(getattr(flowssl, name)).parameters)


CLASSES = [name for name in flowssl.__all__ if name.endswith(("Classifier", "Options"))]
ANY_PARAMETER = set().union(*(parameters(name) for name in CLASSES))


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md", "docs/index.md"])
def test_parameters_that_pages_name_exist(page):
    for block in (block for blocks in sections(page).values() for block in blocks):
        for name, keywords in calls(block):
            if name in CLASSES:
                assert keywords <= parameters(name), f"{name} in {page}"


@pytest.mark.parametrize("page", ["docs/guide.md", "docs/method.md"])
def test_parameters_in_running_text_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    named = []
    for span in spans:
        if re.fullmatch(r"[a-z_]+=.+", span):
            ((_, keywords), *inner) = calls(f"f({span})")
            named += [
                *keywords,
                *(word for name, words in inner if name in CLASSES for word in words),
            ]
    methods = {"method", "sample_weight", "remove_class", "noise"}
    assert set(named) <= ANY_PARAMETER | methods
