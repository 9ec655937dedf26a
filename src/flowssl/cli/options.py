"""The estimator's parameters as command-line options, from its source text alone.

``flowssl fit --help`` must answer at once, and importing the estimator brings in PyTorch. So the
signature and the numpydoc ``Parameters`` section are read with `ast`: each parameter, its default
and its description are written once, at the estimator, and `--help` never runs it.
"""

from __future__ import annotations

import argparse
import ast
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


# What the shell has no use for: it starts afresh each time.
_LEFT_OUT = ("warm_start",)
# What methods that learn from tables alone have no use for.
_OF_PICTURES = ("views", "dequantization_draws", "consistency_weight")
# Options whose text only the data can turn into a value (see `columns.typed_marker`).
_KEPT_AS_TEXT = ("unlabeled_value",)
# Where the command has another default than the estimator.
_DEFAULTS_HERE = {"checkpoint": "MODEL.checkpoint", "verbose": "1"}
_METAVARS = {
    "bool": "BOOL",
    "int": "INT",
    "float": "FLOAT",
    "str": "NAME",
    "path": "FILE",
    "list": "A,B,...",
}
_PREFIX = "parameter_"
_Value = bool | int | float | str | list[int | float] | None


@dataclass(frozen=True)
class Method:
    """What a value of ``--method`` stands for.

    Attributes
    ----------
    estimator : str
        Name of the estimator.
    described_by : tuple of str
        Module and class whose signature and documentation list the parameters.
    fixed : mapping
        Parameters that make the estimator this method; they are no options.
    left_out : tuple of str
        Parameters of the described class that this estimator does not have.
    home : str
        The package that has the estimator.
    """

    estimator: str
    described_by: tuple[str, str]
    fixed: Mapping[str, str | None] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    home: str = "flowssl"

    @property
    def is_flow(self) -> bool:
        """Whether its models have an exact density; baselines have none."""
        return self.home == "flowssl"

    @property
    def takes_pictures(self) -> bool:
        """Whether it learns from pictures, too."""
        return self.is_flow and "image_shape" not in (*self.fixed, *self.left_out)


_FLOWGMM = ("flowssl.estimators.flowgmm", "FlowGMMClassifier")
_SCNF = ("flowssl.estimators.scnf", "SemiConditionalFlowClassifier")
_M2_VAE = ("flowssl.baselines.m2_vae", "M2VAEClassifier")

_NOT_DIGLM = (
    "class_density",
    "class_architecture",
    "image_shape",
    *_OF_PICTURES,
)

METHODS: dict[str, Method] = {
    "flowgmm": Method("FlowGMMClassifier", _FLOWGMM),
    "scnf": Method("SemiConditionalFlowClassifier", _SCNF, {"class_density": "flow"}),
    "scnf-gmm": Method("SemiConditionalFlowClassifier", _SCNF, {"class_density": "gaussian"}),
    "diglm": Method("DIGLMClassifier", _SCNF, left_out=_NOT_DIGLM),
    "conditional": Method(
        "SemiConditionalFlowClassifier",
        _SCNF,
        {
            "class_density": "flow",
            "architecture": "affine",
            "class_features": "all",
            "image_shape": None,
        },
    ),
    "m2-vae": Method("M2VAEClassifier", _M2_VAE, home="flowssl.baselines"),
}
"""The methods by name; the first is the default."""


@dataclass(frozen=True)
class Parameter:
    """One keyword of the estimator's constructor.

    Attributes
    ----------
    name : str
        As in the signature.
    default : str
        The default as it is written there.
    summary : str
        First sentence of its description in the docstring.
    kinds : tuple of str
        What it accepts, among ``"bool"``, ``"int"``, ``"float"``, ``"str"``, ``"path"``,
        ``"None"`` and ``"list"``; other types cannot be typed into a shell and are not listed.
    choices : tuple
        The values of its ``Literal`` types, or the quoted words of its type in the docstring.
    """

    name: str
    default: str
    summary: str
    kinds: tuple[str, ...]
    choices: tuple[str | int | bool, ...]

    @property
    def option(self) -> str:
        """The name as an option: ``max_epochs`` is ``--max-epochs``."""
        return "--" + self.name.replace("_", "-")

    @property
    def typed_default(self) -> str:
        """The default as one would type it after the option."""
        value = ast.literal_eval(self.default) if self.default else ""
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

    def parse(self, text: str) -> _Value:
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


