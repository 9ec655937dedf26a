"""The layers of the report: each file imports from layers below its own only."""

import ast
from pathlib import Path

import pytest

import flowssl.report

ROOT = Path(flowssl.report.__file__).parent
PACKAGE = "flowssl.report."
LAYERS = ("markup", "facts", "blocks", "sections", "kinds.base", "kinds", "page")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in ROOT.rglob("*.py")
    if path.name != "__init__.py"
}


def layer(module):
    """Position of the layer that a module is, or is a part of."""
    names = [name for name in LAYERS if f"{module}.".startswith(f"{name}.")]
    return LAYERS.index(max(names, key=len))


def imported(path):
    """Modules of the report that a file imports, for type checkers only or not."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "module")]
    modules = [node.module for node in nodes if node.module.startswith(PACKAGE)]
    return [module.removeprefix(PACKAGE) for module in modules]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_come_from_below(module):
    assert all(layer(other) < layer(module) for other in imported(MODULES[module]))
