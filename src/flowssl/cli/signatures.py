"""Parameters of a class from its source text, without importing it.

``flowssl fit --help`` must answer at once, and importing an estimator brings in PyTorch. So the
signature and the numpydoc ``Parameters`` section are read with `ast`: each parameter, its default
and its description are written once, at the class.
"""

from __future__ import annotations

import argparse
import ast
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Value = bool | int | float | str | list[int | float] | None

_GROUPS = "flowssl.estimators.options"  # the module of the classes that group parameters
_METAVARS = {
    "bool": "BOOL",
    "int": "INT",
    "float": "FLOAT",
    "str": "NAME",
    "path": "FILE",
    "list": "A,B,...",
}


class ClassPath(NamedTuple):
    """Where a class is: the dotted name of its module, and its own name."""

    module: str
    name: str


@dataclass(frozen=True)
class Parameter:
    """One parameter of a constructor.

    Attributes
    ----------
    name : str
        As in the signature.
    default : str
        The default as it is written there; empty if there is none.
    summary : str
        First sentence of its description in the docstring.
    kinds : tuple of str
        What it accepts, among ``"bool"``, ``"int"``, ``"float"``, ``"str"``, ``"path"``,
        ``"None"`` and ``"list"``; other types cannot be typed into a shell and are not listed.
    choices : tuple
        The values of its ``Literal`` types, or the quoted words of its type in the docstring.
    group : ClassPath or None
        The class, such as ``ObjectiveOptions``, whose parameters it holds together.
    """

    name: str
    default: str
    summary: str
    kinds: tuple[str, ...]
    choices: tuple[str | int | bool, ...]
    group: ClassPath | None = None

    @property
    def default_value(self) -> object:
        """The default as a value; None if there is none."""
        return ast.literal_eval(self.default) if self.default else None

    @property
    def typed_default(self) -> str:
        """The default as one would type it after the option."""
        value = self.default_value
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, tuple):
            return ",".join(map(str, value))
        return "none" if value is None else str(value)

    @property
    def metavar(self) -> str:
        """What to put after the option, as the help shows it."""
        names = [str(choice) for choice in self.choices]
        names += [_METAVARS[kind] for kind in self.kinds if kind != "None"]
        names += ["none"] if "None" in self.kinds else []
        return "|".join(names) or "VALUE"

    def parse(self, text: str) -> Value:
        """Turn the text of an option into a value that the parameter accepts.

        Raises
        ------
        argparse.ArgumentTypeError
            If it accepts nothing of this kind.
        """
        if "None" in self.kinds and text.lower() == "none":
            return None
        for choice in self.choices:
            if text == str(choice):
                return choice
        for kind, read in _READERS.items():
            if kind in self.kinds:
                try:
                    return read(text)
                except ValueError:
                    continue
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {self.metavar}")


def read_parameters(described_by: ClassPath) -> tuple[Parameter, ...]:
    """Read the constructor of a class from its source, without importing it.

    Parameters
    ----------
    described_by : ClassPath
        A class below a package that can be found; its docstring is numpydoc.

    Returns
    -------
    tuple of Parameter
        In the signature's order.
    """
    tree = ast.parse(source_text(described_by.module))
    scope = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}[described_by.name]
    aliases, groups = dict(_aliases(tree)), set(_imported_from(tree, _GROUPS))
    described = _described(ast.get_docstring(scope) or "")
    parameters = []
    for argument, default in _arguments(scope):
        names = {n.id for n in ast.walk(argument) if isinstance(n, ast.Name)}
        group = next(iter(names & groups), None)
        kinds, choices = _accepted(argument.annotation, aliases)
        type_, summary = described.get(argument.arg, ("", ""))
        if not choices and (named := tuple(re.findall(r'"([^"]*)"', type_))):
            # `str` in the signature, and in the docstring which ones.
            kinds, choices = tuple(kind for kind in kinds if kind != "str"), named
        parameters.append(
            Parameter(
                argument.arg,
                ast.unparse(default) if default is not None else "",
                summary,
                kinds,
                choices,
                ClassPath(_GROUPS, group) if group else None,
            )
        )
    return tuple(parameters)


