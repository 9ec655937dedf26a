"""The shape of the source: no circles, functions on one screen, few parameters, public names."""

import ast
import importlib
import pkgutil
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import flowssl

SOURCE = Path(flowssl.__file__).parents[1]
MAX_LINES = 62
MAX_FILE_LINES = 420
MAX_PARAMETERS = 8

FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def imported(name):
    """The files that a file names in its imports, those for type checking and late ones too."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in FILES else node.module


def test_there_are_no_import_circles():
    graph = {name: {other for other in imported(name) if other in FILES} for name in FILES}
    # The top package names what it loads on first use; that is no import of a file below it.
    graph["flowssl"] = set()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_circle_would_be_found():
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}}).prepare()


def functions():
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield name, node


def test_functions_stay_on_one_screen():
    """Constructors of estimators list their parameters, and nothing else is longer."""
    long = [
        f"{name}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for name, node in functions()
        if node.end_lineno - node.lineno + 1 > MAX_LINES
    ]
    assert not long


def test_functions_take_few_parameters():
    many = [
        f"{name}.{node.name}"
        for name, node in functions()
        if node.name != "__init__"
        and len(
            [a for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")]
        )
        > MAX_PARAMETERS
    ]
    assert not many


def test_files_are_one_room_each():
    assert not [
        name for name, path in FILES.items() if len(path.read_text().splitlines()) > MAX_FILE_LINES
    ]


def test_array_types_are_named_once():
    aliases = [
        ast.unparse(node.value)
        for tree in TREES.values()
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        if "NDArray[" in ast.unparse(node.value)
    ]
    assert len(aliases) == len(set(aliases))


def public_modules():
    """Modules with public names: packages, and files of the top package without underscore."""
    yield "flowssl"
    for module in pkgutil.iter_modules(flowssl.__path__, "flowssl."):
        if not module.name.removeprefix("flowssl.").startswith("_"):
            yield module.name


@pytest.mark.parametrize("name", list(public_modules()))
def test_public_names_are_there_and_sorted(name):
    module = importlib.import_module(name)
    assert all(hasattr(module, public) for public in module.__all__)


def test_files_inside_packages_list_no_public_names():
    public = set(public_modules())
    lists = {
        name
        for name, tree in TREES.items()
        if any(
            isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__" for n in tree.body
        )
    }
    assert lists <= public
