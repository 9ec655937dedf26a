"""A process that loads the model files whose paths it is given, one answer a line; see `mutated_models`."""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from benchmarks.memory import peak_mib
from tests.golden import KINDS

import flowssl
from flowssl._persistence import read_manifest
from flowssl.cli.info import describe
from flowssl.exceptions import FlowSSLWarning, ModelFileError

ADDRESS_SPACE = 8 * 2**30
"""Bytes after which an allocation fails: no file may take the machine down."""


def rows_for(model: flowssl.FlowGMMClassifier, kind: str) -> object:
    """Return a few rows of the width that a model takes."""
    rows = KINDS[kind][0]()[0][:5]
    if model.n_features_in_ == int(np.prod(rows.shape[1:])):
        return rows
    return np.zeros((5, model.n_features_in_))


def state() -> tuple[object, ...]:
    """Return the settings of PyTorch that belong to the whole process."""
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.random.get_rng_state().sum().item(),
        torch.get_num_threads(),
        str(np.geterr()),
    )


def outcome(path: Path, kind: str) -> tuple[str, str]:
    """Load a file, describe it and predict with it; return the result and a message."""
    try:
        model = flowssl.load(path)
    except ModelFileError as error:
        is_plain = str(path) in str(error) and len(str(error)) < 1000
        return "ModelFileError" if is_plain else "a message that is not plain", str(error)
    describe(read_manifest(path))
    rows = rows_for(model, kind)
    try:
        proba = model.predict_proba(rows)
    except ValueError as error:
        return "refused rows", str(error)
    is_sound = proba.shape == (5, len(model.classes_)) and np.allclose(proba.sum(1), 1)
    return ("loaded" if is_sound and np.isfinite(proba).all() else "wrong probabilities"), ""


def answer(path: Path, kind: str) -> dict[str, object]:
    """Return what became of a file, with seconds and memory."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is that of this file
    before, started = state(), time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result, message = outcome(path, kind)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is looked for
            result, message = type(error).__name__, str(error)
    seconds = time.process_time() - started
    leaked = [w for w in caught if not issubclass(w.category, FlowSSLWarning)]
    if leaked:
        result, message = "a warning", f"{leaked[0].category.__name__}: {leaked[0].message}"
    if state() != before:
        result, message = "changed settings", str(state())
    return {
        "result": result,
        "message": message[:500],
        "seconds": round(seconds, 3),
        "mebibytes": round(peak_mib()),
    }


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    print("ready", flush=True)
    for line in sys.stdin:
        path, kind = json.loads(line)
        print(json.dumps(answer(Path(path), kind)), flush=True)


if __name__ == "__main__":
    main()