def first_sentence(where: ClassPath) -> str:
    """Return the first sentence of a class's docstring, without its final stop."""
    tree = ast.parse(source_text(where.module))
    scope = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}[where.name]
    return _first_sentence(ast.get_docstring(scope) or "")


def source_text(module: str) -> str:
    """Return the source of a module, given by its dotted name, without importing it."""
    package, *inner = module.split(".")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"cannot find the package {package}.")
    path = Path(spec.submodule_search_locations[0], *inner).with_suffix(".py")
    return path.read_text(encoding="utf-8")


def _arguments(scope: ast.ClassDef) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Yield the constructor's arguments, less self, with their defaults."""
    constructor = next(
        n for n in scope.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"
    )
    arguments = constructor.args
    positional = arguments.args[1:]
    required = len(positional) - len(arguments.defaults)
    yield from zip(positional, [*[None] * required, *arguments.defaults], strict=True)
    yield from zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)


def _aliases(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value


def _imported_from(tree: ast.Module, module: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == module:
            yield from (name.name for name in node.names)


def _accepted(
    annotation: ast.expr | None, aliases: dict[str, ast.expr]
) -> tuple[tuple[str, ...], tuple[str | int | bool, ...]]:
    """Split an annotation into the kinds and the literal values that it accepts."""
    kinds: list[str] = []
    choices: list[str | int | bool] = []
    pending = [annotation] if annotation is not None else []
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.BinOp):  # a | b
            pending[:0] = [node.left, node.right]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # "int | None"
            pending.insert(0, ast.parse(node.value, mode="eval").body)
        elif isinstance(node, ast.Constant):
            kinds.append(str(node.value))
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("Literal"):
            values = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            choices += [ast.literal_eval(value) for value in values]
        elif isinstance(node, ast.Name) and node.id in aliases:
            pending.insert(0, aliases[node.id])
        elif isinstance(node, ast.Name) and node.id in ("bool", "int", "float", "str"):
            kinds.append(node.id)
        elif ast.unparse(node).startswith("os.PathLike"):
            kinds = [kind for kind in kinds if kind != "str"] + ["path"]
        elif re.search(r"Sequence|list|tuple|ArrayLike|Shape", ast.unparse(node)):
            kinds.append("list")
    return tuple(dict.fromkeys(kinds)), tuple(dict.fromkeys(choices))


def _described(docstring: str) -> dict[str, tuple[str, str]]:
    """Give the type, without the default, and the summary of each parameter."""
    section = re.search(
        r"^Parameters\n-+\n(?P<body>.*?)(?=^\w[\w ]*\n-+\n|\Z)", docstring, re.M | re.S
    )
    entries = re.findall(
        r"^(?P<names>\w[\w, ]*?) ?:(?P<type>.*)\n(?P<text>(?:[ \t]+\S.*\n|[ \t]*\n)*)",
        f"{section['body']}\n" if section else "",
        re.M,
    )
    return {
        name.strip(): (type_.split("default=")[0], _first_sentence(text))
        for names, type_, text in entries
        for name in names.split(",")
    }


def _first_sentence(text: str) -> str:
    """Cut the text after its first sentence and the ones that explain quoted choices."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.!?]) +(?=[A-Z`])", paragraph)[0]
    return re.sub(r":\w+:(?=`)|`(~[\w.]*\.)?\\?", "", sentence).rstrip(".:")


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "yes": True, "false": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _numbers(text: str) -> list[int | float]:
    parts = [part.strip() for part in text.split(",")]
    return [int(part) if part.isdecimal() else float(part) for part in parts]


_READERS: dict[str, Callable[[str], Value]] = {
    "bool": _boolean,
    "int": int,
    "float": float,
    "list": _numbers,
    "path": str,
    "str": str,
}
