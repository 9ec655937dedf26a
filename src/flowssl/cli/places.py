"""Where a command reads and writes: checks, before any work, that no output destroys anything.

An output must not be one of the inputs, nor the same file as another output; a file that is there
already must be of the kind that is written; and the place must take a file, which is tried.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from os.path import samestat
from pathlib import Path
from typing import TYPE_CHECKING

from flowssl._files import probe
from flowssl.exceptions import DataError, ModelFileError
from flowssl.tables import is_parquet

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

_HEAD_BYTES = 4096
_CHECKPOINT = "checkpoint"
_FIGURE_BEGINNINGS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
_INPUTS = ("model", "data", "labels", "test", "test_labels")


@dataclass(frozen=True)
class Output:
    """A file that a command will write.

    Attributes
    ----------
    name : str
        How messages call it, such as its option.
    path : str
        Where.
    kind : str
        What is written, with an article.
    replaces : callable
        From the path and the first bytes of a file that is there already, whether it is of that
        kind and may be replaced.
    """

    name: str
    path: str
    kind: str
    replaces: Callable[[Path, bytes], bool]


def model_output(name: str, path: str) -> Output:
    """Return the output of a model file."""
    return Output(name, path, "a model", _is_model)


def checkpoint_output(name: str, path: str) -> Output:
    """Return the output of a training checkpoint."""
    return Output(name, path, "a checkpoint of flowssl", _is_checkpoint)


def page_output(name: str, path: str) -> Output:
    """Return the output of an HTML page."""
    return Output(name, path, "an HTML page", _is_page)


def figure_output(name: str, path: str) -> Output:
    """Return the output of a figure, whose kind is that of its ending."""
    if Path(path).suffix.lower() not in _FIGURE_BEGINNINGS:
        known = ", ".join(_FIGURE_BEGINNINGS)
        raise DataError(f"{name} {path}: a figure ends in one of {known}.")
    return Output(name, path, "a figure of that kind", _is_figure)


def table_output(name: str, path: str) -> Output:
    """Return the output of a table, whose kind is that of its ending."""
    if is_parquet(path):
        return Output(name, path, "a Parquet file", _is_parquet)
    return Output(name, path, "a table of text", _is_text)


def check_places(inputs: Mapping[str, str | None], outputs: Sequence[Output]) -> None:
    """Refuse outputs that would destroy something, or cannot be written.

    Parameters
    ----------
    inputs : mapping of str to str or None
        The files and folders that the command reads, by the names that messages give them; None for
        those that are not given.
    outputs : sequence of Output
        What it will write.

    Raises
    ------
    DataError
        If an output is an input or another output, or would replace a file of another kind.
    OSError
        If a place cannot be written to.
    """
    for output in outputs:
        for name, source in inputs.items():
            if source is not None and _is_same(source, output.path):
                raise DataError(
                    f"{output.name} {output.path} is {name}, which would be lost; name another file."
                )
    for one, other in combinations(outputs, 2):
        if _is_same(one.path, other.path) or _differ_in_case(one.path, other.path):
            raise DataError(
                f"{one.name} {one.path} and {other.name} {other.path} are the same file; give them "
                "different names."
            )
    for output in outputs:
        probe(output.path)
        _check_kind(output)


def check_standard_output(arguments: argparse.Namespace) -> None:
    """Refuse to add what a command writes to one of its inputs, as ``>> DATA`` would.

    Parameters
    ----------
    arguments : Namespace
        The parsed command line of any command.

    Raises
    ------
    DataError
        If standard output is one of the input files.
    """
    try:
        status = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # it is closed, or not a file of the system
        return
    for name in _INPUTS:
        path = getattr(arguments, name, None)
        if path is not None and Path(path).is_file() and samestat(status, Path(path).stat()):
            raise DataError(f"standard output is {path}, which is an input; send it elsewhere.")


def _check_kind(output: Output) -> None:
    """Refuse to replace a file of another kind; an empty one, as of mktemp, has none."""
    path = Path(output.path)
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not output.replaces(path, head):
        raise DataError(
            f"{output.name} {path} exists and is not {output.kind}; name another file, or delete it."
        )


def _is_same(one: str, other: str) -> bool:
    """Return whether two paths lead to one file, also by links; a device is nobody's file."""
    try:
        return Path(one).samefile(other) and (Path(one).is_file() or Path(one).is_dir())
    except OSError:  # one of them does not exist yet
        return False


def _differ_in_case(one: str, other: str) -> bool:
    """Return whether two new names differ at most in case, which some systems do not tell apart."""
    if Path(one).exists() or Path(other).exists():
        return False
    first, second = (
        unicodedata.normalize("NFC", os.path.realpath(path)).casefold() for path in (one, other)
    )
    return first == second


def _is_model(path: Path, head: bytes) -> bool:
    return _is_container(head) and _kind_in(path) != _CHECKPOINT  # a damaged model is no loss


def _is_checkpoint(path: Path, head: bytes) -> bool:
    return _is_container(head) and _kind_in(path) == _CHECKPOINT


def _is_container(head: bytes) -> bool:
    """Return whether a file begins as both models and checkpoints do."""
    return head.startswith(b"PK\x03\x04") and head[30:].startswith(b"manifest.json")


def _kind_in(path: Path) -> object:
    """Return what the manifest of a model or checkpoint calls it, None if it is damaged."""
    from flowssl._persistence import read_manifest

    try:
        return read_manifest(path).get("kind")
    except ModelFileError:
        return None


def _is_page(path: Path, head: bytes) -> bool:
    beginning = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return beginning.startswith((b"<!doctype html", b"<html"))


def _is_text(path: Path, head: bytes) -> bool:
    return b"\0" not in head and not head.startswith((b"PK\x03\x04", b"\x1f\x8b", b"%PDF"))


def _is_parquet(path: Path, head: bytes) -> bool:
    return head.startswith(b"PAR1")


def _is_figure(path: Path, head: bytes) -> bool:
    return head.startswith(_FIGURE_BEGINNINGS[path.suffix.lower()])
