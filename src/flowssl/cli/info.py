"""The command ``info``: what a model file says about itself, if it is one that can be loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flowssl.cli.arguments import add_model
from flowssl.cli.console import shortened
from flowssl.cli.methods import DEFAULT_METHOD, METHODS
from flowssl.cli.options import changed_parameters
from flowssl.cli.sources import source_described_by

if TYPE_CHECKING:
    import argparse

    from flowssl._persistence import JSON
    from flowssl.cli.console import Console

SUMMARY = "show what is in a model file"
DETAILS = "A file that cannot be loaded is refused: what it says is not to be trusted."

_SHOWN_LENGTH = 200
_SMALL = 0.01
_OF_A_RUN = ("checkpoint", "verbose", "warm_start")
_MEBIBYTE = 2**20
# Only --json shows these: they help to check a file, not to know it.
_LEFT_OUT = ("kind", "schema_version", "tensors_sha256", "outlier_scale")


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options."""
    add_model(parser)
    parser.add_argument("--json", action="store_true", help="write JSON instead of a table")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Show a model file's manifest."""
    import flowssl
    from flowssl._persistence import read_manifest

    flowssl.load(arguments.model)  # which compares all that the manifest says with the tensors
    manifest = read_manifest(arguments.model)
    if arguments.json:
        console.json(manifest)
    else:
        size = Path(arguments.model).stat().st_size / _MEBIBYTE
        console.facts([("size", f"{size:.2f} MiB"), *describe(manifest)])
    return 0


def describe(manifest: Mapping[str, JSON]) -> list[tuple[str, str]]:
    """Return a manifest as names and values, each pair short enough for a line.

    Parameters
    ----------
    manifest : mapping
        As `flowssl._persistence.read_manifest` returns it; no key is required.
    """
    noun, form = _rows(manifest.get("encoder"))
    facts: list[tuple[str, str]] = []
    for key, value in manifest.items():
        if key in _LEFT_OUT:
            continue
        match key, value:
            case "versions", Mapping():
                facts.append((key, ", ".join(f"{name} {v}" for name, v in value.items())))
            case "classes", {"values": [*values]}:
                facts.append((key, _listed(values)))
            case "encoder", _:
                facts.append(form or (key, _text(value)))
            case "parameters", Mapping():
                facts.append((key, _changed(value, manifest.get("estimator"))))
            case "n_labeled" | "n_unlabeled", int():
                facts.append((f"{key.removeprefix('n_')} {noun}", f"{value:,}"))
            case "history", [*epochs]:
                facts.append(("training", _training(epochs)))
            case "candidates", [*candidates]:
                facts.append((key, _weights(candidates)))
            case _, Mapping():
                facts += [(f"{key}: {name}", text) for name, text in describe(value)]
            case _, [*values]:
                facts.append((key, _listed(values)))
            case _:
                facts.append((key, _text(value)))
    return [(name.replace("_", " "), text) for name, text in facts]


def _rows(encoder: JSON) -> tuple[str, tuple[str, str] | None]:
    """Say what a model's rows are called and consist of, from the record of its encoder."""
    try:
        record = json.loads(str(encoder))
        source = source_described_by(record)
        return ("rows", None) if source is None else (source.noun, source.form(record))
    except (ValueError, LookupError, TypeError):  # no record, or a damaged one
        return "rows", None


def _training(epochs: Sequence[JSON]) -> str:
    figures = [epoch for epoch in epochs if isinstance(epoch, Mapping)]
    parts = [f"{len(epochs):,} epochs"]
    for key in ("nats_per_dim", "label_accuracy"):
        if figures and key in figures[-1]:
            parts.append(f"last {key.replace('_', ' ')} {_text(figures[-1][key])}")
    return ", ".join(parts)


def _changed(parameters: Mapping[str, JSON], estimator: JSON) -> str:
    """List the parameters that differ from the estimator's defaults."""
    of_estimator = {method.estimator: method for method in METHODS.values()}
    method = of_estimator.get(str(estimator), METHODS[DEFAULT_METHOD])
    lasting = {name: value for name, value in parameters.items() if name not in _OF_A_RUN}
    changed = [_cut(text) for text in changed_parameters(method, lasting)]
    return shortened(changed) or "all default"


def _weights(candidates: Sequence[JSON]) -> str:
    """Name the candidates that contribute to the soft labels, the largest weight first."""
    weights = {
        str(c.get("name")): weight
        for c in candidates
        if isinstance(c, Mapping) and isinstance(weight := c.get("weight"), float)
    }
    ranked = sorted(weights, key=weights.__getitem__, reverse=True)
    return shortened([f"{name} {weights[name]:.2f}" for name in ranked if weights[name] >= _SMALL])


def _listed(values: Sequence[JSON]) -> str:
    return shortened([_text(value) for value in values])


def _text(value: JSON) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _cut(f"{value:.4g}" if isinstance(value, float) else str(value))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."
