"""An estimator's parameters as options of the command line, and back.

Parameters that an estimator takes as a group, such as ``objective=ObjectiveOptions(...)``, are one
option each here. In the parsed arguments an option has the name ``parameter:NAME`` or, in a group,
``parameter:GROUP.NAME``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from flowssl.cli.signatures import Parameter, Value, first_sentence, read_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowssl.cli.methods import Method

Chosen = dict[str, "Value | dict[str, Value]"]
"""Parameters by name; those of a group are a dictionary."""

_PREFIX = "parameter:"
# Options whose text only the data can turn into a value (see `labels.typed_marker`).
_KEPT_AS_TEXT = ("unlabeled_value",)
# Parameters of a group that are called otherwise on the command line.
_NAMES = {
    "objective.kind": "objective",
    "images.shape": "image_shape",
    "text.columns": "text",
    "text.batch_size": "embedding_batch_size",
    "text.cache": "embedding_cache",
    "text.keep": "keep_texts",
}
# Parameters of a group that a kind of rows has as an option of its own.
_OF_SOURCES = ("text.columns",)
_METAVARS = {"image_shape": "C,H,W"}
# Where the command has another default than the estimator.
_DEFAULTS = {
    "checkpoint": "MODEL.checkpoint",
    "image_shape": "that of the files",
    "verbose": "1",
}


def add_options(parser: argparse.ArgumentParser, method: Method) -> None:
    """Add one option for each parameter of the method's estimator."""
    section = parser.add_argument_group(
        "model and training",
        f"Parameters of {method.home}.{method.estimator}; see its documentation.",
    )
    parameters = method.parameters
    for parameter in parameters:
        if parameter.group is None:
            _add_option(section, parameter, parameter.name)
    for group in parameters:
        if group.group is not None:
            section = parser.add_argument_group(group.name, f"{first_sentence(group.group)}.")
            for parameter in read_parameters(group.group):
                key = f"{group.name}.{parameter.name}"
                if key not in _OF_SOURCES:
                    _add_option(section, parameter, key)


def chosen_options(arguments: argparse.Namespace) -> Chosen:
    """Collect the parameters given on the command line; the estimator's defaults do the rest."""
    chosen: Chosen = {}
    for key, value in vars(arguments).items():
        if not key.startswith(_PREFIX):
            continue
        group, _, name = key.removeprefix(_PREFIX).rpartition(".")
        if group:
            members = chosen.setdefault(group, {})
            if isinstance(members, dict):
                members[name] = value
        else:
            chosen[name] = value
    return chosen


def build_parameters(method: Method, chosen: Mapping[str, object]) -> dict[str, object]:
    """Return the estimator's parameters, with an object for each group."""
    built: dict[str, object] = dict(method.fixed)
    groups = {p.name: p.group for p in method.parameters if p.group is not None}
    for name, value in chosen.items():
        group = groups.get(name)
        if group is not None and isinstance(value, Mapping):
            value = getattr(import_module(group.module), group.name)(**value)
        built[name] = value
    return built


def changed_parameters(method: Method, parameters: Mapping[str, object]) -> Iterator[str]:
    """Yield ``name=value`` for the parameters of a model file that differ from the defaults.

    Parameters
    ----------
    method : Method
        One of the estimator's methods.
    parameters : mapping
        As the file has them: a group is a dictionary, or the value of its first parameter.
    """
    for parameter in read_parameters(method.described_by):
        if parameter.name not in parameters:
            continue
        value = parameters[parameter.name]
        members = read_parameters(parameter.group) if parameter.group is not None else ()
        if members and value is not None:
            found = value if isinstance(value, Mapping) else {members[0].name: value}
            for member in members:
                if member.name in found and _differs(found[member.name], member):
                    name = _option_name(f"{parameter.name}.{member.name}")
                    yield f"{name}={found[member.name]!r}"
        elif _differs(value, parameter):
            yield f"{parameter.name}={value!r}"


def option_of(group: str, name: str) -> str:
    """Return the option of a parameter in a group: ``--image-shape`` of "images" and "shape"."""
    return _as_option(_option_name(f"{group}.{name}"))


def _add_option(
    section: argparse._ArgumentGroup,  # argparse has no public name for it
    parameter: Parameter,
    key: str,
) -> None:
    """Add the option of a parameter, ``key`` with its group."""
    name = _option_name(key)
    summary = parameter.summary.replace("%", "%%")
    text = f"{summary} (default: {_DEFAULTS.get(name, parameter.typed_default)})"
    if parameter.kinds == ("bool",):
        section.add_argument(
            _as_option(name),
            dest=_PREFIX + key,
            action=argparse.BooleanOptionalAction,
            default=argparse.SUPPRESS,
            help=text,
        )
        return
    kept = name in _KEPT_AS_TEXT
    section.add_argument(
        _as_option(name),
        dest=_PREFIX + key,
        metavar="VALUE" if kept else _METAVARS.get(name, parameter.metavar),
        type=str if kept else parameter.parse,
        default=argparse.SUPPRESS,
        help=text,
    )


def _option_name(key: str) -> str:
    return _NAMES.get(key, key.rpartition(".")[2])


def _as_option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _differs(value: object, parameter: Parameter) -> bool:
    default = parameter.default_value
    return value != (list(default) if isinstance(default, tuple) else default)