def read_parameters(module: str = _FLOWGMM[0], name: str = _FLOWGMM[1]) -> tuple[Parameter, ...]:
    """Read the constructor of a class from its source, without importing it.

    Parameters
    ----------
    module : str
        Dotted name below a package that is imported already.
    name : str
        The class; its constructor takes keywords only and its docstring is numpydoc.

    Returns
    -------
    tuple of Parameter
        In the signature's order.
    """
    tree = ast.parse(_source(module))
    scope = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}[name]
    aliases = dict(_aliases(tree))
    constructor = next(
        n for n in scope.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"
    )
    described = _described(ast.get_docstring(scope) or "")
    arguments = constructor.args
    parameters = []
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        kinds, choices = _accepted(argument.annotation, aliases)
        type_, summary = described.get(argument.arg, ("", ""))
        if not choices and (named := tuple(re.findall(r'"([^"]*)"', type_))):
            # `str` in the signature, and in the docstring which ones.
            kinds, choices = tuple(kind for kind in kinds if kind != "str"), named
        shown = ast.unparse(default) if default is not None else ""
        parameters.append(Parameter(argument.arg, shown, summary, kinds, choices))
    return tuple(p for p in parameters if p.name not in _LEFT_OUT)


def method_named(words: Sequence[str]) -> str:
    """Return the method that a command line names, which decides what its other options are.

    An unknown one is left to the parser to refuse; the default stands in for it here.
    """
    scout = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    scout.add_argument("--method", nargs="?", default="")
    name = str(scout.parse_known_args(words)[0].method)
    return name if name in METHODS else next(iter(METHODS))


def add_options(parser: argparse.ArgumentParser, name: str) -> None:
    """Add one option for each parameter of the named method's estimator."""
    method = METHODS[name]
    group = parser.add_argument_group(
        "model and training",
        f"Parameters of {method.home}.{method.estimator}; its documentation has more.",
    )
    for parameter in read_parameters(*method.described_by):
        if parameter.name in (*method.fixed, *method.left_out):
            continue
        if parameter.name in _OF_PICTURES and not method.takes_pictures:
            continue
        summary = parameter.summary.replace("%", "%%")
        text = f"{summary} (default: {_DEFAULTS_HERE.get(parameter.name, parameter.typed_default)})"
        if parameter.kinds == ("bool",):
            group.add_argument(
                parameter.option,
                dest=_PREFIX + parameter.name,
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=text,
            )
            continue
        kept = parameter.name in _KEPT_AS_TEXT
        group.add_argument(
            parameter.option,
            dest=_PREFIX + parameter.name,
            metavar="VALUE" if kept else parameter.metavar,
            type=str if kept else parameter.parse,
            default=argparse.SUPPRESS,
            help=text,
        )


def chosen_options(arguments: argparse.Namespace) -> dict[str, _Value]:
    """Collect the parameters given on the command line; the estimator's defaults do the rest."""
    return {
        key.removeprefix(_PREFIX): value
        for key, value in vars(arguments).items()
        if key.startswith(_PREFIX)
    }


def _source(module: str) -> str:
    package, *inner = module.split(".")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"cannot find the package {package}.")
    path = Path(spec.submodule_search_locations[0], *inner).with_suffix(".py")
    return path.read_text(encoding="utf-8")


def _aliases(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value


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
        elif re.search(r"Sequence|list|tuple|ArrayLike", ast.unparse(node)):
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


_READERS: dict[str, Callable[[str], _Value]] = {
    "bool": _boolean,
    "int": int,
    "float": float,
    "list": _numbers,
    "path": str,
    "str": str,
}
