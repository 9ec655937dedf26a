"""The public names of flowssl: those in ``__all__`` of its modules without an underscore."""

import ast
import inspect
import pkgutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import flowssl

# Public modules without a page of names.
ELSEWHERE = {
    "flowssl.cli": "the command line has a page of its own",
    "flowssl.estimators": "its classifiers are exported, and documented, as flowssl.*",
}


def public_modules() -> list[str]:
    """List the modules whose names are documented, ``flowssl`` itself first."""
    found = [f"flowssl.{m.name}" for m in pkgutil.iter_modules(flowssl.__path__)]
    listed = (name for name in found if not name.rpartition(".")[2].startswith("_"))
    return ["flowssl", *(m for m in listed if m not in ELSEWHERE and public_names(m))]


def public_names(module: str) -> list[str]:
    """List the names in a module's ``__all__``, without those that Python itself defines."""
    names = getattr(import_module(module), "__all__", ())
    return [name for name in names if not name.startswith("__")]


def constant_docs(module: str) -> dict[str, str]:
    """Return the documentation of the names that are neither classes nor functions.

    A string below an assignment documents it; the names of a dictionary's entries are added.
    """
    home = import_module(module)
    docs = {}
    for name in public_names(module):
        value = getattr(home, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            continue
        docs[name] = _string_below(module, name)
        if isinstance(value, dict):
            docs[name] += f"\n\nKeys: {', '.join(f'``{key!r}``' for key in value)}."
    return docs


def _string_below(module: str, name: str) -> str:
    """Return the string below the assignment of a name, there or where it is imported from."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    for node, following in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.ImportFrom) and name in {a.asname or a.name for a in node.names}:
            assert node.module is not None
            return _string_below(node.module, name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            documented = isinstance(following, ast.Expr)
            value = following.value if isinstance(following, ast.Expr) else None
            if documented and isinstance(value, ast.Constant) and isinstance(value.value, str):
                return inspect.cleandoc(value.value)
            return ""
    return ""
