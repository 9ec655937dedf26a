"""The command ``info``: what a model file says about itself, without loading the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flowssl._persistence import read_manifest
from flowssl.cli.options import METHODS, read_parameters

if TYPE_CHECKING:
    import argparse

    from flowssl._persistence import JSON
    from flowssl.cli.console import Console


_SHOWN_ITEMS = 10
_SHOWN_LENGTH = 200
_SMALL = 0.01
_OF_A_RUN = ("checkpoint", "verbose", "warm_start")
_MEBIBYTE = 2**20
# Only --json shows these: they help to check a file, not to know it.
_LEFT_OUT = ("kind", "schema_version", "tensors_sha256", "outlier_scale")


def info(arguments: argparse.Namespace, console: Console) -> int:
    """Show a model file's manifest; its tensors are not read."""
    manifest = read_manifest(arguments.model)
    if arguments.json:
        print(json.dumps(manifest, indent=2))
    else:
        size = Path(arguments.model).stat().st_size / _MEBIBYTE
        console.facts([("size", f"{size:.2f} MiB"), *describe(manifest)])
    return 0


def describe(manifest: Mapping[str, JSON]) -> list[tuple[str, str]]:
    """Give a manifest as names and values that fit on a line each.

    Parameters
    ----------
    manifest : mapping
        As `flowssl._persistence.read_manifest` gives it; nothing is expected to be in it.
    """
    facts: list[tuple[str, str]] = []
    for key, value in manifest.items():
        match key, value:
            case "versions", Mapping():
                facts.append((key, ", ".join(f"{name} {v}" for name, v in value.items())))
            case "classes", {"values": [*values]}:
                facts.append((key, _listed(values)))
            case "encoder", str():
                facts.append(_encoder(value))
            case "parameters", Mapping():
                facts.append((key, _changed(value, manifest.get("estimator"))))
            case "n_labeled" | "n_unlabeled", int():
                facts.append((f"{key.removeprefix('n_')} {_noun(manifest)}", f"{value:,}"))
            case "history", [*epochs]:
                facts.append(("training", _training(epochs)))
            case "candidates", [*candidates]:
                facts.append((key, _weights(candidates)))
            case _, Mapping():
                facts += [(f"{key}: {name}", text) for name, text in describe(value)]
            case _, [*values]:
                facts.append((key, _listed(values)))
            case _ if key not in _LEFT_OUT:
                facts.append((key, _text(value)))
    return [(name.replace("_", " "), text) for name, text in facts]


def _noun(manifest: Mapping[str, JSON]) -> str:
    """Say what a model was fitted on."""
    parameters = manifest.get("parameters")
    is_image = isinstance(parameters, Mapping) and parameters.get("image_shape") is not None
    return "images" if is_image else "rows"


def _training(epochs: Sequence[JSON]) -> str:
    figures = [epoch for epoch in epochs if isinstance(epoch, Mapping)]
    parts = [f"{len(epochs):,} epochs"]
    for key in ("nats_per_dim", "label_accuracy"):
        if figures and key in figures[-1]:
            parts.append(f"last {key.replace('_', ' ')} {_text(figures[-1][key])}")
    return ", ".join(parts)


def _changed(parameters: Mapping[str, JSON], estimator: JSON) -> str:
    """List the parameters that differ from the estimator's defaults."""
    described = {method.estimator: method.described_by for method in METHODS.values()}
    sources = described.get(str(estimator), next(iter(described.values())))
    defaults = {parameter.name: parameter.default for parameter in read_parameters(*sources)}
    changed = [
        f"{name}={value!r}"
        for name, value in parameters.items()
        if name not in _OF_A_RUN and repr(value) != defaults.get(name)
    ]
    return _listed(changed) or "all default"


def _weights(candidates: Sequence[JSON]) -> str:
    """Name the candidates that have a say in the start, the weightiest first."""
    weights = {
        str(c.get("name")): weight
        for c in candidates
        if isinstance(c, Mapping) and isinstance(weight := c.get("weight"), float)
    }
    ranked = sorted(weights, key=weights.__getitem__, reverse=True)
    return ", ".join(f"{name} {weights[name]:.2f}" for name in ranked if weights[name] >= _SMALL)


def _encoder(record: str) -> tuple[str, str]:
    """Count and name the columns of a table encoder, or give the form of the images."""
    try:
        found = json.loads(record)
        if "shape" in found:
            return "form", f"{' x '.join(map(str, found['shape']))}, {found['layout']}"
        names = [column["name"] for column in found["columns"]]
        return "columns", f"{len(names):,}: {_listed(names)}"
    except (ValueError, LookupError, TypeError):
        return "columns", _text(record)


def _listed(values: Sequence[JSON]) -> str:
    shown = ", ".join(map(_text, values[:_SHOWN_ITEMS]))
    more = len(values) - _SHOWN_ITEMS
    return shown + (f" and {more:,} more" if more > 0 else "")


def _text(value: JSON) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."
