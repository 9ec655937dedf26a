"""The examples are in the form of the gallery; the build of the site runs them (`make docs`)."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_every_example_has_a_place_in_the_gallery():
    tree = ast.parse((ROOT / "docs" / "_extensions" / "generated_pages.py").read_text())
    (order,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "GALLERY"
    )
    assert sorted(order) == [path.stem for path in EXAMPLES]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_a_title_and_explains_its_steps(path):
    text = path.read_text(encoding="utf-8")
    title, underline, blank, summary = (ast.get_docstring(ast.parse(text)) or "").split("\n")[:4]
    assert underline == "=" * len(title)
    assert not blank
    assert summary
    steps = re.findall(r"^# %%\n# \S", text, re.M)
    assert len(steps) == text.count("# %%") >= 3
