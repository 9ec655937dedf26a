"""What is measured: sameness of answers, training speed, several processes."""

from __future__ import annotations

import copy
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from benchmarks.gpu.cases import Case, untrained

from flowssl.estimators import FlowClassifier
from flowssl.objectives import CrossEntropy, Objective, SoftLabelLikelihood
from flowssl.training import TrainingConfig, train

Row = dict[str, object]

POSTERIOR_TOLERANCE = 1e-3
NATS_TOLERANCE = 1e-2
PREDICTED = 2_000
PROFILED_STEPS = 20


def answers(model: FlowClassifier, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log p(x) and class probabilities of some rows."""
    matrix = model.encoder_.transform(X[:PREDICTED])
    log_prob, log_proba = model.density_.evaluate(matrix)
    return log_prob, np.exp(log_proba)


def moved(model: FlowClassifier, device: str) -> FlowClassifier:
    """Return a copy of a fitted classifier whose models live on a device."""
    copied = copy.copy(model)
    copied.models_ = [copy.deepcopy(member).to(device) for member in model.models_]
    return copied


def sameness(name: str, case: Case, device: str, epochs: int) -> Row:
    """Compare one model's answers on the CPU and on the device, and fits on either.

    The first is a matter of arithmetic in double precision; two fits differ by their random
    numbers, so only their quality is comparable.
    """
    y = case.labels()
    fits: Row = {}
    models = {}
    for where in ("cpu", device):
        began = time.perf_counter()
        models[where] = case.make(where, epochs).fit(case.X, y)
        fits[f"fit_seconds_{where}"] = round(time.perf_counter() - began, 1)
        fits[f"accuracy_{where}"] = round(models[where].score(case.X, case.truth), 4)
    trained_on = next(models[device].models_[0].parameters()).device.type
    here, there = answers(moved(models[device], "cpu"), case.X), answers(models[device], case.X)
    began = time.perf_counter()
    models[device].predict(case.X)
    fits["predict_rows_per_second"] = round(len(case.X) / (time.perf_counter() - began))
    nats, posterior = (float(np.abs(a - b).max()) for a, b in zip(here, there, strict=True))
    return {
        "case": name,
        "rows": len(case.X),
        "predicts_on": trained_on,
        "largest_difference_nats": nats,
        "largest_difference_posterior": posterior,
        "same": nats <= NATS_TOLERANCE and posterior <= POSTERIOR_TOLERANCE,
        **fits,
    }


def speed(name: str, device: str, precision: str, *, compiled: bool, quick: bool) -> Row:
    """Time training steps of a model of a case's size.

    The first training warms up (and compiles), the second is timed. ``busy`` is the fraction of
    its time in which the card runs kernels, from a profile of a further short training.
    """
    n = 300 if quick else 5_000
    steps = 5 if quick else 100
    model, rows = untrained(name, n)
    config = TrainingConfig(
        max_epochs=1,
        steps_per_epoch=steps,
        batch_size=64 if name == "images" else 256,
        device=device,
        precision=precision,
        compile=compiled,
        evaluation_rows=512,
    )
    objective = Objective([SoftLabelLikelihood(), CrossEntropy(float(rows.x.shape[1]))])
    train(model, objective, rows, rows.take(torch.arange(64)), config)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    result = train(model, objective, rows, rows.take(torch.arange(64)), config)
    seconds = time.perf_counter() - began
    return {
        "case": name,
        "precision": precision,
        "compile": compiled,
        "steps_per_second": round(steps / seconds, 1),
        "busy": None if device == "cpu" else round(_busy(model, objective, rows, config), 3),
        "peak_mib": _peak_mib(device),
        "loss": round(result.history[-1]["train_loss"], 4),
    }


def _busy(model, objective, rows, config) -> float:
    """Return the fraction of a training's time in which the card runs kernels."""
    from dataclasses import replace

    from torch.profiler import ProfilerActivity, profile

    config = replace(config, steps_per_epoch=PROFILED_STEPS)
    began = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        train(model, objective, rows, rows.take(torch.arange(64)), config)
    seconds = time.perf_counter() - began
    return sum(event.self_device_time_total for event in found.key_averages()) * 1e-6 / seconds


def _peak_mib(device: str) -> int:
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10
    return torch.cuda.max_memory_allocated() // 2**20


def processes(device: str, *, quick: bool) -> Row:
    """Train in one process and in two under torchrun, and compare their losses."""
    with tempfile.TemporaryDirectory() as folder:
        curves = []
        for n in (1, 2):
            out = Path(folder) / f"{n}.json"
            command = [
                sys.executable, "-m", "torch.distributed.run", "--standalone",
                f"--nproc-per-node={n}", "-m", "benchmarks.gpu.worker", device, str(int(quick)), str(out),
            ]  # fmt: skip
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            subprocess.run(command, check=True, env=environment, capture_output=True)
            curves.append(json.loads(out.read_text()))
    one, two = np.asarray(curves)
    return {"epochs": len(one), "largest_difference": float(np.abs(one - two).max())}
